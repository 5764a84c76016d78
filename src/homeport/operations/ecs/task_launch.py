"""What RunTask and StartTask share: the terms of a launch, checked, and the tasks made from them.

Where the tasks go is decided by `run_task` and `start_task`, each in its own way.
"""

import re
from collections.abc import Iterable

import msgspec

from homeport.api import ecs
from homeport.core.capacity.handout import hand_out
from homeport.core.capacity.places import Place
from homeport.core.effects import SendTasks
from homeport.core.lifecycle.new_task import Overrides, make_task, needed_resources
from homeport.model.cluster import Cluster
from homeport.model.record import Tag
from homeport.model.resources import TaskResources
from homeport.model.task import Task
from homeport.model.task_definition import TaskDefinition
from homeport.operations.context import CallContext
from homeport.operations.ecs.tags import TAGS_PER_RESOURCE, check_tags, put_tags
from homeport.operations.ecs.task_overrides import check_overrides
from homeport.operations.lookup import task_definition_in
from homeport.operations.render.tasks import render_task
from homeport.state.changes import Change, Put
from homeport.state.view import View

GROUP_LENGTH_CHARACTERS = 255
SERVICE_GROUP_PREFIX = "service:"
CLUSTER_NAME_TAG = "aws:ecs:clusterName"

# AWS documents no space, and takes one: the tool `ecs run` says "ECS Deploy" with every task.
_is_started_by = re.compile(r"[A-Za-z0-9_/ -]+").fullmatch


class LaunchTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What every task of one call has in common."""

    definition: TaskDefinition
    overrides: Overrides
    resources: TaskResources
    group: str
    started_by: str | None
    launch_type: str
    platform_version: str | None
    enable_execute_command: bool
    tags: tuple[Tag, ...]


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one call, as records, as changes and as what agents have to hear."""

    tasks: tuple[Task, ...]
    changes: tuple[Change, ...]
    effects: tuple[SendTasks, ...]


def check_terms(
    view: View,
    cluster: Cluster,
    request: ecs.RunTaskRequest | ecs.StartTaskRequest,
    context: CallContext,
    *,
    launch_type: str,
    started_by_characters: int,
    platform_version: str | None = None,
) -> LaunchTerms:
    """Return a launch's terms, or refuse the request; the cluster is known to be there."""
    definition = _find_definition(view, request.task_definition, context)
    if launch_type not in definition.compatibilities:
        raise ecs.InvalidParameterException(
            f"Task definition does not support launch_type {launch_type}."
        )
    _check_network(definition, request.network_configuration, launch_type)
    _refuse_volumes(request)
    overrides = check_overrides(request.overrides, definition, launch_type)
    return LaunchTerms(
        definition=definition,
        overrides=overrides,
        resources=needed_resources(definition, overrides),
        group=_check_group(request.group) or f"family:{definition.family}",
        started_by=_check_started_by(request.started_by, started_by_characters),
        launch_type=launch_type,
        platform_version=platform_version,
        enable_execute_command=bool(request.enable_execute_command),
        tags=_task_tags(view, cluster, definition, request),
    )


def launch_tasks(
    view: View,
    terms: LaunchTerms,
    *,
    cluster: Cluster,
    places: Iterable[Place],
    context: CallContext,
) -> Launch:
    """Create one task at each of the places, in their order; a place may come again."""
    ids = context.moment.ids()
    made = [
        make_task(
            terms.definition,
            cluster_arn=cluster.arn,
            instance=view.container_instance(place.instance_arn or ""),
            id_source=ids,
            group=terms.group,
            moment=context.moment,
            started_by=terms.started_by,
            overrides=terms.overrides,
            launch_type=terms.launch_type,
            capacity_provider=place.capacity_provider,
            wish=place.wish,
            platform_version=terms.platform_version,
            enable_execute_command=terms.enable_execute_command,
        )
        for place in places
    ]
    tasks = hand_out(view, made)
    by_instance: dict[str, list[str]] = {}
    for task in tasks:
        if task.container_instance_arn is not None:
            by_instance.setdefault(task.container_instance_arn, []).append(task.arn)
    return Launch(
        tasks=tasks,
        changes=(
            *(Put(task) for task in tasks),
            *(change for task in tasks for change in put_tags(task.arn, terms.tags)),
        ),
        effects=tuple(SendTasks(arn, tuple(arns)) for arn, arns in by_instance.items()),
    )


