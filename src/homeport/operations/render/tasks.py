"""Tasks and containers as AWS describes them; which tasks a caller sees isn't decided here."""

from functools import lru_cache

import msgspec

from homeport.api import ecs
from homeport.api.shapes import Shape
from homeport.model.capacity_provider import FARGATE
from homeport.model.network_interface import attachment_id, interface_id, mac_address
from homeport.model.record import Tag
from homeport.model.task import Container, NetworkBinding, Task
from homeport.operations.ecs.tags import render_tags
from homeport.state.view import View

ATTRIBUTE_CPU_ARCHITECTURE = "ecs.cpu-architecture"
PLATFORM_FAMILY = "Linux"
ENCODED_TASKS = 2_048  # kept as JSON, one or two KiB each

_decode_overrides = msgspec.json.Decoder(ecs.TaskOverride).decode


class DescribedTasks(Shape, kw_only=True):
    """DescribeTasks' answer with tasks that are JSON already; on the wire it is AWS's shape."""

    tasks: list[msgspec.Raw]
    failures: list[ecs.Failure]


def render_task(view: View, task: Task, tags: tuple[Tag, ...] = ()) -> ecs.Task:
    """Render a task as RunTask and StopTask answer it (API:Task).

    Timestamps are epoch seconds, CPU units and MiB are strings.
    """
    return render_task_seen(task, *seen_on_instance(view, task), tags)


def encode_task(view: View, task: Task, tags: tuple[Tag, ...] = ()) -> msgspec.Raw:
    """Render a task to JSON for DescribeTasks, which clients call over and over while they wait.

    What was rendered last is kept: records are frozen, so that the same task is the same text.
    """
    return _encode(task, *seen_on_instance(view, task), tags)


@lru_cache(maxsize=ENCODED_TASKS)
def _encode(
    task: Task, connectivity: str | None, architecture: str | None, tags: tuple[Tag, ...]
) -> msgspec.Raw:
    shape = render_task_seen(task, connectivity, architecture, tags)
    return msgspec.Raw(msgspec.json.encode(shape))


def seen_on_instance(view: View, task: Task) -> tuple[str | None, str | None]:
    """Return the task's connectivity, and its CPU architecture, as its instance has them."""
    instance = view.container_instance(task.container_instance_arn or "")
    if instance is None:
        return task.connectivity, None
    connectivity = task.connectivity
    if not task.is_stopped:
        connectivity = "CONNECTED" if instance.agent_connected else "DISCONNECTED"
    return connectivity, instance.attributes.get(ATTRIBUTE_CPU_ARCHITECTURE)


def render_task_seen(
    task: Task, connectivity: str | None, architecture: str | None, tags: tuple[Tag, ...] = ()
) -> ecs.Task:
    """Render a task with what `seen_on_instance` said, now or earlier."""
    is_fargate = task.launch_type == FARGATE
    attributes = []
    if architecture is not None:
        attributes.append(ecs.Attribute(name=ATTRIBUTE_CPU_ARCHITECTURE, value=architecture))
    return ecs.Task(
        attachments=_render_interface(task),
        attributes=attributes,
        availability_zone=task.availability_zone,
        capacity_provider_name=task.capacity_provider,
        cluster_arn=task.cluster_arn,
        connectivity=connectivity,
        connectivity_at=_seconds(task.connectivity_at_ms),
        # Fargate's instances are nobody's business (capacity-and-scaling §6).
        container_instance_arn=None if is_fargate else task.container_instance_arn,
        containers=[_render_container(task, container) for container in task.containers],
        cpu=str(task.resources.cpu_units),
        created_at=_seconds(task.created_at_ms),
        desired_status=task.desired_status,
        enable_execute_command=task.enable_execute_command,
        execution_stopped_at=_seconds(task.execution_stopped_at_ms),
        group=task.group,
        health_status=task.health_status,
        last_status=task.last_status,
        launch_type=task.launch_type,
        memory=str(task.resources.memory_mib),
        overrides=_render_overrides(task),
        platform_family=PLATFORM_FAMILY if is_fargate else None,
        platform_version=task.platform_version,
        pull_started_at=_seconds(task.pull_started_at_ms),
        pull_stopped_at=_seconds(task.pull_stopped_at_ms),
        started_at=_seconds(task.started_at_ms),
        started_by=task.started_by,
        stop_code=task.stop_code,
        stopped_at=_seconds(task.stopped_at_ms),
        stopped_reason=task.stopped_reason,
        stopping_at=_seconds(task.stopping_at_ms),
        tags=render_tags(tags),
        task_arn=task.arn,
        task_definition_arn=task.task_definition_arn,
        version=task.version,
    )


def _render_container(task: Task, container: Container) -> ecs.Container:
    return ecs.Container(
        container_arn=container.arn,
        task_arn=task.arn,
        name=container.name,
        image=container.image,
        image_digest=container.image_digest,
        runtime_id=container.runtime_id,
        last_status=container.last_status,
        exit_code=container.exit_code,
        reason=container.reason,
        network_bindings=[_render_binding(binding) for binding in container.network_bindings],
        network_interfaces=_render_addresses(task),
        health_status=container.health_status,
        gpu_ids=list(container.gpu_ids) or None,
        cpu=container.cpu,
        memory=container.memory,
        memory_reservation=container.memory_reservation,
    )


def _render_interface(task: Task) -> list[ecs.Attachment]:
    """Render the network interface of a task that has one, as Fargate's have (§11)."""
    if task.private_ip is None:
        return []
    is_gone = task.is_stopped
    details = {
        "networkInterfaceId": interface_id(task),
        "macAddress": mac_address(task.private_ip),
        "privateIPv4Address": task.private_ip,
    }
    return [
        ecs.Attachment(
            id=attachment_id(task),
            type="ElasticNetworkInterface",
            status="DELETED" if is_gone else "ATTACHED",
            details=[ecs.KeyValuePair(name=name, value=value) for name, value in details.items()],
        )
    ]


def _render_addresses(task: Task) -> list[ecs.NetworkInterface]:
    if task.private_ip is None:
        return []
    return [
        ecs.NetworkInterface(
            attachment_id=attachment_id(task), private_ipv4_address=task.private_ip
        )
    ]


def _render_binding(binding: NetworkBinding) -> ecs.NetworkBinding:
    return ecs.NetworkBinding(
        bind_ip=binding.bind_ip,
        container_port=binding.container_port,
        host_port=binding.host_port,
        protocol=binding.protocol,
        container_port_range=binding.container_port_range,
        host_port_range=binding.host_port_range,
    )


def _render_overrides(task: Task) -> ecs.TaskOverride:
    """Echo what was overridden; every container is named even if nothing was (§8)."""
    if task.overrides:
        return _decode_overrides(task.overrides)
    return ecs.TaskOverride(
        container_overrides=[ecs.ContainerOverride(name=c.name) for c in task.containers],
        inference_accelerator_overrides=[],
    )


def _seconds(at_ms: int | None) -> float | None:
    return None if at_ms is None else at_ms / 1_000
