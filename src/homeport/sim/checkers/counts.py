"""Truth: derived counts are those recomputed from scratch.

After every commit those of the container instances and deployments that it touched; all of them,
with what must hold across tables, at every start, now and then, and at the end.
"""

from homeport.model.task import Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.derived import DeploymentLoad, InstanceLoad
from homeport.state.invariants import find_violations
from homeport.state.store import Store

TRUTH = "counts are those recomputed"

NO_LOAD = InstanceLoad()
NO_TASKS = DeploymentLoad()


def check_counts(store: Store) -> None:
    """Recompute every derived count from scratch, and what must hold across tables."""
    violations = find_violations(store)
    if violations:
        raise Violation(TRUTH, "; ".join(violations[:5]))


def check_touched_counts(
    store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]
) -> None:
    """Recompute what a commit's tasks count in."""
    instances: dict[str, None] = {}
    deployments: dict[tuple[str, str], None] = {}
    for change, old in zip(commit.changes, replaced, strict=True):
        task = change.record if isinstance(change, Put) else old
        if not isinstance(task, Task):
            continue
        if task.container_instance_arn is not None:
            instances[task.container_instance_arn] = None
        if task.service_arn is not None and task.deployment_id is not None:
            deployments[task.service_arn, task.deployment_id] = None
    for arn in instances:
        _check_instance(store, arn)
    for service_arn, deployment_id in deployments:
        _check_deployment(store, service_arn, deployment_id)


def _check_instance(store: Store, arn: str) -> None:
    kept, fresh = store.derived.instances.get(arn, NO_LOAD), InstanceLoad()
    for task in store.tasks.group("instance", arn).values():
        fresh.add(task, 1)
    fresh.turnover = kept.turnover  # of tasks that have stopped, too
    if kept.values() != fresh.values():
        raise Violation(TRUTH, f"{arn}: {kept.values()} are kept, {fresh.values()} are true")


def _check_deployment(store: Store, service_arn: str, deployment_id: str) -> None:
    kept = store.derived.deployments.get((service_arn, deployment_id), NO_TASKS)
    fresh = DeploymentLoad()
    for task in store.tasks.group("service", service_arn).values():
        if task.deployment_id == deployment_id:
            fresh.add(task, 1)
    if kept.values() != fresh.values():
        raise Violation(
            TRUTH, f"{deployment_id}: {kept.values()} are kept, {fresh.values()} are true"
        )
