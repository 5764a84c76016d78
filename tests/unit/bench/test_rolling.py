"""What a rolling update is judged by: the Engine's events, and the figures beside Swarm's."""

import asyncio

import pytest

from homeport.bench.report import rolling_lines
from homeport.bench.rolling import NEW, OLD, REVISION_LABEL, RollingMeasurement, Witness


def event(action: str, container: str, revision: str) -> dict[str, object]:
    actor = {"ID": container, "Attributes": {REVISION_LABEL: revision}}
    return {"Action": action, "Actor": actor}


def measurement(**changes: object) -> RollingMeasurement:
    found = {
        "tasks": 2,
        "homeport_s": [1.0, 2.0],
        "homeport_fewest": 2,
        "homeport_cpu_s": 0.1,
        "engine_s": [1.0, 1.4],
        "swarm_s": [3.0, 6.0],
        "swarm_fewest": 2,
    }
    return RollingMeasurement(**{**found, **changes})


def test_the_witness_counts_what_runs_by_revision():
    witness = Witness()
    witness.note(event("start", "a", OLD))
    witness.note(event("start", "b", OLD))
    witness.note(event("start", "c", NEW))
    witness.note(event("die", "a", OLD))
    assert (witness.count(OLD), witness.count(NEW)) == (1, 1)


def test_the_fewest_is_what_ran_at_the_worst_moment_since_the_update_began():
    witness = Witness()
    for name in ("a", "b"):
        witness.note(event("start", name, OLD))
    witness.begin()
    witness.note(event("die", "a", OLD))
    witness.note(event("start", "c", NEW))
    witness.note(event("start", "d", NEW))
    assert witness.fewest == 1


async def test_an_update_is_over_only_when_no_old_container_runs_any_more():
    witness = Witness()
    witness.note(event("start", "a", OLD))
    waiting = asyncio.create_task(witness.wait_for(old=0, new=1))
    await asyncio.sleep(0)
    witness.note(event("start", "b", NEW))
    await asyncio.sleep(0)
    assert not waiting.done()
    witness.note(event("die", "a", OLD))
    await asyncio.wait_for(waiting, 1)


def test_the_ratio_is_swarms_mean_over_ours_and_decides_whether_the_target_is_met():
    assert measurement().ratio == pytest.approx(3.0)
    assert rolling_lines(measurement())[0].is_met is True
    assert rolling_lines(measurement(homeport_s=[3.0]))[0].is_met is False


def test_a_single_container_too_few_misses_the_promise():
    assert rolling_lines(measurement(homeport_fewest=1))[-1].is_met is False


def test_without_swarm_there_is_no_ratio_to_miss():
    assert rolling_lines(measurement(swarm_s=[]))[0].is_met is None


def test_what_the_engine_alone_takes_is_set_beside():
    line = rolling_lines(measurement())[1]
    assert (line.homeport, line.beside) == ("1.25 x as long", "Engine calls 1.20 s")
