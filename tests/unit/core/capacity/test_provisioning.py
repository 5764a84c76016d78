"""Tasks that wait for capacity: placed when there is room, in order, and given up with a reason."""

from typing import Any

from builders import (
    NOW_MS,
    apply,
    at,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.core.capacity.provisioning import (
    WAIT_LIMIT_S,
    provider_constraints,
    provision_tasks,
)
from homeport.core.capacity.turns import TURN_AFTER_S, TURN_S
from homeport.core.decision import Decision
from homeport.core.effects import AwaitCapacity, SendTasks, WakeAt
from homeport.core.lifecycle.new_task import stop_task
from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    ATTRIBUTE_SUBNET,
)
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import TaskResources
from homeport.model.task import PENDING, PROVISIONING, STOPPED, PlacementWish, Task
from homeport.state.invariants import find_violations
from homeport.state.store import Store
from homeport.state.view import View

CLUSTER = make_cluster()


def wait(name: str, *, memory_mib: int = 256, provider: str = "big", **members: Any) -> Task:
    """Make a task that waits for capacity of a provider."""
    fields: dict[str, Any] = {
        "container_instance_arn": None,
        "availability_zone": None,
        "last_status": PROVISIONING,
        "capacity_provider": provider,
        "resources": TaskResources(cpu_units=128, memory_mib=memory_mib),
        "wish": PlacementWish(constraints=provider_constraints(provider)),
        "launch_type": "FARGATE" if provider == "FARGATE" else "EC2",
    }
    return make_task(name, **{**fields, **members})


def big_instance(name: str = "big", memory_mib: int = 512) -> ContainerInstance:
    attributes: dict[str, str | None] = {ATTRIBUTE_CAPACITY_PROVIDER: "big"}
    return make_container_instance(name, memory_mib=memory_mib, attributes=attributes)


def pool_instance(subnet: str = "10.1.1.0/24", **members: Any) -> ContainerInstance:
    attributes: dict[str, str | None] = {ATTRIBUTE_FARGATE: "true", ATTRIBUTE_SUBNET: subnet}
    return make_container_instance("pool", attributes=attributes, **members)


def make_world(*records: Any) -> Store:
    return make_store(CLUSTER, make_task_definition(), *records)


def look(store: Store, after_s: int = 0) -> Decision:
    now_ms = NOW_MS + after_s * 1_000
    decision = apply(store, provision_tasks(View(store), CLUSTER.arn, at(now_ms)), now_ms)
    assert find_violations(store) == []
    return decision


def states(store: Store) -> dict[str, str]:
    return {task.arn: task.last_status for task in store.tasks}


def test_nothing_is_decided_when_nothing_waits() -> None:
    assert look(make_world(big_instance())) == Decision()


def test_a_waiting_task_is_put_on_an_instance_of_its_provider_only() -> None:
    task = wait("one")
    instance = big_instance()
    store = make_world(make_container_instance("other"), instance, task)
    decision = look(store)
    assert decision.effects == (SendTasks(instance.arn, (task.arn,)),)
    placed = store.tasks.get(task.arn)
    assert placed is not None
    assert placed.container_instance_arn == instance.arn
    assert (placed.last_status, placed.wish, placed.version) == (PENDING, None, task.version + 1)


def test_without_room_it_waits_for_more_and_for_its_time() -> None:
    task = wait("one", memory_mib=1_024)
    decision = look(make_world(big_instance(), task))
    assert decision.changes == ()
    assert decision.effects == (
        AwaitCapacity(CLUSTER.arn, CLUSTER.arn),
        WakeAt(task.created_at_ms + WAIT_LIMIT_S * 1_000, CLUSTER.arn),
        WakeAt(task.created_at_ms + TURN_AFTER_S * 1_000, CLUSTER.arn),
    )


def test_the_oldest_goes_first() -> None:
    young = wait("young", memory_mib=512, group="young", created_at_ms=NOW_MS + 1)
    old = wait("old", memory_mib=512, group="old")
    store = make_world(big_instance(), young, old)
    look(store)
    assert states(store) == {young.arn: PROVISIONING, old.arn: PENDING}


def test_a_small_task_does_not_wait_behind_one_that_is_too_big() -> None:
    big = wait("large", memory_mib=4_096)
    small = wait("small", created_at_ms=NOW_MS + 1)
    store = make_world(big_instance(), big, small)
    look(store)
    assert states(store) == {big.arn: PROVISIONING, small.arn: PENDING}


def test_tasks_that_are_alike_are_placed_together() -> None:
    tasks = [wait(f"task {n}") for n in range(3)]
    store = make_world(big_instance(memory_mib=512), *tasks)
    look(store)
    assert sorted(states(store).values()) == [PENDING, PENDING, PROVISIONING]


