"""RegisterContainerInstance and DeregisterContainerInstance: how instances come and go.

What agents send and expect: reference container-instances §1, §2, §6 and §7.
"""

import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.core.effects import DisconnectAgent
from homeport.core.lifecycle.instance import deregistered
from homeport.core.lifecycle.orphan import orphan_task
from homeport.model.arn import make_container_instance_arn, parse_arn, scope_of, short_id
from homeport.model.client_token import ClientToken
from homeport.model.cluster import Cluster
from homeport.model.container_instance import INACTIVE, ContainerInstance
from homeport.model.record import Tag
from homeport.model.resources import InstanceResources
from homeport.operations.context import CallContext
from homeport.operations.ecs.attributes import (
    CUSTOM_ATTRIBUTES_PER_INSTANCE,
    check_attribute_name,
    check_attribute_value,
    count_custom,
    is_built_in,
)
from homeport.operations.ecs.client_tokens import (
    check_token,
    find_token,
    fingerprint_of,
    keep_token,
    token_key,
)
from homeport.operations.ecs.identity_document import IdentityDocument, parse_identity_document
from homeport.operations.ecs.interface_slots import count_interface_slots
from homeport.operations.ecs.tags import check_tags, put_tags
from homeport.operations.lookup import container_instance_in, find_cluster
from homeport.operations.render.container_instances import render_container_instance
from homeport.state.changes import Change, Put
from homeport.state.view import View

CLIENT_TOKEN_LENGTH_CHARACTERS = 64
RESERVED_PORTS_PER_INSTANCE = 100
ATTRIBUTES_PER_REGISTRATION = 500
GPUS_PER_INSTANCE = 64
BUILT_IN_VALUE_LENGTH_CHARACTERS = 255
PORT_MAX = 65_535
ATTRIBUTE_INSTANCE_TYPE = "ecs.instance-type"

# An agent reports its whole set of these each time it registers; other attributes stay.
CAPABILITY_PREFIXES = ("ecs.capability.", "com.amazonaws.ecs.capability.")

_is_id = re.compile(r"[0-9a-f]{32}").fullmatch


def register_container_instance(
    view: View, request: ecs.RegisterContainerInstanceRequest, context: CallContext
) -> Decision:
    """Take a container instance into a cluster, or take back one that comes with its ARN.

    Every attribute that was sent comes back with its value, since agents insist. An instance that
    returns keeps its custom attributes and its ARN, and may not have changed its type or size.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    token = check_token(request.client_token, CLIENT_TOKEN_LENGTH_CHARACTERS)
    anonymous = replace(request, client_token=None)
    key = None if token is None else token_key("RegisterContainerInstance", cluster.arn, token)
    before = None if key is None else _registered_before(view, key, anonymous, context)
    if before is not None:
        return _registered(view, before, view.tags(before.arn))
    document = parse_identity_document(request.instance_identity_document)
    attributes = {**document.attributes(), **_check_attributes(request.attributes)}
    resources = _check_resources(request.total_resources, request.platform_devices)
    tags = check_tags(request.tags)
    known = _find_known(view, cluster, request.container_instance_arn)
    if known is None:
        instance = _new_instance(cluster, request, context)
    else:
        _refuse_other_type(known, attributes, resources)
        attributes = {**_kept_attributes(known), **attributes}
        tags = _merge_tags(view.tags(known.arn), tags)
        instance = replace(known, version=known.version + 1)
    _check_custom_count(attributes)
    type_name = attributes.get(ATTRIBUTE_INSTANCE_TYPE)
    resources = replace(resources, interface_slots=count_interface_slots(attributes, type_name))
    instance = _described(
        instance, request, document=document, attributes=attributes, resources=resources
    )
    tag_changes = put_tags(instance.arn, tags) if tags != view.tags(instance.arn) else ()
    used: tuple[Change, ...] = ()
    if key is not None:
        used = keep_token(view, _used_token(key, anonymous, instance, context))
    return _registered(view, instance, tags, Put(instance), *tag_changes, *used)


def _registered(
    view: View, instance: ContainerInstance, tags: tuple[Tag, ...], *changes: Change
) -> Decision:
    return Decision(
        reply=ecs.RegisterContainerInstanceResponse(
            container_instance=render_container_instance(view, instance, tags)
        ),
        changes=changes,
    )


def _registered_before(
    view: View, key: str, anonymous: ecs.RegisterContainerInstanceRequest, context: CallContext
) -> ContainerInstance | None:
    """Return what the token registered: an agent that missed the answer tries again with it.

    Not one that was deregistered since; it is gone for good (§1: clientToken, as agents send it).
    """
    known = find_token(view, key, anonymous, context)
    instance = None if known is None else view.container_instance(known.resource_arns[0])
    return None if instance is None or instance.status == INACTIVE else instance


def _used_token(
    key: str,
    anonymous: ecs.RegisterContainerInstanceRequest,
    instance: ContainerInstance,
    context: CallContext,
) -> ClientToken:
    kept_ms = context.settings.client_token_retention_s * 1_000
    return ClientToken(
        key=key,
        fingerprint=fingerprint_of(anonymous),
        resource_arns=(instance.arn,),
        expires_at_ms=context.moment.now_ms + kept_ms,
    )


def deregister_container_instance(
    view: View, request: ecs.DeregisterContainerInstanceRequest, context: CallContext
) -> Decision:
    """Take a container instance out of its cluster; with `force`, whatever still runs there.

    Its tasks are orphaned: they end in the records, and services replace them elsewhere. The
    instance is INACTIVE at once and stays describable for an hour (§5, §7).
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    if not request.container_instance:
        raise ecs.InvalidParameterException("Container instance cannot be empty.")
    identifier = request.container_instance
    instance = container_instance_in(view, context.scope, cluster, identifier)
    if instance is None:
        raise ecs.InvalidParameterException(
            f"The referenced container instance was not found: {identifier[:255]}"
        )
    changes: tuple[Change, ...] = ()
    effects: tuple[DisconnectAgent, ...] = ()
    if instance.status != INACTIVE:
        tasks = view.tasks_of_instance(instance.arn)
        if tasks and not request.force:
            raise ecs.InvalidParameterException("Found running tasks on the instance.")
        gone = deregistered(instance, context.moment)
        changes = (
            *(Put(orphan_task(task, context.moment)) for task in tasks.values()),
            Put(gone),
        )
        effects = (DisconnectAgent(instance.arn),)
        instance = gone
    reply = ecs.DeregisterContainerInstanceResponse(
        container_instance=render_container_instance(view, instance, view.tags(instance.arn))
    )
    return Decision(reply=reply, changes=changes, effects=effects)


