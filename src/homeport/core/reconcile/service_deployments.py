"""Keeps the record of a service deployment in step with the deployment that it describes.

It decides nothing: deployments complete in `step`, fail and go back in `rollback` (services §11).
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.circuit_breaker import (
    DISABLED,
    MONITORING,
    MONITORING_COMPLETE,
    TRIGGERED,
    failure_threshold,
)
from homeport.core.reconcile.rollback import BREAKER_REASON
from homeport.model.service import Deployment, Service
from homeport.model.service_deployment import ServiceDeployment
from homeport.state.changes import Change, Delete, Put, delete_of
from homeport.state.view import View

HISTORY_LIMIT = 100  # service deployments a service: beyond it the oldest are forgotten

REASON_BREAKER_ROLLBACK = (
    "Service deployment rolled back because the circuit breaker threshold was exceeded."
)
REASON_BREAKER_FAILED = (
    "Service deployment failed because the circuit breaker threshold was exceeded."
)
REASON_STOPPED = "Service deployment rolled back because a caller stopped it."
REASON_ABORTED = "Service deployment stopped because a caller stopped it without a rollback."
REASON_OVERTAKEN = "Service deployment stopped because a newer one was started."


def follow_service_deployment(
    view: View, service: Service, moment: Moment
) -> tuple[Service, list[Change]]:
    """Write down how far the current service deployment is; an ended one is current no more."""
    if service.service_deployment_arn is None:
        return service, []
    known = view.service_deployment(service.service_deployment_arn)
    if known is None:
        return replace(service, service_deployment_arn=None), []
    record = follow_record(known, service, moment)
    if record == known:
        return service, []
    if record.has_ended:
        service = replace(service, service_deployment_arn=None)
    return service, [Put(record)]


def follow_record(
    known: ServiceDeployment, service: Service, moment: Moment
) -> ServiceDeployment:
    """Return the record of a service deployment as far as it is now."""
    record = _with_breaker(known, service)
    if record.status == "PENDING":
        record = replace(record, status="IN_PROGRESS", started_at_ms=moment.now_ms)
    primary = service.primary
    if primary.is_rollback and record.status != "ROLLBACK_IN_PROGRESS":
        record = _with_rollback(record, service, moment)
    if primary.rollout_state == "COMPLETED":
        status = "ROLLBACK_SUCCESSFUL" if primary.is_rollback else "SUCCESSFUL"
        record = end_service_deployment(record, status, moment)
    elif primary.rollout_state == "FAILED":
        is_asked = record.status == "STOP_REQUESTED"
        reason = REASON_ABORTED if is_asked else REASON_BREAKER_FAILED
        record = end_service_deployment(record, "STOPPED", moment, reason=reason)
    return known if record == known else replace(record, updated_at_ms=moment.now_ms)


def end_service_deployment(
    record: ServiceDeployment, status: str, moment: Moment, *, reason: str | None = None
) -> ServiceDeployment:
    """Return the record of a service deployment that is over."""
    return replace(
        record,
        status=status,
        status_reason=reason or record.status_reason,
        circuit_breaker_status=(
            MONITORING_COMPLETE
            if record.circuit_breaker_status == MONITORING
            else record.circuit_breaker_status
        ),
        stopped_at_ms=moment.now_ms if status == "STOPPED" else None,
        finished_at_ms=moment.now_ms,
        updated_at_ms=moment.now_ms,
    )


def forget_history(view: View, service_arn: str) -> list[Change]:
    """Forget all service deployments and revisions of a service that is gone."""
    return [
        *(delete_of(record) for record in view.service_deployments(service_arn)),
        *(delete_of(revision) for revision in view.service_revisions(service_arn)),
    ]


def forget_oldest(view: View, service: Service) -> list[Change]:
    """Make room for one more service deployment, and forget revisions that none refers to."""
    if not service.deployments:  # a new one
        return []
    records = list(view.service_deployments(service.arn))
    kept = records[: HISTORY_LIMIT - 1]
    if len(kept) == len(records):
        return []
    return [
        *(delete_of(record) for record in records[HISTORY_LIMIT - 1 :]),
        *_unreferenced_revisions(view, service, kept),
    ]


def forget_expired(view: View, forgotten: Sequence[Delete]) -> list[Delete]:
    """Forget the revisions that only service deployments referred to which are `forgotten` now."""
    gone = {deletion.key for deletion in forgotten if deletion.table == "service_deployment"}
    records = [view.service_deployment(arn) for arn in sorted(gone)]
    changes: list[Delete] = []
    for service_arn in dict.fromkeys(r.service_arn for r in records if r is not None):
        service = view.service(service_arn)
        if service is not None:
            kept = [r for r in view.service_deployments(service_arn) if r.arn not in gone]
            changes.extend(_unreferenced_revisions(view, service, kept))
    return changes


def _unreferenced_revisions(
    view: View, service: Service, kept: Sequence[ServiceDeployment]
) -> list[Delete]:
    referenced = {arn for record in kept for arn in _revisions_of(record)}
    referenced.update(deployment.revision_arn for deployment in service.deployments)
    if service.last_completed is not None:
        referenced.add(service.last_completed.revision_arn)
    return [
        delete_of(revision)
        for revision in view.service_revisions(service.arn)
        if revision.arn not in referenced
    ]


def _revisions_of(record: ServiceDeployment) -> Iterator[str]:
    yield record.target_revision_arn
    yield from record.source_revision_arns
    if record.rollback_revision_arn is not None:
        yield record.rollback_revision_arn


def _with_breaker(record: ServiceDeployment, service: Service) -> ServiceDeployment:
    """Return the record with the breaker's numbers, while it watches this deployment."""
    deployment = _deployment_of(record, service)
    breaker = service.circuit_breaker
    if deployment is None or service.primary.is_rollback:
        return record
    if breaker is None:
        return replace(
            record, circuit_breaker_status=DISABLED, failure_count=0, failure_threshold=0
        )
    is_triggered = deployment.rollout_state_reason.startswith(BREAKER_REASON)
    return replace(
        record,
        circuit_breaker_status=TRIGGERED if is_triggered else MONITORING,
        failure_count=deployment.failed_tasks,
        failure_threshold=failure_threshold(breaker, service.desired_count),
    )


def _with_rollback(
    record: ServiceDeployment, service: Service, moment: Moment
) -> ServiceDeployment:
    deployment = _deployment_of(record, service)
    is_triggered = deployment is not None and deployment.rollout_state_reason.startswith(
        BREAKER_REASON
    )
    reason = REASON_BREAKER_ROLLBACK if is_triggered else record.status_reason or REASON_STOPPED
    return replace(
        record,
        status="ROLLBACK_IN_PROGRESS",
        status_reason=reason,
        circuit_breaker_status=TRIGGERED if is_triggered else record.circuit_breaker_status,
        failure_count=deployment.failed_tasks if deployment else record.failure_count,
        rollback_reason=reason,
        rollback_started_at_ms=moment.now_ms,
        rollback_revision_arn=service.primary.revision_arn,
        lifecycle_stage=None if record.lifecycle_stage is None else "CLEAN_UP",
        production_weight=0.0,
        test_weight=0.0,
    )


def _deployment_of(record: ServiceDeployment, service: Service) -> Deployment | None:
    return next((d for d in service.deployments if d.id == record.deployment_id), None)
