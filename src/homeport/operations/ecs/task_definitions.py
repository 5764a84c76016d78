"""Task definitions: register, describe, list, deregister and delete revisions of families.

What a sound definition is, `task_definition_rules` knows; what it needs, `requirements`. Revisions
count up for ever, also over deleted ones (reference: api-errors-and-limits §6, §7).
"""

from collections.abc import Callable, Iterator
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.core.lifecycle.definition import forget_definition, is_referenced
from homeport.model.arn import Scope, make_task_definition_arn
from homeport.model.placement import PlacementConstraint
from homeport.model.task_definition import Family, TaskDefinition
from homeport.operations.context import CallContext
from homeport.operations.ecs.requirements import (
    list_container_specs,
    list_platform,
    list_required_attributes,
    sum_resources,
)
from homeport.operations.ecs.tags import check_tags, put_tags, render_tags
from homeport.operations.ecs.task_definition_rules import check_length, check_task_definition
from homeport.operations.ecs.task_definition_rules_fargate import list_compatibilities
from homeport.operations.ecs.task_definition_rules_sizes import TaskSize
from homeport.operations.lookup import task_definition_in
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.task_definitions import (
    TaskDefinitionsReply,
    describe_containers,
    read_document,
    reply_with,
    write_document,
)
from homeport.state.changes import Change, Put
from homeport.state.view import View, family_key

ACTIVE = "ACTIVE"
INACTIVE = "INACTIVE"
DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"

REVISIONS_PER_FAMILY = 1_000_000
DELETIONS_PER_CALL = 10
MS_PER_SECOND = 1_000

NOT_FOUND = "The specified task definition does not exist."
STILL_ACTIVE = (
    "The specified task definition is still in ACTIVE status. Please deregister the target and "
    "try again."
)


def register_task_definition(
    view: View, request: ecs.RegisterTaskDefinitionRequest, context: CallContext
) -> Decision:
    """Register the next revision of a family.

    Raises ClientException for what isn't sound. Source: API:RegisterTaskDefinition.
    """
    size = check_task_definition(request)
    tags = check_tags(request.tags)
    family = request.family or ""
    known = view.family(context.scope, family)
    revision = 1 if known is None else known.last_revision + 1
    if revision > REVISIONS_PER_FAMILY:
        raise ecs.ClientException(f"Family {family} has no revisions left.")
    definition = _make_definition(request, size, revision, context)
    counter = Family(key=family_key(context.scope, family), name=family, last_revision=revision)
    return Decision(
        reply=reply_with(definition, render_tags(tags) if tags else None),
        changes=(Put(definition), Put(counter), *put_tags(definition.arn, tags)),
    )


def _make_definition(
    request: ecs.RegisterTaskDefinitionRequest, size: TaskSize, revision: int, context: CallContext
) -> TaskDefinition:
    family, mode = request.family or "", request.network_mode
    containers = request.container_definitions or []
    arn = make_task_definition_arn(context.scope, family, revision)
    now_ms = context.moment.now_ms
    cpu, memory = (None if quantity is None else str(quantity) for quantity in size)
    attributes = list_required_attributes(request)
    compatibilities = list_compatibilities(request, size)
    document = write_document(
        ecs.TaskDefinition(
            task_definition_arn=arn,
            container_definitions=describe_containers(containers, mode),
            family=family,
            task_role_arn=request.task_role_arn,
            execution_role_arn=request.execution_role_arn,
            network_mode=mode,
            revision=revision,
            volumes=request.volumes or [],
            status=ACTIVE,
            requires_attributes=[ecs.Attribute(name=name) for name in attributes],
            placement_constraints=request.placement_constraints or [],
            compatibilities=list(compatibilities),
            runtime_platform=request.runtime_platform,
            requires_compatibilities=request.requires_compatibilities,
            cpu=cpu,
            memory=memory,
            inference_accelerators=request.inference_accelerators,
            pid_mode=request.pid_mode,
            ipc_mode=request.ipc_mode,
            proxy_configuration=request.proxy_configuration,
            registered_at=now_ms / MS_PER_SECOND,
            registered_by=context.principal_arn,
            ephemeral_storage=request.ephemeral_storage,
            enable_fault_injection=request.enable_fault_injection,
            trusted_execution_configuration=request.trusted_execution_configuration,
        )
    )
    check_length(document)
    return TaskDefinition(
        arn=arn,
        family=family,
        revision=revision,
        document=document,
        containers=list_container_specs(containers),
        resources=sum_resources(containers, size, mode),
        network_mode=mode,
        cpu=cpu,
        memory=memory,
        requires_attributes=attributes,
        platform=list_platform(request.runtime_platform),
        compatibilities=compatibilities,
        placement_constraints=tuple(
            PlacementConstraint(constraint.type or "", constraint.expression)
            for constraint in request.placement_constraints or ()
        ),
        registered_at_ms=now_ms,
    )


