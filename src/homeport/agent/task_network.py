"""Namespaces that the containers of a task share: its network (awsvpc), processes, and IPC.

A pause container holds them, as with Amazon's agent: it starts first, stops last, and the others
join it. An address comes with the payload's network interface. Pure; not here: calling the Engine
(`docker_network`), the image that pauses (`pause_image`).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.wire.agent_messages import payload

if TYPE_CHECKING:
    from collections.abc import Callable

AWSVPC: Final = "awsvpc"
PAUSE_NAME: Final = "~internal~ecs~pause"
"""What Amazon's agent calls it; no container of a task definition can have a tilde."""

PAUSE_IMAGE: Final = "homeport/pause:2"
PAUSE_STOP_TIMEOUT_S: Final = 2
SHARED_MODE: Final = "task"
"""The pidMode and ipcMode by which a task's containers share a namespace."""

NETWORK_PREFIX: Final = "homeport-"

_SHARED: Final = ("Hostname", "Domainname", "ExposedPorts", "MacAddress")
"""Settings that belong to the namespace; Docker refuses them of a container that joins one."""


class TaskNetwork(msgspec.Struct, frozen=True):
    """The Docker network of a task, and the task's address there."""

    name: str
    subnet: str
    gateway: str
    address: str


def find_network(task: payload.Task) -> TaskNetwork | None:
    """The network of an awsvpc task's only interface; None if the payload doesn't say enough."""
    if task.network_mode != AWSVPC or len(task.elastic_network_interfaces) != 1:
        return None
    interface = task.elastic_network_interfaces[0]
    addresses = [a.private_address for a in interface.ipv4_addresses if a.primary]
    try:
        gateway = ipaddress.IPv4Interface(interface.subnet_gateway_ipv4_address)
        address = ipaddress.IPv4Address(addresses[0] if addresses else "")
    except ValueError:
        return None
    if gateway.network.prefixlen == 32 or address not in gateway.network:
        return None
    return TaskNetwork(
        name=NETWORK_PREFIX + str(gateway.network).replace("/", "-"),
        subnet=str(gateway.network),
        gateway=str(gateway.ip),
        address=str(address),
    )


def add_pause(task: payload.Task) -> payload.Task:
    """A task that shares namespaces with its pause container, which all others wait for."""
    is_sharing = find_network(task) is not None or SHARED_MODE in (task.pid_mode, task.ipc_mode)
    if not is_sharing or any(c.name == PAUSE_NAME for c in task.containers):
        return task
    pause = payload.Container(
        name=PAUSE_NAME,
        image=PAUSE_IMAGE,
        essential=True,
        stop_timeout=PAUSE_STOP_TIMEOUT_S,
        overrides="{}",
    )
    need = payload.ContainerDependency(container_name=PAUSE_NAME, condition="START")
    others = tuple(
        msgspec.structs.replace(container, depends_on=(*container.depends_on, need))
        for container in task.containers
    )
    return msgspec.structs.replace(task, containers=(pause, *others))


def fill_namespaces(
    config: dict[str, Any],
    host: dict[str, Any],
    task: payload.Task,
    container: payload.Container,
    *,
    name_of: Callable[[payload.Task, str], str],
) -> None:
    """Which processes and IPC objects a container shares: the host's, its task's, or none."""
    is_pause = container.name == PAUSE_NAME
    if is_pause:
        config["StopSignal"] = "SIGKILL"  # it has nothing to finish
    joined = f"container:{name_of(task, PAUSE_NAME)}"
    if task.pid_mode == "host":
        host["PidMode"] = "host"
    elif task.pid_mode == SHARED_MODE and not is_pause:
        host["PidMode"] = joined
    if task.ipc_mode in ("host", "none"):
        host["IpcMode"] = task.ipc_mode
    elif task.ipc_mode == SHARED_MODE:
        host["IpcMode"] = "shareable" if is_pause else joined


def fill_network(
    config: dict[str, Any],
    host: dict[str, Any],
    task: payload.Task,
    container: payload.Container,
    *,
    name_of: Callable[[payload.Task, str], str],
) -> None:
    """Give the pause container the task's address, and have the others join it."""
    network = find_network(task)
    if network is None:
        raise ValueError("networkMode awsvpc needs one network interface with its subnet")
    if container.name != PAUSE_NAME:
        host["NetworkMode"] = f"container:{name_of(task, PAUSE_NAME)}"
        for member in _SHARED:
            config.pop(member, None)
        return
    host["NetworkMode"] = network.name
    config["NetworkingConfig"] = {
        "EndpointsConfig": {network.name: {"IPAMConfig": {"IPv4Address": network.address}}}
    }
