"""What RegisterTaskDefinition asks of port mappings, container by container and across the task.

Source: API:PortMapping; reference networking-and-lb §1, api-errors-and-limits §3.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from homeport.api import ecs

PORT_MAX = 65_535
PORT_RANGES_PER_CONTAINER = 100

# Containers share one set of ports, so that a mapping must not translate.
SHARED_PORT_MODES = frozenset({"awsvpc", "host"})

_is_port_name = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}").fullmatch
_parse_range = re.compile(r"([0-9]{1,5})-([0-9]{1,5})").fullmatch


def check_ports(containers: Sequence[ecs.ContainerDefinition], network_mode: str | None) -> None:
    """Refuse impossible port mappings, and two that hold the same port, with ClientException."""
    held: set[tuple[int, str]] = set()
    names: set[str] = set()
    for container in containers:
        if not container.port_mappings:
            continue
        if network_mode == "none":
            raise ecs.ClientException("Port mappings are not supported when networkMode=none.")
        ranges = 0
        for mapping in container.port_mappings:
            _check_mapping(mapping, container.name, network_mode)
            if mapping.container_port_range is not None:
                ranges += 1
            _hold_port(mapping, network_mode, held)
            _take_name(mapping, names)
        if ranges:
            _check_ranges(container, ranges)


def host_port_of(mapping: ecs.PortMapping, network_mode: str | None) -> int:
    """Return the host port that a mapping holds, 0 for one that the agent picks."""
    if network_mode in SHARED_PORT_MODES:
        return mapping.container_port or 0
    return mapping.host_port or 0


def parse_port_range(text: str) -> tuple[int, int] | None:
    """Return the first and last port of `first-last`, None when that isn't a range of ports."""
    match = _parse_range(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    return (first, last) if 1 <= first < last <= PORT_MAX else None


def _check_mapping(mapping: ecs.PortMapping, container: str | None, mode: str | None) -> None:
    port, host_port = mapping.container_port, mapping.host_port
    if mapping.container_port_range is not None:
        if port is not None or host_port is not None:
            raise ecs.ClientException("cannot specify both single port and port range")
        if mode == "host":
            raise ecs.ClientException("Port ranges are not supported when networkMode=host.")
        if parse_port_range(mapping.container_port_range) is None:
            raise ecs.ClientException(
                f"Invalid 'containerPortRange' setting for container '{container}'. Specify "
                f"first-last, rising, between 1 and {PORT_MAX}."
            )
        return
    if port is None or not 1 <= port <= PORT_MAX:
        raise ecs.ClientException(f"Invalid 'containerPort' setting for container '{container}'.")
    if host_port is not None and not 0 <= host_port <= PORT_MAX:
        raise ecs.ClientException(f"Invalid 'hostPort' setting for container '{container}'.")
    if host_port and host_port != port and mode in SHARED_PORT_MODES:
        raise ecs.ClientException(
            f"When networkMode={mode}, the host ports and container ports in port mappings must "
            "match."
        )


def _hold_port(mapping: ecs.PortMapping, mode: str | None, held: set[tuple[int, str]]) -> None:
    port = host_port_of(mapping, mode)
    if not port:
        return
    key = (port, mapping.protocol or "tcp")
    if key in held:
        raise ecs.ClientException(
            f"{key[1].upper()} host port '{port}' is mapped multiple times in task."
        )
    held.add(key)


def _take_name(mapping: ecs.PortMapping, names: set[str]) -> None:
    name = mapping.name
    if name is None:
        return
    if _is_port_name(name) is None:
        raise ecs.ClientException(
            "PortMapping.name contains invalid characters. Use up to 64 lower-case letters, "
            "digits, underscores and hyphens, and no hyphen in front."
        )
    if name in names:
        raise ecs.ClientException(
            f"Port mapping names must be unique within a Task Definition, '{name}' is not."
        )
    names.add(name)


def _check_ranges(container: ecs.ContainerDefinition, ranges: int) -> None:
    """Refuse too many ranges, and ports of a container that are in two mappings."""
    if ranges > PORT_RANGES_PER_CONTAINER:
        raise ecs.ClientException(
            f"Too many port ranges for container '{container.name}'. The limit is "
            f"{PORT_RANGES_PER_CONTAINER}."
        )
    spans = sorted(
        (mapping.protocol or "tcp", *_span(mapping)) for mapping in container.port_mappings or ()
    )
    for one, next_one in pairwise(spans):
        if one[0] == next_one[0] and next_one[1] <= one[2]:
            raise ecs.ClientException(
                f"Port ranges overlap for container '{container.name}': a port can only be "
                "included in one port mapping per container."
            )


def _span(mapping: ecs.PortMapping) -> tuple[int, int]:
    if mapping.container_port_range is not None:
        span = parse_port_range(mapping.container_port_range)
        assert span is not None
        return span
    port = mapping.container_port or 0
    return port, port