def describe_task_definition(
    view: View, request: ecs.DescribeTaskDefinitionRequest, context: CallContext
) -> Decision:
    """Describe a revision: `family` (the latest ACTIVE one), `family:revision` or an ARN.

    Raises ClientException for an unknown one. Tags come with `include` TAGS.
    """
    definition = task_definition_in(view, context.scope, request.task_definition or "")
    if definition is None:
        raise ecs.ClientException("Unable to describe task definition.")
    wants_tags = "TAGS" in (request.include or ())
    tags = render_tags(view.tags(definition.arn)) if wants_tags else []
    return Decision(reply=reply_with(definition, tags))


def list_task_definitions(
    view: View, request: ecs.ListTaskDefinitionsRequest, context: CallContext
) -> Decision:
    """List the ARNs of revisions by family and revision, or backwards with `sort` DESC.

    `familyPrefix` is a whole family's name; `status` is ACTIVE when not given.
    """
    size = page_size(request.max_results)
    status, descending = request.status or ACTIVE, request.sort == "DESC"
    cursor = _read_cursor(read_token(request.next_token))
    found: Iterator[TaskDefinition]
    if request.family_prefix:
        family, revision = request.family_prefix, None if cursor is None else cursor[1]
        found = view.revisions(context.scope, family, status, revision, descending=descending)
    else:
        found = view.task_definitions(context.scope, status, cursor, descending=descending)
    page, token = take_page(found, size, lambda d: f"{d.family}:{d.revision}")
    return Decision(
        reply=ecs.ListTaskDefinitionsResponse(
            task_definition_arns=[definition.arn for definition in page], next_token=token
        )
    )


def list_task_definition_families(
    view: View, request: ecs.ListTaskDefinitionFamiliesRequest, context: CallContext
) -> Decision:
    """List the names of families that begin with `familyPrefix`.

    ACTIVE are those with an ACTIVE revision, INACTIVE those with INACTIVE ones only; without
    `status` both are listed. A family whose revisions were all deleted isn't.
    """
    size = page_size(request.max_results)
    prefix = request.family_prefix or ""
    cursor = read_token(request.next_token)
    families = view.families(context.scope, cursor, prefix)
    names = (f.name for f in takewhile(lambda f: f.name.startswith(prefix), families))
    is_listed = _family_filter(view, context.scope, request.status or "ALL")
    page, token = take_page(filter(is_listed, names), size, lambda name: name)
    return Decision(reply=ecs.ListTaskDefinitionFamiliesResponse(families=page, next_token=token))


def deregister_task_definition(
    view: View, request: ecs.DeregisterTaskDefinitionRequest, context: CallContext
) -> Decision:
    """Make a revision INACTIVE: what runs on it goes on, nothing new may start on it."""
    definition = _find_revision(view, context.scope, request.task_definition or "")
    if definition is None:
        raise ecs.ClientException(NOT_FOUND)
    if definition.status != ACTIVE:
        return Decision(reply=reply_with(definition, None))
    now_ms = context.moment.now_ms
    shape = replace(
        read_document(definition), status=INACTIVE, deregistered_at=now_ms / MS_PER_SECOND
    )
    inactive = replace(
        definition,
        status=INACTIVE,
        deregistered_at_ms=now_ms,
        document=write_document(shape),
    )
    return Decision(reply=reply_with(inactive, None), changes=(Put(inactive),))


