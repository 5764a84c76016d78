"""The same seed gives the same journal, byte for byte, in every process."""

import json
import os
import subprocess
import sys

import pytest

from homeport.sim.scenario import read_scenario
from homeport.sim.world import World

pytestmark = [pytest.mark.simulation, pytest.mark.slow]

SEED = 7
SCENARIOS = ("storm", "small_services")


def simulate(scenario: str, hash_seed: str) -> dict[str, object]:
    """Run one seed in a process of its own."""
    options = ("--scenario", scenario, "--seed", str(SEED))
    run = subprocess.run(
        [sys.executable, "-m", "homeport", "simulate", "--json", *options],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
        text=True,
    )
    outcome = json.loads(run.stdout)
    del outcome["real_s"]
    return outcome


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_hash_seeds_give_the_same_journal(scenario):
    outcome = simulate(scenario, "1")
    assert outcome == simulate(scenario, "2")
    assert outcome["commits"] > 100


def test_another_seed_gives_another_journal():
    storm = read_scenario("storm")
    assert World(storm, SEED).run().digest != World(storm, SEED + 1).run().digest


def test_a_run_until_a_step_stops_right_there():
    outcome = World(read_scenario("storm"), SEED).run(until_step=500)
    assert outcome.steps == 500
    assert outcome.failure is None
