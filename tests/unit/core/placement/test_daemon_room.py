"""Room that is kept for DAEMON services: ECS reserves what their tasks need."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from builders import make_container_instance, make_task, make_task_definition
from calls import call
from homeport.api import ecs
from homeport.core.placement.daemon_room import rooms_for_daemons
from homeport.core.placement.explaining import explain
from homeport.core.placement.request import PlacementRequest
from homeport.core.placement.service_request import placement_request
from homeport.model.resources import HostPort, TaskResources
from homeport.model.task import PENDING, RUNNING, STOPPED
from service_world import ServiceWorld

ROOM_MIB = 1_024
WATCH, WATCH_AGAIN, WEB = (
    make_task_definition(family, revision, cpu_units=1, memory_mib=ROOM_MIB // 2)
    for family, revision in (("watch", 1), ("watch", 2), ("web", 1))
)
HUGE = make_task_definition("huge", cpu_units=1, memory_mib=2 * ROOM_MIB)
SMALL = make_task_definition("small", cpu_units=1, memory_mib=ROOM_MIB // 8)


def make_world(*names: str) -> ServiceWorld:
    hosts = [make_container_instance(name, cpu_units=4_096, memory_mib=ROOM_MIB) for name in names]
    return ServiceWorld(WATCH, WATCH_AGAIN, WEB, HUGE, SMALL, *hosts, instances=0)


def create_daemon(world: ServiceWorld, definition: str = "watch:1", **members: Any) -> None:
    request = ecs.CreateServiceRequest(
        service_name="watch", task_definition=definition, scheduling_strategy="DAEMON", **members
    )
    world.call("CreateService", request)


def run(world: ServiceWorld, count: int, family: str = "web") -> tuple[int, set[str]]:
    """Run tasks by RunTask; return how many were placed, and why others weren't."""
    reply = call(world.store, "RunTask", now_ms=world.now_ms, taskDefinition=family, count=count)
    return len(reply["tasks"]), {failure["reason"] for failure in reply["failures"]}


def fail(world: ServiceWorld) -> None:
    """Let the daemon's task fail to start, and time pass until it is next tried."""
    for task in world.tasks("watch"):
        world.report(task, STOPPED, "CannotPullContainerError")


def test_an_instance_that_has_just_joined_keeps_room_for_the_daemon_that_is_yet_to_look() -> None:
    world = make_world("one")
    create_daemon(world)
    assert run(world, 2) == (1, {"RESOURCE:RESERVED"})
    world.reconcile("watch")
    assert len(world.tasks("watch")) == 1


def test_room_is_kept_while_launches_of_a_failing_daemon_are_being_delayed() -> None:
    world = make_world("one")
    create_daemon(world)
    world.reconcile("watch")
    for _ in range(4):
        fail(world)
        if world.now_ms >= world.service("watch").next_launch_at_ms:
            continue
        assert world.tasks("watch") == []
        world.pass_time(60)
        world.reconcile("watch")
    fail(world)
    assert world.now_ms < world.service("watch").next_launch_at_ms
    assert world.tasks("watch") == []
    assert run(world, 2) == (1, {"RESOURCE:RESERVED"})
    world.pass_time(60)
    world.reconcile("watch")
    assert len(world.tasks("watch")) == 1


def test_room_is_kept_between_a_tasks_end_and_the_schedulers_next_look() -> None:
    world = make_world("one")
    create_daemon(world)
    world.reconcile("watch")
    (task,) = world.tasks("watch")
    call(world.store, "SubmitTaskStateChange", task=task.arn, status="STOPPED")
    assert world.tasks("watch") == []
    assert run(world, 2) == (1, {"RESOURCE:RESERVED"})


def test_room_that_a_stopping_task_will_give_back_is_not_kept_twice() -> None:
    world = make_world("one")
    create_daemon(world)
    world.reconcile("watch")
    update = ecs.UpdateServiceRequest(service="watch", task_definition="watch:2")
    world.call("UpdateService", update)
    world.reconcile("watch")
    (old,) = world.tasks("watch", desired=STOPPED)
    assert run(world, 1) == (1, set())  # the other half
    world.report(old, STOPPED)
    assert len(world.tasks("watch")) == 1


def test_on_an_instance_that_is_full_what_ends_makes_room_for_the_daemon() -> None:
    world = make_world("one")
    assert run(world, 2)[0] == 2
    first, _ = sorted(world.store.tasks, key=lambda task: task.arn)
    create_daemon(world)
    world.reconcile("watch")
    assert world.tasks("watch") == []
    call(world.store, "SubmitTaskStateChange", task=first.arn, status="STOPPED")
    assert run(world, 1) == (0, {"RESOURCE:RESERVED"})
    world.reconcile("watch")
    assert len(world.tasks("watch")) == 1


