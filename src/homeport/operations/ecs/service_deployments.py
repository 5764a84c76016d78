"""Describe, list and stop service deployments; describe service revisions (services §11).

They begin in `deployment_start`, and the service scheduler carries them out.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.core.reconcile.rollback import can_roll_back
from homeport.core.reconcile.stages import REASON_HOOK
from homeport.model.arn import parse_arn
from homeport.model.service_deployment import ServiceDeployment
from homeport.operations.context import CallContext
from homeport.operations.ecs.service_updates import find_service
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.service_deployments import (
    render_brief,
    render_service_deployment,
    render_service_revision,
)
from homeport.state.changes import Put
from homeport.state.view import View

ARNS_PER_DESCRIBE = 20
DEPLOYMENTS_PER_PAGE = 20
STOPPABLE = ("PENDING", "IN_PROGRESS")
STOPPING = ("STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
STATUSES = (
    *STOPPABLE,
    "SUCCESSFUL",
    "STOPPED",
    "STOP_REQUESTED",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
)


def describe_service_deployments(
    view: View, request: ecs.DescribeServiceDeploymentsRequest, context: CallContext
) -> Decision:
    """Describe up to 20 service deployments; unknown ones are failures."""
    described: list[ecs.ServiceDeployment] = []
    failures: list[ecs.Failure] = []
    arns = _check_arns(request.service_deployment_arns, "serviceDeploymentArns")
    for arn in dict.fromkeys(arns):
        record = view.service_deployment(arn) if _is_own(arn, context) else None
        if record is None:
            failures.append(ecs.Failure(arn=arn, reason="MISSING"))
        else:
            described.append(render_service_deployment(view, record))
    return Decision(
        reply=ecs.DescribeServiceDeploymentsResponse(
            service_deployments=described, failures=failures
        )
    )


def describe_service_revisions(
    view: View, request: ecs.DescribeServiceRevisionsRequest, context: CallContext
) -> Decision:
    """Describe up to 20 service revisions; unknown ones are failures."""
    described: list[ecs.ServiceRevision] = []
    failures: list[ecs.Failure] = []
    arns = _check_arns(request.service_revision_arns, "serviceRevisionArns")
    for arn in dict.fromkeys(arns):
        revision = view.service_revision(arn) if _is_own(arn, context) else None
        if revision is None:
            failures.append(ecs.Failure(arn=arn, reason="MISSING"))
        else:
            described.append(render_service_revision(revision))
    return Decision(
        reply=ecs.DescribeServiceRevisionsResponse(service_revisions=described, failures=failures)
    )


def list_service_deployments(
    view: View, request: ecs.ListServiceDeploymentsRequest, context: CallContext
) -> Decision:
    """List a service's deployments, newest first, by status and time of creation."""
    service = find_service(view, request.service, request.cluster, context)
    size = page_size(request.max_results, DEPLOYMENTS_PER_PAGE)
    cursor = read_token(request.next_token)
    after = None if cursor is None else view.service_deployment(cursor)
    if cursor is not None and (after is None or after.service_arn != service.arn):
        raise ecs.InvalidParameterException("Invalid token. List the deployments from the start.")
    for status in request.status or ():
        if status not in STATUSES:
            raise ecs.InvalidParameterException(f"status should be one of [{','.join(STATUSES)}]")
    matching = (
        record
        for record in view.service_deployments(service.arn, after)
        if not request.status or record.status in request.status
        if _is_within(record, request.created_at)
    )
    page, token = take_page(matching, size, lambda record: record.arn)
    return Decision(
        reply=ecs.ListServiceDeploymentsResponse(
            service_deployments=[render_brief(record) for record in page], next_token=token
        )
    )


