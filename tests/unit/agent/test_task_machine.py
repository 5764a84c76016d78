"""What the agent does with its tasks, stimulus by stimulus."""

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_machine_driver import Driver
from homeport.agent import stimuli, task_machine
from homeport.agent.task_state import Binding, Phase, Status, TaskState
from homeport.wire.agent_messages import acs, payload


def depends(name: str, condition: str) -> payload.ContainerDependency:
    return payload.ContainerDependency(container_name=name, condition=condition)


def stopped(task: payload.Task) -> payload.Task:
    return msgspec.structs.replace(task, desired_status="STOPPED")


def test_a_container_is_pulled_created_and_started_one_step_after_the_other():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    assert driver.names(stimuli.PullImage) == ["web"]
    assert not driver.take(stimuli.CreateContainer)
    driver.pulled(task, "web")
    assert driver.names(stimuli.CreateContainer) == ["web"]
    driver.created(task, "web")
    [start] = driver.take(stimuli.StartContainer)
    assert start.runtime_id == "id-web"
    assert driver.reports == []
    driver.started(task, "web")
    assert driver.told() == [("RUNNING", [("web", "RUNNING", None)])]


def test_the_running_report_carries_bindings_runtime_id_digest_and_pull_times():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.now_ms += 500
    driver.pulled(task, "web")
    driver.created(task, "web")
    binding = Binding(bind_ip="127.0.0.1", protocol="tcp", container_port=80, host_port=49153)
    driver.started(task, "web", binding)
    [report] = driver.reports
    [change] = report.containers
    assert (report.pull_started_at, report.pull_stopped_at) == (1000.0, 1000.5)
    assert (change.runtime_id, change.image_digest) == ("id-web", "sha")
    assert change.network_bindings[0].host_port == 49153
    assert report.execution_stopped_at is None


def test_a_task_runs_once_all_its_containers_do():
    driver = Driver()
    task = make_task(make_container("i", "a"), make_container("i", "b"))
    driver.send(task)
    driver.bring_up(task, "a")
    assert driver.reports == []
    driver.bring_up(task, "b")
    assert [status for status, _ in driver.told()] == ["RUNNING"]


def test_a_dependent_container_is_not_even_pulled_before_its_turn():
    driver = Driver()
    web = make_container("i", depends_on=(depends("init", "SUCCESS"),))
    task = make_task(make_container("i", "init", essential=False), web)
    driver.send(task)
    driver.bring_up(task, "init")
    assert driver.names(stimuli.PullImage) == ["init"]
    driver.died(task, "init", 0)
    assert driver.names(stimuli.PullImage) == ["web"]
    driver.bring_up(task, "web")
    changes = [("init", "RUNNING", None), ("init", "STOPPED", 0), ("web", "RUNNING", None)]
    assert driver.told() == [("RUNNING", changes)]


def test_a_dependency_that_fails_stops_the_task_and_says_whose_fault_it_was():
    driver = Driver()
    web = make_container("i", depends_on=(depends("init", "SUCCESS"),))
    task = make_task(make_container("i", "init", essential=False), web)
    driver.send(task)
    driver.bring_up(task, "init")
    driver.died(task, "init", 3)
    [report] = driver.reports
    assert report.status == "STOPPED"
    assert report.reason == (
        f"TaskDependencyError: Task dependencies cannot be resolved, taskArn: {task.arn}"
    )
    reasons = {c.container_name: c.reason for c in report.containers if c.status == "STOPPED"}
    assert "exit code 3" in reasons["web"]


def test_a_healthy_condition_waits_for_the_health_check():
    driver = Driver()
    web = make_container("i", depends_on=(depends("db", "HEALTHY"),))
    task = make_task(make_container("i", "db"), web)
    driver.send(task)
    driver.bring_up(task, "db")
    driver.take(stimuli.PullImage)
    for health, expected in (("UNHEALTHY", []), ("HEALTHY", ["web"])):
        driver.tell(
            stimuli.HealthChanged(
                task_arn=task.arn, container_name="db", runtime_id="id-db", health=health
            )
        )
        assert driver.names(stimuli.PullImage) == expected
        assert driver.take(stimuli.PublishHealth)


