"""What can happen to the agent's tasks, and what it then wants done. Records only.

Stimuli go into `task_machine.TaskMachine.handle`, instructions come out; `runner` carries them out
and brings the answers back as stimuli.
"""

from __future__ import annotations

import msgspec

from homeport.agent.task_state import Binding, TaskState
from homeport.api import ecs
from homeport.wire.agent_messages import payload


class Stimulus(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened."""


class TaskSent(Stimulus, frozen=True):
    """The control plane wants this task in its desiredStatus."""

    task: payload.Task


class StopWanted(Stimulus, frozen=True):
    """The control plane confirmed that this task shall stop (manifest handshake)."""

    task_arn: str


class ContainerStimulus(Stimulus, frozen=True):
    """Something that happened to one container."""

    task_arn: str
    container_name: str


class ImagePulled(ContainerStimulus, frozen=True):
    """The image is here (its repository digest when it has one)."""

    image_digest: str = ""


class ContainerCreated(ContainerStimulus, frozen=True):
    """The Engine created the container."""

    runtime_id: str


class ContainerStarted(ContainerStimulus, frozen=True):
    """The Engine started the container; its ports are bound."""

    bindings: tuple[Binding, ...] = ()


class StepCancelled(ContainerStimulus, frozen=True):
    """A create or start that hadn't begun was given up, since nobody wants it any more."""


class StepFailed(ContainerStimulus, frozen=True):
    """Pull, create or start failed for good; the reason is in the ECS agent's form."""

    reason: str


class StopFailed(ContainerStimulus, frozen=True):
    """The Engine didn't manage to stop the container: try again later."""

    reason: str


class ContainerDied(ContainerStimulus, frozen=True):
    """The container ended, by itself or by our stop."""

    runtime_id: str
    exit_code: int | None
    at_ms: int
    reason: str = ""


class HealthChanged(ContainerStimulus, frozen=True):
    """Docker's health check changed its mind: HEALTHY, UNHEALTHY or UNKNOWN."""

    runtime_id: str
    health: str


class TaskRemoved(Stimulus, frozen=True):
    """The containers and volumes of an ended task are gone from the Engine."""

    task_arn: str


class TimerFired(Stimulus, frozen=True):
    """A moment that a WakeAt named has come."""

    task_arn: str


class EngineLost(Stimulus, frozen=True):
    """The Docker Engine doesn't answer; steps under way have unknown outcomes."""


class FoundContainer(msgspec.Struct, frozen=True, kw_only=True):
    """A container with this instance's label, as the Engine shows it."""

    task_arn: str
    container_name: str
    runtime_id: str
    status: str
    exit_code: int | None = None
    reason: str = ""
    health: str = "UNKNOWN"
    bindings: tuple[Binding, ...] = ()


class EngineSurveyed(Stimulus, frozen=True):
    """The Engine answers again (or for the first time), and these are all our containers."""

    found: tuple[FoundContainer, ...]


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done."""


class ContainerInstruction(Instruction, frozen=True):
    """Something to be done to one container."""

    task_arn: str
    container_name: str


class PullImage(ContainerInstruction, frozen=True):
    """Make the container's image available."""


class CreateContainer(ContainerInstruction, frozen=True):
    """Create the container, with the volumes it mounts."""


class StartContainer(ContainerInstruction, frozen=True):
    """Start the created container."""

    runtime_id: str


class StopContainer(ContainerInstruction, frozen=True):
    """Stop the container: its stop signal, then SIGKILL after the time-out.

    With `may_wait` starts on this container instance go first.
    """

    runtime_id: str
    timeout_s: int
    may_wait: bool = False


class CancelPull(ContainerInstruction, frozen=True):
    """Nobody waits for this pull any more."""


class CancelStep(ContainerInstruction, frozen=True):
    """Nobody waits for this create or start any more: give it up unless it has begun."""


class RemoveTask(Instruction, frozen=True):
    """Remove an ended task's containers and its own volumes."""

    state: TaskState


class RemoveOrphan(Instruction, frozen=True):
    """Remove a container with our label that belongs to no task we know."""

    runtime_id: str


class ReportTask(Instruction, frozen=True):
    """Tell the control plane about a task."""

    request: ecs.SubmitTaskStateChangeRequest

    @property
    def is_end(self) -> bool:
        """Whether the task has ended; who says so must still know it after a loss of power.

        Otherwise it would run the task again, and a report that was long on its way would end
        that second run for the control plane alone.
        """
        return self.request.status == "STOPPED"


class ReportContainer(Instruction, frozen=True):
    """Tell the control plane about one container of a running task."""

    request: ecs.SubmitContainerStateChangeRequest


class PublishHealth(Instruction, frozen=True):
    """Container health changed: publish it now rather than at the next interval."""


class WakeAt(Instruction, frozen=True):
    """Fire a timer for this task at that moment."""

    task_arn: str
    at_ms: int


class SaveTask(Instruction, frozen=True):
    """Keep this state on disk."""

    state: TaskState


class ForgetTask(Instruction, frozen=True):
    """Drop this task from disk."""

    task_arn: str
