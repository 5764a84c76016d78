"""A container instance whose agent stays away too long gives its tasks up, and may come back."""

from builders import (
    NOW_MS,
    apply,
    at,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.core.lifecycle.instance import connect_agent, disconnect_every_agent, lose_agent
from homeport.core.lifecycle.loss import INSTANCES_PER_COMMIT, lose_instances, next_loss_ms
from homeport.state.invariants import find_violations
from homeport.state.view import View

WINDOW_S = 300
LATER = at(NOW_MS + WINDOW_S * 1_000)
VERSIONS = {"agent_version": None, "agent_hash": None, "docker_version": None}


def away(name: str = "away", **members: object):
    return make_container_instance(
        name, agent_connected=False, disconnected_at_ms=NOW_MS, **members
    )


def test_tasks_stop_with_their_host_after_the_window_and_not_before():
    instance = away(ec2_instance_id="i-0abc")
    task = make_task(instance=instance, last_status="RUNNING")
    store = make_store(make_cluster(), make_task_definition(), instance, task)
    view = View(store)
    early = at(NOW_MS + WINDOW_S * 1_000 - 1)
    assert lose_instances(view, WINDOW_S, early).changes == ()
    assert next_loss_ms(view, WINDOW_S) == LATER.now_ms
    apply(store, lose_instances(view, WINDOW_S, LATER))
    ended = view.task(task.arn)
    assert (ended.last_status, ended.desired_status) == ("STOPPED", "STOPPED")
    assert ended.stop_code == "TerminationNotice"
    assert ended.stopped_reason == "Host EC2 (instance i-0abc) stopped."
    assert ended.version == task.version + 1
    assert view.instance_load(instance.arn).cpu_units == 0
    assert find_violations(store) == []


def test_the_instance_itself_stays_active_and_is_given_up_once():
    instance = away()
    store = make_store(instance)
    view = View(store)
    apply(store, lose_instances(view, WINDOW_S, LATER))
    lost = view.container_instance(instance.arn)
    assert (lost.status, lost.version) == ("ACTIVE", instance.version + 1)
    assert next_loss_ms(view, WINDOW_S) is None


def test_a_brief_disconnect_kills_nothing():
    instance = make_container_instance()
    task = make_task(instance=instance, last_status="RUNNING")
    store = make_store(instance, task)
    view = View(store)
    apply(store, lose_agent(view, instance.arn, at(NOW_MS)))
    apply(store, connect_agent(view, instance.arn, at(NOW_MS + 5_000), **VERSIONS))
    assert next_loss_ms(view, WINDOW_S) is None
    assert lose_instances(view, WINDOW_S, LATER).changes == ()
    assert view.task(task.arn) == task


def test_an_instance_that_comes_back_can_be_lost_again():
    instance = away()
    store = make_store(instance)
    view = View(store)
    apply(store, lose_instances(view, WINDOW_S, LATER))
    back = at(LATER.now_ms + 1)
    apply(store, connect_agent(view, instance.arn, back, **VERSIONS))
    apply(store, lose_agent(view, instance.arn, back))
    assert next_loss_ms(view, WINDOW_S) == back.now_ms + WINDOW_S * 1_000


def test_a_stop_that_was_wanted_before_keeps_its_reason():
    instance = away()
    task = make_task(
        instance=instance,
        last_status="RUNNING",
        desired_status="STOPPED",
        stop_code="UserInitiated",
        stopped_reason="Task stopped by user",
    )
    store = make_store(instance, task)
    view = View(store)
    apply(store, lose_instances(view, WINDOW_S, LATER))
    ended = view.task(task.arn)
    assert (ended.stop_code, ended.stopped_reason) == ("UserInitiated", "Task stopped by user")


def test_a_window_of_zero_never_loses_an_instance():
    view = View(make_store(away()))
    assert next_loss_ms(view, 0) is None


def test_deregistered_instances_are_not_given_up():
    view = View(make_store(away(status="INACTIVE", deregistered_at_ms=NOW_MS)))
    assert next_loss_ms(view, WINDOW_S) is None


def test_a_mass_loss_is_taken_in_bounded_steps():
    count = INSTANCES_PER_COMMIT + 3
    store = make_store(*(away(f"away-{n}") for n in range(count)))
    view = View(store)
    apply(store, lose_instances(view, WINDOW_S, LATER))
    assert len(list(view.disconnected_instances())) == 3
    assert next_loss_ms(view, WINDOW_S) == LATER.now_ms


def test_a_control_plane_that_was_away_gives_agents_the_whole_window_again():
    instance = away()
    store = make_store(instance)
    view = View(store)
    apply(store, disconnect_every_agent(view, LATER))
    assert next_loss_ms(view, WINDOW_S) == LATER.now_ms + WINDOW_S * 1_000
    assert view.container_instance(instance.arn).version == instance.version
