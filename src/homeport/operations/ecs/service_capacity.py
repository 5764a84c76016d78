"""On what capacity a service runs: launch type or strategy, platform version, when they change.

Reference: capacity-and-scaling §1, §2, §6.
"""

from msgspec.structs import replace

from homeport.api import ecs
from homeport.model.capacity_provider import FARGATE
from homeport.model.cluster import Cluster
from homeport.model.service import Service
from homeport.operations.ecs.capacity_strategy import check_strategy, launch_type_of
from homeport.operations.ecs.run_placement import check_platform_version
from homeport.state.view import View


def next_capacity(
    view: View, cluster: Cluster, service: Service, request: ecs.UpdateServiceRequest
) -> Service:
    """Return the service with the strategy and platform version from now on.

    A strategy in place of a launch type, or none any more, needs forceNewDeployment. What has
    changed starts a deployment.
    """
    updated = service
    if request.capacity_provider_strategy is not None:
        updated = _with_strategy(view, cluster, service, request)
    if request.platform_version is not None:
        version = check_platform_version(request.platform_version, updated.task_launch_type)
        updated = replace(updated, platform_version=version)
    return updated


def check_placement(service: Service) -> None:
    """Refuse placement rules of a service on Fargate, and DAEMON ones there."""
    if service.task_launch_type != FARGATE:
        return
    if service.scheduling_strategy == "DAEMON":
        raise ecs.InvalidParameterException(
            "The FARGATE launch type does not support the DAEMON scheduling strategy."
        )
    if service.placement_constraints or service.placement_strategy:
        raise ecs.InvalidParameterException(
            "Placement constraints and placement strategies are not supported with the FARGATE "
            "launch type."
        )


def _with_strategy(
    view: View, cluster: Cluster, service: Service, request: ecs.UpdateServiceRequest
) -> Service:
    asked = request.capacity_provider_strategy or []
    strategy = check_strategy(view, cluster, asked) if asked else ()
    if strategy == service.capacity_provider_strategy:
        return service
    is_other_kind = bool(strategy) != bool(service.capacity_provider_strategy)
    if is_other_kind and not request.force_new_deployment:
        raise ecs.InvalidParameterException(
            "Changing between a launch type and a capacity provider strategy needs "
            "forceNewDeployment. Set it to true and try again."
        )
    kind = launch_type_of(strategy) if strategy else service.task_launch_type
    version = service.platform_version or check_platform_version(None, kind)
    return replace(
        service,
        launch_type=None if strategy else kind,
        capacity_provider_strategy=strategy,
        platform_version=version if kind == FARGATE else None,
    )
