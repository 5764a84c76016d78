"""How a service slows its launches down while its tasks don't stay up (services §3).

Tasks that never reach RUNNING are slowed down as in ECS; tasks that exit as soon as they run, by a
little as well (docs/differences.md). The delay grows by rounds, not by tasks: fifty tasks that
were started together and fail together are one failure.
"""

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.circuit_breaker import (
    SETTLING_TIME_S,
    is_monitoring,
    launching_deployment,
    resets_on_healthy,
    with_deployment,
    with_failures,
)
from homeport.model.service import Service
from homeport.model.task import Task

FREE_ATTEMPTS = 3  # rounds of failures in a row before the first delay
FIRST_DELAY_S = 1
LONGEST_DELAY_S = 27 * 60
LONGEST_QUICK_EXIT_DELAY_S = 60
_DOUBLINGS = 11  # as many as reach the longest delay


def launch_delay_s(failed_launches: int, longest_s: int = LONGEST_DELAY_S) -> int:
    """Return how long to wait after that many failures in a row: doubling, to AWS's 27 minutes."""
    if failed_launches < FREE_ATTEMPTS:
        return 0
    doubled = FIRST_DELAY_S << min(failed_launches - FREE_ATTEMPTS, _DOUBLINGS)
    return min(doubled, longest_s)


def is_impaired(service: Service) -> bool:
    """Whether launches are being delayed, which an event then says."""
    return max(service.failed_launches, service.quick_exits) >= FREE_ATTEMPTS


def count_failed_launch(service: Service, task: Task, moment: Moment) -> Service:
    """Count a task that stopped without ever RUNNING, and set the earliest next launch."""
    counted = with_failures(service, task.deployment_id, 1, moment)
    if not _is_current(service, task):
        return _give_up_one(counted, task)
    if _is_same_round(service, task):
        return counted
    failures = service.failed_launches + 1
    return replace(
        counted,
        failed_launches=failures,
        last_failure_reason=_reason_of(task),
        last_failed_round_at_ms=moment.now_ms,
        next_launch_at_ms=moment.now_ms + launch_delay_s(failures) * 1_000,
    )


def count_started_task(service: Service, task: Task, *, is_strict: bool = False) -> Service:
    """Forget earlier failures: a task of this deployment has reached RUNNING.

    While a circuit breaker watches that isn't proof enough, unless `is_strict`.
    """
    is_primary = task.deployment_id == service.primary.id
    is_proof = is_strict or not is_monitoring(service)
    if is_primary and is_proof and resets_on_healthy(service) and service.primary.failed_tasks:
        service = with_deployment(service, replace(service.primary, failed_tasks=0))
    if not _is_current(service, task) or not service.failed_launches:
        return service
    is_delayed = service.quick_exits > 0
    return replace(
        service,
        failed_launches=0,
        next_launch_at_ms=service.next_launch_at_ms if is_delayed else 0,
    )


def count_healthy_task(service: Service, task: Task) -> Service:
    """Forget the failures of a task's deployment: its health check has just said HEALTHY."""
    primary = service.primary
    if task.deployment_id != primary.id or not primary.failed_tasks:
        return service
    if not resets_on_healthy(service):
        return service
    return with_deployment(service, replace(primary, failed_tasks=0))


def count_exit(service: Service, task: Task, moment: Moment) -> Service:
    """Count a task that was RUNNING and ended by itself, which ECS doesn't.

    It fails the deployment that a circuit breaker watches; if it ended at once, the next launch is
    put off.
    """
    is_current = _is_current(service, task)
    if is_current and is_monitoring(service):
        service = with_failures(service, task.deployment_id, 1, moment)
    if moment.now_ms - (task.started_at_ms or moment.now_ms) >= SETTLING_TIME_S * 1_000:
        return service
    if not is_current:
        return _give_up_one(service, task)
    if _is_same_round(service, task):
        return service
    exits = service.quick_exits + 1
    delay_s = launch_delay_s(exits, LONGEST_QUICK_EXIT_DELAY_S)
    return replace(
        service,
        quick_exits=exits,
        last_failure_reason=_reason_of(task),
        last_failed_round_at_ms=moment.now_ms,
        next_launch_at_ms=max(service.next_launch_at_ms, moment.now_ms + delay_s * 1_000),
    )


def _reason_of(task: Task) -> str:
    """Say why a task stopped: a container's own reason tells more than that it is essential."""
    for container in task.containers:
        if container.reason:
            return f"{container.name}: {container.reason}"
    for container in task.containers:
        if container.exit_code is not None:
            return f"{container.name} exited with {container.exit_code}"
    return task.stopped_reason or "no reason was reported"


def _give_up_one(service: Service, task: Task) -> Service:
    """Keep one task less of an older deployment: what doesn't stay up isn't started again."""
    for older in service.deployments[1:]:
        if older.id == task.deployment_id and older.wanted_tasks:
            return with_deployment(service, replace(older, wanted_tasks=older.wanted_tasks - 1))
    return service


def _is_current(service: Service, task: Task) -> bool:
    """Whether a task is of the deployment that launches tasks, or of any task set."""
    return task.deployment_id == launching_deployment(service).id or bool(service.task_sets)


def _is_same_round(service: Service, task: Task) -> bool:
    """Whether the task was started before the last failure that was counted."""
    if not max(service.failed_launches, service.quick_exits):
        return False
    return task.created_at_ms < service.last_failed_round_at_ms
