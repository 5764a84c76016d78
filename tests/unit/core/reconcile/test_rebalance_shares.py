"""Evening out the zones of services on several capacity providers, and of Fargate's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from builders import make_cluster, make_container_instance, make_task_definition
from homeport.api import ecs
from homeport.core.capacity.provisioning import provision_tasks
from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    ATTRIBUTE_SUBNET,
    CapacityProvider,
)
from homeport.model.resources import TaskResources
from homeport.model.task import PENDING, PROVISIONING
from homeport.model.task_definition import ContainerSpec
from service_world import STEPS_LIMIT, ServiceWorld, wakes

if TYPE_CHECKING:
    from homeport.model.container_instance import ContainerInstance
    from homeport.model.task_definition import TaskDefinition

WEB = make_task_definition("web", 1)
CHECKED = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
POOLED = replace(
    make_task_definition("web", 1),
    network_mode="awsvpc",
    compatibilities=("EC2", "FARGATE"),
    requires_attributes=("ecs.capability.task-eni",),
    resources=TaskResources(cpu_units=256, memory_mib=512, interface_count=1),
)
A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"


def host(zone: str, provider: str, name: str = "") -> ContainerInstance:
    return make_container_instance(
        f"{provider}-{zone}{name}",
        zone=zone,
        cpu_units=65_536,
        memory_mib=131_072,
        attributes={ATTRIBUTE_CAPACITY_PROVIDER: provider},
    )


def pool(zone: str, number: int) -> ContainerInstance:
    return make_container_instance(
        f"pool-{zone}-{number}",
        zone=zone,
        cpu_units=65_536,
        memory_mib=131_072,
        attributes={ATTRIBUTE_FARGATE: "true", ATTRIBUTE_SUBNET: f"10.213.{number}.0/24"},
    )


def world_of(*hosts: ContainerInstance, definition: TaskDefinition = WEB) -> ServiceWorld:
    providers = [
        CapacityProvider(
            arn=f"arn:aws:ecs:us-east-1:123456789012:capacity-provider/{name}",
            name=name,
            auto_scaling_group_arn=f"group/{name}",
        )
        for name in ("east", "west")
    ]
    world = ServiceWorld(definition, *providers, *hosts, instances=0)
    (cluster,) = world.store.clusters
    world.put(replace(cluster, capacity_providers=("east", "west", "FARGATE", "FARGATE_SPOT")))
    return world


def start(
    world: ServiceWorld, count: int, *shares: tuple[str, int, int], **members: object
) -> None:
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web",
        desired_count=count,
        capacity_provider_strategy=[
            ecs.CapacityProviderStrategyItem(capacity_provider=name, weight=weight, base=base)
            for name, weight, base in shares
        ]
        or None,
    )
    for name, value in members.items():
        setattr(request, name, value)
    world.call("CreateService", request)
    world.reconcile()
    settle(world)


def settle(world: ServiceWorld) -> None:
    """Let waiting tasks be placed, and agents start and stop what they have to, until all rests."""
    for _ in range(STEPS_LIMIT):
        world.run_all()
        if not any(task.last_status == PROVISIONING for task in world.tasks()):
            return
        world.commit(provision_tasks(world.view, make_cluster().arn, world.moment()))
        world.reconcile()
    raise AssertionError("tasks wait for ever")


def join(world: ServiceWorld, *hosts: ContainerInstance) -> None:
    world.put(*hosts)
    world.reconcile()
    settle(world)


def layout(world: ServiceWorld) -> Counter[tuple[str | None, str | None]]:
    return Counter((task.capacity_provider, task.availability_zone) for task in world.tasks())


def zones(world: ServiceWorld) -> dict[str | None, int]:
    return dict(sorted(Counter(task.availability_zone for task in world.tasks()).items()))


def test_a_new_zone_gets_its_share_of_both_providers_and_their_ratio_stays():
    world = world_of(host(A, "east"), host(A, "west"))
    start(world, 6, ("east", 1, 0), ("west", 2, 0))
    assert layout(world) == {("east", A): 2, ("west", A): 4}
    join(world, host(B, "east"), host(B, "west"))
    assert zones(world) == {A: 3, B: 3}
    assert Counter(p for p, _ in layout(world).elements()) == {"east": 2, "west": 4}
    assert world.service().is_steady


def test_a_zone_that_only_one_provider_has_gets_that_ones_tasks():
    world = world_of(host(A, "east"), host(A, "west"))
    start(world, 8, ("east", 1, 0), ("west", 1, 0))
    join(world, host(B, "west"))
    assert layout(world) == {("east", A): 4, ("west", B): 4}
    assert "is AZ balanced with 4 tasks in us-east-1a, 4 tasks in us-east-1b." in str(
        world.messages()
    )


def test_the_shares_bound_how_even_zones_can_be_and_nobody_complains_of_room():
    world = world_of(host(A, "east"), host(A, "west"))
    start(world, 8, ("east", 3, 0), ("west", 1, 0))
    join(world, host(B, "west"))
    assert layout(world) == {("east", A): 6, ("west", B): 2}
    assert world.messages()[-1] == "(service web) stopped AZ Rebalancing."
    assert "unable to place" not in str(world.messages())
    assert world.service().is_steady


def test_the_base_stays_with_its_provider():
    world = world_of(host(A, "east"), host(A, "west"))
    start(world, 6, ("east", 0, 4), ("west", 1, 0))
    join(world, host(B, "east"), host(C, "west"))
    assert Counter(p for p, _ in layout(world).elements()) == {"east": 4, "west": 2}
    assert zones(world) == {A: 2, B: 2, C: 2}


def test_a_provider_without_room_in_the_zone_is_told_of():
    world = world_of(host(A, "east"), host(A, "west"))
    start(world, 4, ("east", 1, 0), ("west", 1, 0))
    small = make_container_instance(
        "small", zone=B, cpu_units=1, memory_mib=1, attributes={ATTRIBUTE_CAPACITY_PROVIDER: "west"}
    )
    join(world, small)
    no_room = (
        "(service web) is unable to place a task in us-east-1b because no container instance met "
        "all of its requirements."
    )
    assert world.messages().count(no_room) == 1
    assert zones(world) == {A: 4}


def test_tasks_that_may_not_go_are_not_moved_in_circles():
    world = world_of(host(A, "east"), host(B, "west"), host(C, "west"))
    start(world, 4, ("east", 1, 0), ("west", 1, 0))
    assert zones(world) == {A: 2, B: 1, C: 1}
    until_ms = world.now_ms + 60_000
    for task in world.tasks():
        if task.availability_zone == A:
            world.put(replace(task, protected_until_ms=until_ms))
    kept = {task.arn for task in world.tasks()}
    effects_before = len(world.effects)
    join(world, host("us-east-1d", "east"))
    assert {task.arn for task in world.tasks()} == kept
    assert until_ms in wakes(world.effects[effects_before:])
    world.pass_time(61)
    world.reconcile()
    settle(world)
    assert zones(world) == {A: 1, B: 1, C: 1, "us-east-1d": 1}


def test_where_shares_are_off_a_task_moves_only_if_that_mends_them_too():
    world = world_of(host(A, "east"), host(A, "west"))
    start(world, 4, ("east", 1, 0), ("west", 1, 0))
    (first, *_) = (task for task in world.tasks() if task.capacity_provider == "east")
    world.put(replace(first, capacity_provider="west"))
    join(world, host(B, "west"))
    assert layout(world) == {("east", A): 1, ("west", A): 3}
    join(world, host(C, "east"))
    assert layout(world) == {("east", A): 1, ("west", A): 1, ("west", B): 1, ("east", C): 1}


def test_an_unhealthy_tasks_replacement_comes_where_it_was():
    checked = make_task_definition("web", 1, containers=CHECKED)
    world = world_of(host(A, "east"), host(A, "west"), definition=checked)
    start(world, 6, ("east", 1, 0), ("west", 3, 0))
    for task in world.tasks():
        world.report_health(task, "HEALTHY")
    (sick, _) = (task for task in world.tasks() if task.capacity_provider == "east")
    world.report_health(sick, "UNHEALTHY")
    (new,) = (task for task in world.tasks() if task.last_status == PENDING)
    assert new.capacity_provider == "east"


def test_fargates_tasks_are_evened_out_over_the_pools_zones_and_have_their_addresses():
    world = world_of(pool(A, 1), definition=POOLED)
    network = ecs.NetworkConfiguration(
        awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-1"])
    )
    start(world, 4, launch_type="FARGATE", network_configuration=network)
    assert zones(world) == {A: 4}
    world.put(host("us-east-1d", "east"))  # of no use to Fargate, and of no zone of its
    join(world, pool(B, 2))
    assert zones(world) == {A: 2, B: 2}
    assert "us-east-1d" not in str(world.messages())
    for task in world.tasks():
        assert (task.private_ip or "").startswith(
            "10.213.1." if task.availability_zone == A else "10.213.2."
        )


def test_fargate_and_fargate_spot_keep_their_shares_when_they_move():
    world = world_of(pool(A, 1), definition=POOLED)
    network = ecs.NetworkConfiguration(
        awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-1"])
    )
    shares = (("FARGATE", 1, 2), ("FARGATE_SPOT", 1, 0))
    start(world, 6, *shares, network_configuration=network)
    assert layout(world) == {("FARGATE", A): 4, ("FARGATE_SPOT", A): 2}
    join(world, pool(B, 2), pool(C, 3))
    assert zones(world) == {A: 2, B: 2, C: 2}
    assert Counter(p for p, _ in layout(world).elements()) == {"FARGATE": 4, "FARGATE_SPOT": 2}


def test_by_opt_in_a_new_instance_gets_its_share_of_its_own_providers_tasks():
    world = world_of(host(A, "east"), host(A, "west"))
    tags = [ecs.Tag(key="homeport:rebalance", value="instances")]
    start(world, 6, ("east", 1, 0), ("west", 1, 0), tags=tags)
    join(world, host(A, "west", "-2"))
    loads = Counter((t.capacity_provider, t.container_instance_arn) for t in world.tasks())
    assert sorted(loads.values()) == [1, 2, 3]
    assert Counter(p for p, _ in loads.elements()) == {"east": 3, "west": 3}
    assert [t.last_status for t in world.tasks()].count(PENDING) == 0
