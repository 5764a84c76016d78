"""Container instances and their attributes as AWS describes them."""

from collections.abc import Iterable

import msgspec

from homeport.api import ecs
from homeport.core.capacity.handout import free_gpu_ids
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER
from homeport.model.container_instance import ContainerInstance
from homeport.model.record import Tag
from homeport.model.resources import HostPort
from homeport.operations.ecs.tags import render_tags
from homeport.state.view import View

INTEGER = "INTEGER"
STRING_SET = "STRINGSET"
HEALTH_WORST_FIRST = ("IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING", "OK")


class SeenInstance(msgspec.Struct, frozen=True, gc=False):
    """A container instance, and what its tasks hold of it at one moment."""

    instance: ContainerInstance
    version: int
    cpu_units: int
    memory_mib: int
    free_gpu_ids: tuple[str, ...]
    ports: tuple[HostPort, ...]
    running: int
    pending: int


def see_instance(view: View, instance: ContainerInstance) -> SeenInstance:
    """Note a container instance as it is now, cheaply; it is described later, or never."""
    load = view.instance_load(instance.arn)
    return SeenInstance(
        instance=instance,
        version=view.instance_version(instance),
        cpu_units=load.cpu_units,
        memory_mib=load.memory_mib,
        free_gpu_ids=free_gpu_ids(view, instance) if instance.resources.gpu_ids else (),
        ports=tuple(load.ports),
        running=load.running,
        pending=load.pending,
    )


def render_container_instance(
    view: View,
    instance: ContainerInstance,
    tags: tuple[Tag, ...] = (),
    *,
    with_health: bool = False,
) -> ecs.ContainerInstance:
    """Render a container instance as it is now."""
    return render_instance_seen(see_instance(view, instance), tags, with_health=with_health)


def render_instance_seen(
    seen: SeenInstance, tags: tuple[Tag, ...] = (), *, with_health: bool = False
) -> ecs.ContainerInstance:
    """Render a container instance with what it registered and what its tasks leave of that.

    CPU units and MiB; PORTS of the remaining resources are the used ones, as in AWS (reference:
    container-instances §2).
    """
    instance = seen.instance
    is_active = instance.status != "INACTIVE"
    return ecs.ContainerInstance(
        container_instance_arn=instance.arn,
        ec2_instance_id=instance.ec2_instance_id,
        capacity_provider_name=instance.attributes.get(ATTRIBUTE_CAPACITY_PROVIDER),
        version=seen.version,
        version_info=ecs.VersionInfo(
            agent_version=instance.agent_version,
            agent_hash=instance.agent_hash,
            docker_version=_docker_version(instance),
        ),
        remaining_resources=_remaining_resources(seen) if is_active else [],
        registered_resources=_registered_resources(instance) if is_active else [],
        status=instance.status,
        status_reason=instance.status_reason,
        agent_connected=instance.agent_connected,
        running_tasks_count=seen.running if is_active else 0,
        pending_tasks_count=seen.pending if is_active else 0,
        attributes=[
            ecs.Attribute(name=name, value=value) for name, value in instance.attributes.items()
        ],
        registered_at=instance.registered_at_ms / 1_000,
        attachments=[],
        tags=render_tags(tags),
        health_status=_render_health(instance) if with_health else None,
    )


def _docker_version(instance: ContainerInstance) -> str | None:
    """Give the version the form of DescribeContainerInstances: `DockerVersion: 20.10.24`."""
    version = instance.docker_version
    if version is None or version.startswith("DockerVersion:"):
        return version
    return f"DockerVersion: {version}"


def _registered_resources(instance: ContainerInstance) -> list[ecs.Resource]:
    own = instance.resources
    return _resources(
        cpu_units=own.cpu_units,
        memory_mib=own.memory_mib,
        tcp_ports=own.reserved_tcp_ports,
        udp_ports=own.reserved_udp_ports,
        gpu_ids=own.gpu_ids,
    )


def _remaining_resources(seen: SeenInstance) -> list[ecs.Resource]:
    own = seen.instance.resources
    used = sorted(seen.ports)
    return _resources(
        cpu_units=own.cpu_units - seen.cpu_units,
        memory_mib=own.memory_mib - seen.memory_mib,
        tcp_ports=[*own.reserved_tcp_ports, *(p.port for p in used if p.protocol == "tcp")],
        udp_ports=[*own.reserved_udp_ports, *(p.port for p in used if p.protocol == "udp")],
        gpu_ids=seen.free_gpu_ids,
    )


def _resources(
    *,
    cpu_units: int,
    memory_mib: int,
    tcp_ports: Iterable[int],
    udp_ports: Iterable[int],
    gpu_ids: tuple[str, ...],
) -> list[ecs.Resource]:
    resources = [
        _integer("CPU", cpu_units),
        _integer("MEMORY", memory_mib),
        _strings("PORTS", [str(port) for port in tcp_ports]),
        _strings("PORTS_UDP", [str(port) for port in udp_ports]),
    ]
    if gpu_ids:
        resources.append(_strings("GPU", list(gpu_ids)))
    return resources


def _integer(name: str, value: int) -> ecs.Resource:
    return ecs.Resource(
        name=name, type=INTEGER, double_value=0.0, long_value=0, integer_value=value
    )


def _strings(name: str, values: list[str]) -> ecs.Resource:
    return ecs.Resource(
        name=name,
        type=STRING_SET,
        double_value=0.0,
        long_value=0,
        integer_value=0,
        string_set_value=values,
    )


def _render_health(instance: ContainerInstance) -> ecs.ContainerInstanceHealthStatus:
    """Show whether the agent is there, and its container runtime's health as it last said (§10).

    The whole is as bad as the worst part.
    """
    runtime = instance.runtime_status or "INSUFFICIENT_DATA"
    details = []
    if instance.runtime_status_changed_at_ms is not None:
        details.append(
            _check(
                "CONTAINER_RUNTIME",
                runtime,
                changed_at_ms=instance.runtime_status_changed_at_ms,
                updated_at_ms=instance.runtime_status_reported_at_ms,
            )
        )
    agent = "OK" if instance.agent_connected else "IMPAIRED"
    changed_at_ms = (
        instance.connected_at_ms if instance.agent_connected else instance.disconnected_at_ms
    )
    if changed_at_ms is not None:
        details.append(_check("AGENT_CONNECTIVITY", agent, changed_at_ms=changed_at_ms))
    return ecs.ContainerInstanceHealthStatus(
        overall_status=min([runtime, *(each.status or "" for each in details)], key=_how_bad),
        details=details,
    )


def _check(
    check_type: str, status: str, *, changed_at_ms: int, updated_at_ms: int | None = None
) -> ecs.InstanceHealthCheckResult:
    return ecs.InstanceHealthCheckResult(
        type=check_type,
        status=status,
        last_updated=(updated_at_ms or changed_at_ms) / 1_000,
        last_status_change=changed_at_ms / 1_000,
    )


def _how_bad(status: str) -> int:
    return HEALTH_WORST_FIRST.index(status)
