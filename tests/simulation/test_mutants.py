"""Every deliberate bug of `deliberate_bugs` is caught by some checker, within a few seeds."""

import pytest

import deliberate_bugs
from homeport.sim.scenario import read_scenario
from homeport.sim.world import World

SEEDS = range(3)
SCENARIOS = ("full", "storm", "zone_outage", "deploy_storm", "long_day", "crash_loop")

pytestmark = [pytest.mark.simulation, pytest.mark.slow]


@pytest.mark.parametrize("mutant", deliberate_bugs.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_deliberate_bug_is_caught(mutant, monkeypatch):
    mutant(monkeypatch)
    first = getattr(mutant, "scenario", SCENARIOS[0])
    for name in dict.fromkeys((first, *SCENARIOS)):
        for seed in SEEDS:
            failure = World(read_scenario(name), seed).run().failure
            if failure is not None:
                print(f"{failure.truth}: {failure.text}")
                return
    pytest.fail(f"no checker sees it when {mutant.__name__.replace('_', ' ')}")
