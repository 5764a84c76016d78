"""All tasks of this agent, and how each stimulus changes them. Pure: `handle` is the only mutator.

Time comes in as an argument; what is to be done goes out as instructions, the state to keep on disk
among them. Not here: what to do next with one task (`advance`), who carries it out (`runner`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent import stimuli
from homeport.agent.advance import Moment, advance_task, end_container, list_timers
from homeport.agent.credentials import without_secrets
from homeport.agent.dependencies import refuse_unresolvable
from homeport.agent.reporting import render_task_change
from homeport.agent.survey import LIVE_STATUSES, meet_engine, settle_exit
from homeport.agent.task_network import add_pause
from homeport.agent.task_state import ContainerState, Phase, Status, TaskState
from homeport.agent.unsupported import refuse_unsupported
from homeport.wire.agent_messages import acs, payload

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ENDED_TASKS: Final = 200
"""Ended tasks whose containers are kept; beyond that the oldest go before their time, so that a
service whose tasks die at once can't fill the instance with dead containers."""

STOP_RETRY_DELAY_MS: Final = 5_000
"""How long to wait before asking the Engine again to stop a container that it couldn't stop."""

_replace = msgspec.structs.replace


class TaskMachine:
    """The tasks of one container instance, by ARN."""

    def __init__(self, *, stop_timeout_s: int, cleanup_delay_s: int) -> None:
        self.tasks: dict[str, TaskState] = {}
        self.is_engine_up = False
        self._stop_timeout_s = stop_timeout_s
        self._cleanup_delay_s = cleanup_delay_s
        self._handlers: dict[type[stimuli.Stimulus], Callable[[Any, int], list[Any]]] = {
            stimuli.TaskSent: self._on_task_sent,
            stimuli.StopWanted: self._on_stop_wanted,
            stimuli.TaskRemoved: self._on_task_removed,
            stimuli.TimerFired: self._on_timer_fired,
            stimuli.EngineLost: self._on_engine_lost,
            stimuli.EngineSurveyed: self._on_engine_surveyed,
            stimuli.ImagePulled: self._on_container,
            stimuli.ContainerCreated: self._on_container,
            stimuli.ContainerStarted: self._on_container,
            stimuli.StepCancelled: self._on_container,
            stimuli.StepFailed: self._on_container,
            stimuli.StopFailed: self._on_container,
            stimuli.ContainerDied: self._on_container,
            stimuli.HealthChanged: self._on_container,
        }

    def load(self, states: list[TaskState]) -> None:
        """Take over what was kept on disk; nothing moves before the Engine is surveyed."""
        self.tasks = {state.arn: state for state in states}

    def handle(self, stimulus: stimuli.Stimulus, now_ms: int) -> list[stimuli.Instruction]:
        """Let something happen and say what is to be done; what isn't expected changes nothing."""
        return self._handlers[type(stimulus)](stimulus, now_ms)

    def list_stop_candidates(
        self, manifest: tuple[acs.TaskIdentifier, ...]
    ) -> tuple[acs.TaskIdentifier, ...]:
        """Tasks that should run here and that the control plane's manifest doesn't want."""
        wanted = {entry.task_arn for entry in manifest if entry.desired_status != "STOPPED"}
        return tuple(
            acs.TaskIdentifier(
                task_arn=state.arn,
                task_cluster_arn=state.task.task_cluster_arn,
                desired_status=Status.STOPPED.value,
            )
            for state in self.tasks.values()
            if state.wanted is Status.RUNNING and state.arn not in wanted
        )

    def _moment(self, now_ms: int) -> Moment:
        return Moment(
            now_ms=now_ms,
            is_engine_up=self.is_engine_up,
            stop_timeout_s=self._stop_timeout_s,
            cleanup_delay_s=self._cleanup_delay_s,
        )

    def _go_on(
        self, state: TaskState, now_ms: int, before: TaskState | None
    ) -> list[stimuli.Instruction]:
        """Advance a task, keep it, and have it saved if anything changed."""
        state, instructions = advance_task(state, self._moment(now_ms))
        self.tasks[state.arn] = state
        if state is before:
            return instructions
        if state.stopped_at_ms == now_ms:
            instructions += self._remove_surplus()
        return [stimuli.SaveTask(state=state), *instructions]

    def _remove_surplus(self) -> list[stimuli.Instruction]:
        """Have the longest ended tasks removed when too many are kept."""
        ended = [state for state in self.tasks.values() if state.stopped_at_ms is not None]
        surplus = len(ended) - MAX_ENDED_TASKS
        if surplus <= 0 or not self.is_engine_up:
            return []
        ended.sort(key=lambda state: (state.stopped_at_ms or 0, state.arn))
        return [stimuli.RemoveTask(state=state) for state in ended[:surplus]]

    def _on_task_sent(self, sent: stimuli.TaskSent, now_ms: int) -> list[stimuli.Instruction]:
        known = self.tasks.get(sent.task.arn)
        wants_stop = sent.task.desired_status == Status.STOPPED.value
        if known is None:
            state = _accept_task(sent.task, now_ms)
            if wants_stop:
                state = _replace(state, wanted=Status.STOPPED)
            return self._go_on(state, now_ms, None)
        if wants_stop and known.wanted is not Status.STOPPED:
            may_wait = sent.task.stop_may_wait
            stopping = _replace(known, wanted=Status.STOPPED, stop_may_wait=may_wait)
            return self._go_on(stopping, now_ms, known)
        if wants_stop and known.has_ended():
            # Asked again to stop what has stopped: the report must have got lost.
            _, change = render_task_change(known, Status.STOPPED)
            return [stimuli.ReportTask(request=change)]
        return []

    def _on_stop_wanted(self, wanted: stimuli.StopWanted, now_ms: int) -> list[stimuli.Instruction]:
        known = self.tasks.get(wanted.task_arn)
        if known is None or known.wanted is Status.STOPPED:
            return []
        return self._go_on(_replace(known, wanted=Status.STOPPED), now_ms, known)

    def _on_timer_fired(self, fired: stimuli.TimerFired, now_ms: int) -> list[stimuli.Instruction]:
        state = self.tasks.get(fired.task_arn)
        if state is None:
            return []
        if state.stopped_at_ms is None:
            return self._go_on(state, now_ms, state)
        due_ms = state.stopped_at_ms + self._cleanup_delay_s * 1000
        if now_ms < due_ms or not self.is_engine_up:
            return []
        return [stimuli.RemoveTask(state=state)]

    def _on_task_removed(self, gone: stimuli.TaskRemoved, _now: int) -> list[stimuli.Instruction]:
        if self.tasks.pop(gone.task_arn, None) is None:
            return []
        return [stimuli.ForgetTask(task_arn=gone.task_arn)]

    def _on_engine_lost(self, _lost: stimuli.EngineLost, _now: int) -> list[stimuli.Instruction]:
        self.is_engine_up = False
        return []

    def _on_engine_surveyed(
        self, survey: stimuli.EngineSurveyed, now_ms: int
    ) -> list[stimuli.Instruction]:
        self.is_engine_up = True
        by_task: dict[str, dict[str, stimuli.FoundContainer]] = {}
        instructions: list[stimuli.Instruction] = []
        for seen in survey.found:
            if self._is_ours(seen):
                by_task.setdefault(seen.task_arn, {})[seen.container_name] = seen
            else:
                instructions.append(stimuli.RemoveOrphan(runtime_id=seen.runtime_id))
        for before in list(self.tasks.values()):
            state = meet_engine(before, by_task.get(before.arn, {}), now_ms)
            instructions += self._go_on(state, now_ms, before)
            instructions += list_timers(self.tasks[before.arn], self._moment(now_ms))
        instructions.append(stimuli.PublishHealth())
        return instructions

    def _is_ours(self, seen: stimuli.FoundContainer) -> bool:
        """Whether a container belongs to a task we know and doesn't outlive its own end there."""
        state = self.tasks.get(seen.task_arn)
        container = None if state is None else state.container(seen.container_name)
        if container is None:
            return False
        return container.phase is not Phase.STOPPED or seen.status not in LIVE_STATUSES

    def _on_container(
        self, stimulus: stimuli.ContainerStimulus, now_ms: int
    ) -> list[stimuli.Instruction]:
        before = self.tasks.get(stimulus.task_arn)
        container = None if before is None else before.container(stimulus.container_name)
        if before is None or container is None:
            return []
        if container.phase is Phase.STOPPED:
            # It ended while another start of it was under way, from before the agent's own restart.
            if isinstance(stimulus, stimuli.ContainerStarted) and container.runtime_id:
                return [stimuli.RemoveOrphan(runtime_id=container.runtime_id)]
            return []
        state = _change_container(before, container, stimulus, now_ms)
        if state is before:
            return []
        instructions = self._go_on(state, now_ms, before)
        if isinstance(stimulus, stimuli.HealthChanged):
            instructions.append(stimuli.PublishHealth())
        if isinstance(stimulus, stimuli.ContainerStarted):
            instructions += list_timers(state, self._moment(now_ms))
        if isinstance(stimulus, stimuli.StopFailed):
            later = now_ms + STOP_RETRY_DELAY_MS
            instructions.append(stimuli.WakeAt(task_arn=state.arn, at_ms=later))
        return instructions


