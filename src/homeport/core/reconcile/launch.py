"""Starting tasks of a service: where they go, and the records that they begin with."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.capacity.handout import hand_out
from homeport.core.capacity.places import Place, find_places
from homeport.core.capacity.strategy import split_tasks
from homeport.core.decision import Moment
from homeport.core.lifecycle.new_task import make_task
from homeport.core.placement.request import Refusal
from homeport.core.placement.service_request import placement_request, service_group
from homeport.model.arn import cluster_name_of
from homeport.model.record import ResourceTags, Tag
from homeport.model.service import Deployment, Service
from homeport.model.service_deployment import ServiceRevision
from homeport.model.task import RUNNING, Task
from homeport.model.task_definition import TaskDefinition
from homeport.state.view import View

LAUNCHES_PER_DECISION = 1_000  # the rest follows: the tasks just made wake the service again


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that found a place, their tags, and why others found none."""

    tasks: tuple[Task, ...] = ()
    tags: tuple[ResourceTags, ...] = ()
    is_short: bool = False  # some of the tasks asked for had no place
    refusals: tuple[Refusal, ...] = ()
    overflow: int = 0  # of them, those that would have had to wait where too many do


NO_LAUNCH = Launch()


def as_deployed(view: View, service: Service, deployment: Deployment) -> Service:
    """Return the service on the capacity that a deployment's own revision names.

    The service itself says what the PRIMARY deployment runs on; older ones keep what they had.
    """
    if deployment.status == "PRIMARY":
        return service
    return on_capacity_of(service, view.service_revision(deployment.revision_arn))


def on_capacity_of(service: Service, revision: ServiceRevision | None) -> Service:
    """Return the service on a revision's launch type or strategy, and its platform version."""
    if revision is None:
        return service
    return replace(
        service,
        launch_type=revision.launch_type,
        capacity_provider_strategy=revision.capacity_provider_strategy,
        platform_version=revision.platform_version,
    )


def launch_tasks(
    view: View,
    service: Service,
    count: int,
    *,
    deployment: Deployment,
    ids: Iterator[str],
    moment: Moment,
) -> Launch:
    """Place tasks of one deployment as one batch; what fits is started."""
    if count <= 0:
        return NO_LAUNCH
    asked = min(count, LAUNCHES_PER_DECISION)
    service = as_deployed(view, service, deployment)
    definition = view.task_definition(deployment.task_definition_arn)
    assert definition is not None, deployment.task_definition_arn
    found = find_places(
        view,
        placement_request(view, service, definition, asked, deployment=deployment),
        service.capacity_provider_strategy,
        moment=moment,
        known=tasks_of_providers(view, service, deployment, moment),
    )
    launch = launch_tasks_at(
        view,
        service,
        found.places,
        deployment=deployment,
        ids=ids,
        moment=moment,
    )
    is_short = len(launch.tasks) < asked
    return replace(launch, is_short=is_short, refusals=found.refusals, overflow=found.overflow)


def launch_tasks_on(
    view: View,
    service: Service,
    instance_arns: Sequence[str],
    *,
    deployment: Deployment,
    ids: Iterator[str],
    moment: Moment,
) -> Launch:
    """Start a task of one deployment on each of these container instances."""
    places = [Place(instance_arn=arn) for arn in instance_arns]
    return launch_tasks_at(view, service, places, deployment=deployment, ids=ids, moment=moment)


def launch_tasks_at(
    view: View,
    service: Service,
    places: Sequence[Place],
    *,
    deployment: Deployment,
    ids: Iterator[str],
    moment: Moment,
) -> Launch:
    """Start a task of one deployment at each of these places, or let it wait for its own."""
    definition = view.task_definition(deployment.task_definition_arn)
    assert definition is not None, deployment.task_definition_arn
    tags = _task_tags(view, service, definition)
    service = as_deployed(view, service, deployment)
    made = [
        _make_service_task(
            view,
            service,
            definition,
            place,
            deployment=deployment,
            ids=ids,
            moment=moment,
        )
        for place in places
    ]
    tasks = hand_out(view, made)
    return Launch(
        tasks=tasks, tags=tuple(ResourceTags(arn=task.arn, tags=tags) for task in tasks if tags)
    )


def _make_service_task(
    view: View,
    service: Service,
    definition: TaskDefinition,
    place: Place,
    *,
    deployment: Deployment,
    ids: Iterator[str],
    moment: Moment,
) -> Task:
    return make_task(
        definition,
        cluster_arn=service.cluster_arn,
        instance=view.container_instance(place.instance_arn or ""),
        id_source=ids,
        group=service_group(service),
        moment=moment,
        started_by=deployment.id,
        launch_type=service.task_launch_type,
        capacity_provider=place.capacity_provider,
        wish=place.wish,
        platform_version=service.platform_version,
        service_arn=service.arn,
        deployment_id=deployment.id,
        enable_execute_command=service.enable_execute_command,
    )


def next_provider(view: View, service: Service, moment: Moment) -> str | None:
    """Return the capacity provider whose turn it is to get a task; None without a strategy."""
    strategy = service.capacity_provider_strategy
    if not strategy:
        return None
    known = tasks_of_providers(view, service, service.primary, moment)
    return next(iter(split_tasks(strategy, 1, known)), strategy[0].provider)


def tasks_of_providers(
    view: View, service: Service, deployment: Deployment, moment: Moment
) -> dict[str, int]:
    """Count one deployment's tasks that stay, by capacity provider; none without a strategy.

    An UNHEALTHY one, or one on a DRAINING container instance, is replaced where it was.
    """
    if not service.capacity_provider_strategy:
        return {}
    draining = view.draining_instances(service.cluster_arn)
    grace_ms = service.health_check_grace_period_s * 1_000
    return dict(
        Counter(
            task.capacity_provider
            for task in view.tasks_of_service(service.arn).values()
            if task.deployment_id == deployment.id
            and task.desired_status == RUNNING
            and task.capacity_provider is not None
            and task.container_instance_arn not in draining
            and (
                task.health_status != "UNHEALTHY"
                or moment.now_ms < (task.started_at_ms or 0) + grace_ms
            )
        )
    )


def _task_tags(view: View, service: Service, definition: TaskDefinition) -> tuple[Tag, ...]:
    """Return the tags of a new task: propagated ones, and ECS's own if they are switched on."""
    source = {"SERVICE": service.arn, "TASK_DEFINITION": definition.arn}.get(service.propagate_tags)
    propagated = () if source is None else view.tags(source)
    if not service.enable_ecs_managed_tags:
        return propagated
    return (
        *propagated,
        Tag("aws:ecs:clusterName", cluster_name_of(service.cluster_arn)),
        Tag("aws:ecs:serviceName", service.name),
    )
