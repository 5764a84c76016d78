"""Scenarios: what is read, what is refused and how, what is made up and made smaller."""

import pytest

from homeport.sim.generate import generate_scenario
from homeport.sim.minimise import minimise
from homeport.sim.scenario import (
    Fault,
    Fleet,
    KeptRun,
    Scenario,
    ScenarioError,
    list_scenarios,
    parse_scenario,
    read_scenario,
    render_kept_run,
)
from homeport.sim.world import Failure, Outcome


@pytest.mark.parametrize("name", list_scenarios())
def test_every_scenario_of_the_library_can_be_read(name):
    assert read_scenario(name).title


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(ScenarioError, match=r"there are .*storm"):
        read_scenario("drizzle")


def test_a_missing_file_is_refused_by_its_name():
    with pytest.raises(ScenarioError, match=r"can't read the scenario nowhere\.toml"):
        read_scenario("nowhere.toml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("safety = 3", "unknown field `safety`"),
        ("safety_s = 'long'", "Expected `float`"),
        ("[[faults]]\nbreak = 'time'\nat_s = 1", "Invalid enum value 'time'"),
        ("[tasks.web]\nimage = 'web'", "names the image 'web', which isn't there"),
        ("[services.web]\ntask = 'web'", "names the task 'web', which isn't there"),
        ("[[deeds]]\ndo = 'scale'\nat_s = 1\nservice = 'x'", "the service 'x', which isn't there"),
        ("[broken", "Expected"),
    ],
)
def test_what_a_scenario_gets_wrong_is_named(text, complaint):
    with pytest.raises(ScenarioError, match=complaint):
        parse_scenario(text, "mine")


def test_a_seed_makes_up_the_same_scenario_every_time():
    assert generate_scenario(4) == generate_scenario(4)
    assert generate_scenario(4) != generate_scenario(5)


@pytest.mark.parametrize("seed", range(50))
def test_a_made_up_scenario_names_only_what_it_has(seed):
    scenario = generate_scenario(seed)
    assert {task.image for task in scenario.tasks.values()} <= set(scenario.images)
    assert {wish.task for wish in scenario.services.values()} <= set(scenario.tasks)


def test_a_kept_run_can_be_read_again(tmp_path):
    scenario = generate_scenario(3)
    path = tmp_path / "run.json"
    path.write_text(render_kept_run(KeptRun(seed=3, found="truth", scenario=scenario)))
    assert read_scenario(str(path)) == scenario


def test_a_kept_run_that_is_none_is_refused(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("{}")
    with pytest.raises(ScenarioError, match="missing required field `seed`"):
        read_scenario(str(path))


def make_outcome(*, is_failed: bool) -> Outcome:
    failure = Failure(truth="truth", text="", step=1, commit=1, at_s=1.0) if is_failed else None
    return Outcome(
        seed=1,
        digest="",
        steps=1,
        commits=1,
        tasks=1,
        lives=1,
        simulated_s=1.0,
        failure=failure,
    )


def test_a_failing_scenario_is_shrunk_to_what_makes_it_fail():
    culprit = Fault(break_="docker", at_s=3)
    faults = (*(Fault(break_="agent", at_s=n) for n in range(7)), culprit)
    scenario = Scenario(faults=faults, fleet=Fleet(instances=8), safety_s=64)

    def run(tried: Scenario) -> Outcome:
        return make_outcome(is_failed=culprit in tried.faults and tried.fleet.instances >= 2)

    smallest = minimise(scenario, "truth", run)
    assert smallest.faults == (culprit,)
    assert smallest.fleet.instances == 2
    assert smallest.safety_s == 1


def test_another_truth_that_fails_is_not_taken_for_the_first():
    scenario = Scenario(faults=(Fault(break_="agent", at_s=1),), safety_s=1)
    smallest = minimise(scenario, "another truth", lambda tried: make_outcome(is_failed=True))
    assert smallest == scenario
