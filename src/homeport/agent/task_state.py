"""What the agent knows of its tasks: one frozen record a task, with its containers.

These records are also what is kept on disk. How they change is in `task_machine`; nothing here
decides anything.
"""

from __future__ import annotations

import enum

import msgspec

from homeport.wire.agent_messages import payload


class Phase(enum.StrEnum):
    """How far a container has come; the -ING phases wait for the Engine's answer."""

    NONE = "NONE"
    PULLING = "PULLING"
    PULLED = "PULLED"
    CREATING = "CREATING"
    CREATED = "CREATED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class Status(enum.StrEnum):
    """What was reported, or is wanted: the agent reports nothing but RUNNING and STOPPED."""

    NONE = "NONE"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A published port (or range) of a running container."""

    bind_ip: str
    protocol: str
    container_port: int | None = None
    host_port: int | None = None
    container_port_range: str | None = None
    host_port_range: str | None = None


class ContainerState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One container of a task: how far it is, and what the control plane has been told."""

    name: str
    phase: Phase = Phase.NONE
    runtime_id: str = ""
    image_digest: str = ""
    bindings: tuple[Binding, ...] = ()
    has_started: bool = False
    started_at_ms: int | None = None
    is_stopping: bool = False
    stop_not_before_ms: int = 0
    exit_code: int | None = None
    reason: str = ""
    restart_count: int = 0
    health: str = "UNKNOWN"
    health_since_ms: int | None = None
    reported: Status = Status.NONE


class TaskState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task: what was sent, what is wanted, where its containers are (times in epoch ms)."""

    task: payload.Task
    wanted: Status = Status.RUNNING
    stop_may_wait: bool = False
    containers: tuple[ContainerState, ...] = ()
    reason: str = ""
    pull_started_at_ms: int | None = None
    pull_stopped_at_ms: int | None = None
    execution_stopped_at_ms: int | None = None
    stopped_at_ms: int | None = None
    reported: Status = Status.NONE

    @property
    def arn(self) -> str:
        """The task's ARN."""
        return self.task.arn

    def container(self, name: str) -> ContainerState | None:
        """The state of the container with this name."""
        return next((c for c in self.containers if c.name == name), None)

    def definition(self, name: str) -> payload.Container:
        """What the payload says about the container with this name."""
        return next(c for c in self.task.containers if c.name == name)

    def with_container(self, container: ContainerState) -> TaskState:
        """The same task with one container's state replaced."""
        containers = tuple(container if c.name == container.name else c for c in self.containers)
        return msgspec.structs.replace(self, containers=containers)

    def has_ended(self) -> bool:
        """Whether every container has stopped for good."""
        return all(c.phase is Phase.STOPPED for c in self.containers)
