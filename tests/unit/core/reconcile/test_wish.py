"""Tasks that end by themselves during a rollout, and those that end as soon as they run."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.throttle import launch_delay_s
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld, awaits_capacity, wakes

CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)


def rolling(count: int, least: int, most: int, *, is_checked: bool = False) -> ServiceWorld:
    """Return a steady service of web:1 whose tasks have run for long."""
    containers = CHECK if is_checked else None
    world = ServiceWorld(*(make_task_definition("web", n, containers=containers) for n in (1, 2)))
    configuration = ecs.DeploymentConfiguration(minimum_healthy_percent=least, maximum_percent=most)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(
            service_name="web",
            task_definition="web:1",
            desired_count=count,
            deployment_configuration=configuration,
        ),
    )
    world.reconcile()
    world.run_all()
    for task in world.tasks() if is_checked else ():
        world.report_health(task, "HEALTHY")
    world.pass_time(60)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    return world


def of_revision(world: ServiceWorld, revision: int) -> list[Task]:
    return [t for t in world.tasks() if t.task_definition_arn.endswith(f":{revision}")]


def test_an_old_task_that_ends_during_a_rollout_is_replaced_by_its_own_revision():
    world = rolling(4, 100, 200)
    world.report(of_revision(world, 1)[0], STOPPED)
    assert len(of_revision(world, 1)) == 4
    assert len(of_revision(world, 2)) == 4
    world.run_all()
    assert len(of_revision(world, 2)) == len(world.tasks()) == 4
    assert world.service().primary.rollout_state == "COMPLETED"


def test_an_old_task_isnt_replaced_when_a_new_one_stands_in_for_it():
    world = rolling(2, 100, 200)
    new = of_revision(world, 2)[0]
    world.report(new, RUNNING)
    assert len(of_revision(world, 1)) == 1
    world.report(of_revision(world, 2)[1], RUNNING)
    assert of_revision(world, 1) == []


def test_what_the_rollout_itself_stopped_isnt_started_again():
    world = rolling(4, 50, 100)
    assert len(of_revision(world, 1)) == 2
    for task in world.tasks(desired=STOPPED):
        world.report(task, STOPPED)
    assert len(of_revision(world, 1)) == 2
    assert len(of_revision(world, 2)) == 2


def test_an_unhealthy_old_task_is_replaced_by_its_own_revision_start_first():
    world = rolling(4, 100, 250, is_checked=True)
    sick = of_revision(world, 1)[0]
    world.report_health(sick, "UNHEALTHY")
    (spare,) = [t for t in of_revision(world, 1) if t.last_status == PENDING]
    world.report(spare, RUNNING)
    assert sick.arn in {t.arn for t in of_revision(world, 1)}
    world.report_health(spare, "HEALTHY")
    assert [t.arn for t in world.tasks(desired=STOPPED)] == [sick.arn]
    assert len(of_revision(world, 1)) == 4


def test_an_old_task_on_a_draining_instance_moves_with_its_own_revision():
    world = rolling(2, 100, 400)
    leaving = world.instances()[0]
    on_leaving = [t for t in of_revision(world, 1) if t.container_instance_arn == leaving.arn]
    assert len(on_leaving) == 1
    world.change_instance(leaving, status="DRAINING")
    world.reconcile()
    (spare,) = [t for t in of_revision(world, 1) if t.last_status == PENDING]
    assert spare.container_instance_arn != leaving.arn
    world.report(spare, RUNNING)
    assert on_leaving[0].arn in {t.arn for t in world.tasks(desired=STOPPED)}
    assert len(of_revision(world, 1)) == 2


def test_an_old_task_that_doesnt_stay_up_isnt_started_again_for_ever():
    world = rolling(2, 100, 300)
    world.report(of_revision(world, 1)[0], STOPPED)
    (spare,) = [t for t in of_revision(world, 1) if t.last_status == PENDING]
    world.report(spare, STOPPED, "CannotPullContainerError")
    assert len(of_revision(world, 1)) == 1


def test_tasks_that_exit_as_soon_as_they_run_are_started_again_ever_more_slowly():
    world = rolling(1, 0, 100)
    world.run_all()
    world.pass_time(60)
    world.report(world.tasks()[0], STOPPED)
    waited = []
    for _ in range(12):
        if not world.tasks():
            world.effects.clear()
            world.reconcile()
            waited.append((min(wakes(world.effects)) - world.now_ms) // 1_000)
            world.pass_time(waited[-1])
            world.reconcile()
        (task,) = world.tasks()
        world.report(task, RUNNING)
        world.report(task, STOPPED)
    assert waited[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waited[7:]) == {60}
    impaired = "(service web) is unable to consistently start tasks successfully."
    assert impaired in world.messages()


def test_one_task_that_holds_ends_the_delay():
    world = rolling(1, 0, 100)
    world.run_all()
    for _ in range(2):
        for task in world.tasks():
            world.report(task, RUNNING)
            world.report(task, STOPPED)
    assert world.service().quick_exits == 2
    world.report(world.tasks()[0], RUNNING)
    assert not world.service().is_steady
    world.pass_time(5)
    world.reconcile()
    assert world.service().is_steady
    assert world.service().quick_exits == 0


@pytest.mark.parametrize(
    ("failures", "delay_s"), [(2, 0), (3, 1), (4, 2), (14, 1_620), (99, 1_620)]
)
def test_the_delay_doubles_to_awss_27_minutes(failures: int, delay_s: int):
    assert launch_delay_s(failures) == delay_s


def test_a_newer_revision_starts_though_what_an_older_one_lacks_finds_no_place():
    huge = make_task_definition("web", 1, memory_mib=100_000)
    world = ServiceWorld(huge, make_task_definition("web", 2), instances=2)
    request = ecs.CreateServiceRequest(
        service_name="web", task_definition="web:1", desired_count=2
    )
    world.call("CreateService", request)
    world.reconcile()
    world.run_all()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    gone, _kept = world.tasks()
    world.put(
        replace(gone, last_status=STOPPED, desired_status=STOPPED, stopped_at_ms=world.now_ms)
    )
    host = world.view.container_instance(gone.container_instance_arn)
    world.change_instance(host, resources=replace(host.resources, memory_mib=1_000))
    world.reconcile()
    assert sorted(task.task_definition_arn[-1] for task in world.tasks()) == ["1", "2", "2"]


def test_an_older_task_that_finds_no_place_waits_for_room_while_the_newest_ones_are_all_there():
    world = rolling(2, 100, 200)
    host = world.view.container_instance(of_revision(world, 1)[0].container_instance_arn)
    for instance in world.instances():
        world.change_instance(instance, agent_connected=False)
    gone = of_revision(world, 1)[0]
    world.effects.clear()
    world.report(gone, STOPPED)
    assert awaits_capacity(world.effects)
    world.change_instance(host, agent_connected=True)
    world.reconcile()
    assert len(of_revision(world, 1)) == 2
