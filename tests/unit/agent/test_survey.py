"""After a restart of the agent or of Docker: memory meets what is really there."""

import pytest

from agent_builders import make_container, make_task
from agent_machine_driver import Driver
from homeport.agent import stimuli
from homeport.agent.survey import VANISHED
from homeport.agent.task_state import Phase
from homeport.wire.agent_messages import payload


def found(task: payload.Task, status: str, **members: object) -> stimuli.FoundContainer:
    return stimuli.FoundContainer(
        task_arn=task.arn, container_name="web", runtime_id="id-web", status=status, **members
    )


def lose_engine(driver: Driver) -> None:
    driver.tell(stimuli.EngineLost())
    for kind in (stimuli.PullImage, stimuli.CreateContainer, stimuli.StartContainer):
        driver.take(kind)


def test_without_an_engine_nothing_is_begun_and_nothing_is_stopped():
    driver, task = Driver(is_engine_up=False), make_task(make_container("i"))
    driver.send(task)
    assert not driver.take(stimuli.PullImage)
    driver.tell(stimuli.EngineSurveyed(found=()))
    assert driver.names(stimuli.PullImage) == ["web"]


def test_a_running_container_is_left_alone():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "running"),)))
    assert driver.container(task, "web").phase is Phase.RUNNING
    assert len(driver.reports) == 1
    assert not driver.take(stimuli.StartContainer)


def test_a_container_that_ended_meanwhile_is_reported_once_with_its_exit_code():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    lose_engine(driver)
    survey = stimuli.EngineSurveyed(found=(found(task, "exited", exit_code=3),))
    driver.tell(survey)
    driver.tell(survey)
    driver.died(task, "web", 3)
    assert [status for status, _ in driver.told()] == ["RUNNING", "STOPPED"]
    assert driver.told()[1][1] == [("web", "STOPPED", 3)]


def test_a_container_that_is_gone_has_vanished():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=()))
    assert driver.reports[1].containers[0].reason == VANISHED


def test_a_pull_or_creation_of_unknown_outcome_is_begun_again():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=()))
    assert driver.names(stimuli.PullImage) == ["web"]
    driver.pulled(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=()))
    assert driver.names(stimuli.CreateContainer) == ["web"]


def test_a_container_created_without_our_knowing_is_started():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "created", exit_code=0),)))
    [start] = driver.take(stimuli.StartContainer)
    assert start.runtime_id == "id-web"


def test_a_created_container_that_is_gone_is_created_anew():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    driver.created(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=()))
    assert driver.names(stimuli.CreateContainer) == ["web"]
    assert driver.reports == []


@pytest.mark.parametrize("status", ["running", "exited"])
def test_a_start_of_unknown_outcome_is_settled_by_what_is_found(status: str):
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    driver.created(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=(found(task, status, exit_code=0),)))
    expected = {
        "running": ("RUNNING", [("web", "RUNNING", None)]),
        "exited": ("STOPPED", [("web", "RUNNING", None), ("web", "STOPPED", 0)]),
    }
    assert driver.told() == [expected[status]]


def test_a_stop_under_way_when_the_engine_went_is_asked_for_again():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.tell(stimuli.StopWanted(task_arn=task.arn))
    driver.take(stimuli.StopContainer)
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "running"),)))
    assert driver.names(stimuli.StopContainer) == ["web"]


def test_a_restart_policy_answers_an_exit_that_happened_meanwhile():
    policy = payload.RestartPolicy(enabled=True, restart_attempt_period=60)
    driver, task = Driver(), make_task(make_container("i", restart_policy=policy))
    driver.send(task)
    driver.bring_up(task, "web")
    lose_engine(driver)
    driver.now_ms += 60_000
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "exited", exit_code=1),)))
    assert driver.names(stimuli.StartContainer) == ["web"]
    assert len(driver.reports) == 1


def test_health_is_taken_from_what_is_found():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    lose_engine(driver)
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "running", health="HEALTHY"),)))
    assert driver.container(task, "web").health == "HEALTHY"
    assert driver.take(stimuli.PublishHealth)


def test_a_container_with_our_label_and_no_task_of_ours_is_removed():
    driver, task = Driver(), make_task(make_container("i"))
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "running"),)))
    assert [i.runtime_id for i in driver.take(stimuli.RemoveOrphan)] == ["id-web"]


def test_what_was_saved_is_taken_up_by_a_new_machine():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    successor = Driver(is_engine_up=False)
    successor.machine.load(list(driver.saved.values()))
    successor.tell(stimuli.EngineSurveyed(found=(found(task, "running"),)))
    assert successor.reports == []
    successor.died(task, "web", 9)
    assert successor.told() == [("STOPPED", [("web", "STOPPED", 9)])]


def test_timers_of_ended_tasks_are_set_again_after_a_restart():
    driver, task = Driver(cleanup_delay_s=60), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.died(task, "web", 0)
    successor = Driver(cleanup_delay_s=60, is_engine_up=False)
    successor.machine.load(list(driver.saved.values()))
    successor.tell(stimuli.EngineSurveyed(found=(found(task, "exited", exit_code=0),)))
    assert [wake.at_ms for wake in successor.take(stimuli.WakeAt)] == [driver.now_ms + 60_000]
    assert successor.reports == []


def test_a_container_that_came_up_after_its_task_had_ended_is_removed():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.failed(task, "web", "DockerTimeoutError: Could not transition to created")
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "running"),)))
    assert [i.runtime_id for i in driver.take(stimuli.RemoveOrphan)] == ["id-web"]
    driver.tell(stimuli.EngineSurveyed(found=(found(task, "exited", exit_code=0),)))
    assert not driver.take(stimuli.RemoveOrphan)
