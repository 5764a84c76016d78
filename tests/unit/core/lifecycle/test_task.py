"""What agents' reports do to tasks: forward only, late ones nothing."""

import pytest
from msgspec.structs import replace

from builders import NOW_MS, apply, at, make_service, make_store, make_task, make_task_definition
from homeport.core.lifecycle.new_task import stop_task
from homeport.core.lifecycle.task import (
    REASON_LENGTH_CHARACTERS,
    ContainerReport,
    TaskReport,
    has_run,
    next_task,
    report_health,
    report_task,
)
from homeport.model.task import NetworkBinding, Task
from homeport.model.task_definition import ContainerSpec
from homeport.state.view import View

LATER = at(NOW_MS + 1_000)
RUNNING_APP = ContainerReport(
    name="app",
    status="RUNNING",
    runtime_id="abc",
    network_bindings=(NetworkBinding(container_port=80, host_port=32_768),),
)


def running(task: Task) -> TaskReport:
    return TaskReport(task_arn=task.arn, status="RUNNING", containers=(RUNNING_APP,))


def stopped(task: Task, **container: object) -> TaskReport:
    app = ContainerReport(name="app", status="STOPPED", **container)
    return TaskReport(task_arn=task.arn, status="STOPPED", containers=(app,))


def test_a_report_of_running_starts_the_clock_and_keeps_what_the_agent_knows():
    task = make_task()
    after = next_task(task, running(task), LATER)
    assert (after.last_status, after.started_at_ms) == ("RUNNING", NOW_MS + 1_000)
    (app,) = after.containers
    assert (app.last_status, app.runtime_id) == ("RUNNING", "abc")
    assert app.network_bindings[0].host_port == 32_768


@pytest.mark.parametrize("late", ["PENDING", "RUNNING", None])
def test_status_never_moves_backwards(late):
    task = make_task(last_status="RUNNING")
    report = TaskReport(task_arn=task.arn, status=late)
    assert next_task(task, report, LATER) == task


def test_reports_on_a_stopped_task_change_nothing():
    task = make_task(last_status="STOPPED")
    view = View(make_store(task))
    assert report_task(view, running(task), LATER).changes == ()
    assert report_task(view, stopped(task, exit_code=1), LATER).changes == ()


@pytest.mark.parametrize("report", [running, stopped])
def test_a_report_on_a_task_that_no_instance_has_changes_nothing(report):
    task = replace(make_task(last_status="PROVISIONING"), container_instance_arn=None)
    assert report_task(View(make_store(task)), report(task), LATER).changes == ()


def test_a_report_on_an_unknown_task_changes_nothing():
    view = View(make_store())
    assert report_task(view, running(make_task()), LATER).changes == ()


def test_a_repeated_report_changes_nothing_and_does_not_bump_the_version():
    task = make_task()
    store = make_store(task)
    view = View(store)
    apply(store, report_task(view, running(task), LATER))
    assert view.task(task.arn).version == 2
    assert report_task(view, running(task), at(NOW_MS + 9_000)).changes == ()


def test_an_exit_that_nobody_asked_for_is_the_essential_containers():
    task = make_task(last_status="RUNNING")
    after = next_task(task, stopped(task, exit_code=137), LATER)
    assert after.stop_code == "EssentialContainerExited"
    assert after.stopped_reason == "Essential container in task exited"
    assert after.desired_status == "STOPPED"
    assert after.stopping_at_ms == after.stopped_at_ms == NOW_MS + 1_000
    assert after.containers[0].exit_code == 137


def test_a_container_that_ended_before_the_first_report_has_run():
    task = make_task()
    after = next_task(task, stopped(task, exit_code=0), LATER)
    assert has_run(after)
    assert after.stop_code == "EssentialContainerExited"


def test_a_task_with_a_container_that_could_not_start_failed_to_start_though_another_ran():
    task = make_task(
        definition=make_task_definition(
            containers=(
                ContainerSpec(name="app", image="web"),
                ContainerSpec(name="side", image="side", essential=False),
            )
        )
    )
    report = TaskReport(
        task_arn=task.arn,
        status="STOPPED",
        containers=(
            ContainerReport(name="side", status="STOPPED", exit_code=137, reason="killed"),
            ContainerReport(name="app", status="STOPPED", reason="CannotStartContainerError: no"),
        ),
    )
    after = next_task(task, report, LATER)
    assert after.stop_code == "TaskFailedToStart"
    assert after.stopped_reason == "CannotStartContainerError: no"


def test_a_task_that_never_started_fails_with_its_containers_reason():
    task = make_task()
    after = next_task(task, stopped(task, reason="CannotPullContainerError: no such image"), LATER)
    assert after.stop_code == "TaskFailedToStart"
    assert after.stopped_reason == "CannotPullContainerError: no such image"


def test_a_task_that_never_started_for_no_reason_says_so():
    after = next_task(make_task(), stopped(make_task()), LATER)
    assert after.stopped_reason == "Task failed to start"


