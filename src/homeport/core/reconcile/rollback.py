"""What becomes of a deployment that fails or is stopped: FAILED, and the last good one again.

When a deployment has failed is the circuit breaker's to say (reference: services §7, §11).
"""

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.circuit_breaker import (
    has_tripped,
    launching_deployment,
    with_deployment,
)
from homeport.core.reconcile.completion import in_progress
from homeport.core.reconcile.launch import on_capacity_of
from homeport.core.reconcile.service_events import failed_message, rolling_back_message
from homeport.core.reconcile.stages import WHOLE_PERCENT
from homeport.model.service import Deployment, Service
from homeport.state.view import View

BREAKER_REASON = "ECS deployment circuit breaker"
STOP_REASON = "ECS deployment stopped by a caller"
ABORTED = f"{STOP_REASON}."


def can_roll_back(service: Service) -> bool:
    """Whether there is a completed deployment behind the PRIMARY one that is in progress."""
    target = service.last_completed
    return target is not None and target.id != service.primary.id


def is_aborted(service: Service) -> bool:
    """Whether a caller stopped the PRIMARY deployment before it was complete, with ABORT."""
    primary = service.primary
    return primary.rollout_state == "FAILED" and primary.rollout_state_reason == ABORTED


def roll_back_or_fail(
    view: View, service: Service, moment: Moment
) -> tuple[Service, list[str]]:
    """Take the consequence of a tripped circuit breaker or of a caller's stop, if there is one.

    Returns the service and the events. The running tasks of the deployment that is gone back to
    stay as they are: it keeps its id, and the service is on its capacity again. A deployment that
    fails without a rollback launches no more.
    """
    if service.is_stop_requested:
        return _stop(view, replace(service, is_stop_requested=False), moment), []
    if service.rollback_reason is not None:
        asked = replace(service, rollback_reason=None)
        if service.primary.rollout_state != "IN_PROGRESS" or not can_roll_back(service):
            return asked, []
        return _roll_back(view, asked, moment, cause=STOP_REASON, is_failure=False)
    breaker = service.circuit_breaker
    if breaker is None or not has_tripped(service):
        return service, []
    if breaker.rolls_back and can_roll_back(service):
        return _roll_back(view, service, moment, cause=BREAKER_REASON, is_failure=True)
    failed = _failed(service.primary, f"{BREAKER_REASON}: tasks failed to start.", moment)
    service = _with_failed(service, failed)
    return service, [failed_message(service, failed)]


def _stop(view: View, service: Service, moment: Moment) -> Service:
    """Let the deployment be as far as it is: it is FAILED, and older tasks fill the gap.

    One that has all of the traffic keeps its tasks; otherwise those beyond desiredCount go.
    """
    if service.primary.rollout_state != "IN_PROGRESS":
        return service
    stopped = _failed(service.primary, ABORTED, moment)
    record = view.service_deployment(service.service_deployment_arn or "")
    if record is None or record.production_weight < WHOLE_PERCENT:
        return _with_failed(service, stopped)
    older = (replace(d, wanted_tasks=0) for d in service.deployments[1:])
    return replace(service, deployments=(stopped, *older), is_steady=False, hold="")


def _with_failed(service: Service, failed: Deployment) -> Service:
    """Leave the PRIMARY deployment as it is; older tasks fill whatever gap there is."""
    after = replace(
        service,
        deployments=(failed, *service.deployments[1:]),
        is_steady=False,
        hold="",
        failed_launches=0,
        quick_exits=0,
        next_launch_at_ms=0,
    )
    filler = launching_deployment(after)
    return with_deployment(after, replace(filler, wanted_tasks=service.desired_count))


def _roll_back(
    view: View, service: Service, moment: Moment, *, cause: str, is_failure: bool
) -> tuple[Service, list[str]]:
    target = service.last_completed
    assert target is not None, service.arn
    reason = f"{cause}: rolling back to deploymentId {target.id}."
    failed = replace(
        _failed(service.primary, reason, moment), status="ACTIVE", wanted_tasks=0, is_rollback=False
    )
    again = replace(
        in_progress(target),
        status="PRIMARY",
        failed_tasks=0,
        wanted_tasks=0,
        updated_at_ms=moment.now_ms,
        is_rollback=True,
    )
    others = (d for d in service.deployments[1:] if d.id != target.id)
    rolled = replace(
        on_capacity_of(service, view.service_revision(again.revision_arn)),
        task_definition_arn=again.task_definition_arn,
        deployments=(again, failed, *others),
        is_steady=False,
        hold="",
        moving_tasks=0,
        failed_launches=0,
        quick_exits=0,
        next_launch_at_ms=0,
    )
    messages = [failed_message(service, failed)] if is_failure else []
    return rolled, [*messages, rolling_back_message(rolled)]


def _failed(deployment: Deployment, reason: str, moment: Moment) -> Deployment:
    return replace(
        deployment,
        rollout_state="FAILED",
        rollout_state_reason=reason,
        updated_at_ms=moment.now_ms,
    )
