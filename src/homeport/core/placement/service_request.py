"""What placement is asked for a service's tasks."""

from homeport.core.capacity.zones import subnets_of, zones_of_subnets
from homeport.core.placement.request import PlacementRequest
from homeport.model.capacity_provider import FARGATE
from homeport.model.service import Deployment, Service
from homeport.model.task_definition import TaskDefinition
from homeport.state.view import View


def service_group(service: Service) -> str:
    """Return the task group of a service's tasks."""
    return f"service:{service.name}"


def placement_request(
    view: View,
    service: Service,
    definition: TaskDefinition,
    count: int,
    *,
    deployment: Deployment | None = None,
) -> PlacementRequest:
    """Return what placement is asked for tasks of a service, by default of its PRIMARY deployment.

    Tasks in awsvpc go where the subnets of the deployment's network configuration are.
    """
    zones: tuple[str, ...] = ()
    if definition.resources.interface_count and service.task_launch_type != FARGATE:
        revision = view.service_revision((deployment or service.primary).revision_arn)
        if revision is not None:
            subnets = subnets_of(revision.document)
            zones = zones_of_subnets(view, service.cluster_arn, subnets)
    return PlacementRequest(
        cluster_arn=service.cluster_arn,
        group=service_group(service),
        service_arn=service.arn,
        claimant=service.arn,
        resources=definition.resources,
        requires_attributes=definition.requires_attributes,
        platform=definition.platform,
        zones=zones,
        constraints=definition.placement_constraints + service.placement_constraints,
        strategies=service.placement_strategy,
        launch_type=service.task_launch_type,
        count=count,
        refusals_wanted=1,  # events and notes speak of the closest one only
    )
