"""The agent's hands in simulation: its task machine's instructions against a simulated Docker.

What `agent.runner` and `agent.engine_watch` do with real Docker: steps and their time-outs, timers,
surveys after the Engine was away.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from homeport.agent import stimuli
from homeport.agent.docker import STOP_GRACE_S
from homeport.agent.runner import REMOVAL_RETRY_S
from homeport.agent.stopping import CONCURRENT_STOPS
from homeport.agent.task_state import Phase
from homeport.sim.docker import (
    Answer,
    Created,
    Done,
    Listener,
    Refusal,
    SimContainer,
    Started,
    Then,
    Unavailable,
)
from homeport.wire.agent_messages import payload

if TYPE_CHECKING:
    from homeport.agent.stimuli import FoundContainer
    from homeport.sim.agent_process import AgentProcess
    from homeport.sim.clock import Timer

SURVEY_RETRY_MS: Final = (100, 5_000)
NO_ANSWER: Final = "DockerTimeoutError: Could not transition; timed out after waiting {} s"

Turn = Callable[[], None]


class Gate:
    """Lets so many steps run at a time; the others wait in order."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: list[Turn] = []

    def enter(self, turn: Turn) -> None:
        """Take a turn as soon as one is free."""
        if self._free:
            self._free -= 1
            turn()
        else:
            self._waiting.append(turn)

    def leave(self) -> None:
        """Give the turn back."""
        if self._waiting:
            self._waiting.pop(0)()
        else:
            self._free += 1


