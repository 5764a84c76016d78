"""Replacements that wait for capacity: what is unhealthy, or old, makes way for them in the end.

The guide's branch without room under maximumPercent, where the room is missing on the instances.
"""

from __future__ import annotations

from msgspec.structs import replace

from builders import apply, at, make_container_instance, make_task_definition
from homeport.api import ecs
from homeport.core.capacity.provisioning import provision_tasks
from homeport.core.effects import AwaitCapacity
from homeport.core.reconcile.census import STRANDED_AFTER_S
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER, CapacityProvider
from homeport.model.resources import TaskResources
from homeport.model.task import PROVISIONING, STOPPED, Task
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld, wakes

CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
HALF = TaskResources(cpu_units=512, memory_mib=64)
CHECKED, CHECKED_AGAIN = (
    replace(make_task_definition("web", revision, containers=CHECK), resources=HALF)
    for revision in (1, 2)
)
STRATEGY = [ecs.CapacityProviderStrategyItem(capacity_provider="a", weight=1)]
PROVIDER = CapacityProvider(
    arn="arn:aws:ecs:us-east-1:123456789012:capacity-provider/a",
    name="a",
    auto_scaling_group_arn="group/a",
    is_scaling_managed=True,
)


def start(count: int, *, room: int, least: int = 100, most: int = 200) -> ServiceWorld:
    """Return a steady service of healthy tasks, on an instance with room for so many."""
    world = ServiceWorld(CHECKED, CHECKED_AGAIN, PROVIDER, instances=0)
    (cluster,) = world.store.clusters
    world.put(replace(cluster, capacity_providers=("a",)))
    attributes: dict[str, str | None] = {ATTRIBUTE_CAPACITY_PROVIDER: "a"}
    world.put(make_container_instance("only", cpu_units=512 * room, attributes=attributes))
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web:1",
        desired_count=count,
        capacity_provider_strategy=STRATEGY,
        deployment_configuration=ecs.DeploymentConfiguration(
            minimum_healthy_percent=least, maximum_percent=most
        ),
    )
    world.call("CreateService", request)
    world.reconcile()
    settle(world)
    return world


def provision(world: ServiceWorld) -> None:
    """Let waiting tasks find their places, as the engine would."""
    (cluster,) = world.store.clusters
    while (decision := provision_tasks(world.view, cluster.arn, at(world.now_ms))).changes:
        apply(world.store, decision, world.now_ms)
    world.reconcile()


def settle(world: ServiceWorld) -> None:
    """Let everything with a place come up HEALTHY, and what isn't wanted stop."""
    for _ in range(20):
        provision(world)
        fresh = [t for t in placed(world) if t.health_status == "UNKNOWN"]
        stopping = world.tasks(desired=STOPPED)
        if not fresh and not stopping:
            return
        for task in fresh:
            world.report(task, "RUNNING")
            world.report_health(task, "HEALTHY")
        for task in stopping:
            world.report(task, STOPPED)
    raise AssertionError("never settles")


def placed(world: ServiceWorld) -> list[Task]:
    return [task for task in world.tasks() if not task.is_provisioning]


def waiting(world: ServiceWorld) -> list[Task]:
    return [task for task in world.tasks() if task.is_provisioning]


def make_sick(world: ServiceWorld, count: int) -> list[str]:
    sick = placed(world)[:count]
    for task in sick:
        world.report_health(task, "UNHEALTHY")
    return [task.arn for task in sick]


def test_a_replacement_that_waits_gets_a_minute_to_find_room_elsewhere():
    world = start(2, room=2)
    make_sick(world, 1)
    assert [task.last_status for task in waiting(world)] == [PROVISIONING]
    assert world.now_ms + STRANDED_AFTER_S * 1_000 in wakes(world.effects)
    world.pass_time(STRANDED_AFTER_S - 1)
    world.reconcile()
    assert world.tasks(desired=STOPPED) == []


