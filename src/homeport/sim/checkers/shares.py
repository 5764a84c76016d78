"""Truth: no capacity provider gets more tasks than its base and its weight in the strategy give it.

That another one has no room gives it no more, either. Sums of its own, by exact shares. And each
task of a service is on the capacity that its own deployment's revision names.
"""

from collections import Counter
from collections.abc import Container
from fractions import Fraction
from math import ceil

from homeport.model.container_instance import ACTIVE
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "capacity providers get their shares"


def check_shares(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at the deployments that got tasks from the scheduler by a strategy."""
    if commit.cause != "Reconcile":
        return
    grown: dict[tuple[str, str | None, str], None] = {}
    gone: dict[str, None] = {}
    for change, old in zip(commit.changes, replaced, strict=True):
        task = change.record if isinstance(change, Put) else None
        if old is None and isinstance(task, Task):
            _check_capacity(store, task)
        if not isinstance(task, Task) or task.capacity_provider is None:
            continue
        if old is not None:
            gone[task.arn] = None
        elif task.service_arn is not None:
            grown[task.service_arn, task.deployment_id, task.capacity_provider] = None
    for service_arn, deployment_id, provider in grown:
        service = store.services.get(service_arn)
        if service is not None and deployment_id == service.primary.id:
            _check_share(store, service, provider, gone)


def _check_capacity(store: Store, task: Task) -> None:
    """A deployment's tasks run where its revision says, whatever the service says by now."""
    service = store.services.get(task.service_arn or "")
    deployments = () if service is None else service.deployments
    owner = next((d for d in deployments if d.id == task.deployment_id), None)
    revision = None if owner is None else store.service_revisions.get(owner.revision_arn)
    if revision is None or service is None or service.scheduling_strategy == "DAEMON":
        return
    providers = [item.provider for item in revision.capacity_provider_strategy]
    if providers and task.capacity_provider not in providers:
        raise Violation(TRUTH, f"{task.arn} is on {task.capacity_provider}, not on {providers}")
    if not providers and (
        task.capacity_provider is not None or task.launch_type != revision.launch_type
    ):
        kind = task.capacity_provider or task.launch_type
        raise Violation(TRUTH, f"{task.arn} is on {kind}, its revision on {revision.launch_type}")


def _check_share(store: Store, service: Service, provider: str, gone: Container[str]) -> None:
    strategy = service.capacity_provider_strategy
    tasks = [
        task
        for task in store.tasks.group("service", service.arn).values()
        if task.deployment_id == service.primary.id
        and (task.desired_status == RUNNING or task.arn in gone)
    ]
    if any(_has_to_go(store, task) for task in tasks):
        return  # their replacements come beside them, more than desiredCount for a while
    have = Counter(task.capacity_provider for task in tasks)
    item = next((item for item in strategy if item.provider == provider), None)
    if item is None:
        raise Violation(TRUTH, f"{service.arn} has no {provider} in its strategy")
    moving = service.moving_tasks  # beside those that they will take the place of
    total = max(service.desired_count, sum(have.values()) - moving)
    beyond = max(0, total - sum(item.base for item in strategy))
    share = ceil(Fraction(beyond * item.weight, sum(item.weight for item in strategy)))
    if have[provider] > item.base + share + moving:
        raise Violation(
            TRUTH,
            f"{service.arn} has {have[provider]} of {total} tasks on {provider}, whose base is "
            f"{item.base} and whose share of the others {share}",
        )


def _has_to_go(store: Store, task: Task) -> bool:
    instance = store.container_instances.get(task.container_instance_arn or "")
    is_displaced = instance is not None and instance.status != ACTIVE
    return is_displaced or task.health_status == "UNHEALTHY"