def test_a_start_timeout_wakes_the_machine_and_ends_the_task():
    driver = Driver()
    web = make_container("i", depends_on=(depends("db", "HEALTHY"),))
    task = make_task(make_container("i", "db", start_timeout=5), web)
    driver.send(task)
    driver.bring_up(task, "db")
    [wake] = driver.take(stimuli.WakeAt)
    assert wake.at_ms == driver.now_ms + 5_000
    driver.now_ms = wake.at_ms
    driver.tell(stimuli.TimerFired(task_arn=task.arn))
    assert driver.names(stimuli.StopContainer) == ["db"]
    driver.died(task, "db", 137)
    assert [status for status, _ in driver.told()] == ["STOPPED"]


def test_an_essential_containers_exit_stops_the_rest_before_the_task_is_reported_stopped():
    driver = Driver()
    task = make_task(make_container("i", "a"), make_container("i", "b"))
    driver.send(task)
    driver.bring_up(task, "a", "b")
    driver.now_ms += 1_000
    driver.died(task, "a", 0)
    assert driver.names(stimuli.StopContainer) == ["b"]
    assert len(driver.reports) == 1
    driver.now_ms += 1_000
    driver.died(task, "b", 143)
    assert driver.told()[1] == ("STOPPED", [("a", "STOPPED", 0), ("b", "STOPPED", 143)])
    assert driver.reports[1].execution_stopped_at == 1001.0


def test_a_helper_containers_exit_is_reported_alone_and_stops_nothing():
    driver = Driver()
    task = make_task(make_container("i"), make_container("i", "side", essential=False))
    driver.send(task)
    driver.bring_up(task, "web", "side")
    driver.died(task, "side", 5)
    assert not driver.take(stimuli.StopContainer)
    change = driver.reports[1]
    assert (change.container_name, change.status, change.exit_code) == ("side", "STOPPED", 5)
    driver.died(task, "web", 1)
    assert driver.told()[1] == ("STOPPED", [("web", "STOPPED", 1)])


def test_a_wanted_stop_goes_from_dependents_to_dependencies():
    driver = Driver()
    web = make_container("i", depends_on=(depends("db", "START"),), stop_timeout=7)
    task = make_task(make_container("i", "db"), web)
    driver.send(task)
    driver.bring_up(task, "db", "web")
    driver.send(stopped(task))
    [stop] = driver.take(stimuli.StopContainer)
    assert (stop.container_name, stop.timeout_s) == ("web", 7)
    driver.died(task, "web", 0)
    [stop] = driver.take(stimuli.StopContainer)
    assert (stop.container_name, stop.timeout_s) == ("db", 30)
    driver.died(task, "db", 0)
    assert driver.told()[-1][0] == "STOPPED"


@pytest.mark.parametrize("may_wait", [True, False])
def test_a_stop_waits_for_starts_only_if_the_control_plane_lets_it(may_wait: bool):
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.send(msgspec.structs.replace(stopped(task), stop_may_wait=may_wait))
    [stop] = driver.take(stimuli.StopContainer)
    assert stop.may_wait is may_wait


def test_a_stop_during_the_pull_cancels_it_and_ends_at_once():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.send(stopped(task))
    assert driver.names(stimuli.CancelPull) == ["web"]
    assert driver.told() == [("STOPPED", [("web", "STOPPED", None)])]
    driver.pulled(task, "web")
    assert not driver.take(stimuli.CreateContainer)


@pytest.mark.parametrize("step", ["creating", "starting"])
def test_a_stop_during_creation_or_start_waits_for_the_answer(step: str):
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    if step == "starting":
        driver.created(task, "web")
    driver.send(stopped(task))
    assert driver.reports == []
    if step == "creating":
        driver.created(task, "web")
        assert not driver.take(stimuli.StartContainer)
    else:
        driver.started(task, "web")
        assert driver.names(stimuli.StopContainer) == ["web"]
        driver.died(task, "web", 137)
    assert [status for status, _ in driver.told()] == ["STOPPED"]


@pytest.mark.parametrize("step", ["creating", "starting"])
def test_a_stop_gives_up_a_creation_or_start_that_has_not_begun(step: str):
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    if step == "starting":
        driver.created(task, "web")
    driver.send(stopped(task))
    assert driver.names(stimuli.CancelStep)[-1:] == ["web"]
    driver.tell(stimuli.StepCancelled(task_arn=task.arn, container_name="web"))
    assert driver.told() == [("STOPPED", [("web", "STOPPED", None)])]
    removed = [orphan.runtime_id for orphan in driver.take(stimuli.RemoveOrphan)]
    assert removed == ([] if step == "creating" else ["id-web"])


