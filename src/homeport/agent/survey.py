"""Compare a task as remembered with the containers that the Engine really has. Pure.

Used when the agent starts and when the Engine is back: no step is under way then. What is found
wins; what is missing is only called stopped if it was known to run. Not here: what follows
(`advance`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from homeport.agent.advance import end_container
from homeport.agent.dependencies import is_restart_due
from homeport.agent.task_state import ContainerState, Phase, Status, TaskState

if TYPE_CHECKING:
    from homeport.agent.stimuli import FoundContainer

VANISHED: Final = "ContainerVanishedError: No container matching saved ID found"
LIVE_STATUSES: Final = ("running", "paused", "restarting")
NEVER_STARTED: Final = "created"

_replace = msgspec.structs.replace


def meet_engine(state: TaskState, found: dict[str, FoundContainer], now_ms: int) -> TaskState:
    """Bring a task in line with the Engine's containers, by container name."""
    for container in state.containers:
        if container.phase is Phase.STOPPED:
            continue
        seen = found.get(container.name)
        state = (
            _meet_missing(state, container, now_ms)
            if seen is None
            else (_meet_found(state, container, seen, now_ms))
        )
    return state


def settle_exit(
    state: TaskState,
    container: ContainerState,
    now_ms: int,
    *,
    exit_code: int | None,
    reason: str,
) -> TaskState:
    """A container's process ended: restart it if its policy says so, else it has stopped."""
    container = _replace(container, has_started=True, exit_code=exit_code)
    policy = state.definition(container.name).restart_policy
    is_wanted = state.wanted is Status.RUNNING and not container.is_stopping
    if is_wanted and exit_code is not None and is_restart_due(policy, container, exit_code, now_ms):
        again = _replace(
            container,
            phase=Phase.CREATED,
            restart_count=container.restart_count + 1,
            exit_code=None,
            health="UNKNOWN",
            health_since_ms=now_ms,
        )
        return state.with_container(again)
    return end_container(state, container, now_ms, exit_code=exit_code, reason=reason)


def _meet_missing(state: TaskState, container: ContainerState, now_ms: int) -> TaskState:
    if container.has_started:
        return end_container(state, container, now_ms, reason=VANISHED)
    phase = {
        Phase.PULLING: Phase.NONE,
        Phase.CREATING: Phase.PULLED,
        Phase.CREATED: Phase.PULLED,
        Phase.STARTING: Phase.PULLED,
    }.get(container.phase, container.phase)
    return state.with_container(_replace(container, phase=phase, runtime_id=""))


def _meet_found(
    state: TaskState, container: ContainerState, seen: FoundContainer, now_ms: int
) -> TaskState:
    container = _replace(container, runtime_id=seen.runtime_id, is_stopping=False)
    if seen.status == NEVER_STARTED:
        return state.with_container(_replace(container, phase=Phase.CREATED))
    if seen.status in LIVE_STATUSES:
        running = _replace(
            container,
            phase=Phase.RUNNING,
            has_started=True,
            started_at_ms=container.started_at_ms or now_ms,
            bindings=seen.bindings,
            health=seen.health,
            health_since_ms=(
                container.health_since_ms if seen.health == container.health else now_ms
            ),
        )
        return state.with_container(running)
    if container.phase is Phase.CREATED and container.restart_count > 0:
        # Its exit was already answered by a restart that hasn't been carried out yet.
        return state.with_container(container)
    return settle_exit(state, container, now_ms, exit_code=seen.exit_code, reason=seen.reason)
