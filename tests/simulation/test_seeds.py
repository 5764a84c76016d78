"""Whole clusters with faults: seeds that failed once, the library, and made-up ones.

The seeds are the same in every run of `make test`, so that a red run is the change's fault.
SIMULATION_SEED=N takes others; `make soak` runs thousands of fresh ones.
"""

import os
from pathlib import Path

import pytest

from homeport.sim.generate import generate_scenario
from homeport.sim.scenario import Scenario, list_scenarios, read_kept_run, read_scenario
from homeport.sim.world import World

KEPT_FOLDER = Path(__file__).parent / "kept"
MADE_UP_SEEDS = 40
FIRST_SEED = int(os.environ.get("SIMULATION_SEED", "20261121"))

pytestmark = [pytest.mark.simulation, pytest.mark.slow]


def run(scenario: Scenario, seed: int, name: str):
    """Run one seed; fail with all that is needed to see it again."""
    outcome = World(scenario, seed).run()
    failure = outcome.failure
    if failure is not None:
        pytest.fail(
            f"{failure.truth}: {failure.text}\nsee it: homeport simulate --scenario {name} "
            f"--seed {seed} --until {failure.step} --trace\n"
            f"then keep it: homeport simulate ... --minimise, and a file in {KEPT_FOLDER.name}/"
        )
    return outcome


@pytest.mark.parametrize("path", sorted(KEPT_FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_run_that_failed_once_holds(path):
    kept = read_kept_run(path)
    run(kept.scenario, kept.seed, str(path))


@pytest.mark.parametrize("name", list_scenarios())
def test_a_scenario_of_the_library_holds(name):
    outcome = run(read_scenario(name), FIRST_SEED, name)
    assert outcome.tasks > 0
    assert outcome.converged_s is not None


def test_made_up_scenarios_hold():
    for seed in range(FIRST_SEED, FIRST_SEED + MADE_UP_SEEDS):
        run(generate_scenario(seed), seed, "made-up")
