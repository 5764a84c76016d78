"""Carries out the task machine's instructions against Docker, disk and timers.

Every answer goes back into the machine as a stimulus. What changes is on disk before anything is
done about it. Decisions are the machine's; the wire is for `reporter` and the sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent import container_spec, stimuli
from homeport.agent.cgroups import CgroupTrouble
from homeport.agent.docker import OUT_OF_MEMORY, EngineRefusal, EngineTimeout, EngineUnavailable
from homeport.agent.gate import Precedence, PriorityGate
from homeport.agent.state_file import NewReport
from homeport.agent.stopping import Stopper
from homeport.agent.task_state import Phase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from homeport.agent.cgroups import TaskCgroups
    from homeport.agent.container_spec import InstanceFacts
    from homeport.agent.docker import Engine
    from homeport.agent.metadata_file import MetadataFiles
    from homeport.agent.settings import AgentSettings
    from homeport.agent.state_file import StateFile, StoredReport
    from homeport.agent.task_machine import TaskMachine
    from homeport.agent.task_state import TaskState
    from homeport.wire.agent_messages import payload

LOG: Final = logging.getLogger("homeport.agent")

REMOVAL_RETRY_S: Final = 60
KILLED_EXIT_CODE: Final = 137
START_PRIORITY: Final = 0
CREATE_PRIORITY: Final = 1
"""A task half way through goes before one that hasn't begun: the first is up the sooner."""

STOP_PATIENCE_S: Final = 10.0
"""How long a stop that may wait does so while containers are being started: what takes over is up
the sooner, and the Engine's work for the end of a container (its network, its mounts) comes behind.
The room of what stops isn't given away before it has stopped, so nobody's start waits for a stop
here."""

SAMPLE_PATIENCE_S: Final = 10.0
"""How long measuring the containers waits while any is being created, started or stopped: half of
its interval, so that metrics are late at most by as much."""


