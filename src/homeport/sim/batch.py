"""Many runs, one after the other or in several processes: seeds, and every commit as a crash."""

import logging
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from homeport.sim.branches import run_branches
from homeport.sim.generate import generate_scenario
from homeport.sim.scenario import Scenario, read_scenario
from homeport.sim.world import Outcome, World

MADE_UP = "made-up"
"""The scenario that is another one for each seed."""

JOBS_PER_PROCESS = 200
"""After so many a process is replaced: what a run leaves in memory doesn't pile up."""


class Job(msgspec.Struct, frozen=True):
    """One run; `crash_at` kills the control plane right behind that commit."""

    scenario: str
    seed: int
    crash_at: int | None = None


def choose_scenario(name: str, seed: int) -> Scenario:
    """Return the scenario that a name stands for; raises ScenarioError."""
    return generate_scenario(seed) if name == MADE_UP else read_scenario(name)


def run_job(job: Job) -> Outcome:
    """Live through one run."""
    world = World(choose_scenario(job.scenario, job.seed), job.seed, crash_at=job.crash_at)
    return world.run()


def run_jobs(jobs: Iterable[Job], processes: int = 1) -> Iterator[tuple[Job, Outcome]]:
    """Live through many runs, and give each with its outcome in the order of the jobs."""
    if processes <= 1:
        for job in jobs:
            yield job, run_job(job)
        return
    # Nothing of this process is in the others: a run is what its seed makes it.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _begin, maxtasksperchild=JOBS_PER_PROCESS) as pool:
        yield from pool.imap(_run_with_job, jobs)


def crashes_at_each_commit(scenario: str, seed: int, stride: int = 1) -> list[Job]:
    """Return one job for each commit of a run that is left alone, or for each so many-th.

    Where those begin depends on the seed, so that many seeds together leave none out.
    """
    commits = run_job(Job(scenario, seed)).commits
    first = 1 + seed % stride
    return [Job(scenario, seed, crash_at=commit) for commit in range(first, commits + 1, stride)]


def run_crashes(jobs: Sequence[Job], processes: int = 1) -> Iterator[tuple[Job, Outcome]]:
    """Live through runs of one scenario and seed that are killed at rising commits, as `run_jobs`.

    What they have in common is lived through once (`branches`).
    """
    if not jobs:
        return
    scenario, seed = jobs[0].scenario, jobs[0].seed
    commits = [job.crash_at for job in jobs if job.crash_at is not None]

    def make_trunk() -> World:
        return World(choose_scenario(scenario, seed), seed)

    for commit, outcome in run_branches(make_trunk, commits, processes):
        yield Job(scenario, seed, commit), outcome


def _begin() -> None:
    # Agents log what goes wrong around them, which is all the time here.
    logging.getLogger("homeport").setLevel(logging.CRITICAL)


def _run_with_job(job: Job) -> tuple[Job, Outcome]:
    return job, run_job(job)
