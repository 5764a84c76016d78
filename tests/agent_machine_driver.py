"""Drives a task machine by hand: every instruction is answered only when a test says so."""

from typing import Any, TypeVar

from homeport.agent import stimuli
from homeport.agent.task_machine import TaskMachine
from homeport.agent.task_state import Binding, ContainerState, TaskState
from homeport.wire.agent_messages import payload

Wanted = TypeVar("Wanted", bound=stimuli.Instruction)


class Driver:
    """A machine, a clock, and the instructions not yet looked at."""

    def __init__(self, *, cleanup_delay_s: int = 60, is_engine_up: bool = True) -> None:
        self.machine = TaskMachine(stop_timeout_s=30, cleanup_delay_s=cleanup_delay_s)
        self.now_ms = 1_000_000
        self.saved: dict[str, TaskState] = {}
        self.reports: list[Any] = []
        self._instructions: list[stimuli.Instruction] = []
        if is_engine_up:
            self.tell(stimuli.EngineSurveyed(found=()))
            self._instructions.clear()

    def tell(self, stimulus: stimuli.Stimulus) -> None:
        for instruction in self.machine.handle(stimulus, self.now_ms):
            match instruction:
                case stimuli.SaveTask():
                    self.saved[instruction.state.arn] = instruction.state
                case stimuli.ForgetTask():
                    del self.saved[instruction.task_arn]
                case stimuli.ReportTask() | stimuli.ReportContainer():
                    self.reports.append(instruction.request)
                case _:
                    self._instructions.append(instruction)

    def take(self, kind: type[Wanted]) -> list[Wanted]:
        """All instructions of a kind given since the last look."""
        taken = [i for i in self._instructions if isinstance(i, kind)]
        self._instructions = [i for i in self._instructions if not isinstance(i, kind)]
        return taken

    def names(self, kind: type[stimuli.ContainerInstruction]) -> list[str]:
        return [instruction.container_name for instruction in self.take(kind)]

    def send(self, task: payload.Task) -> None:
        self.tell(stimuli.TaskSent(task=task))

    def state(self, task: payload.Task) -> TaskState:
        return self.machine.tasks[task.arn]

    def container(self, task: payload.Task, name: str) -> ContainerState:
        found = self.state(task).container(name)
        assert found is not None
        return found

    def pulled(self, task: payload.Task, name: str) -> None:
        self.tell(stimuli.ImagePulled(task_arn=task.arn, container_name=name, image_digest="sha"))

    def created(self, task: payload.Task, name: str) -> None:
        self.tell(
            stimuli.ContainerCreated(
                task_arn=task.arn, container_name=name, runtime_id=f"id-{name}"
            )
        )

    def started(self, task: payload.Task, name: str, *bindings: Binding) -> None:
        self.tell(
            stimuli.ContainerStarted(task_arn=task.arn, container_name=name, bindings=bindings)
        )

    def bring_up(self, task: payload.Task, *names: str) -> None:
        for name in names:
            self.pulled(task, name)
            self.created(task, name)
            self.started(task, name)

    def died(self, task: payload.Task, name: str, exit_code: int | None, reason: str = "") -> None:
        self.tell(
            stimuli.ContainerDied(
                task_arn=task.arn,
                container_name=name,
                runtime_id=f"id-{name}",
                exit_code=exit_code,
                at_ms=self.now_ms,
                reason=reason,
            )
        )

    def failed(self, task: payload.Task, name: str, reason: str) -> None:
        self.tell(stimuli.StepFailed(task_arn=task.arn, container_name=name, reason=reason))

    def told(self) -> list[tuple[str, list[tuple[str, str, int | None]]]]:
        """All task reports as (status, [(container, status, exit code), ...])."""
        return [
            (
                report.status,
                [(c.container_name, c.status, c.exit_code) for c in report.containers],
            )
            for report in self.reports
            if hasattr(report, "containers")
        ]
