"""Where RunTask's tasks go: by launch type or strategy, at once or when there is capacity.

Reference: capacity-and-scaling §1, §2, §6; task-lifecycle §8.
"""

from collections.abc import Iterable, Sequence

import msgspec

from homeport.api import ecs
from homeport.core.capacity.provisioning import (
    TASKS_PER_CLUSTER,
    provider_constraints,
    waits_for_capacity,
    wish_for_capacity,
)
from homeport.core.capacity.strategy import split_tasks
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import Placement, PlacementRequest
from homeport.model.capacity_provider import FARGATE, StrategyItem
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ACTIVE
from homeport.operations.context import CallContext
from homeport.operations.ecs.capacity_strategy import choose_strategy, launch_type_of
from homeport.operations.ecs.placement_members import check_constraints, check_strategies
from homeport.operations.ecs.task_launch import LaunchTerms, Place
from homeport.state.view import View

LAUNCH_TYPES = ("EC2", "FARGATE", "EXTERNAL")
PLATFORM_VERSION = "1.4.0"
PLATFORM_VERSIONS = ("LATEST", "1.4.0")


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity that a call is for: `strategy` is empty for a plain launch type."""

    launch_type: str
    strategy: tuple[StrategyItem, ...] = ()
    platform_version: str | None = None


def choose_course(view: View, cluster: Cluster, request: ecs.RunTaskRequest) -> Course:
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
    """Return the platform version of Fargate's tasks; other launch types have none."""
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
    return PLATFORM_VERSION


def find_places(
    view: View,
    cluster: Cluster,
    request: ecs.RunTaskRequest,
    context: CallContext,
    *,
    terms: LaunchTerms,
    course: Course,
    count: int,
) -> tuple[list[Place], list[ecs.Failure]]:
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
    if course.strategy:
        return _by_strategy(view, wanted, course.strategy, context)
    if course.launch_type == FARGATE:
        return _waiting(view, wanted, None), []
    _refuse_empty_cluster(view, cluster)
    return _at_once(view, wanted, None, context)


def _by_strategy(
    view: View, wanted: PlacementRequest, strategy: Sequence[StrategyItem], context: CallContext
) -> tuple[list[Place], list[ecs.Failure]]:
    places: list[Place] = []
    failures: list[ecs.Failure] = []
    for provider, number in split_tasks(strategy, wanted.count).items():
        part = msgspec.structs.replace(
            wanted,
            constraints=(*wanted.constraints, *provider_constraints(provider)),
            count=number,
        )
        if waits_for_capacity(view, wanted.cluster_arn, provider):
            places.extend(_waiting(view, part, provider, already=len(places)))
            continue
        # An instance is of one provider at most, so that no two parts meet on one.
        found, refused = _at_once(view, part, provider, context)
        places.extend(found)
        failures.extend(refused)
    return places, failures


def _waiting(
    view: View, wanted: PlacementRequest, provider: str | None, already: int = 0
) -> list[Place]:
    there = len(view.provisioning_tasks(wanted.cluster_arn)) + already
    if there + wanted.count > TASKS_PER_CLUSTER:
        raise ecs.ClientException(
            "The maximum number of tasks in the PROVISIONING state was reached: a cluster can "
            f"have {TASKS_PER_CLUSTER}, {there} are waiting for capacity already."
        )
    place = Place(capacity_provider=provider, wish=wish_for_capacity(wanted))
    return [place] * wanted.count


def _at_once(
    view: View, wanted: PlacementRequest, provider: str | None, context: CallContext
) -> tuple[list[Place], list[ecs.Failure]]:
    placement = place_tasks(view, wanted, context.moment)
    chosen = (view.container_instance(arn) for arn in placement.container_instance_arns)
    places = [
        Place(instance=instance, capacity_provider=provider)
        for instance in chosen
        if instance is not None
    ]
    return places, list(_render_failures(placement))


def _refuse_empty_cluster(view: View, cluster: Cluster) -> None:
    instances = view.container_instances(cluster.arn).values()
    if not any(i.status == ACTIVE and not i.is_fargate for i in instances):
        raise ecs.InvalidParameterException("No Container Instances were found in your cluster.")


def _render_failures(placement: Placement) -> Iterable[ecs.Failure]:
    return (
        ecs.Failure(
            arn=refusal.container_instance_arn, reason=refusal.reason, detail=refusal.detail
        )
        for refusal in placement.refusals
    )
