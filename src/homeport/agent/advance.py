"""Look at one task as it is and say what to do next: the level-triggered heart. Pure.

The same code runs after a payload, after an Engine event, after a timer and after a restart of the
agent. Not here: how an event changes a task (`task_machine`, `survey`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from homeport.agent import reporting, stimuli
from homeport.agent.dependencies import Verdict, check_start, check_stop, find_start_deadline_ms
from homeport.agent.task_state import ContainerState, Phase, Status, TaskState

DEFAULT_STOP_TIMEOUT_S: Final = 30
"""ECS_CONTAINER_STOP_TIMEOUT's default; a container's own stopTimeout wins."""

Step = tuple[TaskState, list[stimuli.Instruction]]
_replace = msgspec.structs.replace


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What advancing a task depends on beside the task: time, Engine, settings."""

    now_ms: int
    is_engine_up: bool = True
    stop_timeout_s: int = DEFAULT_STOP_TIMEOUT_S
    cleanup_delay_s: int = 3 * 3600


def advance_task(state: TaskState, moment: Moment) -> Step:
    """Take every step that a task can take now, then report what became of it."""
    instructions: list[stimuli.Instruction] = []
    while True:
        before = state
        for name in [container.name for container in state.containers]:
            state, more = _advance_container(state, name, moment)
            instructions += more
        if state is before:
            break
    state, reports = _report(state, moment)
    return state, instructions + reports


def end_container(
    state: TaskState,
    container: ContainerState,
    now_ms: int,
    *,
    exit_code: int | None = None,
    reason: str = "",
) -> TaskState:
    """A container has stopped for good; an essential one takes its task with it."""
    ended = _replace(
        container,
        phase=Phase.STOPPED,
        is_stopping=False,
        exit_code=exit_code,
        reason=container.reason or reason,
    )
    state = state.with_container(ended)
    if state.definition(container.name).essential:
        state = _replace(
            state,
            wanted=Status.STOPPED,
            execution_stopped_at_ms=state.execution_stopped_at_ms or now_ms,
        )
    return state


def list_timers(state: TaskState, moment: Moment) -> list[stimuli.Instruction]:
    """All moments at which this task must be looked at again, for after a restart."""
    deadlines = [find_start_deadline_ms(state, container) for container in state.containers]
    if state.stopped_at_ms is not None:
        deadlines.append(state.stopped_at_ms + moment.cleanup_delay_s * 1000)
    return [stimuli.WakeAt(task_arn=state.arn, at_ms=at) for at in deadlines if at is not None]


def _advance_container(state: TaskState, name: str, moment: Moment) -> Step:
    container = state.container(name)
    if container is None or container.phase is Phase.STOPPED:
        return state, []
    if state.wanted is Status.STOPPED:
        return _take_down(state, container, moment)
    return _bring_up(state, container, moment)


def _bring_up(state: TaskState, container: ContainerState, moment: Moment) -> Step:
    if container.phase is Phase.NONE:
        answer = check_start(state, container.name, moment.now_ms)
        if answer.verdict is Verdict.NEVER:
            return _give_up(state, container, answer.why, moment.now_ms), []
        if answer.verdict is Verdict.WAIT:
            return state, []
    if not moment.is_engine_up:
        return state, []
    step = {"task_arn": state.arn, "container_name": container.name}
    if container.phase is Phase.NONE:
        state = _replace(state, pull_started_at_ms=state.pull_started_at_ms or moment.now_ms)
        return _enter(state, container, Phase.PULLING), [stimuli.PullImage(**step)]
    if container.phase is Phase.PULLED:
        return _enter(state, container, Phase.CREATING), [stimuli.CreateContainer(**step)]
    if container.phase is Phase.CREATED:
        start = stimuli.StartContainer(**step, runtime_id=container.runtime_id)
        return _enter(state, container, Phase.STARTING), [start]
    return state, []


def _give_up(state: TaskState, container: ContainerState, why: str, now_ms: int) -> TaskState:
    """A dependency can never be met: the task stops, whoever waited is named."""
    reason = f"TaskDependencyError: {why}"
    fixed = f"TaskDependencyError: Task dependencies cannot be resolved, taskArn: {state.arn}"
    state = end_container(state, container, now_ms, reason=reason)
    return _replace(state, wanted=Status.STOPPED, reason=state.reason or fixed)


def _take_down(state: TaskState, container: ContainerState, moment: Moment) -> Step:
    if container.phase in (Phase.NONE, Phase.PULLED):
        return _end_unstarted(state, container), []
    if container.phase is Phase.CREATED:
        # A start from before the agent's own restart may be under way: removed, it can't come up.
        orphan = stimuli.RemoveOrphan(runtime_id=container.runtime_id)
        return _end_unstarted(state, container), [orphan]
    if container.phase is Phase.PULLING:
        cancel = stimuli.CancelPull(task_arn=state.arn, container_name=container.name)
        return _end_unstarted(state, container), [cancel]
    if container.phase in (Phase.CREATING, Phase.STARTING):
        give_up = stimuli.CancelStep(task_arn=state.arn, container_name=container.name)
        return state, [give_up]
    may_stop = (
        container.phase is Phase.RUNNING
        and not container.is_stopping
        and moment.is_engine_up
        and moment.now_ms >= container.stop_not_before_ms
        and check_stop(state, container.name)
    )
    if not may_stop:
        return state, []
    timeout_s = state.definition(container.name).stop_timeout
    stop = stimuli.StopContainer(
        task_arn=state.arn,
        container_name=container.name,
        runtime_id=container.runtime_id,
        timeout_s=moment.stop_timeout_s if timeout_s is None else timeout_s,
        may_wait=state.stop_may_wait,
    )
    return state.with_container(_replace(container, is_stopping=True)), [stop]


def _end_unstarted(state: TaskState, container: ContainerState) -> TaskState:
    """A container that isn't running needs no stop; it keeps the exit code of an earlier run."""
    return state.with_container(_replace(container, phase=Phase.STOPPED))


def _enter(state: TaskState, container: ContainerState, phase: Phase) -> TaskState:
    return state.with_container(_replace(container, phase=phase))


def _report(state: TaskState, moment: Moment) -> Step:
    """Tell STOPPED once all containers have; RUNNING once all run; else single containers."""
    if state.has_ended():
        if state.stopped_at_ms is not None:
            return state, []
        state = _replace(state, stopped_at_ms=moment.now_ms)
        state, change = reporting.render_task_change(state, Status.STOPPED)
        report = stimuli.ReportTask(request=change)
        return state, [report, *list_timers(state, moment)]
    if state.reported is Status.NONE:
        is_up = all(c.phase in (Phase.RUNNING, Phase.STOPPED) for c in state.containers)
        if not is_up or state.wanted is Status.STOPPED:
            return state, []
        state, change = reporting.render_task_change(state, Status.RUNNING)
        return state, [stimuli.ReportTask(request=change)]
    reports: list[stimuli.Instruction] = []
    if state.wanted is Status.STOPPED:
        # Like Amazon's agent: what stops with its task is told with its task.
        return state, reports
    for container in state.containers:
        if container.phase is Phase.STOPPED and container.reported is not Status.STOPPED:
            state, told = reporting.render_container_change(state, container)
            reports.append(stimuli.ReportContainer(request=told))
    return state, reports