def test_a_step_that_was_given_up_too_late_changes_nothing():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.tell(stimuli.StepCancelled(task_arn=task.arn, container_name="web"))
    assert driver.container(task, "web").phase is Phase.RUNNING


def test_a_stop_for_an_unknown_task_is_answered_with_stopped():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(stopped(task))
    assert driver.told() == [("STOPPED", [("web", "STOPPED", None)])]
    assert not driver.take(stimuli.PullImage)


def test_a_repeated_payload_changes_nothing():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.take(stimuli.PullImage)
    before = driver.state(task)
    driver.send(task)
    assert driver.state(task) is before
    assert not driver.take(stimuli.PullImage)
    assert len(driver.reports) == 1


def test_a_repeated_stop_of_an_ended_task_is_reported_again():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(stopped(task))
    driver.send(stopped(task))
    assert [status for status, _ in driver.told()] == ["STOPPED", "STOPPED"]


def test_a_running_payload_never_revives_an_ended_task():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(stopped(task))
    driver.send(task)
    assert driver.state(task).wanted is Status.STOPPED


def test_a_failed_pull_stops_the_task_with_the_reason():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.failed(task, "web", "CannotPullContainerError: no such host")
    [report] = driver.reports
    assert report.containers[0].reason == "CannotPullContainerError: no such host"
    assert report.containers[0].runtime_id is None
    assert report.pull_stopped_at is not None


def test_a_reason_is_cut_to_what_ecs_takes():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.failed(task, "web", "x" * 5000)
    assert len(driver.reports[0].containers[0].reason) == 1024


def test_a_death_told_before_the_starts_answer_counts():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    driver.created(task, "web")
    driver.died(task, "web", 7)
    driver.started(task, "web")
    assert driver.told() == [("STOPPED", [("web", "RUNNING", None), ("web", "STOPPED", 7)])]


def test_a_death_of_another_container_with_the_same_name_is_ignored():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.tell(
        stimuli.ContainerDied(
            task_arn=task.arn,
            container_name="web",
            runtime_id="another",
            exit_code=1,
            at_ms=driver.now_ms,
        )
    )
    assert driver.container(task, "web").phase is Phase.RUNNING


def test_a_restart_policy_restarts_without_a_word_to_the_control_plane():
    policy = payload.RestartPolicy(enabled=True, restart_attempt_period=60)
    driver, task = Driver(), make_task(make_container("i", restart_policy=policy))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.take(stimuli.StartContainer)
    died_at_ms = driver.now_ms = driver.now_ms + 60_000
    driver.died(task, "web", 1)
    assert driver.names(stimuli.StartContainer) == ["web"]
    driver.now_ms += 10
    driver.started(task, "web")
    assert driver.container(task, "web").restart_count == 1
    assert len(driver.reports) == 1
    # The same death once more, late: it was answered.
    late = stimuli.ContainerDied(
        task_arn=task.arn, container_name="web", runtime_id="id-web", exit_code=1, at_ms=died_at_ms
    )
    driver.tell(late)
    assert driver.container(task, "web").phase is Phase.RUNNING
    # And a real one within the period is final.
    driver.now_ms += 10
    driver.died(task, "web", 1)
    assert driver.told()[-1] == ("STOPPED", [("web", "STOPPED", 1)])


def test_a_stop_that_fails_is_tried_again_later_and_nothing_is_called_stopped():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.send(stopped(task))
    driver.take(stimuli.StopContainer)
    driver.tell(stimuli.StopFailed(task_arn=task.arn, container_name="web", reason="x"))
    assert not driver.take(stimuli.StopContainer)
    [wake] = driver.take(stimuli.WakeAt)
    assert wake.at_ms == driver.now_ms + task_machine.STOP_RETRY_DELAY_MS
    driver.now_ms = wake.at_ms
    driver.tell(stimuli.TimerFired(task_arn=task.arn))
    assert driver.names(stimuli.StopContainer) == ["web"]
    assert len(driver.reports) == 1


def test_what_an_agent_cannot_do_ends_the_task_at_once():
    driver = Driver()
    secret = payload.Secret(name="PASSWORD", value_from="arn:secret")
    task = make_task(make_container("i", secrets=(secret,)))
    driver.send(task)
    [report] = driver.reports
    assert report.status == "STOPPED"
    assert report.reason == (
        "ResourceInitializationError: secrets of container web isn't supported by this agent"
    )
    assert not driver.take(stimuli.PullImage)


