"""Calls of the API again, from what they wrote: records become the requests that make them.

A journal holds what calls led to, not the calls. What a record doesn't say is left to its default:
which subnets were meant, for one, but for their Availability Zones.
"""

from typing import Any

import msgspec

from homeport.api import ecs
from homeport.model.container_instance import ATTRIBUTE_AVAILABILITY_ZONE
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.service import Service
from homeport.model.task import PlacementWish, Task
from homeport.operations.ecs.capacity_strategy import render_strategy
from homeport.operations.render.services import ServiceDocument, decode_document

# Any will do: which one a task gets its address from is the container instance's business.
SUBNET = "subnet-replay"

_decode_overrides = msgspec.json.Decoder(ecs.TaskOverride).decode


def create_service_request(
    service: Service, network_mode: str | None = None
) -> ecs.CreateServiceRequest:
    """Ask for a service as it was written; one that began before its move may lack a network."""
    document = decode_document(service.document)
    strategy = render_strategy(service.capacity_provider_strategy) or None
    is_daemon = service.scheduling_strategy == "DAEMON"
    is_external = service.deployment_controller == "EXTERNAL"  # its task sets have the rest
    return ecs.CreateServiceRequest(
        cluster=service.cluster_arn,
        service_name=service.name,
        task_definition=None if is_external else service.task_definition_arn,
        desired_count=None if is_daemon else service.desired_count,
        launch_type=None if strategy or is_external else service.launch_type,
        capacity_provider_strategy=None if is_external else strategy,
        platform_version=None if is_external else service.platform_version,
        deployment_configuration=document.deployment_configuration,
        placement_constraints=render_constraints(service.placement_constraints) or None,
        placement_strategy=render_strategies(service.placement_strategy) or None,
        scheduling_strategy=service.scheduling_strategy,
        deployment_controller=ecs.DeploymentController(type=service.deployment_controller),
        availability_zone_rebalancing=document.availability_zone_rebalancing,
        health_check_grace_period_seconds=document.health_check_grace_period_seconds,
        network_configuration=_network_of(document, network_mode),
    )


def update_service_request(
    before: Service, after: Service, now: Service
) -> ecs.UpdateServiceRequest:
    """Ask for what a call changed of a service; `now` is the service that it is asked of.

    A deployment that began has to begin again, whatever the service runs by now.
    """
    if after.deployment_controller != before.deployment_controller:
        return _controller_request(before, after)
    old, new = decode_document(before.document), decode_document(after.document)
    asked: dict[str, Any] = {}
    if after.desired_count != before.desired_count:
        asked["desired_count"] = after.desired_count
    if after.primary.id != before.primary.id:
        asked["force_new_deployment"] = True
        if after.task_definition_arn != now.task_definition_arn:
            asked["task_definition"] = after.task_definition_arn
    if after.capacity_provider_strategy != before.capacity_provider_strategy:
        asked["capacity_provider_strategy"] = render_strategy(after.capacity_provider_strategy)
        asked["force_new_deployment"] = True
    if after.platform_version != before.platform_version:
        asked["platform_version"] = after.platform_version
    if after.placement_constraints != before.placement_constraints:
        asked["placement_constraints"] = render_constraints(after.placement_constraints)
    if after.placement_strategy != before.placement_strategy:
        asked["placement_strategy"] = render_strategies(after.placement_strategy)
    asked |= _changed_members(old, new)
    return ecs.UpdateServiceRequest(cluster=after.cluster_arn, service=after.name, **asked)


def _controller_request(before: Service, after: Service) -> ecs.UpdateServiceRequest:
    """Ask for another deployment controller: the only deployment becomes a task set, or back."""
    asked: dict[str, Any] = {}
    if after.desired_count != before.desired_count:
        asked["desired_count"] = after.desired_count
    known = {each.id for each in before.task_sets}
    if after.deployment_controller == "ECS" and after.primary.id not in known:
        asked["force_new_deployment"] = True
        asked["task_definition"] = after.task_definition_arn
    return ecs.UpdateServiceRequest(
        cluster=after.cluster_arn,
        service=after.name,
        deployment_controller=ecs.DeploymentController(type=after.deployment_controller),
        **asked,
    )


def run_task_request(
    task: Task, count: int, network_mode: str | None
) -> ecs.RunTaskRequest:
    """Ask for tasks like this one, wherever they fit."""
    provider = task.capacity_provider
    strategy = [ecs.CapacityProviderStrategyItem(capacity_provider=provider, weight=1)]
    wish = task.wish
    return ecs.RunTaskRequest(
        cluster=task.cluster_arn,
        task_definition=task.task_definition_arn,
        count=count,
        group=task.group,
        started_by=task.started_by,
        overrides=_overrides_of(task),
        launch_type=None if provider else task.launch_type,
        capacity_provider_strategy=strategy if provider else None,
        platform_version=task.platform_version,
        network_configuration=_network(network_mode),
        placement_constraints=_constraints_of(wish) if wish else None,
        placement_strategy=render_strategies(wish.strategies) if wish else None,
    )


def start_task_request(
    task: Task, instance_arns: list[str], network_mode: str | None
) -> ecs.StartTaskRequest:
    """Ask for tasks like this one on these container instances."""
    return ecs.StartTaskRequest(
        cluster=task.cluster_arn,
        task_definition=task.task_definition_arn,
        container_instances=instance_arns,
        group=task.group,
        started_by=task.started_by,
        overrides=_overrides_of(task),
        network_configuration=_network(network_mode),
    )


def render_constraints(
    constraints: tuple[PlacementConstraint, ...],
) -> list[ecs.PlacementConstraint]:
    """Write constraints as requests have them; those of a definition come with the definition."""
    return [
        ecs.PlacementConstraint(type=each.kind, expression=each.expression) for each in constraints
    ]


def _constraints_of(wish: PlacementWish) -> list[ecs.PlacementConstraint]:
    """Write the constraints of a call; the zones of its subnets are one more, with their names."""
    constraints = render_constraints(wish.constraints)
    if wish.zones:
        expression = f"attribute:{ATTRIBUTE_AVAILABILITY_ZONE} in [{', '.join(wish.zones)}]"
        constraints.append(ecs.PlacementConstraint(type="memberOf", expression=expression))
    return constraints


def render_strategies(strategies: tuple[PlacementStrategy, ...]) -> list[ecs.PlacementStrategy]:
    """Write strategies as requests have them; an empty list takes them away."""
    return [ecs.PlacementStrategy(type=each.kind, field=each.field) for each in strategies]


def _changed_members(old: ServiceDocument, new: ServiceDocument) -> dict[str, Any]:
    names = (
        "deployment_configuration",
        "availability_zone_rebalancing",
        "health_check_grace_period_seconds",
        "network_configuration",
    )
    return {
        name: getattr(new, name) for name in names if getattr(new, name) != getattr(old, name)
    }


def _overrides_of(task: Task) -> ecs.TaskOverride | None:
    return _decode_overrides(task.overrides) if task.overrides else None


def _network_of(
    document: ServiceDocument, network_mode: str | None
) -> ecs.NetworkConfiguration | None:
    known = document.network_configuration
    is_known = known is not None and known.awsvpc_configuration is not None
    return known if is_known else _network(network_mode) or known


def _network(network_mode: str | None) -> ecs.NetworkConfiguration | None:
    if network_mode != "awsvpc":
        return None
    vpc = ecs.AwsVpcConfiguration(subnets=[SUBNET])
    return ecs.NetworkConfiguration(awsvpc_configuration=vpc)
