"""Port mappings: from a payload to the Engine's bindings and back to ECS's network bindings. Pure.

A range of container ports gets a range of host ports, which the driver finds (`docker`). Not here:
the rest of a container's settings (`container_spec`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent.task_state import Binding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeport.wire.agent_messages import payload

DYNAMIC_PORT_FIRST: Final = 49153
DYNAMIC_PORT_LAST: Final = 65535
"""Where host port ranges are looked for; single dynamic ports are the Engine's own choice.
docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html"""

ANY_ADDRESS: Final = "0.0.0.0"
HOST_MODE: Final = "host"


class RangeWanted(msgspec.Struct, frozen=True):
    """A containerPortRange that needs as many host ports in a row."""

    container_port_range: str
    protocol: str
    size: int


HostRanges = dict[RangeWanted, int]
"""The first host port found for each range."""


def list_ranges(container: payload.Container) -> tuple[RangeWanted, ...]:
    """All container port ranges for which host ports must be found."""
    wanted = []
    for mapping in container.port_mappings:
        if mapping.container_port_range:
            first, last = parse_range(mapping.container_port_range)
            wanted.append(
                RangeWanted(mapping.container_port_range, _protocol(mapping), last - first + 1)
            )
    return tuple(wanted)


def parse_range(text: str) -> tuple[int, int]:
    """Read "8000-8010"; raises ValueError for anything else."""
    first, _, last = text.partition("-")
    ports = int(first), int(last or first)
    if not 1 <= ports[0] <= ports[1] <= DYNAMIC_PORT_LAST:
        raise ValueError(f"containerPortRange {text!r} isn't a range of ports")
    return ports


def bind_ports(
    container: payload.Container, bind_address: str, host_ranges: HostRanges
) -> dict[str, list[dict[str, str]]]:
    """The Engine's PortBindings; host port 0 leaves the choice to the Engine."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for mapping in container.port_mappings:
        protocol = _protocol(mapping)
        if mapping.container_port_range:
            first, last = parse_range(mapping.container_port_range)
            wanted = RangeWanted(mapping.container_port_range, protocol, last - first + 1)
            pairs = [(first + n, host_ranges[wanted] + n) for n in range(wanted.size)]
        else:
            pairs = [(mapping.container_port or 0, mapping.host_port)]
        for container_port, host_port in pairs:
            binding = {"HostIp": bind_address, "HostPort": str(host_port) if host_port else ""}
            bindings.setdefault(f"{container_port}/{protocol}", []).append(binding)
    return bindings


def is_inspect_needed(container: payload.Container, network_mode: str) -> bool:
    """Whether the bound ports are known only to the Engine."""
    if network_mode in (HOST_MODE, "none", "awsvpc"):
        return False
    return any(m.host_port == 0 for m in container.port_mappings)


def list_bindings(
    container: payload.Container,
    network_mode: str,
    bind_address: str,
    engine_ports: Mapping[str, Any],
) -> tuple[Binding, ...]:
    """ECS's networkBindings of a running container.

    `engine_ports` is NetworkSettings.Ports of the inspected container. A port that isn't in there
    is bound as asked for; a dynamic one then has ended with its container and isn't listed.
    """
    if network_mode in ("none", "awsvpc"):  # a task of its own address binds nothing here
        return ()
    bindings = []
    for mapping in container.port_mappings:
        if mapping.container_port_range:
            bindings.append(_bind_range(mapping, network_mode, bind_address, engine_ports))
            continue
        protocol, port = _protocol(mapping), mapping.container_port or 0
        if network_mode == HOST_MODE:
            bindings.append(_binding(ANY_ADDRESS, protocol, port, port))
            continue
        for bound in engine_ports.get(f"{port}/{protocol}") or [{}]:
            host_port = int(bound.get("HostPort") or mapping.host_port)
            if host_port:
                bind_ip = bound.get("HostIp") or bind_address
                bindings.append(_binding(bind_ip, protocol, port, host_port))
    # Two mappings of one container port would each list both bindings.
    return tuple(dict.fromkeys(bindings))


def _bind_range(
    mapping: payload.PortMapping,
    network_mode: str,
    bind_address: str,
    engine_ports: Mapping[str, Any],
) -> Binding:
    protocol = _protocol(mapping)
    first, last = parse_range(mapping.container_port_range)
    bound = (engine_ports.get(f"{first}/{protocol}") or [{}])[0]
    is_host = network_mode == HOST_MODE
    host_first = first if is_host else int(bound.get("HostPort") or first)
    return Binding(
        bind_ip=ANY_ADDRESS if is_host else bound.get("HostIp") or bind_address,
        protocol=protocol,
        container_port_range=mapping.container_port_range,
        host_port_range=f"{host_first}-{host_first + last - first}",
    )


def _binding(bind_ip: str, protocol: str, container_port: int, host_port: int) -> Binding:
    return Binding(
        bind_ip=bind_ip, protocol=protocol, container_port=container_port, host_port=host_port
    )


def _protocol(mapping: payload.PortMapping) -> str:
    return mapping.protocol or "tcp"
