"""What must hold: `state.invariants` sees what doesn't."""

import msgspec

from builders import (
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.state.changes import AnyRecord
from homeport.state.invariants import find_violations
from homeport.state.store import Store

DEFINITION = make_task_definition(cpu_units=100, memory_mib=100, host_ports=(80,))
INSTANCE = make_container_instance(cpu_units=150, memory_mib=150)
TASKS = [make_task(n, definition=DEFINITION, instance=INSTANCE) for n in range(2)]


def sound(*more: AnyRecord) -> Store:
    return make_store(make_cluster(), DEFINITION, INSTANCE, *more)


def test_a_sound_state_has_none():
    assert find_violations(sound(TASKS[0], make_service(definition=DEFINITION))) == []


def test_over_commitment_and_a_port_held_twice_are_seen():
    assert [v.removeprefix(INSTANCE.arn) for v in find_violations(sound(*TASKS))] == [
        " has more CPU placed than it registered",
        " has more memory placed than it registered",
        " has port HostPort(port=80, protocol='tcp') held by 2 tasks",
    ]


def test_a_task_needs_its_cluster_and_its_task_definition():
    found = find_violations(make_store(INSTANCE, TASKS[0]))
    assert [sentence.split(" ", 1)[1] for sentence in found] == [
        "is in a cluster that doesn't exist",
        "runs a task definition that doesn't exist",
    ]


def test_a_stopped_task_must_not_be_wanted_and_has_a_time():
    odd = msgspec.structs.replace(TASKS[0], last_status="STOPPED")
    assert [sentence.split(" ", 1)[1] for sentence in find_violations(sound(odd))] == [
        "is STOPPED but still wanted",
        "is STOPPED without a time",
    ]


def test_a_service_has_exactly_one_primary_deployment():
    service = make_service(definition=DEFINITION)
    twice = msgspec.structs.replace(service, deployments=(service.primary, service.primary))
    assert find_violations(sound(twice)) == [
        f"{twice.arn} must have exactly one PRIMARY deployment"
    ]


def test_counts_that_drifted_are_seen():
    store = sound(TASKS[0])
    store.derived.instances[INSTANCE.arn].running += 1
    (violation,) = find_violations(store)
    assert violation.startswith(f"container instance {INSTANCE.arn}: counts ")


def test_counts_that_nobody_keeps_are_seen():
    store = sound()
    put(store, TASKS[0])
    del store.derived.clusters[TASKS[0].cluster_arn]
    (violation,) = find_violations(store)
    assert "counts None are kept" in violation