def test_a_circle_of_dependencies_ends_the_task_at_once():
    driver = Driver()
    a = make_container("i", "a", depends_on=(depends("b", "START"),))
    b = make_container("i", "b", depends_on=(depends("a", "START"),))
    driver.send(make_task(a, b))
    assert driver.reports[0].reason == (
        "TaskDependencyError: containers [a], [b] wait for each other"
    )


def test_role_credentials_are_never_kept():
    driver = Driver()
    credentials = payload.IamRoleCredentials(credentials_id="c", secret_access_key="hush")
    task = make_task(make_container("i"), role_credentials=credentials)
    driver.send(task)
    assert b"hush" not in msgspec.json.encode(driver.saved[task.arn])


def test_an_ended_task_is_removed_after_the_delay_and_then_forgotten():
    driver, task = Driver(cleanup_delay_s=60), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    driver.died(task, "web", 0)
    [wake] = driver.take(stimuli.WakeAt)
    assert wake.at_ms == driver.now_ms + 60_000
    driver.tell(stimuli.TimerFired(task_arn=task.arn))
    assert not driver.take(stimuli.RemoveTask)
    driver.now_ms = wake.at_ms
    driver.tell(stimuli.TimerFired(task_arn=task.arn))
    assert [i.state.arn for i in driver.take(stimuli.RemoveTask)] == [task.arn]
    driver.tell(stimuli.TaskRemoved(task_arn=task.arn))
    assert driver.machine.tasks == {}
    assert driver.saved == {}


def test_too_many_ended_tasks_lose_the_oldest_before_their_time():
    driver = Driver()
    tasks = [make_task(make_container("i")) for _ in range(task_machine.MAX_ENDED_TASKS + 2)]
    for task in tasks:
        driver.now_ms += 1
        driver.send(stopped(task))
    assert driver.take(stimuli.RemoveTask)[0].state.arn == tasks[0].arn


def test_stop_candidates_are_running_tasks_that_the_manifest_does_not_want():
    driver = Driver()
    known, stale, gone = (make_task(make_container("i")) for _ in range(3))
    for task in (known, stale, gone):
        driver.send(task)
    driver.send(stopped(gone))
    manifest = (
        acs.TaskIdentifier(task_arn=known.arn, desired_status="RUNNING"),
        acs.TaskIdentifier(task_arn=stale.arn, desired_status="STOPPED"),
    )
    candidates = driver.machine.list_stop_candidates(manifest)
    assert [candidate.task_arn for candidate in candidates] == [stale.arn]
    driver.tell(stimuli.StopWanted(task_arn=stale.arn))
    assert driver.state(stale).wanted is Status.STOPPED


def test_a_stimulus_for_a_task_that_is_not_there_does_nothing():
    driver, task = Driver(), make_task(make_container("i"))
    driver.pulled(task, "web")
    driver.tell(stimuli.StopWanted(task_arn=task.arn))
    driver.tell(stimuli.TimerFired(task_arn=task.arn))
    driver.tell(stimuli.TaskRemoved(task_arn=task.arn))
    assert driver.saved == {}
    assert driver.reports == []


def test_every_change_is_saved_as_it_then_stands():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.bring_up(task, "web")
    encoded = msgspec.json.encode(driver.saved[task.arn])
    assert msgspec.json.decode(encoded, type=TaskState) == driver.state(task)


def test_a_container_that_comes_up_after_its_end_was_told_is_removed():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    driver.created(task, "web")
    driver.died(task, "web", 1)
    driver.take(stimuli.RemoveOrphan)
    driver.started(task, "web")
    assert driver.take(stimuli.RemoveOrphan) == [stimuli.RemoveOrphan(runtime_id="id-web")]
    assert driver.container(task, "web").phase is Phase.STOPPED


def test_a_created_container_that_is_to_stop_is_removed_as_a_start_may_be_under_way():
    driver, task = Driver(), make_task(make_container("i"))
    driver.send(task)
    driver.pulled(task, "web")
    driver.tell(stimuli.EngineLost())
    driver.created(task, "web")
    driver.send(stopped(task))
    assert driver.take(stimuli.RemoveOrphan) == [stimuli.RemoveOrphan(runtime_id="id-web")]