def _accept_task(task: payload.Task, now_ms: int) -> TaskState:
    """Take a new task over; what this agent can't do ends it at once, with the reason."""
    task = add_pause(task)
    containers = tuple(ContainerState(name=container.name) for container in task.containers)
    state = TaskState(task=strip_secrets(task), containers=containers)
    reason = refuse_unsupported(task)
    if reason is None and (why := refuse_unresolvable(task.containers)) is not None:
        reason = f"TaskDependencyError: {why}"
    if reason is None:
        return state
    for container in containers:
        state = end_container(state, container, now_ms, reason=reason)
    return _replace(state, wanted=Status.STOPPED, reason=reason)


def strip_secrets(task: payload.Task) -> payload.Task:
    """The task without what its roles' credentials consist of: that is never kept on disk."""
    return _replace(
        task,
        role_credentials=without_secrets(task.role_credentials),
        execution_role_credentials=None,
    )


def _change_container(
    state: TaskState,
    container: ContainerState,
    stimulus: stimuli.ContainerStimulus,
    now_ms: int,
) -> TaskState:
    match stimulus:
        case stimuli.ImagePulled() if container.phase is Phase.PULLING:
            pulled = _replace(container, phase=Phase.PULLED, image_digest=stimulus.image_digest)
            return _replace(state.with_container(pulled), pull_stopped_at_ms=now_ms)
        case stimuli.ContainerCreated() if container.phase is Phase.CREATING:
            return state.with_container(
                _replace(container, phase=Phase.CREATED, runtime_id=stimulus.runtime_id)
            )
        case stimuli.ContainerStarted() if container.phase is Phase.STARTING:
            return state.with_container(_mark_running(container, stimulus, now_ms))
        case stimuli.StepCancelled() if container.phase is Phase.CREATING:
            return state.with_container(_replace(container, phase=Phase.PULLED))
        case stimuli.StepCancelled() if container.phase is Phase.STARTING:
            return state.with_container(_replace(container, phase=Phase.CREATED))
        case stimuli.StepFailed():
            if container.phase is Phase.PULLING:
                state = _replace(state, pull_stopped_at_ms=now_ms)
            return end_container(
                state, container, now_ms, exit_code=container.exit_code, reason=stimulus.reason
            )
        case stimuli.StopFailed() if container.is_stopping:
            later = now_ms + STOP_RETRY_DELAY_MS
            return state.with_container(
                _replace(container, is_stopping=False, stop_not_before_ms=later)
            )
        case stimuli.ContainerDied() if stimulus.runtime_id == container.runtime_id:
            return _settle_death(state, container, stimulus, now_ms)
        case stimuli.HealthChanged() if stimulus.runtime_id == container.runtime_id:
            if stimulus.health == container.health:
                return state
            changed = _replace(container, health=stimulus.health, health_since_ms=now_ms)
            return state.with_container(changed)
    return state


def _mark_running(
    container: ContainerState, started: stimuli.ContainerStarted, now_ms: int
) -> ContainerState:
    return _replace(
        container,
        phase=Phase.RUNNING,
        has_started=True,
        started_at_ms=now_ms,
        bindings=started.bindings,
        health_since_ms=now_ms,
    )


def _settle_death(
    state: TaskState, container: ContainerState, died: stimuli.ContainerDied, now_ms: int
) -> TaskState:
    if container.phase not in (Phase.STARTING, Phase.RUNNING):
        return state
    is_stale = container.restart_count > 0 and died.at_ms < (container.started_at_ms or 0)
    if is_stale:
        # The end of an earlier run, told late: the restart has already answered it.
        return state
    return settle_exit(state, container, now_ms, exit_code=died.exit_code, reason=died.reason)