class Runner:
    """The machine's hands. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        settings: AgentSettings,
        facts: InstanceFacts,
        machine: TaskMachine,
        engine: Engine,
        state_file: StateFile,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.machine = machine
        self.on_report: Callable[[StoredReport], None] = lambda _report: None
        self.on_health: Callable[[], None] = lambda: None
        self.on_engine_trouble: Callable[[], None] = lambda: None
        self.metadata_files: MetadataFiles | None = None
        self.cgroups: TaskCgroups | None = None
        self.steps_first = Precedence(patience_s=SAMPLE_PATIENCE_S)
        self._settings = settings
        self._facts = facts
        self._engine = engine
        self._state_file = state_file
        self._tasks = tasks
        self._starts = PriorityGate(settings.concurrent_starts)
        self._stopper = Stopper(engine)
        self._starts_first = Precedence(patience_s=STOP_PATIENCE_S)
        self._steps: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._queued: set[tuple[str, str]] = set()  # creates and starts that haven't begun
        self._timers: set[asyncio.TimerHandle] = set()
        self._carriers: dict[type[stimuli.Instruction], Callable[[Any], None]] = {
            stimuli.PullImage: lambda i: self._begin(i, self._pull(i)),
            stimuli.CreateContainer: lambda i: self._begin(i, self._create(i)),
            stimuli.StartContainer: lambda i: self._begin(i, self._start(i)),
            stimuli.StopContainer: lambda i: self._begin(i, self._stop(i)),
            stimuli.CancelPull: self._cancel_pull,
            stimuli.CancelStep: self._cancel_step,
            stimuli.RemoveTask: lambda i: self._go(self._remove_task(i)),
            stimuli.RemoveOrphan: lambda i: self._go(self._remove_orphan(i)),
            stimuli.WakeAt: self._wake_at,
            stimuli.PublishHealth: lambda _i: self.on_health(),
        }

    def tell(self, stimulus: stimuli.Stimulus, *, is_promise: bool = False) -> None:
        """Let the machine know, keep what changed, and start whatever it wants done.

        With `is_promise` the change is synced to disk before this returns, so that it may be
        acknowledged.
        """
        instructions = self.machine.handle(stimulus, now_ms())
        if isinstance(stimulus, stimuli.ContainerDied) and self._has_stopped(stimulus):
            self._stopper.note_death(stimulus.runtime_id)
        for report in self._keep(instructions, is_promise):
            self.on_report(report)
        for instruction in instructions:
            carrier = self._carriers.get(type(instruction))
            if carrier is not None:
                carrier(instruction)

    async def tell_event(self, stimulus: stimuli.Stimulus) -> None:
        """Pass on an event of the Engine; a SIGKILL is looked into, it may be lack of memory."""
        if isinstance(stimulus, stimuli.ContainerDied) and self._is_suspicious(stimulus):
            shown = await self._engine.inspect_container(stimulus.runtime_id)
            if shown is not None and shown.get("State", {}).get("OOMKilled"):
                stimulus = msgspec.structs.replace(stimulus, reason=OUT_OF_MEMORY)
        self.tell(stimulus)

    async def cancel_steps(self) -> None:
        """Give up all steps under way; a survey will show how far they came."""
        steps = list(self._steps.values())
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)

    def close(self) -> None:
        """Cancel the timers."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _keep(
        self, instructions: list[stimuli.Instruction], is_promise: bool
    ) -> list[StoredReport]:
        saved, forgotten, reports = [], [], []
        for instruction in instructions:
            match instruction:
                case stimuli.SaveTask():
                    saved.append(instruction.state)
                case stimuli.ForgetTask():
                    forgotten.append(instruction.task_arn)
                case stimuli.ReportTask():
                    reports.append(self._new_report("SubmitTaskStateChange", instruction.request))
                    is_promise = is_promise or instruction.is_end
                case stimuli.ReportContainer():
                    operation = "SubmitContainerStateChange"
                    reports.append(self._new_report(operation, instruction.request))
        if not (saved or forgotten or reports):
            return []
        return self._state_file.write_changes(
            saved=saved, forgotten=forgotten, reports=reports, is_promise=is_promise
        )

    def _new_report(self, operation: str, request: Any) -> NewReport:
        request = msgspec.structs.replace(request, cluster=self._settings.cluster)
        name = getattr(request, "container_name", "task")
        LOG.info("%s of %s: %s %s", name, request.task, request.status, request.reason or "")
        return NewReport(
            task_arn=request.task, operation=operation, body=msgspec.json.encode(request)
        )

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.create_task(work)

    def _begin(
        self, instruction: stimuli.ContainerInstruction, work: Coroutine[Any, Any, None]
    ) -> None:
        """Start a step; a container has at most one under way."""
        key = (instruction.task_arn, instruction.container_name)
        # Counted here, not when the step runs: one step begins the next, and nobody gets between.
        is_start = isinstance(instruction, stimuli.CreateContainer | stimuli.StartContainer)
        is_costly = is_start or isinstance(instruction, stimuli.StopContainer)
        if is_start:
            self._starts_first.begin()
        if is_costly:
            self.steps_first.begin()
        step = self._tasks.create_task(self._guard(instruction, work))
        self._steps[key] = step

        def forget(done: asyncio.Task[None]) -> None:
            if is_start:
                self._starts_first.end()
            if is_costly:
                self.steps_first.end()
            if self._steps.get(key) is done:
                del self._steps[key]

        step.add_done_callback(forget)

    async def _guard(
        self, instruction: stimuli.ContainerInstruction, work: Coroutine[Any, Any, None]
    ) -> None:
        """Turn a step's trouble into a stimulus, or into a survey when nothing is known."""
        who = {"task_arn": instruction.task_arn, "container_name": instruction.container_name}
        try:
            await work
        except EngineRefusal as refusal:
            LOG.warning("%s of %s: %s", instruction.container_name, instruction.task_arn, refusal)
            if isinstance(instruction, stimuli.StopContainer):
                self.tell(stimuli.StopFailed(**who, reason=str(refusal)))
            else:
                self.tell(stimuli.StepFailed(**who, reason=str(refusal)))
        except EngineUnavailable as trouble:
            LOG.warning("Docker: %s", trouble)
            self.on_engine_trouble()

    def _look_up(
        self, instruction: stimuli.ContainerInstruction
    ) -> tuple[TaskState, payload.Container]:
        state = self.machine.tasks[instruction.task_arn]
        return state, state.definition(instruction.container_name)

    async def _pull(self, step: stimuli.PullImage) -> None:
        _, container = self._look_up(step)
        digest = await self._engine.pull_image(container.image)
        self.tell(
            stimuli.ImagePulled(
                task_arn=step.task_arn, container_name=step.container_name, image_digest=digest
            )
        )

    async def _create(self, step: stimuli.CreateContainer) -> None:
        state, container = self._look_up(step)
        self._prepare_metadata(state, container.name)
        await self._bound_task(state)
        async with self._start_slot(step, CREATE_PRIORITY):
            runtime_id = await self._engine.create_container(state, container, self._facts)
        self.tell(
            stimuli.ContainerCreated(
                task_arn=step.task_arn, container_name=step.container_name, runtime_id=runtime_id
            )
        )

    async def _start(self, step: stimuli.StartContainer) -> None:
        state, container = self._look_up(step)
        await self._bound_task(state)  # again: the machine may have been started anew
        async with self._start_slot(step, START_PRIORITY):
            await self._start_or_stop(step.runtime_id)
        bindings = await self._engine.read_bindings(
            step.runtime_id, container, state.task.network_mode, self._facts.bind_address
        )
        self.tell(
            stimuli.ContainerStarted(
                task_arn=step.task_arn, container_name=step.container_name, bindings=bindings
            )
        )
        self._go(self._complete_metadata(step))

    @contextlib.asynccontextmanager
    async def _start_slot(
        self, step: stimuli.ContainerInstruction, priority: int
    ) -> AsyncIterator[None]:
        """Hold one of the slots for creates and starts; the step may be given up before."""
        key = (step.task_arn, step.container_name)
        self._queued.add(key)
        try:
            async with self._starts.slot(priority):
                self._queued.discard(key)
                yield
        finally:
            self._queued.discard(key)

    async def _bound_task(self, state: TaskState) -> None:
        """Have the limits of the whole task in force; without them its containers can't start."""
        if self.cgroups is None:
            return
        try:
            await self.cgroups.ensure(state.task)
        except CgroupTrouble as trouble:
            raise EngineRefusal(f"CannotCreateContainerError: {trouble}") from trouble

    def _prepare_metadata(self, state: TaskState, name: str) -> None:
        """Write a metadata file if they are wanted; a container that can't have it can't start."""
        if self.metadata_files is None:
            return
        try:
            self.metadata_files.prepare(state, name)
        except OSError as error:
            raise EngineRefusal(f"CannotCreateContainerError: metadata file: {error}") from error

    async def _complete_metadata(self, step: stimuli.StartContainer) -> None:
        """Say the rest in the metadata file; a container that runs isn't stopped for lack of it."""
        state = self.machine.tasks.get(step.task_arn)
        if self.metadata_files is None or state is None:
            return
        try:
            shown = await self._engine.inspect_container(step.runtime_id) or {}
            self.metadata_files.complete(state, step.container_name, shown)
        except (EngineRefusal, EngineUnavailable, OSError) as trouble:
            LOG.warning("metadata file of %s: %s", step.container_name, trouble)

    async def _start_or_stop(self, runtime_id: str) -> None:
        """Start; a container that took too long mustn't come up after it was given up."""
        try:
            await self._engine.start_container(runtime_id)
        except EngineTimeout:
            try:
                await self._engine.stop_container(runtime_id, 0)
            except EngineRefusal as refusal:
                LOG.warning("%s: %s", runtime_id, refusal)
            raise

    async def _stop(self, step: stimuli.StopContainer) -> None:
        if step.may_wait:
            await self._starts_first.wait()
        await self._stopper.stop(step.runtime_id, step.timeout_s)
        if self._has_stopped(step):
            return
        # The event of its death may still be on its way, or may never have been seen.
        shown = await self._engine.inspect_container(step.runtime_id)
        self.tell(
            stimuli.ContainerDied(
                task_arn=step.task_arn,
                container_name=step.container_name,
                runtime_id=step.runtime_id,
                exit_code=None if shown is None else shown.get("State", {}).get("ExitCode"),
                at_ms=now_ms(),
            )
        )

    def _has_stopped(self, who: stimuli.ContainerStimulus | stimuli.ContainerInstruction) -> bool:
        """Whether a container has stopped for good, as far as the machine knows."""
        state = self.machine.tasks.get(who.task_arn)
        container = None if state is None else state.container(who.container_name)
        return container is None or container.phase is Phase.STOPPED

    def _cancel_pull(self, instruction: stimuli.CancelPull) -> None:
        step = self._steps.get((instruction.task_arn, instruction.container_name))
        if step is not None:
            step.cancel()

    def _cancel_step(self, instruction: stimuli.CancelStep) -> None:
        who = (instruction.task_arn, instruction.container_name)
        if who not in self._queued:
            return
        self._queued.discard(who)
        self._steps[who].cancel()
        cancelled = stimuli.StepCancelled(task_arn=who[0], container_name=who[1])
        self._go(self._tell_later(cancelled))

    def _is_suspicious(self, died: stimuli.ContainerDied) -> bool:
        state = self.machine.tasks.get(died.task_arn)
        container = None if state is None else state.container(died.container_name)
        return (
            died.exit_code == KILLED_EXIT_CODE
            and container is not None
            and not container.is_stopping
            and container.phase is not Phase.STOPPED
        )

    async def _remove_task(self, instruction: stimuli.RemoveTask) -> None:
        state = instruction.state
        try:
            for container in state.containers:
                # By name where no id is known: a creation that timed out may have come about.
                name = container_spec.name_container(state.task, container.name)
                await self._engine.remove_container(container.runtime_id or name)
            for volume in container_spec.list_task_volumes(state.task):
                await self._engine.remove_volume(volume)
            if self.cgroups is not None:
                await self.cgroups.remove(state.task)
        except (EngineRefusal, EngineUnavailable, CgroupTrouble) as trouble:
            LOG.warning("cleaning up %s, will try again: %s", state.arn, trouble)
            retry_at_ms = now_ms() + REMOVAL_RETRY_S * 1000
            self._wake_at(stimuli.WakeAt(task_arn=state.arn, at_ms=retry_at_ms))
            return
        if self.metadata_files is not None:
            self.metadata_files.remove(state.arn)
        self.tell(stimuli.TaskRemoved(task_arn=state.arn))

    async def _remove_orphan(self, instruction: stimuli.RemoveOrphan) -> None:
        LOG.warning("removing container %s: no task of ours has it", instruction.runtime_id)
        try:
            await self._engine.remove_container(instruction.runtime_id)
        except EngineRefusal as refusal:
            LOG.warning("%s", refusal)
        except EngineUnavailable as trouble:
            LOG.warning("Docker: %s", trouble)
            self.on_engine_trouble()

    async def _tell_later(self, stimulus: stimuli.Stimulus) -> None:
        self.tell(stimulus)

    def _wake_at(self, instruction: stimuli.WakeAt) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            # In the task group, so that an error there ends the agent rather than a log line.
            self._go(self._tell_later(stimuli.TimerFired(task_arn=instruction.task_arn)))

        delay_s = max(0.0, (instruction.at_ms - now_ms()) / 1000)
        timer = asyncio.get_running_loop().call_later(delay_s, fire)
        self._timers.add(timer)


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
