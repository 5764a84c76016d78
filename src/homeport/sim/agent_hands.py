"""The agent's hands in simulation: its task machine's instructions against a simulated Docker.

What `agent.runner`, `agent.stopping` and `agent.engine_watch` do with real Docker: steps, their
turns and time-outs, timers, surveys after the Engine was away.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from homeport.agent import stimuli
from homeport.agent.docker import QUICK_CALL_TIMEOUT_S, STOP_GRACE_S
from homeport.agent.runner import (
    CREATE_PRIORITY,
    REMOVAL_RETRY_S,
    START_PRIORITY,
    STOP_PATIENCE_S,
)
from homeport.agent.stopping import CONCURRENT_STOPS
from homeport.agent.task_state import Phase
from homeport.sim.agent_turns import Place, Precedence, PriorityGate, Turn
from homeport.sim.docker import (
    Answer,
    Created,
    Done,
    Listener,
    Refusal,
    Shown,
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

class Queue(NamedTuple):
    """Where a step waits for its turn, and how soon it is its."""

    gate: PriorityGate
    priority: int = 0


class Step:
    """What is under way for a container, of which there is one thing at most."""

    def __init__(self) -> None:
        self.is_over = False
        self.place: Place | None = None  # in the queue for creates and starts


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
        self._forget_steps()

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
            case stimuli.CancelPull():
                self._cancel_pull(instruction)
            case stimuli.CancelStep():
                self._cancel_step(instruction)
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
        if not self.is_engine_ok:
            self._held_events.append(event)
            return
        self._process.tell(event)
        if isinstance(event, stimuli.ContainerDied) and self._has_stopped(event):
            end = self._ends.pop(event.runtime_id, None)
            if end is not None:
                end()

    @property
    def _name(self) -> str:
        return self._process.machine.name

    def _forget_steps(self) -> None:
        """Nothing is under way, nobody waits."""
        process = self._process
        self._starts = PriorityGate(process.machine.settings.concurrent_starts)
        self._stops = PriorityGate(CONCURRENT_STOPS)
        self._starts_first = Precedence(
            process.timeline, process.life, patience_s=STOP_PATIENCE_S
        )
        self._steps: dict[tuple[str, str], Step] = {}
        self._ends: dict[str, Turn] = {}  # of containers that were sent their stop signal

    def _lose_engine(self) -> None:
        self._round += 1
        self._forget_steps()
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
                self._tell_event(event)
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
            queue=Queue(self._starts, CREATE_PRIORITY),
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
            queue=Queue(self._starts, START_PRIORITY),
            # A container that took too long mustn't come up after it was given up.
            undo=lambda then: self._docker.stop(step.runtime_id, 0, then),
        )

    def _stop(self, step: stimuli.StopContainer) -> None:
        """Stop a container as `agent.stopping` does, once it may be stopped."""
        number = self._round

        def begin() -> None:
            if self._process.life.is_over or number != self._round:
                return
            if step.timeout_s > 0 and self._process.machine.shares_kernel:
                self._inspect(step, lambda shown: self._signal(step, shown))
            else:
                self._stop_by_engine(step, step.timeout_s)

        if step.may_wait:
            self._starts_first.wait(begin)
        else:
            begin()

    def _signal(self, step: stimuli.StopContainer, shown: Shown) -> None:
        """Send the stop signal past the Engine, and wait for what it tells of the end."""
        if not (shown.is_running and self._docker.send_stop_signal(step.runtime_id)):
            self._stop_by_engine(step, step.timeout_s)
            return

        def give_up() -> None:
            if self._ends.get(step.runtime_id) is ended:
                del self._ends[step.runtime_id]
                self._stop_by_engine(step, 0)

        process = self._process
        timer = process.timeline.after(step.timeout_s * 1_000, give_up, process.life)
        ended = self._ends[step.runtime_id] = timer.cancel

    def _stop_by_engine(self, step: stimuli.StopContainer, timeout_s: int) -> None:
        def answered(_answer: Answer) -> None:
            if not self._has_stopped(step):
                # The event of its death may still be on its way, or may never have been seen.
                self._inspect(step, tell_death)

        def tell_death(shown: Shown) -> None:
            self._process.tell(
                stimuli.ContainerDied(
                    task_arn=step.task_arn,
                    container_name=step.container_name,
                    runtime_id=step.runtime_id,
                    exit_code=shown.exit_code,
                    at_ms=self._process.machine.clock.now_ms(),
                )
            )

        self._ask(
            step,
            lambda then: self._docker.stop(step.runtime_id, timeout_s, then),
            answered,
            limit_s=timeout_s + STOP_GRACE_S,
            queue=Queue(self._stops),
        )

    def _inspect(self, step: stimuli.StopContainer, then: Callable[[Shown], None]) -> None:
        def answered(answer: Answer) -> None:
            if isinstance(answer, Shown):
                then(answer)

        self._ask(
            step,
            lambda then: self._docker.inspect(step.runtime_id, then),
            answered,
            limit_s=QUICK_CALL_TIMEOUT_S,
        )

    def _has_stopped(self, who: stimuli.ContainerStimulus | stimuli.ContainerInstruction) -> bool:
        """Whether a container has stopped for good, as far as the machine knows."""
        state = self._process.tasks.tasks.get(who.task_arn)
        container = None if state is None else state.container(who.container_name)
        return container is None or container.phase is Phase.STOPPED

    def _cancel_pull(self, instruction: stimuli.CancelPull) -> None:
        step = self._steps.pop((instruction.task_arn, instruction.container_name), None)
        if step is not None:
            step.is_over = True

    def _cancel_step(self, instruction: stimuli.CancelStep) -> None:
        """Give up a create or a start whose turn hasn't come."""
        who = (instruction.task_arn, instruction.container_name)
        step, starts_first = self._steps.get(who), self._starts_first
        if step is None or step.place is None or not step.place.give_up():
            return
        step.is_over = True
        del self._steps[who]

        def tell() -> None:
            starts_first.end()
            self._tell_step(instruction, stimuli.StepCancelled)

        self._process.timeline.soon(tell, self._process.life)

    def _ask(
        self,
        step: stimuli.ContainerInstruction,
        request: Callable[[Then], None],
        answered: Then,
        *,
        limit_s: float,
        queue: Queue | None = None,
        undo: Callable[[Then], None] | None = None,
    ) -> None:
        """Ask the Engine in turn; no answer, a refusal or its absence go to the machine, too."""
        number, process, starts_first = self._round, self._process, self._starts_first
        who, under_way = (step.task_arn, step.container_name), Step()
        self._steps[who] = under_way
        goes_first = isinstance(step, stimuli.CreateContainer | stimuli.StartContainer)
        if goes_first:
            starts_first.begin()

        def finish(answer: Answer) -> None:
            if under_way.is_over or process.life.is_over or number != self._round:
                return
            under_way.is_over = True
            if self._steps.get(who) is under_way:
                del self._steps[who]
            if queue is not None:
                queue.gate.leave()
            self._tell_answer(step, answer, answered)
            if goes_first:  # by now the next step of this container has begun
                starts_first.end()

        def begin() -> None:
            if process.life.is_over or number != self._round:
                return
            timer = self._limit(limit_s, finish, undo)

            def answer_in_time(answer: Answer) -> None:
                timer.cancel()
                finish(answer)

            request(answer_in_time)

        if queue is None:
            begin()
        else:
            under_way.place = queue.gate.enter(queue.priority, begin)

    def _limit(
        self, limit_s: float, finish: Then, undo: Callable[[Then], None] | None
    ) -> "Timer":
        """Give up waiting for an answer after so long, and undo what may still come about."""
        late = Refusal(NO_ANSWER.format(limit_s))
        timeline, life = self._process.timeline, self._process.life

        def give_up() -> None:
            if undo is None:
                finish(late)
                return
            undo(lambda _answer: finish(late))
            timeline.after(round(STOP_GRACE_S * 1_000), lambda: finish(late), life)

        return timeline.after(round(limit_s * 1_000), give_up, life)

    def _tell_answer(
        self, step: stimuli.ContainerInstruction, answer: Answer, answered: Then
    ) -> None:
        if isinstance(answer, Unavailable):
            self._lose_engine()
        elif isinstance(answer, Refusal):
            self._process.trace.note(self._name, step.container_name, answer.reason)
            is_stop = isinstance(step, stimuli.StopContainer)
            kind = stimuli.StopFailed if is_stop else stimuli.StepFailed
            self._tell_step(step, kind, reason=answer.reason)
        else:
            answered(answer)

    def _remove_task(self, instruction: stimuli.RemoveTask) -> None:
        arn = instruction.state.arn
        # By name where no id is known: a creation that timed out may have come about.
        ids = [c.runtime_id or self._docker.find(arn, c.name) for c in instruction.state.containers]
        waiting = [runtime_id for runtime_id in ids if runtime_id]

        def go_on(answer: Answer) -> None:
            if self._process.life.is_over:
                return
            if isinstance(answer, Unavailable):
                retry_ms = self._process.machine.clock.now_ms() + REMOVAL_RETRY_S * 1_000
                self._wake_at(stimuli.WakeAt(task_arn=arn, at_ms=retry_ms))
            elif waiting:
                self._docker.remove(waiting.pop(), go_on)
            else:
                self._process.tell(stimuli.TaskRemoved(task_arn=arn))

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
