"""Truth: of a service's task sets at most one is PRIMARY, and each keeps to its share.

Another deployment controller takes over the tasks that there are.

Counts and shares are its own; the percents are those of the service.
"""

import math

from homeport.model.service import Service, TaskSet
from homeport.model.task import RUNNING, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "task sets keep to their shares"
PERCENT = 100


def check_task_sets(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at services of task sets that changed, and at those that got tasks."""
    grown: dict[tuple[str, str | None], None] = {}
    for change, old in zip(commit.changes, replaced, strict=True):
        if not isinstance(change, Put):
            continue
        record = change.record
        if isinstance(record, Service):
            if record.task_sets:
                _check_primary(record)
            before = old.deployment_controller if isinstance(old, Service) else None
            if before not in (None, record.deployment_controller):
                _check_handed_over(store, record)
        elif old is None and isinstance(record, Task) and record.service_arn is not None:
            service = store.services.get(record.service_arn)
            if service is not None and service.deployment_controller == "EXTERNAL":
                _check_owner(service, record)
                grown[service.arn, record.deployment_id] = None
    for arn, deployment_id in grown:
        service = store.services.get(arn)
        assert service is not None
        for task_set in service.task_sets:
            if task_set.id == deployment_id:
                _check_share(store, service, task_set)


def wanted_of(service: Service, task_set: TaskSet) -> int:
    """Return how many tasks a task set has to run: its percentage, rounded up."""
    if task_set.status == "DRAINING" or service.status != "ACTIVE":
        return 0
    return math.ceil(round(service.desired_count * task_set.scale_percent, 6) / PERCENT)


def _check_primary(service: Service) -> None:
    primaries = [s for s in service.task_sets if s.status == "PRIMARY"]
    if len(primaries) > 1:
        raise Violation(TRUTH, f"{service.arn} has {len(primaries)} PRIMARY task sets")
    if primaries and service.task_definition_arn != primaries[0].task_definition_arn:
        raise Violation(TRUTH, f"{service.arn} doesn't show its PRIMARY task set's definition")


def _check_handed_over(store: Store, service: Service) -> None:
    is_external = service.deployment_controller == "EXTERNAL"
    owners = {each.id for each in (service.task_sets if is_external else service.deployments)}
    for task in store.tasks.group("service", service.arn).values():
        if task.desired_status == RUNNING and task.deployment_id not in owners:
            raise Violation(TRUTH, f"{task.arn} belongs to nothing of {service.arn} any more")


def _check_owner(service: Service, task: Task) -> None:
    owner = next((s for s in service.task_sets if s.id == task.deployment_id), None)
    if owner is None or owner.task_definition_arn != task.task_definition_arn:
        raise Violation(TRUTH, f"{task.arn} is of no task set of {service.arn}")


def _check_share(store: Store, service: Service, task_set: TaskSet) -> None:
    tasks = store.tasks.group("service", service.arn).values()
    live = sum(task.deployment_id == task_set.id for task in tasks)
    wanted = wanted_of(service, task_set)
    upper = max(wanted, wanted * service.maximum_percent // PERCENT)
    if live > upper:
        raise Violation(TRUTH, f"{task_set.arn} has {live} tasks after a launch, {upper} may be")
