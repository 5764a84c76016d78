"""`homeport simulate` as its users see it: what is listed, printed, and how a failure is told."""

import json
import logging
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from homeport.cli import simulate
from homeport.cli.failure import CommandFailure
from homeport.cli.main import app
from homeport.core.reconcile import step
from homeport.sim.scenario import list_scenarios

CALM = ("simulate", "--scenario", "calm", "--seed", "3")


@pytest.fixture(autouse=True)
def _same_log_level() -> Iterator[None]:
    """The command silences the agents' log in its own process; here that is everybody's."""
    logger = logging.getLogger("homeport")
    level = logger.level
    yield
    logger.setLevel(level)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def test_the_library_is_listed_with_its_titles():
    lines = run("simulate", "--scenario", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list_scenarios()
    assert all(len(line.split()) > 3 for line in lines)


def test_a_run_that_holds_is_one_line():
    result = run(*CALM)
    (line,) = result.stdout.splitlines()
    assert result.exit_code == 0
    assert line.startswith("seed 3 ")
    assert "ok" in line


def test_json_is_one_object_a_run():
    lines = run(*CALM, "--seeds", "2", "--json").stdout.splitlines()
    outcomes = [json.loads(line) for line in lines]
    assert [(o["scenario"], o["seed"], o["failure"]) for o in outcomes] == [
        ("calm", 3, None),
        ("calm", 4, None),
    ]


def test_a_trace_ends_with_the_step_that_was_asked_for():
    result = run(*CALM, "--until", "40", "--trace")
    assert "client CreateCluster" in result.stdout
    assert ", 40 steps," in result.stdout


def test_a_failure_says_seed_commit_and_step_and_how_to_see_it_again(monkeypatch):
    sound = step.bounds_of

    def one_too_many(*args, **members):
        return replace(sound(*args, **members), upper=1_000, desired=20)

    monkeypatch.setattr(step, "bounds_of", one_too_many)
    result = run(*CALM, "--crash-at", "5", "--failures")
    assert isinstance(result.exception, CommandFailure)
    assert "not true: deployments stay inside their percents" in result.stdout
    assert "seed 3, commit " in result.stdout
    again = "homeport simulate --scenario calm --seed 3 --crash-at 5 --until "
    assert f"see it: {again}" in result.stdout


def test_an_unknown_scenario_is_refused_in_one_line():
    result = run("simulate", "--scenario", "drizzle")
    assert isinstance(result.exception, CommandFailure)
    assert "no scenario is called 'drizzle'" in str(result.exception)


def test_whoever_waits_for_many_runs_hears_how_far_they_are(monkeypatch):
    monkeypatch.setattr(simulate, "PROGRESS_S", 0.0)
    result = run(*CALM, "--seeds", "2", "--failures")
    (progress,) = result.stderr.splitlines()
    assert progress.startswith("calm: 1 of 2 runs, 0 failed, ")
    assert progress.endswith(" to go")
    assert result.stdout.startswith("calm: 2 runs from seed 3, ")


def test_the_control_plane_is_killed_at_each_so_many_th_commit():
    lines = run(*CALM, "--each-commit", "--stride", "20").stdout.splitlines()
    assert [line.split()[:3] for line in lines[:-1]] == [["seed", "3", "ok"]] * 3
    assert "calm: 3 runs from seed 3, " in lines[-1]
    assert len(set(lines[:-1])) == 3, "each is a run of its own"
