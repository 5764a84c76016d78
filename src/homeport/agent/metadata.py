"""Task metadata, versions 3 and 4: what containers and tasks look like to themselves. Pure.

Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html.
What the Engine knows comes in as its inspect answer. Not here: serving it (`task_endpoint`).
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent.task_network import PAUSE_NAME
from homeport.agent.task_state import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeport.agent.task_state import Binding, ContainerState, TaskState
    from homeport.wire.agent_messages import payload

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
HEALTH_OUTPUT_LIMIT_CHARACTERS: Final = 1_024

_KNOWN_STATUS: Final = {
    Phase.NONE: "NONE",
    Phase.PULLING: "NONE",
    Phase.PULLED: "PULLED",
    Phase.CREATING: "PULLED",
    Phase.CREATED: "CREATED",
    Phase.STARTING: "CREATED",
    Phase.RUNNING: "RUNNING",
    Phase.STOPPED: "STOPPED",
}
_STATUS_ORDER: Final = ("NONE", "PULLED", "CREATED", "RUNNING", "STOPPED")

Shown = dict[str, Any]
"""A container as the Engine's inspect call shows it; empty when there is none."""


class Version(enum.IntEnum):
    """The versions that are served."""

    V3 = 3
    V4 = 4


class InstanceNames(msgspec.Struct, frozen=True, kw_only=True):
    """What a task's metadata says of where it runs."""

    cluster: str
    availability_zone: str = ""


def render_task(
    state: TaskState, shown: Mapping[str, Shown], names: InstanceNames, version: Version
) -> dict[str, Any]:
    """A task with all its containers; `shown` has the Engine's view by container name."""
    task = state.task
    metadata = {
        "Cluster": names.cluster,
        "TaskARN": state.arn,
        "Family": task.family,
        "Revision": task.version,
        "DesiredStatus": state.wanted.value,
        "KnownStatus": known_status(state),
        "Limits": _task_limits(task),
        "PullStartedAt": _timestamp(state.pull_started_at_ms),
        "PullStoppedAt": _timestamp(state.pull_stopped_at_ms),
        "ExecutionStoppedAt": _timestamp(state.execution_stopped_at_ms),
        "AvailabilityZone": names.availability_zone or task.zone,
        "Containers": [
            render_container(state, container, shown.get(container.name, {}), version)
            for container in state.containers
        ],
    }
    if version is Version.V4:
        metadata["LaunchType"] = task.launch_type or "EC2"
        metadata["ServiceName"] = task.service_name
    return _given(metadata)


def render_container(
    state: TaskState, container: ContainerState, shown: Shown, version: Version
) -> dict[str, Any]:
    """One container of a task."""
    definition = state.definition(container.name)
    config, run = shown.get("Config") or {}, shown.get("State") or {}
    metadata = {
        "DockerId": container.runtime_id,
        "Name": container.name,
        "DockerName": str(shown.get("Name") or "").removeprefix("/"),
        "Image": definition.image,
        "ImageID": shown.get("Image"),
        "Ports": [_render_port(binding) for binding in container.bindings],
        "Labels": config.get("Labels"),
        "DesiredStatus": state.wanted.value,
        "KnownStatus": _KNOWN_STATUS[container.phase],
        "ExitCode": container.exit_code,
        "Limits": {"CPU": definition.cpu, "Memory": definition.memory},
        "CreatedAt": _engine_time(shown.get("Created")),
        "StartedAt": _engine_time(run.get("StartedAt")),
        "FinishedAt": _engine_time(run.get("FinishedAt")),
        "Type": "CNI_PAUSE" if container.name == PAUSE_NAME else "NORMAL",
        "Health": _render_health(definition, container, run),
        "Volumes": [_render_volume(mount) for mount in shown.get("Mounts") or []],
        "Networks": _render_networks(state.task, shown),
    }
    if version is Version.V4:
        log = (shown.get("HostConfig") or {}).get("LogConfig") or {}
        policy = definition.restart_policy
        metadata |= {
            "LogDriver": log.get("Type"),
            "LogOptions": log.get("Config"),
            "ContainerARN": definition.container_arn,
            "RestartCount": container.restart_count if policy and policy.enabled else None,
        }
    return _given(metadata)


def known_status(state: TaskState) -> str:
    """The least advanced container's; what has ended doesn't hold a task back that still runs."""
    statuses = [_KNOWN_STATUS[container.phase] for container in state.containers]
    return min(statuses, key=_STATUS_ORDER.index, default="NONE")


def _task_limits(task: payload.Task) -> dict[str, float] | None:
    limits: dict[str, float] = {}
    if task.cpu:
        limits["CPU"] = task.cpu
    if task.memory:
        limits["Memory"] = task.memory
    return limits or None


def _render_port(binding: Binding) -> dict[str, Any]:
    return _given(
        {
            "ContainerPort": binding.container_port,
            "ContainerPortRange": binding.container_port_range,
            "Protocol": binding.protocol,
            "HostPort": binding.host_port,
            "HostPortRange": binding.host_port_range,
            "HostIp": binding.bind_ip,
        }
    )


def _render_volume(mount: Mapping[str, Any]) -> dict[str, Any]:
    return _given(
        {
            "DockerName": mount.get("Name"),
            "Source": mount.get("Source"),
            "Destination": mount.get("Destination"),
        }
    )


def _render_networks(task: payload.Task, shown: Shown) -> list[dict[str, Any]]:
    networks = (shown.get("NetworkSettings") or {}).get("Networks") or {}
    return [
        {
            "NetworkMode": task.network_mode or name,
            "IPv4Addresses": [address] if (address := network.get("IPAddress")) else [],
        }
        for name, network in sorted(networks.items())
    ]


def _render_health(
    definition: payload.Container, container: ContainerState, run: Mapping[str, Any]
) -> dict[str, Any] | None:
    if not definition.health_check_type:
        return None
    log = (run.get("Health") or {}).get("Log") or []
    last = log[-1] if log else {}
    return _given(
        {
            "status": container.health,
            "statusSince": _timestamp(container.health_since_ms),
            "exitCode": last.get("ExitCode"),
            "output": str(last.get("Output") or "")[:HEALTH_OUTPUT_LIMIT_CHARACTERS],
        }
    )


def _engine_time(text: Any) -> str | None:
    return None if not text or text == ZERO_TIME else str(text)


def _timestamp(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _given(metadata: dict[str, Any]) -> dict[str, Any]:
    """Without what isn't known: AWS leaves such members out."""
    return {name: value for name, value in metadata.items() if value not in (None, "", [], {})}
