"""How task definitions are described: what was registered, field for field, plus AWS's defaults.

A revision is written as JSON once, when it is registered; replies carry those bytes on. Source:
API:ContainerDefinition, PortMapping, HealthCheck (defaults).
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.api.shapes import Shape
from homeport.model.task_definition import TaskDefinition
from homeport.operations.ecs.task_definition_rules_ports import SHARED_PORT_MODES

DEFAULT_PROTOCOL = "tcp"
HEALTH_CHECK_INTERVAL_S = 30
HEALTH_CHECK_TIMEOUT_S = 5
HEALTH_CHECK_RETRIES = 3

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ecs.TaskDefinition).decode


class TaskDefinitionReply(Shape, kw_only=True, rename={"task_definition": "taskDefinition"}):
    """The replies of RegisterTaskDefinition, Describe and Deregister, around ready JSON."""

    task_definition: msgspec.Raw
    tags: list[ecs.Tag] | None = None


class TaskDefinitionsReply(Shape, kw_only=True, rename={"task_definitions": "taskDefinitions"}):
    """The reply of DeleteTaskDefinitions, around ready JSON."""

    task_definitions: list[msgspec.Raw]
    failures: list[ecs.Failure]


def reply_with(definition: TaskDefinition, tags: list[ecs.Tag] | None) -> TaskDefinitionReply:
    """Make the reply that describes one revision; None leaves the tags out."""
    return TaskDefinitionReply(task_definition=msgspec.Raw(definition.document), tags=tags)


def write_document(shape: ecs.TaskDefinition) -> bytes:
    """Write a revision as JSON, as it is described."""
    return _encode(shape)


def read_document(definition: TaskDefinition) -> ecs.TaskDefinition:
    """Read a revision as it is described; not for hot paths, `document` is ready JSON."""
    return _decode(definition.document)


def describe_containers(
    containers: Sequence[ecs.ContainerDefinition], network_mode: str | None
) -> list[ecs.ContainerDefinition]:
    """Fill in what AWS fills in; what was given stays as it is."""
    return [_describe_container(container, network_mode) for container in containers]


def _describe_container(
    container: ecs.ContainerDefinition, network_mode: str | None
) -> ecs.ContainerDefinition:
    described = replace(
        container,
        cpu=container.cpu or 0,
        essential=container.essential is not False,
        port_mappings=[_describe_port(m, network_mode) for m in container.port_mappings or ()],
        environment=container.environment or [],
        mount_points=container.mount_points or [],
        volumes_from=container.volumes_from or [],
        system_controls=container.system_controls or [],
    )
    if container.health_check is not None:
        described.health_check = _describe_health_check(container.health_check)
    return described


def _describe_port(mapping: ecs.PortMapping, network_mode: str | None) -> ecs.PortMapping:
    """Fill in the protocol and the host port: 0 is one that the agent picks."""
    protocol = mapping.protocol or DEFAULT_PROTOCOL
    if mapping.container_port_range is not None:
        return replace(mapping, protocol=protocol)
    host_port = mapping.host_port or 0
    if network_mode in SHARED_PORT_MODES:
        host_port = mapping.container_port or 0
    return replace(mapping, protocol=protocol, host_port=host_port)


def _describe_health_check(check: ecs.HealthCheck) -> ecs.HealthCheck:
    return replace(
        check,
        interval=HEALTH_CHECK_INTERVAL_S if check.interval is None else check.interval,
        timeout=HEALTH_CHECK_TIMEOUT_S if check.timeout is None else check.timeout,
        retries=HEALTH_CHECK_RETRIES if check.retries is None else check.retries,
    )
