"""The agenda wakes exactly the services that a commit concerns."""

import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.core.effects import AwaitCapacity, WakeAt
from homeport.engine.agenda import Agenda
from homeport.state.store import Store
from homeport.state.view import View

CLUSTER, INSTANCE, DEFINITION = make_cluster(), make_container_instance(), make_task_definition()
SERVICE = make_service(definition=DEFINITION)
OTHER = make_service("other", definition=DEFINITION)


@pytest.fixture
def store() -> Store:
    return make_store(CLUSTER, INSTANCE, DEFINITION, SERVICE, OTHER)


@pytest.fixture
def agenda(store: Store) -> Agenda:
    agenda = Agenda(View(store))
    store.feed.watch(agenda.follow)
    return agenda


def _dirty(agenda: Agenda) -> list[str]:
    taken = []
    while (arn := agenda.take()) is not None:
        taken.append(arn)
    return taken


def test_a_tasks_new_status_wakes_its_service_alone(store: Store, agenda: Agenda) -> None:
    task = make_task(definition=DEFINITION, instance=INSTANCE, service=SERVICE)
    put(store, task)
    assert _dirty(agenda) == [SERVICE.arn]
    put(store, replace(task, last_status="RUNNING"))
    assert _dirty(agenda) == [SERVICE.arn]


def test_a_tasks_new_timestamp_wakes_nobody(store: Store, agenda: Agenda) -> None:
    task = make_task(definition=DEFINITION, instance=INSTANCE, service=SERVICE)
    put(store, task)
    _dirty(agenda)
    put(store, replace(task, pull_started_at_ms=NOW_MS))
    assert agenda.is_empty


def test_an_unchanged_service_wakes_nobody(store: Store, agenda: Agenda) -> None:
    put(store, SERVICE)
    assert agenda.is_empty
    put(store, replace(SERVICE, desired_count=7))
    assert _dirty(agenda) == [SERVICE.arn]


def test_a_dirty_service_is_looked_at_once_in_the_order_of_its_first_mark(agenda: Agenda) -> None:
    for arn in (SERVICE.arn, OTHER.arn, SERVICE.arn):
        agenda.mark(arn)
    assert _dirty(agenda) == [SERVICE.arn, OTHER.arn]


def test_a_stopped_task_wakes_the_services_that_wait_for_room(store: Store, agenda: Agenda) -> None:
    task = make_task(definition=DEFINITION, instance=INSTANCE)
    put(store, task)
    agenda.await_capacity(AwaitCapacity(CLUSTER.arn, OTHER.arn))
    put(store, replace(task, last_status="STOPPED", desired_status="STOPPED"))
    assert _dirty(agenda) == [OTHER.arn]
    put(store, make_container_instance("two"))
    assert agenda.is_empty  # it waits no more


def test_a_new_container_instance_wakes_the_services_that_wait_for_room(
    store: Store, agenda: Agenda
) -> None:
    agenda.await_capacity(AwaitCapacity(CLUSTER.arn, OTHER.arn))
    put(store, make_container_instance("two"))
    assert _dirty(agenda) == [OTHER.arn]


def test_draining_an_instance_wakes_the_services_that_have_tasks_there(
    store: Store, agenda: Agenda
) -> None:
    put(store, make_task(definition=DEFINITION, instance=INSTANCE, service=SERVICE))
    _dirty(agenda)
    put(store, replace(INSTANCE, status="DRAINING"))
    assert _dirty(agenda) == [SERVICE.arn]


def test_the_earliest_wake_up_of_a_service_counts_and_rings_once(agenda: Agenda) -> None:
    agenda.wake_at(WakeAt(NOW_MS + 500, SERVICE.arn))
    agenda.wake_at(WakeAt(NOW_MS + 100, SERVICE.arn))
    assert agenda.next_ring_ms() == NOW_MS + 100
    agenda.ring(NOW_MS + 99)
    assert agenda.is_empty
    agenda.ring(NOW_MS + 100)
    assert _dirty(agenda) == [SERVICE.arn]
    assert agenda.next_ring_ms() is None


def test_daemon_services_come_first_when_an_instance_joins(store: Store, agenda: Agenda) -> None:
    daemon = make_service("daemon", definition=DEFINITION, scheduling_strategy="DAEMON")
    put(store, daemon)
    _dirty(agenda)
    agenda.mark(SERVICE.arn)
    put(store, make_container_instance("new"))
    assert _dirty(agenda) == [daemon.arn, SERVICE.arn]


def test_the_last_other_task_on_a_draining_instance_wakes_the_daemons(
    store: Store, agenda: Agenda
) -> None:
    daemon = make_service("daemon", definition=DEFINITION, scheduling_strategy="DAEMON")
    task = make_task(definition=DEFINITION, instance=INSTANCE, last_status="RUNNING")
    put(store, daemon, task, replace(INSTANCE, status="DRAINING"))
    _dirty(agenda)
    stopped = replace(task, last_status="STOPPED", desired_status="STOPPED", stopped_at_ms=NOW_MS)
    put(store, stopped)
    assert _dirty(agenda) == [daemon.arn]
