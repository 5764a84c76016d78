"""When a deployment has failed: the deployment circuit breaker (reference: services §7).

What counts as a failure is decided where tasks end (`throttle`, `step`); what happens to a service
whose breaker trips is `rollback`'s business.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.model.service import CircuitBreaker, Deployment, Service

BOUNDED_LEAST_TASKS = 3
BOUNDED_MOST_TASKS = 200
PERCENT = 100
SETTLING_TIME_S = 5  # RUNNING for less proves nothing; Swarm's update monitor takes as long
PLACEMENT_RETRY_S = 10  # how often a task that finds no place counts as another failure

MONITORING = "MONITORING"
TRIGGERED = "TRIGGERED"
MONITORING_COMPLETE = "MONITORING_COMPLETE"
DISABLED = "DISABLED"


def failure_threshold(breaker: CircuitBreaker, desired_count: int) -> int:
    """Return how many failures, in tasks, fail a deployment (API:ThresholdConfiguration).

    Percentages are of the latest desiredCount, rounded up; BOUNDED_PERCENT stays within 3 and 200.
    """
    if breaker.threshold_type == "COUNT":
        return max(1, breaker.threshold_value)
    share = -(-desired_count * breaker.threshold_value // PERCENT)
    if breaker.threshold_type == "UNBOUNDED_PERCENT":
        return max(1, share)
    return min(max(share, BOUNDED_LEAST_TASKS), BOUNDED_MOST_TASKS)


def is_monitoring(service: Service) -> bool:
    """Whether the PRIMARY deployment can still fail; one that is run again as a rollback can't."""
    primary = service.primary
    return (
        service.circuit_breaker is not None
        and primary.rollout_state == "IN_PROGRESS"
        and not primary.is_rollback
    )


def has_tripped(service: Service) -> bool:
    """Whether the PRIMARY deployment has had as many failures as its breaker bears."""
    breaker = service.circuit_breaker
    if breaker is None or not is_monitoring(service):
        return False
    return service.primary.failed_tasks >= failure_threshold(breaker, service.desired_count)


def breaker_status(service: Service) -> str:
    """Return what DescribeServiceDeployments says of the breaker while nothing has failed."""
    return DISABLED if service.circuit_breaker is None else MONITORING


def needs_settling(service: Service, *, is_strict: bool) -> bool:
    """Whether RUNNING alone doesn't make a task of the PRIMARY deployment healthy yet.

    So it is while a breaker watches, or traffic is to be shifted to it, after tasks exited as soon
    as they ran, and for what a failed deployment leaves. Under `is_strict`, as in ECS, nothing of
    it matters (docs/differences.md).
    """
    if is_strict:
        return False
    is_watched = is_monitoring(service) or service.hold == "BOTH"
    return is_watched or service.quick_exits > 0 or yields_to_older(service)


def yields_to_older(service: Service) -> bool:
    """Whether the newest deployment has failed while older tasks are still to be kept up."""
    is_failed = service.primary.rollout_state == "FAILED"
    return is_failed and any(older.wanted_tasks for older in service.deployments[1:])


def without_failures(service: Service, healthy_since_ms: Iterable[int]) -> Service:
    """Forget the PRIMARY deployment's failures if a task has become healthy after the last one."""
    primary = service.primary
    if not primary.failed_tasks or not resets_on_healthy(service):
        return service
    if max(healthy_since_ms, default=0) <= primary.last_failure_at_ms:
        return service
    return with_deployment(service, replace(primary, failed_tasks=0))


def resets_on_healthy(service: Service) -> bool:
    """Whether a healthy task zeroes the count: always, unless a breaker is told not to."""
    breaker = service.circuit_breaker
    return breaker is None or breaker.resets_on_healthy_task


def with_failures(
    service: Service, deployment_id: str | None, count: int, moment: Moment
) -> Service:
    """Add failed tasks to one of the service's deployments."""
    for deployment in service.deployments:
        if deployment.id == deployment_id:
            return with_deployment(
                service,
                replace(
                    deployment,
                    failed_tasks=deployment.failed_tasks + count,
                    last_failure_at_ms=moment.now_ms,
                    updated_at_ms=moment.now_ms,
                ),
            )
    return service


def launching_deployment(service: Service) -> Deployment:
    """Return the deployment that brings a service to desiredCount, and may be slowed down.

    It is the PRIMARY one, or if that has FAILED, the last completed one while it has tasks.
    """
    if service.primary.rollout_state == "FAILED":
        return _last_completed_beside(service) or service.primary
    return service.primary


def _last_completed_beside(service: Service) -> Deployment | None:
    """Return the last completed deployment while it has tasks beside the newest one's."""
    if service.last_completed is None:
        return None
    return next((d for d in service.deployments[1:] if d.id == service.last_completed.id), None)


def with_stand_in_scaled(service: Service) -> Service:
    """Let the last completed deployment grow with desiredCount while it is what counts.

    So it is in place of one that has FAILED, and beside one in its stages. It wants less by itself
    as its tasks are stopped.
    """
    is_needed = service.primary.rollout_state == "FAILED" or service.keeps_older_tasks
    stand_in = _last_completed_beside(service)
    if not is_needed or stand_in is None or not stand_in.wanted_tasks:
        return service
    wanted_tasks = max(stand_in.wanted_tasks, service.desired_count)
    return with_deployment(service, replace(stand_in, wanted_tasks=wanted_tasks))


def with_deployment(service: Service, changed: Deployment) -> Service:
    """Return the service with one of its deployments replaced."""
    return replace(
        service,
        deployments=tuple(changed if d.id == changed.id else d for d in service.deployments),
    )
