"""Which container waits for which, condition by condition."""

import msgspec
import pytest

from agent_builders import make_container, make_task
from homeport.agent.dependencies import (
    Verdict,
    check_start,
    check_stop,
    find_start_deadline_ms,
    is_restart_due,
    list_needs,
    refuse_unresolvable,
)
from homeport.agent.task_state import ContainerState, Phase, TaskState
from homeport.wire.agent_messages import payload

NOW_MS = 1_000_000


def depends(name: str, condition: str) -> payload.ContainerDependency:
    return payload.ContainerDependency(container_name=name, condition=condition)


def make_state(condition: str, dependency: ContainerState, **members: object) -> TaskState:
    first = make_container("i", "first", **members)
    second = make_container("i", "second", depends_on=(depends("first", condition),))
    return TaskState(
        task=make_task(first, second),
        containers=(dependency, ContainerState(name="second")),
    )


def first(phase: Phase, **members: object) -> ContainerState:
    has_started = members.pop("has_started", phase in (Phase.RUNNING, Phase.STOPPED))
    return ContainerState(name="first", phase=phase, has_started=has_started, **members)


@pytest.mark.parametrize(
    ("condition", "dependency", "verdict"),
    [
        ("START", first(Phase.NONE), Verdict.WAIT),
        ("START", first(Phase.STARTING), Verdict.WAIT),
        ("START", first(Phase.RUNNING), Verdict.READY),
        ("START", first(Phase.STOPPED, exit_code=1), Verdict.READY),
        ("START", first(Phase.STOPPED, has_started=False), Verdict.NEVER),
        ("COMPLETE", first(Phase.RUNNING), Verdict.WAIT),
        ("COMPLETE", first(Phase.STOPPED, exit_code=3), Verdict.READY),
        ("COMPLETE", first(Phase.STOPPED, has_started=False), Verdict.NEVER),
        ("SUCCESS", first(Phase.RUNNING), Verdict.WAIT),
        ("SUCCESS", first(Phase.STOPPED, exit_code=0), Verdict.READY),
        ("SUCCESS", first(Phase.STOPPED, exit_code=3), Verdict.NEVER),
        ("SUCCESS", first(Phase.STOPPED, exit_code=None), Verdict.NEVER),
        ("HEALTHY", first(Phase.RUNNING), Verdict.WAIT),
        ("HEALTHY", first(Phase.RUNNING, health="UNHEALTHY"), Verdict.WAIT),
        ("HEALTHY", first(Phase.RUNNING, health="HEALTHY"), Verdict.READY),
        ("HEALTHY", first(Phase.STOPPED, exit_code=0, health="HEALTHY"), Verdict.NEVER),
        ("TOMORROW", first(Phase.RUNNING), Verdict.NEVER),
    ],
)
def test_a_condition_lets_go_waits_or_gives_up(
    condition: str, dependency: ContainerState, verdict: Verdict
):
    answer = check_start(make_state(condition, dependency), "second", NOW_MS)
    assert answer.verdict is verdict
    assert bool(answer.why) == (verdict is Verdict.NEVER)


def test_a_refusal_names_both_containers_and_the_reason():
    answer = check_start(make_state("SUCCESS", first(Phase.STOPPED, exit_code=3)), "second", NOW_MS)
    assert answer.why == "[second] needs [first]: it stopped with exit code 3, not 0"


@pytest.mark.parametrize("condition", ["COMPLETE", "SUCCESS", "HEALTHY"])
def test_a_start_timeout_ends_the_wait(condition: str):
    late = first(Phase.RUNNING, started_at_ms=NOW_MS - 10_000)
    assert check_start(make_state(condition, late, start_timeout=11), "second", NOW_MS).verdict is (
        Verdict.WAIT
    )
    answer = check_start(make_state(condition, late, start_timeout=10), "second", NOW_MS)
    assert answer.verdict is Verdict.NEVER
    assert "startTimeout of 10 s passed" in answer.why


