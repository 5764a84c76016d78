"""Quantities of compute: what a task needs, what a container instance has."""

import msgspec


class HostPort(msgspec.Struct, frozen=True, gc=False, array_like=True, order=True):
    """A port that a task holds on its container instance; TCP and UDP are separate pools."""

    port: int
    protocol: str = "tcp"


class TaskResources(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one task subtracts from its container instance (reference: container-instances §2)."""

    cpu_units: int = 0
    memory_mib: int = 0
    host_ports: tuple[HostPort, ...] = ()
    gpu_count: int = 0
    interface_count: int = 0  # network interfaces of its own (awsvpc)


class InstanceResources(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a container instance registered: totals, and the ports that it keeps for itself."""

    cpu_units: int = 0
    memory_mib: int = 0
    reserved_tcp_ports: tuple[int, ...] = ()
    reserved_udp_ports: tuple[int, ...] = ()
    gpu_ids: tuple[str, ...] = ()
    interface_slots: int = 0  # network interfaces that it can give to tasks