def render_launched(view: View, terms: LaunchTerms, launch: Launch) -> list[ecs.Task]:
    """Render the new tasks for the call's answer, with their tags."""
    return [render_task(view, task, terms.tags) for task in launch.tasks]


def _find_definition(view: View, identifier: str | None, context: CallContext) -> TaskDefinition:
    if not identifier:
        raise ecs.InvalidParameterException("Task definition cannot be empty.")
    definition = task_definition_in(view, context.scope, identifier)
    if definition is None:
        raise ecs.ClientException("TaskDefinition not found.")
    if definition.status != "ACTIVE":
        raise ecs.InvalidParameterException("TaskDefinition is inactive")
    return definition


def _check_network(
    definition: TaskDefinition, network: ecs.NetworkConfiguration | None, launch_type: str
) -> None:
    given = network is not None and network.awsvpc_configuration is not None
    if definition.network_mode != "awsvpc":
        if given:
            raise ecs.InvalidParameterException(
                "Network Configuration is not valid for the given networkMode of this task "
                "definition."
            )
        return
    if not given:
        raise ecs.InvalidParameterException(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    vpc = None if network is None else network.awsvpc_configuration
    if vpc is None or not vpc.subnets:
        raise ecs.InvalidParameterException("subnets can not be empty.")
    if launch_type == "EXTERNAL":
        raise ecs.InvalidParameterException(
            "The EXTERNAL launch type does not support network mode awsvpc. Use bridge, host or "
            "none."
        )


def _refuse_volumes(request: ecs.RunTaskRequest | ecs.StartTaskRequest) -> None:
    for volume in request.volume_configurations or []:
        raise ecs.UnsupportedFeatureException(
            "Homeport does not attach volumes configured at launch yet: volumeConfigurations "
            f"names '{(volume.name or '')[:255]}'."
        )


def _check_group(group: str | None) -> str | None:
    if not group:
        return None
    if len(group) > GROUP_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(f"group longer than {GROUP_LENGTH_CHARACTERS}.")
    if group.startswith(SERVICE_GROUP_PREFIX):
        raise ecs.InvalidParameterException(
            f"Invalid namespace for group. Groups that begin with {SERVICE_GROUP_PREFIX} belong "
            "to services."
        )
    return group


def _check_started_by(started_by: str | None, most_characters: int) -> str | None:
    if not started_by:
        return None
    if len(started_by) > most_characters:
        raise ecs.InvalidParameterException(f"startedBy longer than {most_characters}.")
    if _is_started_by(started_by) is None:
        raise ecs.InvalidParameterException(
            "startedBy may hold letters, digits, hyphens, underscores, slashes and spaces only."
        )
    return started_by


def _task_tags(
    view: View,
    cluster: Cluster,
    definition: TaskDefinition,
    request: ecs.RunTaskRequest | ecs.StartTaskRequest,
) -> tuple[Tag, ...]:
    """Collect the tags of the tasks: the definition's if propagated, the call's, and ECS's own."""
    if request.propagate_tags == "SERVICE":
        raise ecs.InvalidParameterException(
            "propagateTags SERVICE is for services. Use TASK_DEFINITION or NONE."
        )
    given = check_tags(request.tags)
    propagated: tuple[Tag, ...] = ()
    if request.propagate_tags == "TASK_DEFINITION":
        propagated = view.tags(definition.arn)
    by_key = {tag.key: tag for tag in (*propagated, *given)}
    if len(by_key) > TAGS_PER_RESOURCE:
        raise ecs.InvalidParameterException(
            f"A resource can have at most {TAGS_PER_RESOURCE} tags, with those of the task "
            f"definition the task would have {len(by_key)}."
        )
    managed = (Tag(CLUSTER_NAME_TAG, cluster.name),) if request.enable_ecs_managed_tags else ()
    return (*by_key.values(), *managed)
