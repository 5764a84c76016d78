"""A container's `dockerConfig`: what travels to the agent as JSON text in Docker's own shapes.

Members that the agent protocol has words for (image, ports, environment ...) are `containers`'
work. Docker's shapes: https://docs.docker.com/reference/api/engine/ (container create).
"""

from typing import Any

import msgspec

from homeport.api import ecs
from homeport.wire.agent_messages import payload

MIB = 1024 * 1024
NANOSECONDS = 1_000_000_000

# The oldest Engine API that knows what we send; `Init` came one later.
API_VERSION = "1.24"
API_VERSION_WITH_INIT = "1.25"

# A network interface of its own needs no Docker network; the agent sets the mode itself.
AGENT_NETWORK_MODES = frozenset({"awsvpc"})
DEFAULT_NETWORK_MODE = "bridge"

_PERMISSION_LETTERS = {"read": "r", "write": "w", "mknod": "m"}


def render_docker_config(
    container: ecs.ContainerDefinition,
    *,
    network_mode: str | None,
    memory_mib: int | None,
    memory_reservation_mib: int | None,
) -> payload.DockerConfig:
    """Write what Docker shall know of a container; the memory figures include overrides."""
    linux = container.linux_parameters or ecs.LinuxParameters()
    host_config = {
        **_host_config(container, network_mode),
        **_linux_config(linux, memory_mib),
    }
    if memory_reservation_mib is not None:
        host_config["MemoryReservation"] = memory_reservation_mib * MIB
    return payload.DockerConfig(
        version=API_VERSION if linux.init_process_enabled is None else API_VERSION_WITH_INIT,
        config=_text(_config(container)),
        host_config=_text(host_config),
    )


def _text(settings: dict[str, Any]) -> str:
    return msgspec.json.encode(settings).decode()


def _present(settings: dict[str, Any]) -> dict[str, Any]:
    """Drop what wasn't given: Docker's default is then meant."""
    return {name: value for name, value in settings.items() if value is not None}


def _config(container: ecs.ContainerDefinition) -> dict[str, Any]:
    return _present(
        {
            "User": container.user,
            "WorkingDir": container.working_directory,
            "Hostname": container.hostname,
            "Tty": container.pseudo_terminal,
            "OpenStdin": container.interactive,
            "NetworkDisabled": container.disable_networking,
            "Labels": container.docker_labels or None,
            "Healthcheck": _health_check(container.health_check),
        }
    )


def _health_check(check: ecs.HealthCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return _present(
        {
            "Test": check.command,
            "Interval": _nanoseconds(check.interval),
            "Timeout": _nanoseconds(check.timeout),
            "Retries": check.retries,
            "StartPeriod": _nanoseconds(check.start_period),
        }
    )


def _nanoseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * NANOSECONDS


def _host_config(container: ecs.ContainerDefinition, network_mode: str | None) -> dict[str, Any]:
    mode = network_mode or DEFAULT_NETWORK_MODE
    return _present(
        {
            "NetworkMode": None if mode in AGENT_NETWORK_MODES else mode,
            "Privileged": container.privileged,
            "ReadonlyRootfs": container.readonly_root_filesystem,
            "Dns": container.dns_servers or None,
            "DnsSearch": container.dns_search_domains or None,
            "ExtraHosts": [f"{h.hostname}:{h.ip_address}" for h in container.extra_hosts or ()]
            or None,
            "SecurityOpt": container.docker_security_options or None,
            "LogConfig": _log_config(container.log_configuration),
            "Ulimits": [
                {"Name": u.name, "Soft": u.soft_limit, "Hard": u.hard_limit}
                for u in container.ulimits or ()
            ]
            or None,
            "Sysctls": {str(c.namespace): c.value for c in container.system_controls or ()} or None,
        }
    )


def _log_config(log: ecs.LogConfiguration | None) -> dict[str, Any] | None:
    return None if log is None else {"Type": log.log_driver, "Config": log.options or {}}


def _linux_config(linux: ecs.LinuxParameters, memory_mib: int | None) -> dict[str, Any]:
    capabilities = linux.capabilities or ecs.KernelCapabilities()
    shared_mib = linux.shared_memory_size
    settings = {
        # Amazon's control plane always writes these two, empty or not.
        "CapAdd": capabilities.add or [],
        "CapDrop": capabilities.drop or [],
        "Init": linux.init_process_enabled,
        "ShmSize": shared_mib * MIB if shared_mib else None,
        "Tmpfs": {str(t.container_path): _tmpfs_options(t) for t in linux.tmpfs or ()} or None,
        "Devices": [_device(device) for device in linux.devices or ()] or None,
        "MemorySwappiness": linux.swappiness,
    }
    if linux.max_swap is not None and memory_mib is not None:
        # Docker's figure is memory and swap together.
        settings["MemorySwap"] = (memory_mib + linux.max_swap) * MIB
    return _present(settings)


def _tmpfs_options(tmpfs: ecs.Tmpfs) -> str:
    return ",".join([f"size={tmpfs.size}m", *(tmpfs.mount_options or ())])


def _device(device: ecs.Device) -> dict[str, Any]:
    letters = "".join(_PERMISSION_LETTERS.get(p, "") for p in device.permissions or ())
    return {
        "PathOnHost": device.host_path,
        "PathInContainer": device.container_path or device.host_path,
        "CgroupPermissions": letters or "rwm",
    }
