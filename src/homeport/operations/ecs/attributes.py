"""Attributes of container instances: their rules, PutAttributes, DeleteAttributes, ListAttributes.

Built-in attributes come with a registration (`registration`); what callers put are custom ones.
Reference: container-instances §3.
"""

import re
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.cluster import Cluster
from homeport.model.container_instance import INACTIVE, ContainerInstance
from homeport.operations.context import CallContext
from homeport.operations.lookup import container_instance_in, find_cluster
from homeport.operations.paging import make_token, page_size, read_token
from homeport.state.changes import Change, Put
from homeport.state.view import View

ATTRIBUTES_PER_CALL = 10
CUSTOM_ATTRIBUTES_PER_INSTANCE = 10
ATTRIBUTE_LENGTH_CHARACTERS = 128
BUILT_IN_PREFIXES = ("ecs.", "com.amazonaws.ecs.")
TARGET_TYPE = "container-instance"

_is_name = re.compile(r"[A-Za-z0-9_./\\-]{1,128}").fullmatch
_is_value = re.compile(r"(?! )[A-Za-z0-9_./\\@: -]{1,128}(?<! )").fullmatch
_CURSOR_SEPARATOR = "\n"  # neither in an ARN nor in an attribute's name


def is_built_in(name: str) -> bool:
    """Tell whether an attribute's name is ECS's own, so that no caller puts or deletes it."""
    return name.startswith(BUILT_IN_PREFIXES)


def check_attribute_name(name: str | None) -> str:
    """Return an attribute's name, or refuse it with InvalidParameterException."""
    if not name:
        raise ecs.InvalidParameterException("Attribute name should not be null or empty.")
    if _is_name(name) is None:
        raise ecs.InvalidParameterException(
            f"Invalid attribute name '{name[:ATTRIBUTE_LENGTH_CHARACTERS]}': use 1 to "
            f"{ATTRIBUTE_LENGTH_CHARACTERS} letters, digits, - _ / \\ and . only."
        )
    return name


def check_attribute_value(name: str, value: str | None) -> str | None:
    """Return an attribute's value, or refuse it; no value and an empty one are the same."""
    if not value:
        return None
    if _is_value(value) is None:
        raise ecs.InvalidParameterException(
            f"Invalid value of attribute '{name}': use 1 to {ATTRIBUTE_LENGTH_CHARACTERS} letters, "
            "digits, spaces and - _ . @ / \\ : only, without white space at either end."
        )
    return value


def count_custom(attributes: dict[str, str | None]) -> int:
    """Count the custom attributes among all of a container instance's."""
    return sum(not is_built_in(name) for name in attributes)


def put_attributes(view: View, request: ecs.PutAttributesRequest, context: CallContext) -> Decision:
    """Create custom attributes or replace their values, all or none of them."""
    cluster = find_cluster(view, context.scope, request.cluster)
    given = _check_call(request.attributes)
    wanted: dict[str, ContainerInstance] = {}
    reply = []
    for attribute in given:
        name = _check_custom_name(attribute)
        value = check_attribute_value(name, attribute.value)
        target = _find_target(view, cluster, attribute, context)
        target = wanted.get(target.arn, target)
        changed = replace(target, attributes={**target.attributes, name: value})
        if count_custom(changed.attributes) > CUSTOM_ATTRIBUTES_PER_INSTANCE:
            raise ecs.AttributeLimitExceededException(
                f"A container instance can have at most {CUSTOM_ATTRIBUTES_PER_INSTANCE} custom "
                "attributes. Delete one with DeleteAttributes first."
            )
        wanted[target.arn] = changed
        reply.append(ecs.Attribute(name=name, value=value, target_id=target.arn))
    return Decision(
        reply=ecs.PutAttributesResponse(attributes=reply), changes=_changes(view, wanted)
    )


