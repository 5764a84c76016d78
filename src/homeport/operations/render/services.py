"""Services, deployments and events as AWS describes them; who may see them isn't decided here."""

from collections.abc import Sequence

import msgspec

from homeport.api import ecs
from homeport.core.reconcile.launch import as_deployed
from homeport.model.capacity_provider import running_platform
from homeport.model.record import Tag
from homeport.model.service import Deployment, Service, ServiceEvent
from homeport.operations.ecs.capacity_strategy import render_strategy
from homeport.operations.ecs.tags import render_tags
from homeport.operations.render.task_sets import render_task_set
from homeport.operations.render.tasks import PLATFORM_FAMILY
from homeport.state.derived import DeploymentLoad
from homeport.state.view import View


class ServiceDocument(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The members of a service that no decision reads: kept as given, or as AWS defaults them."""

    deployment_configuration: ecs.DeploymentConfiguration
    availability_zone_rebalancing: str
    role_arn: str
    created_by: str
    health_check_grace_period_seconds: int | None = None
    service_connect_configuration: ecs.ServiceConnectConfiguration | None = None
    network_configuration: ecs.NetworkConfiguration | None = None
    fingerprint: bytes = b""  # of the CreateService call, while the service still is as it asked


encode_document = msgspec.json.Encoder().encode
decode_document = msgspec.json.Decoder(ServiceDocument).decode
_decode_revision = msgspec.json.Decoder(ecs.ServiceRevision).decode


def render_service(
    view: View,
    service: Service,
    *,
    tags: tuple[Tag, ...] = (),
    events: Sequence[ServiceEvent] = (),
    document: ServiceDocument | None = None,
) -> ecs.Service:
    """Render a service with its counts; an INACTIVE one has no deployments left (API:Service).

    `document` is the service's own, from whoever has just written it.
    """
    document = document or decode_document(service.document)
    parts = _render_parts(view, service, document)
    task_sets = [render_task_set(view, service, task_set) for task_set in service.task_sets]
    return ecs.Service(
        service_arn=service.arn,
        service_name=service.name,
        cluster_arn=service.cluster_arn,
        load_balancers=[],
        service_registries=[],
        status=service.status,
        desired_count=service.desired_count,
        running_count=parts.running,
        pending_count=parts.pending,
        launch_type=service.launch_type,
        capacity_provider_strategy=_render_capacity(service),
        platform_version=service.platform_version,
        platform_family=PLATFORM_FAMILY if service.platform_version else None,
        network_configuration=_network_configuration(view, document, service.primary),
        task_definition=service.task_definition_arn or None,
        task_sets=task_sets if service.deployment_controller == "EXTERNAL" else None,
        deployment_configuration=document.deployment_configuration,
        deployments=parts.deployments,
        role_arn=document.role_arn,
        current_service_deployment=service.service_deployment_arn,
        current_service_revisions=parts.revisions,
        events=[_render_event(event) for event in events],
        created_at=service.created_at_ms / 1_000,
        placement_constraints=[
            ecs.PlacementConstraint(type=constraint.kind, expression=constraint.expression)
            for constraint in service.placement_constraints
        ],
        placement_strategy=[
            ecs.PlacementStrategy(type=strategy.kind, field=strategy.field)
            for strategy in service.placement_strategy
        ],
        health_check_grace_period_seconds=document.health_check_grace_period_seconds,
        scheduling_strategy=service.scheduling_strategy,
        deployment_controller=ecs.DeploymentController(type=service.deployment_controller),
        tags=render_tags(tags) if tags else None,
        created_by=document.created_by,
        enable_ecs_managed_tags=service.enable_ecs_managed_tags,
        propagate_tags=service.propagate_tags,
        enable_execute_command=service.enable_execute_command,
        availability_zone_rebalancing=document.availability_zone_rebalancing,
    )


class _Parts(msgspec.Struct, frozen=True):
    """What a service shows of its deployments, and how many tasks it has in all."""

    deployments: list[ecs.Deployment]
    revisions: list[ecs.ServiceCurrentRevisionSummary]
    running: int
    pending: int


def _render_parts(view: View, service: Service, document: ServiceDocument) -> _Parts:
    """Render deployments and revisions, the newest first, each from one look at its counts."""
    deployments: list[ecs.Deployment] = []
    revisions: list[ecs.ServiceCurrentRevisionSummary] = []
    running = pending = 0
    is_inactive = service.status == "INACTIVE"
    for deployment in service.deployments:
        load = view.deployment_load(service.arn, deployment.id)
        running += load.running
        pending += load.pending
        if is_inactive:
            continue
        if deployment.id:
            deployed = as_deployed(view, service, deployment)
            deployments.append(
                _render_deployment(view, deployed, deployment, load=load, document=document)
            )
        if deployment.revision_arn:
            revisions.append(_render_revision(service, deployment, load))
    for task_set in service.task_sets:
        load = view.deployment_load(service.arn, task_set.id)
        running += load.running
        pending += load.pending
    return _Parts(deployments, revisions, running, pending)


def network_configuration_of(view: View, service: Service) -> ecs.NetworkConfiguration | None:
    """Return the network configuration of the PRIMARY deployment."""
    return _network_configuration(view, decode_document(service.document), service.primary)


def _network_configuration(
    view: View, document: ServiceDocument, deployment: Deployment
) -> ecs.NetworkConfiguration | None:
    """Return what was asked for last, but for older deployments and rollbacks their revision's."""
    if deployment.status == "PRIMARY" and not deployment.is_rollback:
        return document.network_configuration
    revision = view.service_revision(deployment.revision_arn)
    return None if revision is None else _decode_revision(revision.document).network_configuration


def _render_capacity(service: Service) -> list[ecs.CapacityProviderStrategyItem] | None:
    """Render the strategy; a service with a launch type shows none (capacity-and-scaling §1)."""
    strategy = service.capacity_provider_strategy
    return render_strategy(strategy) if strategy else None


def _render_deployment(
    view: View,
    service: Service,
    deployment: Deployment,
    *,
    load: DeploymentLoad,
    document: ServiceDocument,
) -> ecs.Deployment:
    is_primary = deployment.status == "PRIMARY"
    return ecs.Deployment(
        id=deployment.id,
        status=deployment.status,
        task_definition=deployment.task_definition_arn,
        desired_count=wanted_tasks(service, deployment, load),
        pending_count=load.pending,
        running_count=load.running,
        failed_tasks=deployment.failed_tasks,
        created_at=deployment.created_at_ms / 1_000,
        updated_at=deployment.updated_at_ms / 1_000,
        launch_type=service.launch_type,
        capacity_provider_strategy=_render_capacity(service),
        platform_version=running_platform(service.platform_version),
        platform_family=PLATFORM_FAMILY if service.platform_version else None,
        network_configuration=_network_configuration(view, document, deployment),
        rollout_state=deployment.rollout_state,
        rollout_state_reason=deployment.rollout_state_reason,
        service_connect_configuration=(
            document.service_connect_configuration if is_primary else None
        ),
    )


def _render_revision(
    service: Service, deployment: Deployment, load: DeploymentLoad
) -> ecs.ServiceCurrentRevisionSummary:
    """Render how many tasks a revision has (API:Service)."""
    return ecs.ServiceCurrentRevisionSummary(
        arn=deployment.revision_arn,
        requested_task_count=wanted_tasks(service, deployment, load),
        running_task_count=load.running,
        pending_task_count=load.pending,
    )


def wanted_tasks(service: Service, deployment: Deployment, load: DeploymentLoad) -> int:
    """Return how many tasks a deployment is to have: desiredCount, or what is left of it."""
    if deployment.status == "PRIMARY":
        return service.desired_count
    return load.running + load.pending


def _render_event(event: ServiceEvent) -> ecs.ServiceEvent:
    return ecs.ServiceEvent(
        id=event.id, created_at=event.created_at_ms / 1_000, message=event.message
    )