def test_a_task_that_has_waited_too_long_is_given_up_with_the_reason() -> None:
    task = wait("one", memory_mib=1_024)
    store = make_world(big_instance(), task)
    look(store, after_s=WAIT_LIMIT_S)
    stopped = store.tasks.get(task.arn)
    assert stopped is not None
    assert (stopped.last_status, stopped.desired_status) == (STOPPED, STOPPED)
    assert stopped.stop_code == "TaskFailedToStart"
    assert stopped.stopped_reason == "TaskFailedToStart: RESOURCE:MEMORY"


def test_a_provider_without_instances_is_named_empty() -> None:
    task = wait("one")
    store = make_world(task)
    look(store, after_s=WAIT_LIMIT_S)
    stopped = store.tasks.get(task.arn)
    assert stopped is not None
    assert stopped.stopped_reason == "TaskFailedToStart: EMPTY CAPACITY PROVIDER"


def test_fargate_tasks_run_on_the_local_pool_with_an_address_each() -> None:
    tasks = [wait(f"task {n}", provider="FARGATE") for n in range(2)]
    pool = pool_instance()
    store = make_world(make_container_instance("other"), pool, *tasks)
    look(store)
    assert {task.container_instance_arn for task in store.tasks} == {pool.arn}
    assert sorted(task.private_ip or "" for task in store.tasks) == ["10.1.1.4", "10.1.1.5"]


def test_an_address_that_a_task_holds_is_not_given_twice() -> None:
    pool = pool_instance()
    held = make_task("held", instance=pool, launch_type="FARGATE", private_ip="10.1.1.4")
    task = wait("one", provider="FARGATE")
    store = make_world(pool, held, task)
    look(store)
    placed = store.tasks.get(task.arn)
    assert placed is not None
    assert placed.private_ip == "10.1.1.5"


def test_a_pool_without_free_addresses_takes_no_more_tasks() -> None:
    pool = pool_instance("10.1.1.0/29")  # .4, .5 and .6
    tasks = [wait(f"task {n}", provider="FARGATE") for n in range(4)]
    store = make_world(pool, *tasks)
    look(store)
    assert sorted(states(store).values()) == [PENDING, PENDING, PENDING, PROVISIONING]
    assert look(store).changes == ()


def test_a_fargate_task_larger_than_the_pool_is_given_up_at_once() -> None:
    task = wait("one", provider="FARGATE", memory_mib=30_720)
    store = make_world(pool_instance(), task)
    look(store)
    stopped = store.tasks.get(task.arn)
    assert stopped is not None
    assert stopped.last_status == STOPPED
    assert "at most 2048 CPU units and 4096 MiB; this one needs 128 and 30720" in (
        stopped.stopped_reason or ""
    )


def test_a_fargate_task_that_needs_what_the_pool_lacks_is_given_up_by_name() -> None:
    driver = "com.amazonaws.ecs.capability.logging-driver.awslogs"
    task = wait("one", provider="FARGATE", wish=PlacementWish(requires_attributes=(driver,)))
    store = make_world(pool_instance(), task)
    look(store)
    stopped = store.tasks.get(task.arn)
    assert stopped is not None
    assert driver in (stopped.stopped_reason or "")


def test_a_fargate_task_waits_while_the_pool_is_being_made() -> None:
    task = wait("one", provider="FARGATE", memory_mib=30_720)
    store = make_world(task)
    assert look(store).changes == ()
    put(store, pool_instance(agent_connected=False))
    assert look(store).changes == ()


def test_a_waiting_task_that_is_stopped_is_stopped_at_once() -> None:
    stopped = stop_task(wait("one"), stop_code="UserInitiated", reason="enough", moment=at())
    assert (stopped.last_status, stopped.desired_status) == (STOPPED, STOPPED)
    assert stopped.stopped_at_ms == NOW_MS
    assert [container.last_status for container in stopped.containers] == [STOPPED]
    assert stopped.wish is None


def test_a_big_task_that_is_passed_over_has_its_turn_which_ends_when_it_is_stopped() -> None:
    one, two = big_instance("one"), big_instance("two")
    definition = make_task_definition(memory_mib=256)
    here = [make_task(n, definition=definition, instance=host) for n, host in ((1, one), (2, two))]
    big = wait("large", memory_mib=512)
    small = wait("small", memory_mib=256, created_at_ms=NOW_MS + 90_000)
    store = make_world(definition, one, two, *here, big)
    look(store, after_s=TURN_AFTER_S - 1)
    assert kept_for(store) is None
    decision = look(store, after_s=TURN_AFTER_S)
    assert kept_for(store) == big.arn
    until_ms = NOW_MS + (TURN_AFTER_S + TURN_S) * 1_000
    assert decision.effects[-1] == WakeAt(until_ms, CLUSTER.arn)
    put(store, small)
    look(store, after_s=90)
    assert states(store)[small.arn] == PENDING, "on the instance that isn't kept"
    put(store, stop_task(big, stop_code="UserInitiated", reason="", moment=at()))
    look(store, after_s=91)
    assert kept_for(store) is None


def kept_for(store: Store) -> str | None:
    cluster = store.clusters.get(CLUSTER.arn)
    assert cluster is not None
    return None if cluster.kept is None else cluster.kept.for_arn
