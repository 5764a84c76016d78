"""Every deliberate bug is caught by some checker, whatever the seed.

A bug that only makes something raise proves nothing of the checkers: a mutant that doesn't fit the
code any more does that too.
"""

import pytest

import deliberate_bugs
import deliberate_durability_bugs
import deliberate_service_bugs
from homeport.sim.batch import Job, crashes_at_each_commit, run_job
from homeport.sim.world import RAISED, Failure

MUTANTS = (
    *deliberate_bugs.MUTANTS,
    *deliberate_durability_bugs.MUTANTS,
    *deliberate_service_bugs.MUTANTS,
)
SEEDS = (0, 1)
COMMITS = 60

pytestmark = [pytest.mark.simulation, pytest.mark.slow]


def find_failure(mutant, seed: int) -> Failure | None:
    """Return what is found in the mutant's scenario, killed at each commit if it asks for that."""
    name = getattr(mutant, "scenario", "full")
    jobs = [Job(name, seed)]
    if getattr(mutant, "is_killed_at_each_commit", False):
        jobs = crashes_at_each_commit(name, seed)[:COMMITS]
    return next((f for job in jobs if (f := run_job(job).failure) is not None), None)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_deliberate_bug_is_caught(mutant, monkeypatch):
    mutant(monkeypatch)
    for seed in SEEDS:
        failure = find_failure(mutant, seed)
        bug = mutant.__name__.replace("_", " ")
        assert failure is not None, f"no checker sees it when {bug}"
        assert failure.truth != RAISED, failure.text
