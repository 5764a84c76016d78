"""Starting tasks of a service: where they go, and the records that they begin with."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.lifecycle.new_task import make_task
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.model.arn import cluster_name_of
from homeport.model.record import ResourceTags, Tag
from homeport.model.service import Deployment, Service
from homeport.model.task import Task
from homeport.model.task_definition import TaskDefinition
from homeport.state.view import View

LAUNCHES_PER_DECISION = 1_000  # the rest follows: the tasks just made wake the service again


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that found a place, their tags, and why others found none."""

    tasks: tuple[Task, ...] = ()
    tags: tuple[ResourceTags, ...] = ()
    is_short: bool = False  # some of the tasks asked for had no place
    refusals: tuple[Refusal, ...] = ()


NO_LAUNCH = Launch()


def service_group(service: Service) -> str:
    """Return the task group of a service's tasks."""
    return f"service:{service.name}"


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
    definition = view.task_definition(deployment.task_definition_arn)
    assert definition is not None, deployment.task_definition_arn
    placement = place_tasks(view, placement_request(service, definition, asked), moment)
    launch = launch_tasks_on(
        view,
        service,
        placement.container_instance_arns,
        deployment=deployment,
        ids=ids,
        moment=moment,
    )
    is_short = len(launch.tasks) < asked
    return replace(launch, is_short=is_short, refusals=placement.refusals)


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
    definition = view.task_definition(deployment.task_definition_arn)
    assert definition is not None, deployment.task_definition_arn
    tags = _task_tags(view, service, definition)
    tasks = tuple(
        _make_service_task(
            view,
            service,
            definition,
            instance_arn,
            deployment=deployment,
            ids=ids,
            moment=moment,
        )
        for instance_arn in instance_arns
    )
    return Launch(
        tasks=tasks, tags=tuple(ResourceTags(arn=task.arn, tags=tags) for task in tasks if tags)
    )


def placement_request(
    service: Service, definition: TaskDefinition, count: int
) -> PlacementRequest:
    """Return what placement is asked for tasks of a service."""
    return PlacementRequest(
        cluster_arn=service.cluster_arn,
        group=service_group(service),
        service_arn=service.arn,
        resources=definition.resources,
        requires_attributes=definition.requires_attributes,
        constraints=definition.placement_constraints + service.placement_constraints,
        strategies=service.placement_strategy,
        launch_type=service.launch_type or "EC2",
        count=count,
    )


def _make_service_task(
    view: View,
    service: Service,
    definition: TaskDefinition,
    instance_arn: str,
    *,
    deployment: Deployment,
    ids: Iterator[str],
    moment: Moment,
) -> Task:
    instance = view.container_instance(instance_arn)
    assert instance is not None, instance_arn
    return make_task(
        definition,
        cluster_arn=service.cluster_arn,
        instance=instance,
        id_source=ids,
        group=service_group(service),
        moment=moment,
        started_by=deployment.id,
        launch_type=service.launch_type or "EC2",
        service_arn=service.arn,
        deployment_id=deployment.id,
        enable_execute_command=service.enable_execute_command,
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
