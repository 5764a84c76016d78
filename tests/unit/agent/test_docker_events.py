"""The Engine's events as stimuli."""

from typing import Any

import pytest

from homeport.agent.docker import OUT_OF_MEMORY, describe, read_health, read_reason
from homeport.agent.docker_events import read_event
from homeport.agent.stimuli import ContainerDied, HealthChanged

LABELS = {
    "com.amazonaws.ecs.task-arn": "arn:t",
    "com.amazonaws.ecs.container-name": "web",
}


def make_event(action: str, **attributes: str) -> dict[str, Any]:
    return {
        "Action": action,
        "Actor": {"ID": "abc", "Attributes": {**LABELS, **attributes}},
        "timeNano": 1_795_295_015_303_000_001,
    }


def test_a_death_carries_exit_code_and_moment():
    assert read_event(make_event("die", exitCode="137")) == ContainerDied(
        task_arn="arn:t",
        container_name="web",
        runtime_id="abc",
        exit_code=137,
        at_ms=1_795_295_015_303,
    )


@pytest.mark.parametrize(
    ("told", "health"),
    [("healthy", "HEALTHY"), ("unhealthy", "UNHEALTHY"), ("starting", "UNKNOWN")],
)
def test_a_health_change_is_told_in_ecs_words(told: str, health: str):
    stimulus = read_event(make_event(f"health_status: {told}"))
    assert isinstance(stimulus, HealthChanged)
    assert stimulus.health == health
    assert read_health(told) == health


@pytest.mark.parametrize(
    "event", [make_event("exec_start"), {"Action": "die"}, {}, {"Action": "die", "Actor": {}}]
)
def test_other_events_and_other_containers_are_passed_over(event: dict[str, Any]):
    assert read_event(event) is None


def test_a_container_killed_for_memory_says_so():
    assert read_reason({"OOMKilled": True, "Error": "x"}) == OUT_OF_MEMORY
    assert read_reason({"Error": "no such file"}) == "CannotStartContainerError: no such file"
    assert read_reason({}) == ""


def test_an_inspected_container_is_described_even_without_a_known_task():
    shown = {
        "Id": "abc",
        "Config": {"Labels": LABELS},
        "State": {"Status": "exited", "ExitCode": 3, "Health": {"Status": "unhealthy"}},
    }
    found = describe(shown, {}, "127.0.0.1")
    assert (found.task_arn, found.container_name, found.runtime_id) == ("arn:t", "web", "abc")
    assert (found.status, found.exit_code, found.health) == ("exited", 3, "UNHEALTHY")
    assert found.bindings == ()
