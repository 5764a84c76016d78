"""Counts and remaining resources: `state.derived`, judged by `state.invariants`."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from builders import (
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.model.resources import HostPort
from homeport.model.task import Task
from homeport.state.changes import Change, Commit, Put, delete_of
from homeport.state.invariants import find_violations
from homeport.state.store import Store
from homeport.state.view import View

DEFINITION = make_task_definition(cpu_units=10, memory_mib=20, host_ports=(80,))
INSTANCE = make_container_instance()
SERVICE = make_service(definition=DEFINITION)
BASE = (make_cluster(), DEFINITION, INSTANCE, SERVICE)
TASK = make_task(definition=DEFINITION, instance=INSTANCE, service=SERVICE)


def after(*tasks: Task) -> View:
    store = make_store(*BASE)
    for task in tasks:
        store.apply(Commit(store.sequence + 1, 0, "Test", (Put(task),)))
    assert find_violations(store) == []
    return View(store)


def changed(**members: object) -> Task:
    return msgspec.structs.replace(TASK, **members)


def test_a_task_holds_resources_from_placement_on():
    load = after(TASK).instance_load(INSTANCE.arn)
    assert (load.cpu_units, load.memory_mib, load.ports) == (10, 20, {HostPort(80): 1})
    assert (load.pending, load.running) == (1, 0)


def test_a_running_task_counts_as_running():
    view = after(TASK, changed(last_status="RUNNING"))
    load = view.instance_load(INSTANCE.arn)
    assert (load.pending, load.running) == (0, 1)
    assert view.cluster_load(TASK.cluster_arn).running == 1
    deployment = view.deployment_load(SERVICE.arn, SERVICE.primary.id)
    assert deployment.values() == (0, 1, 0, 0)


def test_an_unhealthy_task_is_running_and_unhealthy():
    view = after(changed(last_status="RUNNING", health_status="UNHEALTHY"))
    assert view.deployment_load(SERVICE.arn, SERVICE.primary.id).values() == (0, 1, 0, 1)


def test_a_stopping_task_keeps_its_resources_but_is_not_running_any_more():
    view = after(changed(last_status="RUNNING", desired_status="STOPPED"))
    load = view.instance_load(INSTANCE.arn)
    assert (load.cpu_units, load.running, load.pending) == (10, 0, 0)
    assert view.deployment_load(SERVICE.arn, SERVICE.primary.id).values() == (0, 0, 1, 0)


def test_a_stopped_task_counts_nowhere():
    stopped = changed(last_status="STOPPED", desired_status="STOPPED", stopped_at_ms=1)
    view = after(TASK, stopped)
    assert view.instance_load(INSTANCE.arn).values() == (0, 0, 0, 0, (), 0, 0, 2)
    assert view.deployment_load(SERVICE.arn, SERVICE.primary.id).values() == (0, 0, 0, 0)
    assert not any(view.cluster_load(TASK.cluster_arn).values())
    assert dict(view.tasks_of_instance(INSTANCE.arn)) == {}
    assert list(view.stopped_tasks()) == [stopped]


def test_what_has_no_load_reads_as_empty():
    view = View(Store())
    assert view.instance_load("arn:x").values() == (0, 0, 0, 0, (), 0, 0, 0)
    assert not any(view.cluster_load("arn:x").values())
    assert view.deployment_load("arn:x", "y").values() == (0, 0, 0, 0)


states = st.sampled_from(
    [
        {},
        {"last_status": "RUNNING"},
        {"last_status": "RUNNING", "health_status": "UNHEALTHY"},
        {"desired_status": "STOPPED"},
        {"last_status": "RUNNING", "desired_status": "STOPPED"},
        {"last_status": "STOPPED", "desired_status": "STOPPED", "stopped_at_ms": 1},
        None,
    ]
)


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), states), max_size=4), max_size=8))
def test_counts_kept_are_those_computed_from_scratch(
    commits: list[list[tuple[int, dict[str, object] | None]]],
):
    definition = make_task_definition(cpu_units=10)
    tasks = [
        make_task(n, definition=definition, instance=INSTANCE, service=SERVICE if n % 2 else None)
        for n in range(4)
    ]
    store = make_store(make_cluster(), definition, DEFINITION, INSTANCE, SERVICE)
    for steps in commits:
        changes: list[Change] = [
            delete_of(tasks[n])
            if members is None
            else Put(msgspec.structs.replace(tasks[n], **members))
            for n, members in steps
        ]
        store.apply(Commit(store.sequence + 1, 0, "Test", tuple(changes)))
    assert find_violations(store) == []


def test_placements_and_stops_count_the_container_instances_version_up():
    before = after().instance_version(INSTANCE)
    assert after(TASK).instance_version(INSTANCE) == before + 1
    running = changed(last_status="RUNNING")
    assert after(TASK, running).instance_version(INSTANCE) == before + 1
    stopped = changed(last_status="STOPPED", desired_status="STOPPED", stopped_at_ms=1)
    assert after(TASK, running, stopped).instance_version(INSTANCE) == before + 2


def test_a_task_that_waits_for_capacity_counts_nowhere_until_it_is_placed():
    waiting = changed(last_status="PROVISIONING", container_instance_arn=None)
    before = after().instance_version(INSTANCE)
    assert after(waiting).instance_version(INSTANCE) == before
    assert after(waiting, TASK).instance_version(INSTANCE) == before + 1
