"""Task sets of services with an EXTERNAL controller: create, describe, update, delete, primary.

They only write down what is wanted (reference: services §12); `core.reconcile.task_sets` keeps it.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.arn import cluster_name_of, make_deployment_id, make_task_set_arn, scope_of
from homeport.model.client_token import ClientToken
from homeport.model.service import Service, TaskSet
from homeport.operations.context import CallContext
from homeport.operations.ecs.client_tokens import (
    check_token,
    find_token,
    fingerprint_of,
    keep_token,
    token_key,
)
from homeport.operations.ecs.run_placement import choose_course
from homeport.operations.ecs.service_capacity import check_placement
from homeport.operations.ecs.service_rules import (
    CLIENT_TOKEN_LENGTH_CHARACTERS,
    check_launchable,
    check_network,
    unsupported,
)
from homeport.operations.ecs.service_updates import find_definition, find_service
from homeport.operations.ecs.tags import check_tags, put_tags
from homeport.operations.lookup import find_cluster
from homeport.operations.render.task_sets import render_task_set
from homeport.state.changes import Change, Delete, Put
from homeport.state.view import View

TASK_SETS_PER_SERVICE = 5
EXTERNAL_ID_LENGTH_CHARACTERS = 255
PERCENT_MAX = 100.0


def create_task_set(
    view: View, request: ecs.CreateTaskSetRequest, context: CallContext
) -> Decision:
    """Add a task set to a service with the EXTERNAL controller; it begins with its share at 0."""
    service = _find_external(view, request.service, request.cluster, context)
    token = check_token(request.client_token, CLIENT_TOKEN_LENGTH_CHARACTERS)
    key = token_key("CreateTaskSet", service.arn, token or "")
    plain = replace(request, client_token=None)
    known = None if token is None else find_token(view, key, plain, context)
    if known is not None:
        found = _find_task_set(service, known.resource_arns[0])
        return Decision(
            reply=ecs.CreateTaskSetResponse(task_set=render_task_set(view, service, found))
        )
    task_set = _new_task_set(view, request, service, context)
    tags = check_tags(request.tags)
    updated = replace(service, task_sets=(*service.task_sets, task_set), is_steady=False)
    changes: list[Change] = [*put_tags(task_set.arn, tags), Put(updated)]
    if token is not None:
        retention_ms = context.settings.client_token_retention_s * 1_000
        record = ClientToken(
            key=key,
            fingerprint=fingerprint_of(plain),
            resource_arns=(task_set.arn,),
            expires_at_ms=context.moment.now_ms + retention_ms,
        )
        changes.extend(keep_token(view, record))
    rendered = render_task_set(view, updated, task_set, tags=tags)
    return Decision(reply=ecs.CreateTaskSetResponse(task_set=rendered), changes=tuple(changes))


def describe_task_sets(
    view: View, request: ecs.DescribeTaskSetsRequest, context: CallContext
) -> Decision:
    """Describe the task sets of a service, all of them or those that are named."""
    service = _find_external(view, request.service, request.cluster, context)
    with_tags = "TAGS" in (request.include or ())
    described: list[ecs.TaskSet] = []
    failures: list[ecs.Failure] = []
    asked = request.task_sets or [task_set.arn for task_set in service.task_sets]
    for identifier in dict.fromkeys(asked):
        found = _task_set_in(service, identifier)
        if found is None:
            failures.append(ecs.Failure(arn=identifier, reason="MISSING"))
            continue
        tags = view.tags(found.arn) if with_tags else ()
        described.append(render_task_set(view, service, found, tags=tags))
    return Decision(reply=ecs.DescribeTaskSetsResponse(task_sets=described, failures=failures))


def update_task_set(
    view: View, request: ecs.UpdateTaskSetRequest, context: CallContext
) -> Decision:
    """Change a task set's share of the service's desiredCount."""
    service = _find_external(view, request.service, request.cluster, context)
    known = _find_task_set(service, request.task_set)
    if known.status == "DRAINING":
        raise ecs.InvalidParameterException("A task set that is DRAINING cannot be updated.")
    if request.scale is None:
        raise ecs.InvalidParameterException("scale cannot be empty.")
    changed = replace(
        known,
        scale_percent=_check_scale(request.scale),
        updated_at_ms=context.moment.now_ms,
    )
    updated = _with_task_set(service, changed)
    return Decision(
        reply=ecs.UpdateTaskSetResponse(task_set=render_task_set(view, updated, changed)),
        changes=(Put(updated),),
    )


def delete_task_set(
    view: View, request: ecs.DeleteTaskSetRequest, context: CallContext
) -> Decision:
    """Drain a task set; it needs a share of 0, or `force`, and is gone when its tasks are."""
    service = _find_external(view, request.service, request.cluster, context)
    known = _find_task_set(service, request.task_set)
    if known.scale_percent > 0 and not request.force:
        raise ecs.InvalidParameterException(
            "The task set cannot be deleted while its scale is above 0. Set its scale to 0 first, "
            "or use force."
        )
    drained = replace(
        known, status="DRAINING", scale_percent=0.0, updated_at_ms=context.moment.now_ms
    )
    updated = _with_task_set(service, drained)
    changes: list[Change] = [Put(updated)]
    if view.tags(known.arn):
        changes.append(Delete("tags", known.arn))
    return Decision(
        reply=ecs.DeleteTaskSetResponse(task_set=render_task_set(view, updated, drained)),
        changes=tuple(changes),
    )


def update_service_primary_task_set(
    view: View, request: ecs.UpdateServicePrimaryTaskSetRequest, context: CallContext
) -> Decision:
    """Make a task set the PRIMARY one; its task definition and launch type become the service's."""
    service = _find_external(view, request.service, request.cluster, context)
    known = _find_task_set(service, request.primary_task_set)
    if known.status == "DRAINING":
        raise ecs.InvalidParameterException("A task set that is DRAINING cannot be the primary.")
    now_ms = context.moment.now_ms
    primary = replace(known, status="PRIMARY", updated_at_ms=now_ms)
    task_sets = tuple(
        replace(other, status="ACTIVE", updated_at_ms=now_ms)
        if other.status == "PRIMARY" and other.id != primary.id
        else other
        for other in service.task_sets
    )
    updated = _with_task_set(
        replace(
            service,
            task_sets=task_sets,
            task_definition_arn=primary.task_definition_arn,
            launch_type=primary.launch_type,
            capacity_provider_strategy=primary.capacity_provider_strategy,
            platform_version=primary.platform_version,
        ),
        primary,
    )
    rendered = render_task_set(view, updated, primary)
    return Decision(
        reply=ecs.UpdateServicePrimaryTaskSetResponse(task_set=rendered), changes=(Put(updated),)
    )


