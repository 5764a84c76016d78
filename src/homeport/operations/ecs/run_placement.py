"""Where RunTask's tasks go: by launch type or strategy, at once or when there is capacity.

Reference: capacity-and-scaling §1, §2, §6; task-lifecycle §8.
"""

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.capacity import places as capacity
from homeport.core.capacity.places import Place
from homeport.core.capacity.provisioning import TASKS_PER_CLUSTER
from homeport.core.capacity.zones import zones_of_subnets
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.model.capacity_provider import (
    FARGATE,
    LATEST_PLATFORM,
    PLATFORM_VERSION,
    StrategyItem,
)
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ACTIVE
from homeport.model.task import PlacementWish
from homeport.operations.context import CallContext
from homeport.operations.ecs.capacity_strategy import choose_strategy, launch_type_of
from homeport.operations.ecs.placement_members import check_constraints, check_strategies
from homeport.operations.ecs.task_launch import LaunchTerms
from homeport.state.view import View

LAUNCH_TYPES = ("EC2", "FARGATE", "EXTERNAL")
PLATFORM_VERSIONS = (LATEST_PLATFORM, PLATFORM_VERSION)


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity that a call is for: `strategy` is empty for a plain launch type."""

    launch_type: str
    strategy: tuple[StrategyItem, ...] = ()
    platform_version: str | None = None


def choose_course(
    view: View,
    cluster: Cluster,
    request: ecs.RunTaskRequest | ecs.CreateServiceRequest | ecs.CreateTaskSetRequest,
) -> Course:
    """Return the capacity that a call names, or the cluster's default strategy, or EC2."""
    strategy = choose_strategy(
        view, cluster, request.capacity_provider_strategy, request.launch_type
    )
    launch_type = launch_type_of(strategy) if strategy else request.launch_type or "EC2"
    if launch_type not in LAUNCH_TYPES:
        raise ecs.UnsupportedFeatureException(
            f"Homeport does not implement launch type {launch_type[:255]} yet. Use one of "
            f"{', '.join(LAUNCH_TYPES)}."
        )
    return Course(
        launch_type=launch_type,
        strategy=strategy,
        platform_version=check_platform_version(request.platform_version, launch_type),
    )


def check_platform_version(asked: str | None, launch_type: str) -> str | None:
    """Return the platform version that is described; other launch types than Fargate have none."""
    if launch_type != FARGATE:
        if asked:
            raise ecs.InvalidParameterException(
                f"The platform version must be null when specifying an {launch_type} launch type."
            )
        return None
    if asked and asked not in PLATFORM_VERSIONS:
        raise ecs.PlatformUnknownException(
            f"The specified platform does not exist. Use one of {', '.join(PLATFORM_VERSIONS)}."
        )
    return asked or LATEST_PLATFORM


def find_places(
    view: View,
    cluster: Cluster,
    request: ecs.RunTaskRequest,
    context: CallContext,
    *,
    terms: LaunchTerms,
    course: Course,
    count: int,
) -> tuple[tuple[Place, ...], list[ecs.Failure]]:
    """Return a place for each task that has one, and a failure for each instance that refused.

    Tasks of Fargate, and of providers with managed scaling, have one among those that wait.
    """
    own = terms.definition.placement_constraints
    constraints = check_constraints(request.placement_constraints, from_definition=len(own))
    wanted = PlacementRequest(
        cluster_arn=cluster.arn,
        group=terms.group,
        resources=terms.resources,
        requires_attributes=terms.definition.requires_attributes,
        platform=terms.definition.platform,
        zones=_zones(view, cluster, request) if course.launch_type != FARGATE else (),
        constraints=(*own, *constraints),
        strategies=check_strategies(request.placement_strategy),
        launch_type=course.launch_type,
        count=count,
    )
    if course.launch_type == FARGATE and (wanted.constraints or wanted.strategies):
        raise ecs.InvalidParameterException(
            "Placement constraints and placement strategies are not supported with the FARGATE "
            "launch type."
        )
    if not course.strategy and course.launch_type != FARGATE:
        _refuse_empty_cluster(view, cluster)
    found = capacity.find_places(view, wanted, course.strategy, moment=context.moment)
    if found.overflow:
        raise ecs.ClientException(
            "The maximum number of tasks in the PROVISIONING state was reached: in a cluster at "
            f"most {TASKS_PER_CLUSTER} can wait for capacity."
        )
    if course.strategy and not found.places and not found.refusals:
        raise ecs.InvalidParameterException(
            "No Container Instances were found in your capacity provider."
        )
    places = found.places
    if constraints or wanted.strategies or wanted.zones:
        asked = PlacementWish(
            constraints=wanted.constraints, strategies=wanted.strategies, zones=wanted.zones
        )
        places = tuple(place if place.wish else replace(place, wish=asked) for place in places)
    return places, [_render_failure(refusal) for refusal in found.refusals]


def _zones(view: View, cluster: Cluster, request: ecs.RunTaskRequest) -> tuple[str, ...]:
    network = request.network_configuration
    vpc = None if network is None else network.awsvpc_configuration
    return () if vpc is None else zones_of_subnets(view, cluster.arn, vpc.subnets or ())


def _refuse_empty_cluster(view: View, cluster: Cluster) -> None:
    instances = view.container_instances(cluster.arn).values()
    if not any(i.status == ACTIVE and not i.is_fargate for i in instances):
        raise ecs.InvalidParameterException("No Container Instances were found in your cluster.")


def _render_failure(refusal: Refusal) -> ecs.Failure:
    return ecs.Failure(
        arn=refusal.container_instance_arn, reason=refusal.reason, detail=refusal.detail
    )
