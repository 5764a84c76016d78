"""When a deployment is complete, and a service steady: what is written down then.

Whether there is anything left to do is found out in `step`; failing is `rollback`'s work.
"""

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.rollout import PERCENT, Counts
from homeport.core.reconcile.service_events import (
    REPEAT_AFTER_S,
    completed_message,
    steady_message,
)
from homeport.model.service import Deployment, Service


def is_in_order(service: Service, counts: Counts) -> bool:
    """Whether the service is steady: one deployment, all wanted tasks RUNNING and healthy.

    That includes that none is still on its way out (services §5).
    """
    return len(service.deployments) == 1 and counts.healthy == counts.live == service.desired_count


def is_early_success(service: Service, counts: Counts) -> bool:
    """Whether the PRIMARY deployment meets the early success criteria of its service."""
    criteria = service.early_success
    if criteria is None:
        return False
    needed = -(-service.desired_count * criteria.healthy_percent // PERCENT)
    is_clean = criteria.is_cleanup_deferred or len(service.deployments) == 1
    return counts.healthy >= needed and is_clean


def conclude(
    service: Service, counts: Counts, moment: Moment, *, is_calm: bool
) -> tuple[Service, list[str]]:
    """Complete the deployment and note the steady state, each once; nothing while stages hold it.

    A deployment that succeeds early is complete before the service is steady.
    """
    if service.hold:
        return replace(service, is_steady=False), []
    messages = []
    is_early = is_early_success(service, counts)
    if service.primary.rollout_state == "IN_PROGRESS" and (is_calm or is_early):
        messages.append(completed_message(service))
        service = _with_completed(service, moment)
    if not is_calm:
        return replace(service, is_steady=False), messages
    if service.primary.rollout_state == "COMPLETED":
        # Not a rollback any more when it is gone back to once again.
        last = replace(service.primary, is_rollback=False)
        service = replace(service, last_completed=last, quick_exits=0)
    is_stale = moment.now_ms - service.steady_at_ms >= REPEAT_AFTER_S * 1_000
    if not service.is_steady or is_stale:
        messages.append(steady_message(service))
        service = replace(service, is_steady=True, steady_at_ms=moment.now_ms)
    return service, messages


def in_progress(deployment: Deployment) -> Deployment:
    """Return a deployment as it is before it is complete."""
    return replace(
        deployment,
        rollout_state="IN_PROGRESS",
        rollout_state_reason=f"ECS deployment {deployment.id} in progress.",
    )


def _with_completed(service: Service, moment: Moment) -> Service:
    primary = completed(service.primary, moment)
    return replace(
        service,
        deployments=(primary, *service.deployments[1:]),
        last_completed=replace(primary, is_rollback=False),
    )


def completed(deployment: Deployment, moment: Moment) -> Deployment:
    """Return a deployment that is complete."""
    return replace(
        deployment,
        rollout_state="COMPLETED",
        rollout_state_reason=f"ECS deployment {deployment.id} completed.",
        updated_at_ms=moment.now_ms,
    )