def delete_task_definitions(
    view: View, request: ecs.DeleteTaskDefinitionsRequest, context: CallContext
) -> Decision:
    """Delete up to 10 INACTIVE revisions; those that tasks or services refer to stay until then.

    The answer shows them in DELETE_IN_PROGRESS; each other one comes back in `failures`.
    """
    identifiers = list(dict.fromkeys(request.task_definitions or ()))
    if not 1 <= len(identifiers) <= DELETIONS_PER_CALL:
        raise ecs.InvalidParameterException(
            f"Specify 1 to {DELETIONS_PER_CALL} task definitions to delete."
        )
    described: list[msgspec.Raw] = []
    failures: list[ecs.Failure] = []
    changes: list[Change] = []
    for identifier in identifiers:
        definition = _find_revision(view, context.scope, identifier)
        if definition is None or definition.status == ACTIVE:
            arn = _arn_from(context.scope, identifier)
            reason = NOT_FOUND if definition is None else STILL_ACTIVE
            failures.append(ecs.Failure(arn=arn, reason=reason))
            continue
        deleting = _mark_deleted(definition, context.moment.now_ms)
        described.append(msgspec.Raw(deleting.document))
        changes.extend(_delete_or_keep(view, deleting))
    return Decision(
        reply=TaskDefinitionsReply(task_definitions=described, failures=failures),
        changes=tuple(changes),
    )


def _mark_deleted(definition: TaskDefinition, now_ms: int) -> TaskDefinition:
    if definition.status == DELETE_IN_PROGRESS:
        return definition
    shape = replace(
        read_document(definition),
        status=DELETE_IN_PROGRESS,
        delete_requested_at=now_ms / MS_PER_SECOND,
    )
    return replace(definition, status=DELETE_IN_PROGRESS, document=write_document(shape))


def _delete_or_keep(view: View, deleting: TaskDefinition) -> tuple[Change, ...]:
    if is_referenced(view, deleting.arn):
        return (Put(deleting),)
    return forget_definition(view, deleting.arn)


def _find_revision(view: View, scope: Scope, identifier: str) -> TaskDefinition | None:
    """Find the revision of an identifier that must state one."""
    if ":" not in identifier.rsplit("/", 1)[-1]:
        raise ecs.ClientException(
            f"Missing revision in '{identifier}'. Specify family:revision or the full ARN."
        )
    return task_definition_in(view, scope, identifier)


def _arn_from(scope: Scope, identifier: str) -> str:
    if identifier.startswith("arn:"):
        return identifier
    return f"arn:aws:ecs:{scope.region}:{scope.account_id}:task-definition/{identifier}"


def _read_cursor(cursor: str | None) -> tuple[str, int] | None:
    if cursor is None:
        return None
    family, _, revision = cursor.rpartition(":")
    if not (revision.isascii() and revision.isdigit()):
        raise ecs.InvalidParameterException(
            "Invalid token. Pass the nextToken of the previous answer as it is."
        )
    return family, int(revision)


def _family_filter(view: View, scope: Scope, status: str) -> Callable[[str], bool]:
    def is_active(name: str) -> bool:
        return view.has_revisions(scope, name, ACTIVE)

    def is_inactive(name: str) -> bool:
        return view.has_revisions(scope, name, INACTIVE) and not is_active(name)

    if status == ACTIVE:
        return is_active
    if status == INACTIVE:
        return is_inactive
    return lambda name: is_active(name) or view.has_revisions(scope, name, INACTIVE)


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "RegisterTaskDefinition": register_task_definition,
    "DescribeTaskDefinition": describe_task_definition,
    "ListTaskDefinitions": list_task_definitions,
    "ListTaskDefinitionFamilies": list_task_definition_families,
    "DeregisterTaskDefinition": deregister_task_definition,
    "DeleteTaskDefinitions": delete_task_definitions,
}