class AgentHands(Listener):
    """Carries out what one agent's task machine wants."""

    def __init__(self, process: "AgentProcess") -> None:
        self.is_engine_ok = False
        self._process = process
        self._docker = process.machine.docker
        self._round = 0  # steps of an earlier round were cancelled
        self._failures = 0
        self._held_events: list[stimuli.Stimulus] = []
        self._next_survey: Timer | None = None
        self._new_gates()

    def watch(self) -> None:
        """Follow the Engine's events, and look at all its containers."""
        self._docker.listener = self
        self._survey()

    def carry_out(self, instruction: stimuli.Instruction) -> None:
        """Begin what the machine wants; its outcome comes back as a stimulus."""
        match instruction:
            case stimuli.PullImage():
                self._pull(instruction)
            case stimuli.CreateContainer():
                self._create(instruction)
            case stimuli.StartContainer():
                self._start(instruction)
            case stimuli.StopContainer():
                self._stop(instruction)
            case stimuli.RemoveTask():
                self._remove_task(instruction)
            case stimuli.RemoveOrphan():
                self._process.trace.note(self._name, "removes orphan", instruction.runtime_id)
                self._docker.remove(instruction.runtime_id, lambda _answer: None)
            case stimuli.WakeAt():
                self._wake_at(instruction)
            case stimuli.PublishHealth():
                self._process.telemetry.publish_health()

    # the Engine's events
    def container_died(self, container: SimContainer, at_ms: int) -> None:
        """Tell the machine of a death."""
        self._tell_event(
            stimuli.ContainerDied(
                task_arn=container.task_arn,
                container_name=container.name,
                runtime_id=container.runtime_id,
                exit_code=container.exit_code,
                at_ms=at_ms,
            )
        )

    def health_changed(self, container: SimContainer) -> None:
        """Tell the machine of a health result."""
        self._tell_event(
            stimuli.HealthChanged(
                task_arn=container.task_arn,
                container_name=container.name,
                runtime_id=container.runtime_id,
                health=container.health,
            )
        )

    def stream_broke(self) -> None:
        """The Engine is gone: give up all steps, and look again until it answers."""
        if not self._process.life.is_over:
            self._lose_engine()

    def _tell_event(self, event: stimuli.Stimulus) -> None:
        """Tell the machine; what happens during a survey is told behind what the survey found."""
        if self._process.life.is_over:
            return
        if self.is_engine_ok:
            self._process.tell(event)
        else:
            self._held_events.append(event)

    @property
    def _name(self) -> str:
        return self._process.machine.name

    def _new_gates(self) -> None:
        self._starts = Gate(self._process.machine.settings.concurrent_starts)
        self._stops = Gate(CONCURRENT_STOPS)

    def _lose_engine(self) -> None:
        self._round += 1
        self._new_gates()
        if self.is_engine_ok:
            self.is_engine_ok = False
            self._process.trace.note(self._name, "lost Docker")
            self._process.tell(stimuli.EngineLost())
            self._process.telemetry.publish_status()
        wait_ms = min(SURVEY_RETRY_MS[0] << min(self._failures, 6), SURVEY_RETRY_MS[1])
        self._failures += 1
        if self._next_survey is not None:
            self._next_survey.cancel()
        timeline, life = self._process.timeline, self._process.life
        self._next_survey = timeline.after(wait_ms, self._survey, life)

    def _survey(self) -> None:
        number = self._round
        self._held_events.clear()  # the survey will see what they tell of

        def surveyed(found: "tuple[FoundContainer, ...] | None") -> None:
            if self._process.life.is_over or number != self._round:
                return
            if found is None:
                self._lose_engine()
                return
            self._failures = 0
            self.is_engine_ok = True
            self._process.trace.note(self._name, "surveyed", len(found), "containers")
            self._process.tell(stimuli.EngineSurveyed(found=found))
            held, self._held_events = self._held_events, []
            for event in held:
                self._process.tell(event)
            self._process.telemetry.publish_status()

        self._docker.survey(surveyed)

    # steps
    def _pull(self, step: stimuli.PullImage) -> None:
        image = self._spec(step).image

        def answered(answer: Answer) -> None:
            if isinstance(answer, Done):
                self._tell_step(step, stimuli.ImagePulled, image_digest=answer.text)

        self._ask(
            step,
            lambda then: self._docker.pull(image, then),
            answered,
            limit_s=self._process.machine.settings.image_pull_timeout_s,
        )

    def _create(self, step: stimuli.CreateContainer) -> None:
        spec = self._spec(step)

        def answered(answer: Answer) -> None:
            if isinstance(answer, Created):
                self._tell_step(step, stimuli.ContainerCreated, runtime_id=answer.runtime_id)

        self._ask(
            step,
            lambda then: self._docker.create(step.task_arn, spec, then),
            answered,
            limit_s=self._process.machine.settings.container_create_timeout_s,
            gate=self._starts,
        )

    def _start(self, step: stimuli.StartContainer) -> None:
        def answered(answer: Answer) -> None:
            if isinstance(answer, Started):
                self._tell_step(step, stimuli.ContainerStarted, bindings=answer.bindings)

        self._ask(
            step,
            lambda then: self._docker.start(step.runtime_id, then),
            answered,
            limit_s=self._process.machine.settings.container_start_timeout_s,
            gate=self._starts,
            # A container that took too long mustn't come up after it was given up.
            undo=lambda then: self._docker.stop(step.runtime_id, 0, then),
        )

    def _stop(self, step: stimuli.StopContainer) -> None:
        def answered(_answer: Answer) -> None:
            state = self._process.tasks.tasks.get(step.task_arn)
            container = None if state is None else state.container(step.container_name)
            if container is None or container.phase is Phase.STOPPED:
                return
            # The event of its death may still be on its way, or may never have been seen.
            shown = self._docker.containers.get(step.runtime_id)
            self._process.tell(
                stimuli.ContainerDied(
                    task_arn=step.task_arn,
                    container_name=step.container_name,
                    runtime_id=step.runtime_id,
                    exit_code=None if shown is None else shown.exit_code,
                    at_ms=self._process.machine.clock.now_ms(),
                )
            )

        self._ask(
            step,
            lambda then: self._docker.stop(step.runtime_id, step.timeout_s, then),
            answered,
            limit_s=step.timeout_s + STOP_GRACE_S,
            gate=self._stops,
        )

    def _ask(
        self,
        step: stimuli.ContainerInstruction,
        request: Callable[[Then], None],
        answered: Then,
        *,
        limit_s: float,
        gate: Gate | None = None,
        undo: Callable[[Then], None] | None = None,
    ) -> None:
        """Ask the Engine in turn; no answer, a refusal or its absence go to the machine, too."""
        number, process = self._round, self._process
        is_over = False

        def finish(answer: Answer) -> None:
            nonlocal is_over
            if is_over or process.life.is_over or number != self._round:
                return
            is_over = True
            if gate is not None:
                gate.leave()
            if isinstance(answer, Unavailable):
                self._lose_engine()
            elif isinstance(answer, Refusal):
                process.trace.note(self._name, step.container_name, answer.reason)
                is_stop = isinstance(step, stimuli.StopContainer)
                kind = stimuli.StopFailed if is_stop else stimuli.StepFailed
                self._tell_step(step, kind, reason=answer.reason)
            else:
                answered(answer)

        def begin() -> None:
            if process.life.is_over or number != self._round:
                return
            late = Refusal(NO_ANSWER.format(limit_s))

            def give_up() -> None:
                if undo is None:
                    finish(late)
                    return
                undo(lambda _answer: finish(late))
                grace_ms = round(STOP_GRACE_S * 1_000)
                process.timeline.after(grace_ms, lambda: finish(late), process.life)

            timer = process.timeline.after(round(limit_s * 1_000), give_up, process.life)

            def answer_in_time(answer: Answer) -> None:
                timer.cancel()
                finish(answer)

            request(answer_in_time)

        if gate is None:
            begin()
        else:
            gate.enter(begin)

    def _remove_task(self, instruction: stimuli.RemoveTask) -> None:
        waiting = [c.runtime_id for c in instruction.state.containers if c.runtime_id]

        def go_on(answer: Answer) -> None:
            if self._process.life.is_over:
                return
            if isinstance(answer, Unavailable):
                retry_ms = self._process.machine.clock.now_ms() + REMOVAL_RETRY_S * 1_000
                self._wake_at(stimuli.WakeAt(task_arn=instruction.state.arn, at_ms=retry_ms))
            elif waiting:
                self._docker.remove(waiting.pop(), go_on)
            else:
                self._process.tell(stimuli.TaskRemoved(task_arn=instruction.state.arn))

        go_on(Done())

    def _wake_at(self, instruction: stimuli.WakeAt) -> None:
        wait_ms = max(instruction.at_ms - self._process.machine.clock.now_ms(), 0)
        fired = stimuli.TimerFired(task_arn=instruction.task_arn)
        self._process.timeline.after(wait_ms, lambda: self._process.tell(fired), self._process.life)

    def _spec(self, step: stimuli.ContainerInstruction) -> payload.Container:
        return self._process.tasks.tasks[step.task_arn].definition(step.container_name)

    def _tell_step(
        self, step: stimuli.ContainerInstruction, kind: type[Any], **members: Any
    ) -> None:
        self._process.tell(
            kind(task_arn=step.task_arn, container_name=step.container_name, **members)
        )
