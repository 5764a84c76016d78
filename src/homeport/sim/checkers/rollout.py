"""Truth: the service scheduler stays inside minimumHealthyPercent and maximumPercent."""

from homeport.model.service import Service
from homeport.model.task import RUNNING, STOPPED, Task
from homeport.sim.checkers.task_sets import wanted_of
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "deployments stay inside their percents"

PERCENT = 100
SETTLING_TIME_S = 40
DAEMON_HAS_NO_PLACE = "Task is not part of the daemon service"
"""How the reason of a stop begins that is its container instance's fault: it counts no more."""


def check_rollout(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at the services whose tasks the scheduler started or stopped by a commit."""
    if commit.cause != "Reconcile":
        return
    started: dict[str, None] = {}
    stopped_healthy: dict[tuple[str, str | None], None] = {}
    for change, old in zip(commit.changes, replaced, strict=True):
        new = change.record if isinstance(change, Put) else None
        if not isinstance(new, Task) or new.service_arn is None:
            continue
        if old is None:
            started[new.service_arn] = None
        elif (
            isinstance(old, Task)
            and new.desired_status == STOPPED
            and not (new.stopped_reason or "").startswith(DAEMON_HAS_NO_PLACE)
            and (is_healthy(store, old) and _has_settled(old, commit.at_ms))
        ):
            stopped_healthy[new.service_arn, new.deployment_id] = None
    for arn in started:
        _check_upper(store, arn)
    for arn, deployment_id in stopped_healthy:
        _check_lower(store, arn, deployment_id)


def is_healthy(store: Store, task: Task) -> bool:
    """Whether a task is wanted, RUNNING, and HEALTHY if it has a health check."""
    if task.desired_status != RUNNING or task.last_status != RUNNING:
        return False
    definition = store.task_definitions.get(task.task_definition_arn)
    if definition is None:
        return True
    has_check = any(c.essential and c.has_health_check for c in definition.containers)
    return not has_check or task.health_status == "HEALTHY"


def _has_settled(task: Task, now_ms: int) -> bool:
    """Whether a task has run long enough for ECS to call it healthy without a health check."""
    return now_ms - (task.started_at_ms or 0) >= SETTLING_TIME_S * 1_000


def _check_upper(store: Store, arn: str) -> None:
    service = _active(store, arn)
    if service is None:
        raise Violation(TRUTH, f"{arn} isn't ACTIVE and starts tasks")
    if service.scheduling_strategy == "DAEMON" or service.deployment_controller == "EXTERNAL":
        return  # see `daemons` and `task_sets`
    live = len(store.tasks.group("service", arn))
    upper = service.desired_count * service.maximum_percent // PERCENT
    if service.keeps_older_tasks:
        upper = max(upper, 2 * service.desired_count)  # a whole second set, whatever the percents
    if live > upper:
        raise Violation(TRUTH, f"{arn} has {live} tasks after a launch, {upper} are allowed")


def _check_lower(store: Store, arn: str, deployment_id: str | None) -> None:
    """Count a service's healthy tasks, or those of the task set that had to give one up."""
    service = _active(store, arn)
    if service is None:
        return
    wanted = service.desired_count
    tasks = list(store.tasks.group("service", arn).values())
    if service.deployment_controller == "EXTERNAL":
        wanted = sum(wanted_of(service, s) for s in service.task_sets if s.id == deployment_id)
        tasks = [task for task in tasks if task.deployment_id == deployment_id]
    healthy = sum(is_healthy(store, task) for task in tasks)
    lower = -(-wanted * service.minimum_healthy_percent // PERCENT)
    if healthy < lower:
        raise Violation(TRUTH, f"{arn} keeps {healthy} healthy tasks of at least {lower}")


def _active(store: Store, arn: str) -> Service | None:
    service = store.services.get(arn)
    return service if service is not None and service.status == "ACTIVE" else None
