"""Runs killed at each commit, forked off one that isn't: each is what a run of its own would be."""

import os
from collections.abc import Iterator, Sequence

import pytest
from msgspec.structs import replace

from homeport.sim.batch import Job, choose_scenario, crashes_at_each_commit, run_crashes, run_job
from homeport.sim.branches import BranchLostError, run_branches
from homeport.sim.world import Outcome, World

SEED = 3

pytestmark = [pytest.mark.simulation, pytest.mark.slow]


def branches_of(
    scenario: str, commits: Sequence[int], processes: int = 1
) -> Iterator[tuple[int, Outcome]]:
    return run_branches(lambda: World(choose_scenario(scenario, SEED), SEED), commits, processes)


def forget_speed(outcome: Outcome) -> Outcome:
    return replace(outcome, real_s=0.0)


@pytest.mark.parametrize(
    ("scenario", "commits", "processes"),
    [
        ("calm", (1, 7, 23, 24, 41), 1),
        ("calm", (2, 8, 42), 2),
        ("lost_lease", (300,), 1),  # two control planes live
        ("webhooks", (200,), 1),  # whose outbox is a file
    ],
)
def test_a_branch_is_the_run_that_is_killed_at_that_commit(scenario, commits, processes):
    branches = branches_of(scenario, commits, processes)
    assert [(commit, forget_speed(outcome)) for commit, outcome in branches] == [
        (commit, forget_speed(run_job(Job(scenario, SEED, commit)))) for commit in commits
    ]


def test_each_commit_has_its_run_in_order():
    jobs = crashes_at_each_commit("calm", SEED)
    results = list(run_crashes(jobs))
    assert [job for job, _ in results] == jobs
    assert all(outcome.lives == 2 and outcome.failure is None for _, outcome in results)


def test_a_branch_has_taken_the_time_of_its_beginning_too():
    (_, outcome), *_ = branches_of("calm", [40])
    assert outcome.real_s > 0.005


def test_strides_of_many_seeds_leave_no_commit_out():
    whole = crashes_at_each_commit("calm", SEED)
    apart = crashes_at_each_commit("calm", SEED, stride=4)
    assert apart == whole[SEED % 4 :: 4]


def test_commits_behind_the_last_write_are_the_run_that_is_left_alone():
    alone = run_job(Job("calm", SEED))
    ((_, outcome),) = branches_of("calm", [alone.commits + 1])
    assert forget_speed(outcome) == forget_speed(alone)


def test_who_stops_listening_leaves_no_process_behind():
    branches = branches_of("calm", range(1, 40))
    next(branches)
    branches.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_that_ends_without_a_word_is_told_of(monkeypatch):
    monkeypatch.setattr(World, "run", lambda _world: os._exit(9))
    with pytest.raises(BranchLostError, match="killed at commit 5"):
        list(branches_of("calm", [5]))
