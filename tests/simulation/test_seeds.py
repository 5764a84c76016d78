"""Whole clusters with faults: seeds that failed once, the library, every commit, and fresh seeds.

Every run of the tests takes seeds that nobody has tried; the header of the run and each failure
say which. SIMULATION_SEED=N takes the same ones again, SIMULATION_SEEDS=N more or fewer of them.
`make soak` runs thousands.
"""

import os
from pathlib import Path

import pytest

from homeport.sim.batch import MADE_UP, Job, crashes_at_each_commit, run_crashes, run_job, run_jobs
from homeport.sim.scenario import list_scenarios, read_kept_run
from homeport.sim.world import Outcome, World

KEPT_FOLDER = Path(__file__).parent / "kept"
FIRST_SEED = int(os.environ["SIMULATION_SEED"])
MADE_UP_SEEDS = int(os.environ.get("SIMULATION_SEEDS", "300"))
PROCESSES = os.cpu_count() or 1

# Short runs with one of everything: killed at each of their commits they still take seconds.
SMALL_SCENARIOS = ("calm", "small_services")

pytestmark = [pytest.mark.simulation, pytest.mark.slow]


def describe_failure(job: Job, outcome: Outcome) -> str:
    """Say what isn't true, and all that is needed to see it again."""
    failure = outcome.failure
    assert failure is not None
    crash = "" if job.crash_at is None else f" --crash-at {job.crash_at}"
    return (
        f"{failure.truth}: {failure.text}\n"
        f"seed {job.seed}, commit {failure.commit}, step {failure.step}; see it: homeport simulate "
        f"--scenario {job.scenario} --seed {job.seed}{crash} --until {failure.step} --trace\n"
        f"then keep it: homeport simulate ... --minimise, and a file in {KEPT_FOLDER.name}/\n"
        f"all seeds of this run again: SIMULATION_SEED={FIRST_SEED}"
    )


def check_all(jobs: list[Job]) -> list[Outcome]:
    """Run jobs on all processors; fail with every one that does."""
    return check_results(list(run_jobs(jobs, PROCESSES)))


def check_results(results: list[tuple[Job, Outcome]]) -> list[Outcome]:
    """Fail with every run that does."""
    failures = [describe_failure(job, outcome) for job, outcome in results if outcome.failure]
    if failures:
        pytest.fail("\n\n".join(failures))
    return [outcome for _, outcome in results]


@pytest.mark.parametrize("path", sorted(KEPT_FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_run_that_failed_once_holds(path):
    kept = read_kept_run(path)
    outcome = World(kept.scenario, kept.seed, crash_at=kept.crash_at).run()
    if outcome.failure is not None:
        pytest.fail(describe_failure(Job(str(path), kept.seed, kept.crash_at), outcome))


@pytest.mark.parametrize("name", list_scenarios())
def test_a_scenario_of_the_library_holds(name):
    job = Job(name, FIRST_SEED)
    outcome = run_job(job)
    if outcome.failure is not None:
        pytest.fail(describe_failure(job, outcome))
    assert outcome.tasks > 0
    assert outcome.converged_s is not None


@pytest.mark.parametrize("name", SMALL_SCENARIOS)
def test_the_control_plane_may_be_killed_at_each_commit(name):
    jobs = crashes_at_each_commit(name, FIRST_SEED)
    outcomes = check_results(list(run_crashes(jobs, PROCESSES)))
    assert [job.crash_at for job in jobs] == list(range(1, len(jobs) + 1))
    assert min(outcome.lives for outcome in outcomes) >= 2


def test_made_up_scenarios_hold():
    check_all([Job(MADE_UP, FIRST_SEED + number) for number in range(MADE_UP_SEEDS)])
