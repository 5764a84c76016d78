"""How a task's state is told to the control plane: the Submit* requests. Pure.

`cluster` is left out: the sender knows it. Not here: when a report is due (`advance`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from homeport.agent.task_network import PAUSE_NAME
from homeport.agent.task_state import Binding, ContainerState, Phase, Status, TaskState
from homeport.api import ecs

REASON_LIMIT_CHARACTERS: Final = 1024
RUNTIME_ID_LIMIT_CHARACTERS: Final = 255
"""The ECS agent cuts reasons, runtime ids and digests to these lengths (ecs_client.go)."""


def render_task_change(
    state: TaskState, status: Status
) -> tuple[TaskState, ecs.SubmitTaskStateChangeRequest]:
    """Report a task's status with all container changes since the last report."""
    changes: list[ecs.ContainerStateChange] = []
    for container in state.containers:
        if container.name != PAUSE_NAME:
            changes += _list_changes(container)
    request = ecs.SubmitTaskStateChangeRequest(
        task=state.arn,
        status=status.value,
        reason=_cut(state.reason, REASON_LIMIT_CHARACTERS),
        containers=changes,
        pull_started_at=_seconds(state.pull_started_at_ms),
        pull_stopped_at=_seconds(state.pull_stopped_at_ms),
        execution_stopped_at=_seconds(state.execution_stopped_at_ms),
    )
    return _mark_reported(state, status), request


def render_container_change(
    state: TaskState, container: ContainerState
) -> tuple[TaskState, ecs.SubmitContainerStateChangeRequest]:
    """Report that one container of a running task has stopped."""
    change = _render_change(container, Status.STOPPED)
    request = ecs.SubmitContainerStateChangeRequest(
        task=state.arn,
        container_name=container.name,
        runtime_id=change.runtime_id,
        status=change.status,
        exit_code=change.exit_code,
        reason=change.reason,
        network_bindings=change.network_bindings,
    )
    told = msgspec.structs.replace(container, reported=Status.STOPPED)
    return state.with_container(told), request


def _list_changes(container: ContainerState) -> list[ecs.ContainerStateChange]:
    """A container that has already ended is told as RUNNING and STOPPED in one list."""
    changes = []
    if container.has_started and container.reported is Status.NONE:
        changes.append(_render_change(container, Status.RUNNING))
    if container.phase is Phase.STOPPED and container.reported is not Status.STOPPED:
        changes.append(_render_change(container, Status.STOPPED))
    return changes


def _render_change(container: ContainerState, status: Status) -> ecs.ContainerStateChange:
    has_stopped = status is Status.STOPPED
    return ecs.ContainerStateChange(
        container_name=container.name,
        runtime_id=_cut(container.runtime_id, RUNTIME_ID_LIMIT_CHARACTERS),
        image_digest=_cut(container.image_digest, RUNTIME_ID_LIMIT_CHARACTERS),
        status=status.value,
        exit_code=container.exit_code if has_stopped else None,
        reason=_cut(container.reason, REASON_LIMIT_CHARACTERS) if has_stopped else None,
        network_bindings=[_render_binding(b) for b in container.bindings] or None,
    )


def _render_binding(binding: Binding) -> ecs.NetworkBinding:
    return ecs.NetworkBinding(
        bind_ip=binding.bind_ip,
        protocol=binding.protocol,
        container_port=binding.container_port,
        host_port=binding.host_port,
        container_port_range=binding.container_port_range,
        host_port_range=binding.host_port_range,
    )


def _mark_reported(state: TaskState, status: Status) -> TaskState:
    def told(container: ContainerState) -> ContainerState:
        if container.phase is Phase.STOPPED:
            return msgspec.structs.replace(container, reported=Status.STOPPED)
        if container.has_started:
            return msgspec.structs.replace(container, reported=Status.RUNNING)
        return container

    containers = tuple(told(container) for container in state.containers)
    return msgspec.structs.replace(state, containers=containers, reported=status)


def _cut(text: str, limit: int) -> str | None:
    return text[:limit] or None


def _seconds(at_ms: int | None) -> float | None:
    return None if at_ms is None else at_ms / 1000