def test_a_stop_that_was_asked_for_keeps_its_reason_and_the_time_of_asking():
    asked = stop_task(
        make_task(last_status="RUNNING"), stop_code="UserInitiated", reason="done", moment=at()
    )
    after = next_task(asked, stopped(asked, exit_code=143), LATER)
    assert (after.stop_code, after.stopped_reason) == ("UserInitiated", "done")
    assert (after.stopping_at_ms, after.stopped_at_ms) == (NOW_MS, NOW_MS + 1_000)


def test_containers_nobody_reported_stop_with_their_task():
    specs = (ContainerSpec(name="app", image="a"), ContainerSpec(name="side", image="b"))
    task = make_task(definition=make_task_definition(containers=specs), last_status="RUNNING")
    after = next_task(task, stopped(task, exit_code=0), LATER)
    assert [c.last_status for c in after.containers] == ["STOPPED", "STOPPED"]
    assert after.containers[1].exit_code is None


def test_running_and_stopped_of_one_container_in_one_report_end_in_stopped():
    task = make_task()
    report = TaskReport(
        task_arn=task.arn,
        status="RUNNING",
        containers=(
            ContainerReport(name="app", status="RUNNING", exit_code=0),
            ContainerReport(name="app", status="STOPPED", exit_code=0),
            ContainerReport(name="stranger", status="RUNNING"),
        ),
    )
    after = next_task(task, report, LATER)
    assert [(c.name, c.last_status) for c in after.containers] == [("app", "STOPPED")]


def test_long_reasons_are_cut_as_the_agent_would():
    task = make_task()
    after = next_task(task, stopped(task, reason="x" * 5_000), LATER)
    assert len(after.containers[0].reason) == REASON_LENGTH_CHARACTERS


def test_times_that_the_agent_measured_are_kept():
    task = make_task()
    report = TaskReport(task_arn=task.arn, pull_started_at_ms=1, pull_stopped_at_ms=2)
    report = next_task(task, report, LATER)
    assert (report.pull_started_at_ms, report.pull_stopped_at_ms) == (1, 2)


def test_failed_launches_count_towards_the_services_throttle_and_a_start_clears_them():
    service = make_service(desired_count=2)
    failing, starting = make_task("f", service=service), make_task("s", service=service)
    store = make_store(service, failing, starting)
    view = View(store)
    apply(store, report_task(view, stopped(failing), LATER))
    assert view.service(service.arn).failed_launches == 1
    apply(store, report_task(view, running(starting), LATER))
    assert view.service(service.arn).failed_launches == 0


def test_a_task_stopped_by_its_service_before_it_ran_is_no_failed_launch():
    service = make_service()
    task = stop_task(
        make_task(service=service),
        stop_code="ServiceSchedulerInitiated",
        reason="scaling",
        moment=at(),
    )
    store = make_store(service, task)
    view = View(store)
    apply(store, report_task(view, stopped(task), LATER))
    assert view.service(service.arn).failed_launches == 0


CHECKED = make_task_definition(
    containers=(
        ContainerSpec(name="app", image="a", has_health_check=True),
        ContainerSpec(name="api", image="a", has_health_check=True),
        ContainerSpec(name="side", image="b", essential=False, has_health_check=True),
    )
)


@pytest.mark.parametrize(
    ("app", "api", "side", "expected"),
    [
        ("HEALTHY", "HEALTHY", "HEALTHY", "HEALTHY"),
        ("HEALTHY", "HEALTHY", "UNHEALTHY", "HEALTHY"),
        ("HEALTHY", "UNKNOWN", "HEALTHY", "UNKNOWN"),
        ("UNHEALTHY", "UNKNOWN", "HEALTHY", "UNHEALTHY"),
    ],
)
def test_a_tasks_health_is_that_of_its_essential_containers_with_a_check(app, api, side, expected):
    task = make_task(definition=CHECKED, last_status="RUNNING")
    store = make_store(CHECKED, task)
    view = View(store)
    reports = tuple((task.arn, n, s) for n, s in (("app", app), ("api", api), ("side", side)))
    apply(store, report_health(view, task.container_instance_arn, reports, LATER))
    assert view.task(task.arn).health_status == expected


def test_the_same_health_again_changes_nothing():
    task = make_task(definition=CHECKED, last_status="RUNNING")
    store = make_store(CHECKED, task)
    view = View(store)
    reports = ((task.arn, "app", "HEALTHY"),)
    apply(store, report_health(view, task.container_instance_arn, reports, LATER))
    assert report_health(view, task.container_instance_arn, reports, LATER).changes == ()


def test_an_instance_cannot_report_the_health_of_anothers_tasks():
    task = make_task(definition=CHECKED, last_status="RUNNING")
    view = View(make_store(CHECKED, task))
    reports = ((task.arn, "app", "UNHEALTHY"), ("arn:unknown", "app", "HEALTHY"))
    assert report_health(view, "another", reports, LATER).changes == ()