def test_tasks_fit_beside_the_kept_room_and_no_more_of_them_at_once() -> None:
    world = make_world("one", "two")
    create_daemon(world)
    assert run(world, 9, "small") == (8, {"RESOURCE:RESERVED"})
    world.reconcile("watch")
    assert len(world.tasks("watch")) == 2


def test_many_tasks_at_once_leave_the_kept_room_alone() -> None:
    names = [f"host-{number}" for number in range(8)]
    world = make_world(*names)
    create_daemon(world)
    request = ecs.CreateServiceRequest(
        service_name="small", task_definition="small", desired_count=64
    )
    world.call("CreateService", request)
    world.reconcile("small")
    assert len(world.tasks("small")) == 32
    world.reconcile("watch")
    assert len(world.tasks("watch")) == 8


def test_ports_of_a_daemon_are_kept_too() -> None:
    port = (HostPort(80),)
    watch, web = (
        replace(definition, resources=TaskResources(1, 1, host_ports=port))
        for definition in (WATCH, WEB)
    )
    world = make_world("one")
    world.put(watch, web)
    create_daemon(world)
    assert run(world, 1) == (0, {"RESOURCE:RESERVED"})
    assert run(world, 1, "small")[0] == 1


def test_a_daemon_that_never_fits_keeps_nothing() -> None:
    world = make_world("one")
    create_daemon(world, "huge")
    assert run(world, 2) == (2, set())


def test_a_daemon_that_fits_only_without_another_daemon_keeps_nothing() -> None:
    world = make_world("one")
    create_daemon(world)
    world.reconcile("watch")
    third = replace(HUGE, resources=TaskResources(1, ROOM_MIB * 3 // 4))
    world.put(third)
    request = ecs.CreateServiceRequest(
        service_name="late", task_definition="huge", scheduling_strategy="DAEMON"
    )
    world.call("CreateService", request)
    world.reconcile("late")
    assert run(world, 1) == (1, set())


def test_only_instances_where_the_daemon_belongs_keep_room() -> None:
    constraint = ecs.PlacementConstraint(type="memberOf", expression="attribute:gpu == yes")
    world = make_world("one")
    create_daemon(world, placement_constraints=[constraint])
    assert run(world, 2) == (2, set())


def test_a_failed_deployment_keeps_nothing() -> None:
    world = make_world("one")
    create_daemon(world)
    service = world.service("watch")
    failed = replace(service.primary, rollout_state="FAILED")
    world.put(replace(service, deployments=(failed,)))
    assert run(world, 2) == (2, set())


def test_starttask_finds_the_room_kept_too() -> None:
    world = make_world("one")
    create_daemon(world)
    one = world.instances()[0].arn
    reply = call(
        world.store, "StartTask", taskDefinition="web", containerInstances=[one, one]
    )
    assert len(reply["tasks"]) == 1
    (failure,) = reply["failures"]
    assert (failure["reason"], failure["detail"]) == (
        "RESOURCE:RESERVED",
        "is kept free for DAEMON service watch",
    )


def test_why_a_task_has_no_place_names_the_daemon_and_what_to_do() -> None:
    world = make_world("one")
    create_daemon(world)
    assert run(world, 1)[0] == 1
    (cluster,) = world.store.clusters
    request = PlacementRequest(cluster_arn=cluster.arn, group="g", resources=WEB.resources)
    found = explain(world.view, request)
    assert found.fitting == 0
    (verdict,) = found.verdicts
    assert verdict.detail == "is kept free for DAEMON service watch"
    assert verdict.remedy.startswith("wait for the daemon's task")


def test_the_daemon_itself_is_told_that_it_fits() -> None:
    world = make_world("one")
    create_daemon(world)
    request = placement_request(world.view, world.service("watch"), WATCH, 1)
    assert explain(world.view, request).fitting == 1


def test_what_is_kept_is_followed_as_tasks_come_and_go() -> None:
    world = make_world("one", "two")
    create_daemon(world)
    (cluster,) = world.store.clusters
    fleet = world.view.fleet(cluster.arn)

    def kept() -> set[str]:
        rooms = rooms_for_daemons(world.view, fleet, cluster.arn, None)
        return set() if rooms is None else {fleet.arns[row] for row in rooms.rooms}

    one, two = world.instances()
    assert kept() == {one.arn, two.arn}
    world.reconcile("watch")
    assert kept() == set()
    (here,) = [t for t in world.tasks("watch") if t.container_instance_arn == one.arn]
    call(world.store, "SubmitTaskStateChange", task=here.arn, status="STOPPED")
    assert kept() == {one.arn}
    world.change_instance(one, status="DRAINING")
    assert kept() == set()
    other = make_task("other", definition=WEB, instance=two, last_status=RUNNING)
    world.put(other)
    assert kept() == set()
    world.reconcile("watch")
    assert [task.last_status for task in world.tasks("watch")] == [PENDING]