def _find_external(
    view: View, identifier: str | None, cluster: str | None, context: CallContext
) -> Service:
    service = find_service(view, identifier, cluster, context)
    if service.status != "ACTIVE":
        raise ecs.ServiceNotActiveException("Service was not ACTIVE.")
    if service.deployment_controller != "EXTERNAL":
        raise ecs.InvalidParameterException(
            "Task sets are for services with the EXTERNAL deployment controller; this one has "
            f"{service.deployment_controller}."
        )
    return service


def _task_set_in(service: Service, identifier: str | None) -> TaskSet | None:
    """Return the task set that an id (with or without `ecs-svc/`) or an ARN names."""
    for task_set in service.task_sets:
        if identifier in (task_set.arn, task_set.id, task_set.id.removeprefix("ecs-svc/")):
            return task_set
    return None


def _find_task_set(service: Service, identifier: str | None) -> TaskSet:
    found = _task_set_in(service, identifier)
    if found is None:
        raise ecs.TaskSetNotFoundException("The specified task set was not found.")
    return found


def _with_task_set(service: Service, changed: TaskSet) -> Service:
    return replace(
        service,
        task_sets=tuple(changed if s.id == changed.id else s for s in service.task_sets),
        is_steady=False,
    )


def _new_task_set(
    view: View, request: ecs.CreateTaskSetRequest, service: Service, context: CallContext
) -> TaskSet:
    if len(service.task_sets) >= TASK_SETS_PER_SERVICE:
        raise ecs.LimitExceededException(
            f"A service can have at most {TASK_SETS_PER_SERVICE} task sets. Delete one first."
        )
    for given, name in (
        (request.load_balancers, "loadBalancers"),
        (request.service_registries, "serviceRegistries"),
    ):
        if given:
            raise unsupported(f"{name} of a task set")
    cluster = find_cluster(view, context.scope, request.cluster)
    course = choose_course(view, cluster, request)
    external_id = request.external_id
    if external_id is not None and len(external_id) > EXTERNAL_ID_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"externalId can have at most {EXTERNAL_ID_LENGTH_CHARACTERS} characters."
        )
    definition = find_definition(view, context.scope, request.task_definition)
    check_launchable(definition, course.launch_type)
    check_network(definition, request.network_configuration, course.launch_type)
    check_placement(
        replace(
            service, launch_type=course.launch_type, capacity_provider_strategy=course.strategy
        )
    )
    task_set_id = make_deployment_id(next(context.moment.ids()))
    now_ms = context.moment.now_ms
    return TaskSet(
        id=task_set_id,
        arn=make_task_set_arn(
            scope_of(service.arn), cluster_name_of(service.cluster_arn), service.name, task_set_id
        ),
        task_definition_arn=definition.arn,
        launch_type=None if course.strategy else course.launch_type,
        capacity_provider_strategy=course.strategy,
        platform_version=course.platform_version,
        network_configuration=msgspec.json.encode(request.network_configuration),
        scale_percent=0.0 if request.scale is None else _check_scale(request.scale),
        external_id=external_id,
        stability_at_ms=now_ms,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


def _check_scale(scale: ecs.Scale) -> float:
    if scale.unit not in (None, "PERCENT"):
        raise ecs.InvalidParameterException("scale.unit should be one of [PERCENT]")
    value = 0.0 if scale.value is None else scale.value
    if not 0 <= value <= PERCENT_MAX:
        raise ecs.InvalidParameterException("scale.value must be between 0 and 100.")
    return float(value)


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "CreateTaskSet": create_task_set,
    "DescribeTaskSets": describe_task_sets,
    "UpdateTaskSet": update_task_set,
    "DeleteTaskSet": delete_task_set,
    "UpdateServicePrimaryTaskSet": update_service_primary_task_set,
}
