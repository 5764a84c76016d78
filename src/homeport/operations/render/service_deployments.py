"""Service deployments and service revisions as AWS describes them."""

import msgspec

from homeport.api import ecs
from homeport.core.reconcile.stages import WHOLE_PERCENT, shown_stage
from homeport.model.capacity_provider import running_platform
from homeport.model.service import Deployment, Service
from homeport.model.service_deployment import HookState, ServiceDeployment, ServiceRevision
from homeport.operations.ecs.capacity_strategy import render_strategy
from homeport.operations.render.services import wanted_tasks
from homeport.operations.render.tasks import PLATFORM_FAMILY
from homeport.state.view import View

_decode_configuration = msgspec.json.Decoder(ecs.DeploymentConfiguration).decode
_decode_revision = msgspec.json.Decoder(ecs.ServiceRevision).decode


def render_service_deployment(view: View, record: ServiceDeployment) -> ecs.ServiceDeployment:
    """Render a service deployment with the task counts of its revisions (API:ServiceDeployment)."""
    service = view.service(record.service_arn)
    return ecs.ServiceDeployment(
        service_deployment_arn=record.arn,
        service_arn=record.service_arn,
        cluster_arn=record.cluster_arn,
        created_at=record.created_at_ms / 1_000,
        started_at=_seconds(record.started_at_ms),
        finished_at=_seconds(record.finished_at_ms),
        stopped_at=_seconds(record.stopped_at_ms),
        updated_at=record.updated_at_ms / 1_000,
        source_service_revisions=[
            _weighted(record, _summary(view, service, arn), is_newest=not number)
            for number, arn in enumerate(record.source_revision_arns)
        ],
        target_service_revision=_weighted(
            record, _summary(view, service, record.target_revision_arn), is_target=True
        ),
        status=record.status,
        status_reason=record.status_reason,
        lifecycle_stage=shown_stage(record),
        lifecycle_hook_details=[_hook(hook) for hook in record.hooks],
        deployment_configuration=_decode_configuration(record.deployment_configuration),
        rollback=_rollback(record),
        deployment_circuit_breaker=ecs.ServiceDeploymentCircuitBreaker(
            status=record.circuit_breaker_status,
            failure_count=record.failure_count,
            threshold=record.failure_threshold,
        ),
        alarms=ecs.ServiceDeploymentAlarms(
            status="DISABLED", alarm_names=[], triggered_alarm_names=[]
        ),
    )


def render_brief(record: ServiceDeployment) -> ecs.ServiceDeploymentBrief:
    """Render what ListServiceDeployments shows of one."""
    return ecs.ServiceDeploymentBrief(
        service_deployment_arn=record.arn,
        service_arn=record.service_arn,
        cluster_arn=record.cluster_arn,
        started_at=_seconds(record.started_at_ms),
        created_at=record.created_at_ms / 1_000,
        finished_at=_seconds(record.finished_at_ms),
        target_service_revision_arn=record.target_revision_arn,
        status=record.status,
        status_reason=record.status_reason,
    )


def render_service_revision(revision: ServiceRevision) -> ecs.ServiceRevision:
    """Render a service revision (API:ServiceRevision)."""
    described = _decode_revision(revision.document)
    described.service_revision_arn = revision.arn
    described.service_arn = revision.service_arn
    described.cluster_arn = revision.cluster_arn
    described.task_definition = revision.task_definition_arn
    described.launch_type = revision.launch_type
    described.capacity_provider_strategy = (
        render_strategy(revision.capacity_provider_strategy) or None
    )
    described.platform_version = running_platform(revision.platform_version)
    described.platform_family = PLATFORM_FAMILY if revision.platform_version else None
    described.container_images = [
        ecs.ContainerImage(
            container_name=image.container_name, image=image.image, image_digest=image.image_digest
        )
        for image in revision.container_images
    ]
    described.guard_duty_enabled = False
    described.created_at = revision.created_at_ms / 1_000
    return described


def _summary(view: View, service: Service | None, revision_arn: str) -> ecs.ServiceRevisionSummary:
    deployment = _deployment_of(service, revision_arn)
    if service is None or deployment is None:
        return ecs.ServiceRevisionSummary(
            arn=revision_arn,
            requested_task_count=0,
            running_task_count=0,
            pending_task_count=0,
        )
    load = view.deployment_load(service.arn, deployment.id)
    return ecs.ServiceRevisionSummary(
        arn=revision_arn,
        requested_task_count=wanted_tasks(service, deployment, load),
        running_task_count=load.running,
        pending_task_count=load.pending,
    )


def _weighted(
    record: ServiceDeployment,
    summary: ecs.ServiceRevisionSummary,
    *,
    is_target: bool = False,
    is_newest: bool = False,
) -> ecs.ServiceRevisionSummary:
    """Add the shares of traffic that a staged deployment asks for; a rolling one asks for none.

    What the target doesn't have, the newest of the sources has.
    """
    if record.lifecycle_stage is None:
        return summary
    production, test = record.production_weight, record.test_weight
    if not is_target:
        production, test = WHOLE_PERCENT - production, WHOLE_PERCENT - test
    is_idle = not is_target and not is_newest
    summary.requested_production_traffic_weight = 0.0 if is_idle else production
    summary.requested_test_traffic_weight = 0.0 if is_idle else test
    return summary


def _hook(hook: HookState) -> ecs.DeploymentLifecycleHookDetail:
    return ecs.DeploymentLifecycleHookDetail(
        hook_id=hook.id,
        target_type="PAUSE",
        status=hook.status,
        expires_at=hook.expires_at_ms / 1_000,
        timeout_action=hook.timeout_action,
    )


def _deployment_of(service: Service | None, revision_arn: str) -> Deployment | None:
    deployments = () if service is None else service.deployments
    return next((d for d in deployments if d.revision_arn == revision_arn), None)


def _rollback(record: ServiceDeployment) -> ecs.Rollback | None:
    if record.rollback_reason is None:
        return None
    return ecs.Rollback(
        reason=record.rollback_reason,
        started_at=_seconds(record.rollback_started_at_ms),
        service_revision_arn=record.rollback_revision_arn,
    )


def _seconds(at_ms: int | None) -> float | None:
    return None if at_ms is None else at_ms / 1_000
