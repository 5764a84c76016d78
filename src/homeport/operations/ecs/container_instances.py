"""Describe, list and drain container instances; `registration` has how they come and go."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ACTIVE, DRAINING, INACTIVE, ContainerInstance
from homeport.operations.context import CallContext
from homeport.operations.ecs.placement_members import check_expression
from homeport.operations.lookup import (
    container_instance_arn_from,
    container_instance_in,
    find_cluster,
)
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.container_instances import render_container_instance
from homeport.state.changes import Put
from homeport.state.view import View

INSTANCES_PER_DESCRIBE = 100
INSTANCES_PER_UPDATE = 10


def describe_container_instances(
    view: View, request: ecs.DescribeContainerInstancesRequest, context: CallContext
) -> Decision:
    """Describe up to 100 container instances by short id or ARN, INACTIVE ones too while kept."""
    cluster = find_cluster(view, context.scope, request.cluster)
    identifiers = request.container_instances or []
    if not identifiers:
        raise ecs.ClientException("Container Instances cannot be empty.")
    _refuse_too_many(identifiers, INSTANCES_PER_DESCRIBE)
    include = request.include or []
    found, failures = _find_all(view, cluster, identifiers, context)
    with_tags, with_health = "TAGS" in include, "CONTAINER_INSTANCE_HEALTH" in include
    described = [
        render_container_instance(
            view,
            instance,
            view.tags(instance.arn) if with_tags else (),
            with_health=with_health,
        )
        for instance in found
    ]
    return Decision(
        reply=ecs.DescribeContainerInstancesResponse(
            container_instances=described, failures=failures
        )
    )


def list_container_instances(
    view: View, request: ecs.ListContainerInstancesRequest, context: CallContext
) -> Decision:
    """List a cluster's container instances by ARN; without a status all but INACTIVE ones.

    `filter` is an expression of the cluster query language (reference: placement §4).
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    size = page_size(request.max_results)
    cursor = read_token(request.next_token)
    every = view.container_instances_after(cluster.arn, cursor)
    # Fargate's capacity isn't the caller's: the local pool isn't listed either.
    matching: Iterator[ContainerInstance] = (i for i in every if not i.is_fargate)
    if request.status is not None:
        status = request.status
        matching = (instance for instance in matching if instance.status == status)
    if request.filter:
        expression = check_expression(request.filter)
        matching = (i for i in matching if expression.matches_now(view, i))
    page, token = take_page(matching, size, lambda instance: instance.arn)
    return Decision(
        reply=ecs.ListContainerInstancesResponse(
            container_instance_arns=[instance.arn for instance in page], next_token=token
        )
    )


def update_container_instances_state(
    view: View, request: ecs.UpdateContainerInstancesStateRequest, context: CallContext
) -> Decision:
    """Set up to 10 container instances DRAINING, or ACTIVE again.

    Draining ends no task here: services move theirs, standalone tasks stay (reference:
    container-instances §8).
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    status = request.status
    if status not in (ACTIVE, DRAINING):
        raise ecs.InvalidParameterException(
            "Container instance state should be one of [ACTIVE,DRAINING]"
        )
    identifiers = request.container_instances or []
    if not identifiers:
        raise ecs.InvalidParameterException("Container Instances cannot be empty.")
    _refuse_too_many(identifiers, INSTANCES_PER_UPDATE)
    found, failures = _find_all(view, cluster, identifiers, context)
    changes, described = [], []
    for instance in found:
        if instance.status == INACTIVE:
            failures.append(ecs.Failure(arn=instance.arn, reason="INACTIVE"))
            continue
        updated = instance
        if instance.status != status:
            updated = replace(instance, status=status, version=instance.version + 1)
            changes.append(Put(updated))
        described.append(render_container_instance(view, updated))
    return Decision(
        reply=ecs.UpdateContainerInstancesStateResponse(
            container_instances=described, failures=failures
        ),
        changes=tuple(changes),
    )


def update_container_agent(
    view: View, request: ecs.UpdateContainerAgentRequest, context: CallContext
) -> Decision:
    """Refuse to update an agent: whoever installed it updates it, so that there is never one here.

    Updating never interrupts tasks: stop the agent, install another one, start it.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    identifier = request.container_instance or ""
    instance = container_instance_in(view, context.scope, cluster, identifier)
    if instance is None or instance.status == INACTIVE:
        raise ecs.InvalidParameterException(
            f"The referenced container instance was not found: {identifier[:255]}"
        )
    if instance.agent_version is None:
        raise ecs.MissingVersionException(
            "The version of the container agent isn't known: it has never connected."
        )
    raise ecs.NoUpdateAvailableException(
        "There is no update available for your container agent: Homeport hands none out. "
        f"It runs version {instance.agent_version}; install a newer one on its machine."
    )


def _find_all(
    view: View, cluster: Cluster, identifiers: Iterable[str], context: CallContext
) -> tuple[list[ContainerInstance], list[ecs.Failure]]:
    """Return the named instances, each once, and a MISSING failure for every unknown one."""
    found: dict[str, ContainerInstance] = {}
    failures: dict[str, ecs.Failure] = {}
    for identifier in identifiers:
        instance = container_instance_in(view, context.scope, cluster, identifier)
        if instance is not None:
            found[instance.arn] = instance
        else:
            arn = container_instance_arn_from(context.scope, cluster, identifier)
            failures[arn] = ecs.Failure(arn=arn, reason="MISSING")
    return list(found.values()), list(failures.values())


def _refuse_too_many(identifiers: list[str], most: int) -> None:
    if len(identifiers) > most:
        raise ecs.InvalidParameterException(
            f"A call can name at most {most} container instances, this one names "
            f"{len(identifiers)}."
        )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "DescribeContainerInstances": describe_container_instances,
    "ListContainerInstances": list_container_instances,
    "UpdateContainerAgent": update_container_agent,
    "UpdateContainerInstancesState": update_container_instances_state,
}
