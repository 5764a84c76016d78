"""Whole clusters with faults: seeds that failed once, the library, and fresh seeds each run."""

import secrets
from pathlib import Path

import pytest

from homeport.sim.generate import generate_scenario
from homeport.sim.scenario import Scenario, list_scenarios, read_kept_run, read_scenario
from homeport.sim.world import World

KEPT_FOLDER = Path(__file__).parent / "kept"
FRESH_SEEDS = 40
FRESH_SEED_BITS = 32

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
    outcome = run(read_scenario(name), secrets.randbits(FRESH_SEED_BITS), name)
    assert outcome.tasks > 0
    assert outcome.converged_s is not None


def test_fresh_seeds_hold(record_property):
    first = secrets.randbits(FRESH_SEED_BITS)
    record_property("first_seed", first)
    print(f"fresh seeds {first} to {first + FRESH_SEEDS - 1}")
    for seed in range(first, first + FRESH_SEEDS):
        run(generate_scenario(seed), seed, "made-up")