def test_a_start_timeout_does_not_concern_start_nor_a_dependency_that_has_not_started():
    running = first(Phase.RUNNING, started_at_ms=0)
    answer = check_start(make_state("START", running, start_timeout=1), "second", NOW_MS)
    assert answer.verdict is Verdict.READY
    pulling = first(Phase.PULLING)
    answer = check_start(make_state("HEALTHY", pulling, start_timeout=1), "second", NOW_MS)
    assert answer.verdict is Verdict.WAIT


def test_the_start_deadline_exists_only_while_someone_waits_for_more_than_the_start():
    running = first(Phase.RUNNING, started_at_ms=NOW_MS)
    waiting = make_state("HEALTHY", running, start_timeout=5)
    assert find_start_deadline_ms(waiting, running) == NOW_MS + 5_000
    assert find_start_deadline_ms(make_state("START", running, start_timeout=5), running) is None
    assert find_start_deadline_ms(make_state("HEALTHY", running), running) is None
    gone_on = waiting.with_container(ContainerState(name="second", phase=Phase.PULLING))
    assert find_start_deadline_ms(gone_on, running) is None


def test_links_wait_for_the_start_and_volumes_from_for_the_creation():
    container = make_container(
        "i",
        links=("db:database", "cache"),
        volumes_from=(payload.VolumeFrom(source_container="data"),),
    )
    needs = [(need.container_name, need.condition) for need in list_needs(container)]
    assert needs == [("db", "START"), ("cache", "START"), ("data", "CREATED")]


@pytest.mark.parametrize(
    ("phase", "verdict"),
    [
        (Phase.CREATING, Verdict.WAIT),
        (Phase.CREATED, Verdict.READY),
        (Phase.STOPPED, Verdict.READY),
    ],
)
def test_volumes_from_needs_a_created_container(phase: Phase, verdict: Verdict):
    user = make_container("i", "user", volumes_from=(payload.VolumeFrom(source_container="data"),))
    state = TaskState(
        task=make_task(make_container("i", "data"), user),
        containers=(ContainerState(name="data", phase=phase), ContainerState(name="user")),
    )
    assert check_start(state, "user", NOW_MS).verdict is verdict


def test_a_container_stops_only_after_those_that_depend_on_it():
    state = make_state("START", first(Phase.RUNNING))
    state = state.with_container(ContainerState(name="second", phase=Phase.RUNNING))
    assert check_stop(state, "second")
    assert not check_stop(state, "first")
    state = state.with_container(ContainerState(name="second", phase=Phase.STOPPED))
    assert check_stop(state, "first")


POLICY = payload.RestartPolicy(enabled=True, ignored_exit_codes=(0,), restart_attempt_period=60)
OLD_ENOUGH = ContainerState(name="web", started_at_ms=NOW_MS - 60_000)


@pytest.mark.parametrize(
    ("policy", "exit_code", "age_ms", "is_due"),
    [
        (POLICY, 1, 60_000, True),
        (POLICY, 1, 59_999, False),
        (POLICY, 0, 60_000, False),
        (None, 1, 60_000, False),
        (msgspec.structs.replace(POLICY, enabled=False), 1, 60_000, False),
        (msgspec.structs.replace(POLICY, restart_attempt_period=None), 1, 299_999, False),
        (msgspec.structs.replace(POLICY, restart_attempt_period=None), 1, 300_000, True),
    ],
)
def test_a_restart_is_due_when_policy_exit_code_and_period_say_so(
    policy: payload.RestartPolicy | None, exit_code: int, age_ms: int, is_due: bool
):
    container = ContainerState(name="web", started_at_ms=NOW_MS - age_ms)
    assert is_restart_due(policy, container, exit_code, NOW_MS) is is_due


def test_a_dependency_on_an_unknown_container_is_refused():
    container = make_container("i", depends_on=(depends("ghost", "START"),))
    why = refuse_unresolvable((container,))
    assert why == "container [web] depends on [ghost], which the task doesn't have"


def test_a_circle_of_dependencies_is_refused_and_named():
    a = make_container("i", "a", depends_on=(depends("b", "START"),))
    b = make_container("i", "b", links=("a",))
    free = make_container("i", "free")
    assert refuse_unresolvable((a, b, free)) == "containers [a], [b] wait for each other"
    assert refuse_unresolvable((free,)) is None
