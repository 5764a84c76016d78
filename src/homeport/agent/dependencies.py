"""Which container waits for which: start order, stop order, restarts. Pure.

Rules: ../reference task life cycle §5 and §7, i.e. the ECS agent's dependency graph and restart
tracker. Not here: what is done when a container may go on (`advance`).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec

from homeport.agent.task_state import ContainerState, Phase, TaskState

if TYPE_CHECKING:
    from homeport.wire.agent_messages import payload

DEFAULT_RESTART_ATTEMPT_PERIOD_S: Final = 300
"""docs.aws.amazon.com/AmazonECS/latest/developerguide/container-restart-policy.html"""

CREATED_PHASES: Final = (Phase.CREATED, Phase.STARTING, Phase.RUNNING, Phase.STOPPED)
TIMED_CONDITIONS: Final = ("COMPLETE", "SUCCESS", "HEALTHY")


class Verdict(enum.Enum):
    """Whether a dependency lets a container go on."""

    READY = "ready"
    WAIT = "wait"
    NEVER = "never"


class Need(msgspec.Struct, frozen=True):
    """One thing that a container waits for; CREATED is ours, for volumesFrom."""

    container_name: str
    condition: str


class Answer(msgspec.Struct, frozen=True):
    """A verdict, and when it is NEVER, why."""

    verdict: Verdict
    why: str = ""


READY: Final = Answer(Verdict.READY)
WAIT: Final = Answer(Verdict.WAIT)


def list_needs(container: payload.Container) -> tuple[Need, ...]:
    """All a container waits for: dependsOn, links (started) and volumesFrom (created)."""
    needs = [Need(d.container_name, d.condition) for d in container.depends_on]
    needs += [Need(link.partition(":")[0], "START") for link in container.links]
    needs += [Need(v.source_container, "CREATED") for v in container.volumes_from]
    return tuple(needs)


def check_start(state: TaskState, name: str, now_ms: int) -> Answer:
    """Say whether a container may be pulled and started, must wait, or never can."""
    waits = False
    for need in list_needs(state.definition(name)):
        answer = _check_need(state, need, now_ms)
        if answer.verdict is Verdict.NEVER:
            return Answer(Verdict.NEVER, f"[{name}] needs [{need.container_name}]: {answer.why}")
        waits = waits or answer.verdict is Verdict.WAIT
    return WAIT if waits else READY


def check_stop(state: TaskState, name: str) -> bool:
    """Say whether a container may be stopped: all that depend on it have stopped."""
    return all(
        other.phase is Phase.STOPPED
        for other in state.containers
        if any(need.container_name == name for need in list_needs(state.definition(other.name)))
    )


def find_start_deadline_ms(state: TaskState, container: ContainerState) -> int | None:
    """When a container's startTimeout passes for those that wait for more than its start."""
    timeout_s = state.definition(container.name).start_timeout
    if timeout_s is None or container.started_at_ms is None:
        return None
    is_awaited = any(
        other.phase is Phase.NONE
        and any(
            need.container_name == container.name and need.condition in TIMED_CONDITIONS
            for need in list_needs(state.definition(other.name))
        )
        for other in state.containers
    )
    return container.started_at_ms + timeout_s * 1000 if is_awaited else None


def is_restart_due(
    policy: payload.RestartPolicy | None, container: ContainerState, exit_code: int, now_ms: int
) -> bool:
    """Whether the restart policy wants this exit answered by a restart."""
    if policy is None or not policy.enabled or exit_code in policy.ignored_exit_codes:
        return False
    period_s = policy.restart_attempt_period or DEFAULT_RESTART_ATTEMPT_PERIOD_S
    return now_ms - (container.started_at_ms or 0) >= period_s * 1000


def refuse_unresolvable(containers: tuple[payload.Container, ...]) -> str | None:
    """Name a dependency on an unknown container, or a circle of dependencies."""
    needs = {c.name: {need.container_name for need in list_needs(c)} for c in containers}
    for name, wanted in needs.items():
        for other in sorted(wanted):
            if other not in needs:
                return f"container [{name}] depends on [{other}], which the task doesn't have"
    resolved: set[str] = set()
    while len(resolved) < len(needs):
        free = [n for n, wanted in needs.items() if n not in resolved and wanted <= resolved]
        if not free:
            circle = ", ".join(f"[{name}]" for name in needs if name not in resolved)
            return f"containers {circle} wait for each other"
        resolved.update(free)
    return None


def _check_need(state: TaskState, need: Need, now_ms: int) -> Answer:
    other = state.container(need.container_name)
    if other is None:
        return Answer(Verdict.NEVER, "the task has no such container")
    if need.condition == "CREATED":
        return READY if other.phase in CREATED_PHASES else WAIT
    if other.phase is Phase.STOPPED and not other.has_started:
        return Answer(Verdict.NEVER, "it never started")
    answer = _check_condition(need.condition, other)
    if answer.verdict is Verdict.WAIT and need.condition in TIMED_CONDITIONS:
        timeout_s = state.definition(other.name).start_timeout
        started_at_ms = now_ms if other.started_at_ms is None else other.started_at_ms
        if timeout_s is not None and now_ms >= started_at_ms + timeout_s * 1000:
            return Answer(Verdict.NEVER, f"startTimeout of {timeout_s} s passed")
    return answer


def _check_condition(condition: str, other: ContainerState) -> Answer:
    has_ended = other.phase is Phase.STOPPED
    if condition == "START":
        return READY if has_ended or other.phase is Phase.RUNNING else WAIT
    if condition == "COMPLETE":
        return READY if has_ended else WAIT
    if condition == "SUCCESS":
        if has_ended and other.exit_code != 0:
            return Answer(Verdict.NEVER, f"it stopped with exit code {other.exit_code}, not 0")
        return READY if has_ended else WAIT
    if condition == "HEALTHY":
        if has_ended:
            return Answer(Verdict.NEVER, "it stopped before it was healthy")
        is_healthy = other.phase is Phase.RUNNING and other.health == "HEALTHY"
        return READY if is_healthy else WAIT
    return Answer(Verdict.NEVER, f"condition {condition!r} isn't known to this agent")
