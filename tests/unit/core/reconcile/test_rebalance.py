"""Evening out the tasks of a steady service: over zones, and, by opt-in, over instances."""

from __future__ import annotations

import re

from msgspec.structs import replace

from builders import make_container_instance, make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.throttle import FREE_ATTEMPTS
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER, CapacityProvider
from homeport.model.task import PENDING, RUNNING, STOPPED
from service_world import ServiceWorld, wakes

WEB = make_task_definition("web", 1)


def start(world: ServiceWorld, count: int, **members: object) -> None:
    request = ecs.CreateServiceRequest(
        service_name="web", task_definition="web", desired_count=count
    )
    for name, value in members.items():
        setattr(request, name, value)
    world.call("CreateService", request)
    world.reconcile()
    world.run_all()


def zones(world: ServiceWorld) -> dict[str, int]:
    found: dict[str, int] = {}
    for task in world.tasks():
        zone = task.availability_zone or ""
        found[zone] = found.get(zone, 0) + 1
    return found


def join(world: ServiceWorld, name: str, zone: str) -> None:
    world.put(make_container_instance(name, zone=zone, cpu_units=65_536, memory_mib=131_072))
    world.reconcile()


def test_a_new_zone_gets_its_share_start_first():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4)
    join(world, "b", "us-east-1b")
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    assert new.availability_zone == "us-east-1b"
    assert world.tasks(desired=STOPPED) == []
    assert any(
        "is not AZ balanced with 4 tasks in us-east-1a, 0 tasks in us-east-1b." in m
        for m in world.messages()
    )
    world.report(new, RUNNING)
    assert zones(world)["us-east-1a"] == 3
    world.run_all()
    assert zones(world) == {"us-east-1a": 2, "us-east-1b": 2}
    assert world.service().is_steady
    assert world.service().moving_tasks == 0
    even = "(service web) is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b."
    assert world.messages().count(even) == 1


def test_a_service_on_one_capacity_provider_is_evened_out_over_that_ones_zones():
    provider = CapacityProvider(
        arn="arn:aws:ecs:us-east-1:123456789012:capacity-provider/asg",
        name="asg",
        auto_scaling_group_arn="group/asg",
    )
    provided: dict[str, str | None] = {ATTRIBUTE_CAPACITY_PROVIDER: "asg"}
    a, b = (
        make_container_instance(
            zone, zone=zone, cpu_units=65_536, memory_mib=131_072, attributes=provided
        )
        for zone in ("us-east-1a", "us-east-1b")
    )
    world = ServiceWorld(WEB, provider, a, instances=0)
    (cluster,) = world.store.clusters
    world.put(replace(cluster, capacity_providers=("asg",)))
    strategy = [ecs.CapacityProviderStrategyItem(capacity_provider="asg", weight=1)]
    start(world, 4, capacity_provider_strategy=strategy)
    join(world, "of nobody", "us-east-1c")
    assert world.service().is_steady
    assert "Rebalanc" not in str(world.messages())
    world.put(b)
    world.reconcile()
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    assert (new.availability_zone, new.capacity_provider) == ("us-east-1b", "asg")
    world.run_all()
    assert zones(world) == {"us-east-1a": 2, "us-east-1b": 2}
    assert world.service().is_steady


def test_an_even_service_is_left_alone():
    world = ServiceWorld(WEB, instances=2)
    start(world, 3)
    kept = {task.arn for task in world.tasks()}
    join(world, "c", "us-east-1b")
    assert {task.arn for task in world.tasks()} == kept


def test_a_deployment_that_has_failed_moves_nothing():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4)
    service = world.service()
    failed = replace(service.primary, rollout_state="FAILED")
    world.put(replace(service, deployments=(failed,)))
    join(world, "b", "us-east-1b")
    world.run_all()
    assert zones(world) == {"us-east-1a": 4}


def test_switched_off_it_moves_nothing():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4, availability_zone_rebalancing="DISABLED")
    join(world, "b", "us-east-1b")
    world.run_all()
    assert zones(world) == {"us-east-1a": 4}


def test_a_service_that_packs_its_tasks_isnt_spread():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4, placement_strategy=[ecs.PlacementStrategy(type="binpack", field="memory")])
    join(world, "b", "us-east-1b")
    world.run_all()
    assert zones(world) == {"us-east-1a": 4}


def test_a_move_stays_under_the_maximum():
    world = ServiceWorld(WEB, instances=1)
    configuration = ecs.DeploymentConfiguration(maximum_percent=150, minimum_healthy_percent=100)
    start(world, 4, deployment_configuration=configuration)
    for name in ("b1", "b2", "b3"):
        world.put(
            make_container_instance(name, zone="us-east-1b", cpu_units=65_536, memory_mib=131_072)
        )
    world.reconcile()
    assert len(world.tasks()) == 6
    world.run_all()
    assert zones(world) == {"us-east-1a": 2, "us-east-1b": 2}