def delete_attributes(
    view: View, request: ecs.DeleteAttributesRequest, context: CallContext
) -> Decision:
    """Delete custom attributes by name; where a value is given, only if it is that value.

    The reply names those that were there.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    given = _check_call(request.attributes)
    wanted: dict[str, ContainerInstance] = {}
    reply = []
    for attribute in given:
        name = _check_custom_name(attribute)
        target = _find_target(view, cluster, attribute, context)
        target = wanted.get(target.arn, target)
        if name not in target.attributes:
            continue
        value = target.attributes[name]
        if attribute.value and attribute.value != value:
            continue
        left = {key: kept for key, kept in target.attributes.items() if key != name}
        wanted[target.arn] = replace(target, attributes=left)
        reply.append(ecs.Attribute(name=name, value=value, target_id=target.arn))
    return Decision(
        reply=ecs.DeleteAttributesResponse(attributes=reply), changes=_changes(view, wanted)
    )


def list_attributes(
    view: View, request: ecs.ListAttributesRequest, context: CallContext
) -> Decision:
    """List the attributes of a cluster's container instances, built-in ones too.

    Sorted by container instance and name; filtered by name, or by name and value.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    size = page_size(request.max_results)
    cursor = read_token(request.next_token)
    found: list[ecs.Attribute] = []
    token = None
    for instance, name, value in _attributes_after(view, cluster, cursor):
        if request.attribute_name is not None and name != request.attribute_name:
            continue
        if request.attribute_value is not None and (value or "") != request.attribute_value:
            continue
        if len(found) == size:
            last = found[-1]
            token = make_token(f"{last.target_id}{_CURSOR_SEPARATOR}{last.name}")
            break
        found.append(ecs.Attribute(name=name, value=value, target_id=instance.arn))
    return Decision(reply=ecs.ListAttributesResponse(attributes=found, next_token=token))


def _attributes_after(
    view: View, cluster: Cluster, cursor: str | None
) -> Iterator[tuple[ContainerInstance, str, str | None]]:
    arn, _, after_name = (cursor or "").partition(_CURSOR_SEPARATOR)
    begun = view.container_instance(arn) if arn else None
    if begun is not None and begun.cluster_arn == cluster.arn and begun.status != INACTIVE:
        for name, value in sorted(begun.attributes.items()):
            if name > after_name:
                yield begun, name, value
    for instance in view.container_instances_after(cluster.arn, arn or None):
        for name, value in sorted(instance.attributes.items()):
            yield instance, name, value


def _check_call(attributes: list[ecs.Attribute] | None) -> list[ecs.Attribute]:
    if not attributes:
        raise ecs.InvalidParameterException("Attributes cannot be empty.")
    if len(attributes) > ATTRIBUTES_PER_CALL:
        raise ecs.InvalidParameterException(
            f"A call can name at most {ATTRIBUTES_PER_CALL} attributes, this one has "
            f"{len(attributes)}."
        )
    return attributes


def _check_custom_name(attribute: ecs.Attribute) -> str:
    name = check_attribute_name(attribute.name)
    if is_built_in(name):
        raise ecs.InvalidParameterException(
            f"Attribute '{name}' is built in and can't be altered. "
            f"Names that begin with {' or '.join(BUILT_IN_PREFIXES)} are reserved."
        )
    return name


def _find_target(
    view: View, cluster: Cluster, attribute: ecs.Attribute, context: CallContext
) -> ContainerInstance:
    target_id = attribute.target_id
    if not target_id:
        raise ecs.InvalidParameterException("Target ID cannot be empty.")
    if attribute.target_type is None and not target_id.startswith("arn:"):
        raise ecs.InvalidParameterException(
            "Target type must be specified when the target ID is in its short form."
        )
    instance = container_instance_in(view, context.scope, cluster, target_id)
    if instance is None or instance.status == INACTIVE:
        raise ecs.TargetNotFoundException(
            f"The specified target wasn't found: {target_id[:255]}. "
            "You can view your available container instances with ListContainerInstances."
        )
    return instance


def _changes(view: View, wanted: dict[str, ContainerInstance]) -> tuple[Change, ...]:
    return tuple(
        Put(replace(instance, version=instance.version + 1))
        for arn, instance in wanted.items()
        if instance != view.container_instance(arn)
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "PutAttributes": put_attributes,
    "DeleteAttributes": delete_attributes,
    "ListAttributes": list_attributes,
}
