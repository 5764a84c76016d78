"""How container instances change when agents connect, vanish or report."""

from builders import NOW_MS, apply, at, make_container_instance, make_store, make_task
from homeport.core.effects import SendTasks
from homeport.core.lifecycle.instance import (
    connect_agent,
    disconnect_every_agent,
    lose_agent,
    report_runtime_status,
)
from homeport.state.view import View

VERSIONS = {"agent_version": "1.105.1", "agent_hash": "a8b3e7d3", "docker_version": "24.0.7"}
LATER = at(NOW_MS + 60_000)


def test_connecting_fills_in_the_versions_and_bumps_the_counter():
    away = make_container_instance(agent_connected=False, disconnected_at_ms=5)
    store = make_store(away)
    view = View(store)
    apply(store, connect_agent(view, away.arn, LATER, **VERSIONS))
    instance = view.container_instance(away.arn)
    assert instance.agent_connected
    assert instance.disconnected_at_ms is None
    assert (instance.agent_version, instance.docker_version) == ("1.105.1", "24.0.7")
    assert instance.version == away.version + 1


def test_connecting_sends_every_task_that_is_not_as_wanted():
    instance = make_container_instance(agent_connected=False)
    settled = make_task("settled", instance=instance, last_status="RUNNING")
    fresh = make_task("fresh", instance=instance)
    ending = make_task("ending", instance=instance, last_status="RUNNING", desired_status="STOPPED")
    gone = make_task("gone", instance=instance, last_status="STOPPED")
    view = View(make_store(instance, settled, fresh, ending, gone))
    decision = connect_agent(view, instance.arn, LATER, **VERSIONS)
    assert decision.effects == (SendTasks(instance.arn, (fresh.arn, ending.arn)),)


def test_reconnecting_while_connected_sends_again_without_a_change():
    instance = make_container_instance(**VERSIONS)
    fresh = make_task(instance=instance)
    decision = connect_agent(View(make_store(instance, fresh)), instance.arn, LATER, **VERSIONS)
    assert decision.changes == ()
    assert decision.effects == (SendTasks(instance.arn, (fresh.arn,)),)


def test_an_agent_that_was_upgraded_is_known_by_its_new_version():
    instance = make_container_instance(**VERSIONS)
    store = make_store(instance)
    newer = {**VERSIONS, "agent_version": "1.106.0"}
    apply(store, connect_agent(View(store), instance.arn, LATER, **newer))
    assert View(store).container_instance(instance.arn).agent_version == "1.106.0"


def test_losing_an_agent_keeps_status_and_tasks():
    instance = make_container_instance()
    task = make_task(instance=instance, last_status="RUNNING")
    store = make_store(instance, task)
    view = View(store)
    apply(store, lose_agent(view, instance.arn, LATER))
    lost = view.container_instance(instance.arn)
    assert (lost.status, lost.agent_connected) == ("ACTIVE", False)
    assert lost.disconnected_at_ms == NOW_MS + 60_000
    assert view.task(task.arn) == task
    assert lose_agent(view, instance.arn, LATER).changes == ()


def test_strangers_change_nothing():
    view = View(make_store())
    assert connect_agent(view, "arn:none", LATER, **VERSIONS).changes == ()
    assert lose_agent(view, "arn:none", LATER).changes == ()
    assert report_runtime_status(view, "arn:none", "OK", LATER).changes == ()


def test_a_starting_control_plane_has_no_agent_connected():
    here, away = make_container_instance("a"), make_container_instance("b", agent_connected=False)
    store = make_store(here, away)
    view = View(store)
    decision = apply(store, disconnect_every_agent(view, LATER))
    assert [change.record.arn for change in decision.changes] == [here.arn]
    assert not view.container_instance(here.arn).agent_connected


def test_the_runtimes_status_changes_once():
    instance = make_container_instance()
    store = make_store(instance)
    view = View(store)
    apply(store, report_runtime_status(view, instance.arn, "IMPAIRED", LATER))
    assert view.container_instance(instance.arn).runtime_status == "IMPAIRED"
    assert report_runtime_status(view, instance.arn, "IMPAIRED", LATER).changes == ()


def test_the_time_of_connecting_is_kept_while_the_agent_stays():
    away = make_container_instance(agent_connected=False, disconnected_at_ms=5)
    store = make_store(away)
    view = View(store)
    apply(store, connect_agent(view, away.arn, LATER, **VERSIONS))
    later_still = at(LATER.now_ms + 1)
    apply(store, connect_agent(view, away.arn, later_still, **{**VERSIONS, "agent_version": "2"}))
    assert view.container_instance(away.arn).connected_at_ms == LATER.now_ms