def stop_service_deployment(
    view: View, request: ecs.StopServiceDeploymentRequest, context: CallContext
) -> Decision:
    """Stop a service deployment at any moment, and go back to the last completed one.

    ABORT leaves it as far as it is. One that is being stopped or rolled back goes on with that.
    """
    arn = request.service_deployment_arn or ""
    record = view.service_deployment(arn) if _is_own(arn, context) else None
    service = None if record is None else view.service(record.service_arn)
    if record is None or service is None:
        raise ecs.ServiceDeploymentNotFoundException("Service deployment not found.")
    if request.stop_type not in (None, "ROLLBACK", "ABORT"):
        raise ecs.InvalidParameterException("stopType should be one of [ABORT,ROLLBACK]")
    reply = ecs.StopServiceDeploymentResponse(service_deployment_arn=record.arn)
    if record.status in STOPPING:
        return Decision(reply=reply)
    if record.status not in STOPPABLE or service.status != "ACTIVE":
        raise ecs.ConflictException(
            f"The service deployment is {record.status} and can't be stopped; it must be PENDING "
            "or IN_PROGRESS."
        )
    is_aborted = request.stop_type == "ABORT"
    if not is_aborted and not can_roll_back(service):
        raise ecs.ConflictException(
            "The service has no completed deployment to roll back to. Update or delete the "
            "service, or stop the deployment with the stopType ABORT."
        )
    requested = replace(
        record,
        status="STOP_REQUESTED" if is_aborted else "ROLLBACK_REQUESTED",
        updated_at_ms=context.moment.now_ms,
    )
    told = (
        replace(service, is_stop_requested=True)
        if is_aborted
        else replace(service, rollback_reason="StopServiceDeployment")
    )
    return Decision(reply=reply, changes=(Put(requested), Put(told)))


def continue_service_deployment(
    view: View, request: ecs.ContinueServiceDeploymentRequest, context: CallContext
) -> Decision:
    """Answer a PAUSE hook: go on with the deployment, or roll it back."""
    arn = request.service_deployment_arn or ""
    record = view.service_deployment(arn) if _is_own(arn, context) else None
    service = None if record is None else view.service(record.service_arn)
    if record is None or service is None:
        raise ecs.ServiceDeploymentNotFoundException("Service deployment not found.")
    if request.action not in (None, "CONTINUE", "ROLLBACK"):
        raise ecs.InvalidParameterException("action should be one of [CONTINUE,ROLLBACK]")
    is_waiting = record.status == "IN_PROGRESS" and any(
        hook.id == request.hook_id and hook.status == "AWAITING_ACTION" for hook in record.hooks
    )
    if not is_waiting:
        raise ecs.InvalidParameterException(
            "No lifecycle hook with this hookId awaits an action. See lifecycleHookDetails of "
            "DescribeServiceDeployments."
        )
    is_rollback = request.action == "ROLLBACK"
    answered = replace(
        record,
        hooks=tuple(
            replace(hook, status="FAILED" if is_rollback else "SUCCEEDED")
            if hook.id == request.hook_id
            else hook
            for hook in record.hooks
        ),
        status_reason=REASON_HOOK if is_rollback else record.status_reason,
        updated_at_ms=context.moment.now_ms,
    )
    woken = replace(service, hook_answers=service.hook_answers + 1)
    return Decision(
        reply=ecs.ContinueServiceDeploymentResponse(service_deployment_arn=record.arn),
        changes=(Put(answered), Put(woken)),
    )


def _check_arns(arns: Sequence[str] | None, member: str) -> Sequence[str]:
    if not arns:
        raise ecs.InvalidParameterException(f"{member} cannot be empty.")
    if len(arns) > ARNS_PER_DESCRIBE:
        raise ecs.InvalidParameterException(
            f"{member} can have at most {ARNS_PER_DESCRIBE} items, here are {len(arns)}."
        )
    return arns


def _is_own(arn: str, context: CallContext) -> bool:
    parsed = parse_arn(arn)
    return parsed is not None and parsed.scope == context.scope


def _is_within(record: ServiceDeployment, asked: ecs.CreatedAt | None) -> bool:
    if asked is None:
        return True
    created_at_s = record.created_at_ms / 1_000
    if asked.before is not None and created_at_s >= asked.before:
        return False
    return asked.after is None or created_at_s > asked.after


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "ContinueServiceDeployment": continue_service_deployment,
    "DescribeServiceDeployments": describe_service_deployments,
    "DescribeServiceRevisions": describe_service_revisions,
    "ListServiceDeployments": list_service_deployments,
    "StopServiceDeployment": stop_service_deployment,
}