def test_after_that_the_unhealthy_tasks_make_way_one_at_a_time_until_all_are_replaced():
    world = start(3, room=3)
    sick = make_sick(world, 2)
    assert len(waiting(world)) == 2
    world.pass_time(STRANDED_AFTER_S)
    world.reconcile()
    (first,) = world.tasks(desired=STOPPED)
    assert first.arn in sick
    world.report(first, STOPPED)
    assert world.tasks(desired=STOPPED) == []
    provision(world)
    assert len(waiting(world)) == 1
    assert world.tasks(desired=STOPPED) == []  # its replacement starts first
    settle(world)
    assert {task.health_status for task in world.tasks()} == {"HEALTHY"}
    assert len(world.tasks()) == 3
    assert world.service().is_steady


def test_a_waiting_replacement_is_no_reason_to_keep_another_from_room_that_there_is():
    world = start(2, room=3)
    sick = make_sick(world, 2)
    provision(world)
    (lucky,) = [task for task in placed(world) if task.health_status == "UNKNOWN"]
    world.report(lucky, "RUNNING")
    world.report_health(lucky, "HEALTHY")
    assert [task.arn for task in world.tasks(desired=STOPPED)] == [min(sick)]
    settle(world)
    assert {task.health_status for task in world.tasks()} == {"HEALTHY"}


def test_beyond_the_maximum_a_stranded_replacement_doesnt_keep_the_others_from_being_replaced():
    world = start(4, room=4, least=0, most=125)
    make_sick(world, 3)
    assert len(waiting(world)) == 1  # 5 tasks are the most that are allowed
    world.pass_time(STRANDED_AFTER_S)
    for _ in range(3):
        world.reconcile()
        assert len(world.tasks()) + len(world.tasks(desired=STOPPED)) <= 5
        settle(world)
        world.pass_time(STRANDED_AFTER_S)
    world.reconcile()
    settle(world)
    assert [task.health_status for task in world.tasks()] == ["HEALTHY"] * 4


def test_old_healthy_tasks_make_way_down_to_the_minimum_for_new_ones_that_wait():
    world = start(4, room=4, least=50)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    provision(world)
    assert world.tasks(desired=STOPPED) == []
    world.pass_time(STRANDED_AFTER_S)
    world.reconcile()
    assert len(world.tasks(desired=STOPPED)) == 2
    settle(world)
    world.pass_time(STRANDED_AFTER_S)
    world.reconcile()
    settle(world)
    assert {task.task_definition_arn for task in world.tasks()} == {CHECKED_AGAIN.arn}
    assert world.service().primary.rollout_state == "COMPLETED"


def test_a_failed_revisions_place_is_no_ones_so_the_old_ones_sick_task_makes_way_for_its_own():
    world = start(2, room=2)
    service = world.service()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    updated = world.service()
    failed = replace(updated.primary, rollout_state="FAILED")
    world.put(replace(updated, deployments=(failed, *updated.deployments[1:])))
    world.reconcile()
    (sick, *_) = make_sick(world, 1)
    world.pass_time(STRANDED_AFTER_S)
    world.reconcile()
    assert [task.arn for task in world.tasks(desired=STOPPED)] == [sick]
    settle(world)
    assert [task.deployment_id for task in world.tasks()] == [service.primary.id] * 2
    assert {task.health_status for task in world.tasks()} == {"HEALTHY"}


def test_a_replacement_for_which_there_is_room_already_is_waited_for():
    world = start(2, room=3)
    make_sick(world, 1)
    world.pass_time(STRANDED_AFTER_S)
    effects = world.reconcile()  # before the cluster's waiting tasks are looked at
    assert world.tasks(desired=STOPPED) == []
    (wait,) = [effect for effect in effects if isinstance(effect, AwaitCapacity)]
    assert not wait.takes_turn
    assert not world.service().waiting_since_ms