def _find_known(view: View, cluster: Cluster, arn: str | None) -> ContainerInstance | None:
    """Return the instance that registers again, None for a new one, or refuse the ARN.

    An ARN of this cluster that isn't known is taken as it is: the agent has it from an earlier
    life of this control plane, and would not take another one.
    """
    if not arn:
        return None
    parsed = parse_arn(arn)
    if parsed is None or parsed.kind != "container-instance" or not _is_id(short_id(arn)):
        raise ecs.InvalidParameterException(
            f"Invalid identifier: {arn[:255]} is not a container instance's ARN."
        )
    if arn != make_container_instance_arn(scope_of(cluster.arn), cluster.name, short_id(arn)):
        raise ecs.InvalidParameterException(
            f"Invalid identifier: Identifier is for cluster {parsed.path[0]} in "
            f"{parsed.scope.region}. Your cluster is {cluster.name}"
        )
    known = view.container_instance(arn)
    if known is not None and known.status == INACTIVE:
        raise ecs.ClientException(
            f"Container instance {short_id(arn)} is INACTIVE: it was deregistered. Delete the "
            "agent's data directory and restart it to register as a new container instance."
        )
    return known


def _new_instance(
    cluster: Cluster, request: ecs.RegisterContainerInstanceRequest, context: CallContext
) -> ContainerInstance:
    arn = request.container_instance_arn or make_container_instance_arn(
        scope_of(cluster.arn), cluster.name, next(context.moment.ids())
    )
    return ContainerInstance(
        arn=arn, cluster_arn=cluster.arn, registered_at_ms=context.moment.now_ms
    )


def _described(
    instance: ContainerInstance,
    request: ecs.RegisterContainerInstanceRequest,
    *,
    document: IdentityDocument,
    attributes: dict[str, str | None],
    resources: InstanceResources,
) -> ContainerInstance:
    version = request.version_info or ecs.VersionInfo()
    return replace(
        instance,
        agent_version=version.agent_version or instance.agent_version,
        agent_hash=version.agent_hash or instance.agent_hash,
        docker_version=version.docker_version or instance.docker_version,
        ec2_instance_id=document.instance_id or instance.ec2_instance_id,
        instance_type=attributes.get(ATTRIBUTE_INSTANCE_TYPE) or instance.instance_type,
        attributes=attributes,
        resources=resources,
    )