def test_a_moved_task_that_fails_leaves_the_service_whole():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4)
    join(world, "b", "us-east-1b")
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.change_instance(
        next(i for i in world.instances() if i.availability_zone == "us-east-1b"),
        agent_connected=False,
    )
    world.report(new, STOPPED, "CannotPullContainerError")
    world.run_all()
    assert zones(world) == {"us-east-1a": 4}
    assert world.service().is_steady


def test_by_opt_in_a_new_instance_of_the_zone_gets_its_share():
    world = ServiceWorld(WEB, instances=1)
    start(world, 6, tags=[ecs.Tag(key="homeport:rebalance", value="instances")])
    join(world, "a2", "us-east-1a")
    world.run_all()
    loads: dict[str | None, int] = {}
    for task in world.tasks():
        loads[task.container_instance_arn] = loads.get(task.container_instance_arn, 0) + 1
    assert sorted(loads.values()) == [3, 3]
    assert world.service().is_steady


def test_without_opt_in_instances_keep_what_they_have():
    world = ServiceWorld(WEB, instances=1)
    start(world, 6)
    join(world, "a2", "us-east-1a")
    world.run_all()
    assert len({task.container_instance_arn for task in world.tasks()}) == 1


def uneven(**members: object) -> ServiceWorld:
    """Return a service of four in one zone, and a second zone that has just come up."""
    world = ServiceWorld(WEB, instances=1)
    start(world, 4, **members)
    join(world, "b", "us-east-1b")
    return world


def short(message: str) -> str:
    return re.sub(r"\(task \w+\)", "(task ID)", message)


def test_the_events_of_a_move_are_those_of_ecs():
    world = uneven()
    world.run_all()
    said = [short(m) for m in world.messages() if "AZ" in m]
    moved = [
        "(service web) has started 1 tasks in us-east-1b to AZ Rebalance: (task ID).",
        "(service web) has stopped 1 running tasks in us-east-1a due to AZ rebalancing: (task ID).",
    ]
    assert said == [
        "(service web) is not AZ balanced with 4 tasks in us-east-1a, 0 tasks in us-east-1b. "
        "AZ Rebalancing in progress.",
        *moved,
        "(service web) is not AZ balanced with 3 tasks in us-east-1a, 1 tasks in us-east-1b. "
        "AZ Rebalancing in progress.",
        *moved,
        "(service web) is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b.",
    ]


def test_a_zone_without_room_is_told_of_once():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4)
    world.put(make_container_instance("b", zone="us-east-1b", cpu_units=1, memory_mib=1))
    for _ in range(3):
        world.reconcile()
        world.pass_time(60)
    no_room = (
        "(service web) is unable to place a task in us-east-1b because no container instance met "
        "all of its requirements."
    )
    assert world.messages().count(no_room) == 1
    assert world.service().is_steady


def test_a_move_that_finds_no_more_room_stops():
    world = uneven()
    host = next(i for i in world.instances() if i.availability_zone == "us-east-1b")
    small = replace(host.resources, memory_mib=WEB.resources.memory_mib)
    world.change_instance(host, resources=small)
    world.run_all()
    assert zones(world) == {"us-east-1a": 3, "us-east-1b": 1}
    assert world.messages()[-1] == "(service web) stopped AZ Rebalancing."


def test_a_deployment_ends_a_move_between_zones():
    world = uneven()
    request = ecs.UpdateServiceRequest(service="web", force_new_deployment=True)
    world.call("UpdateService", request)
    world.reconcile()
    assert "(service web) stopped AZ Rebalancing." in world.messages()
    world.run_all()
    assert zones(world) == {"us-east-1a": 2, "us-east-1b": 2}


def test_switching_it_off_ends_a_move_between_zones():
    world = uneven()
    request = ecs.UpdateServiceRequest(service="web", availability_zone_rebalancing="DISABLED")
    world.call("UpdateService", request)
    world.reconcile()
    world.run_all()
    assert "(service web) stopped AZ Rebalancing." in world.messages()
    assert zones(world) == {"us-east-1a": 3, "us-east-1b": 1}


def test_protected_tasks_end_a_move_between_zones():
    world = uneven()
    forever_ms = world.now_ms + 3_600_000
    for task in world.tasks():
        world.put(replace(task, protected_until_ms=forever_ms))
    world.run_all()
    said = [m for m in world.messages() if "AZ Rebalanc" in m][-2:]
    assert said == [
        f"(service web) was unable to AZ Rebalance because {world.service().primary.id} was "
        "unable to scale in due to task protection.",
        "(service web) stopped AZ Rebalancing.",
    ]


def test_moves_whose_tasks_fail_to_start_are_slowed_down_as_launches_are():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4)
    join(world, "b", "us-east-1b")
    for _ in range(FREE_ATTEMPTS):
        (new,) = [task for task in world.tasks() if task.last_status == PENDING]
        world.effects.clear()
        world.pass_time(1)
        world.report(new, STOPPED, "CannotPullContainerError")
    assert world.service().is_steady
    assert [task for task in world.tasks() if task.last_status == PENDING] == []
    assert world.service().next_launch_at_ms in wakes(world.effects)
    world.pass_time(1)
    world.reconcile()
    assert [task.last_status for task in world.tasks()].count(PENDING) == 1