def _refuse_other_type(
    known: ContainerInstance, attributes: dict[str, str | None], resources: InstanceResources
) -> None:
    """Refuse an instance that comes back with another type or size; agents give up on this text."""
    before = known.resources
    new_type = attributes.get(ATTRIBUTE_INSTANCE_TYPE) or known.instance_type
    same_size = (before.cpu_units, before.memory_mib) == (resources.cpu_units, resources.memory_mib)
    if new_type == known.instance_type and same_size:
        return
    size = f"{before.cpu_units} CPU units and {before.memory_mib} MiB"
    raise ecs.ClientException(
        "Container instance type changes are not supported. Container instance "
        f"{short_id(known.arn)} was previously registered as "
        f"{known.instance_type or 'an unnamed type'}{'' if same_size else f' with {size}'}."
    )


def _kept_attributes(known: ContainerInstance) -> dict[str, str | None]:
    return {
        name: value
        for name, value in known.attributes.items()
        if not name.startswith(CAPABILITY_PREFIXES)
    }


def _merge_tags(kept: tuple[Tag, ...], given: tuple[Tag, ...]) -> tuple[Tag, ...]:
    by_key = {tag.key: tag for tag in (*kept, *given)}
    return tuple(by_key.values())


def _check_attributes(attributes: Sequence[ecs.Attribute] | None) -> dict[str, str | None]:
    if attributes is None:
        return {}
    if len(attributes) > ATTRIBUTES_PER_REGISTRATION:
        raise ecs.InvalidParameterException(
            f"A container instance can register at most {ATTRIBUTES_PER_REGISTRATION} attributes, "
            f"this one has {len(attributes)}."
        )
    checked: dict[str, str | None] = {}
    for attribute in attributes:
        name = check_attribute_name(attribute.name)
        checked[name] = _check_value(name, attribute.value)
    return checked


def _check_value(name: str, value: str | None) -> str | None:
    if not is_built_in(name):
        return check_attribute_value(name, value)
    if value is not None and len(value) > BUILT_IN_VALUE_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"The value of attribute '{name}' is longer than "
            f"{BUILT_IN_VALUE_LENGTH_CHARACTERS} characters."
        )
    return value or None


def _check_custom_count(attributes: dict[str, str | None]) -> None:
    count = count_custom(attributes)
    if count > CUSTOM_ATTRIBUTES_PER_INSTANCE:
        raise ecs.InvalidParameterException(
            f"A container instance can have at most {CUSTOM_ATTRIBUTES_PER_INSTANCE} custom "
            f"attributes, this one would have {count}."
        )


def _check_resources(
    resources: Sequence[ecs.Resource] | None, devices: Sequence[ecs.PlatformDevice] | None
) -> InstanceResources:
    """Read what the instance offers; resources whose names ECS doesn't place by are left out."""
    by_name = {resource.name: resource for resource in resources or []}
    named = [device.id or "" for device in devices or [] if device.type == "GPU"]
    if len(named) > GPUS_PER_INSTANCE:
        raise ecs.InvalidParameterException(
            f"A container instance can register at most {GPUS_PER_INSTANCE} GPUs."
        )
    checked = InstanceResources(
        cpu_units=_quantity(by_name.get("CPU")),
        memory_mib=_quantity(by_name.get("MEMORY")),
        reserved_tcp_ports=_ports(by_name.get("PORTS")),
        reserved_udp_ports=_ports(by_name.get("PORTS_UDP")),
        gpu_ids=tuple(dict.fromkeys(named)),
    )
    reserved = len(checked.reserved_tcp_ports) + len(checked.reserved_udp_ports)
    if reserved > RESERVED_PORTS_PER_INSTANCE:
        raise ecs.InvalidParameterException(
            f"A container instance can reserve at most {RESERVED_PORTS_PER_INSTANCE} ports, "
            f"this one reserves {reserved}."
        )
    return checked


def _quantity(resource: ecs.Resource | None) -> int:
    if resource is None:
        return 0
    quantity = resource.integer_value or resource.long_value or 0
    if quantity < 0:
        raise ecs.InvalidParameterException(
            f"Resource {resource.name} must not be negative, it is {quantity}."
        )
    return quantity


def _ports(resource: ecs.Resource | None) -> tuple[int, ...]:
    if resource is None:
        return ()
    ports = {_port(text) for text in resource.string_set_value or []}
    return tuple(sorted(ports))


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= PORT_MAX:
        return int(text)
    raise ecs.InvalidParameterException(
        f"Reserved port '{text[:32]}' is not a number from 1 to {PORT_MAX}."
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "RegisterContainerInstance": register_container_instance,
    "DeregisterContainerInstance": deregister_container_instance,
}
