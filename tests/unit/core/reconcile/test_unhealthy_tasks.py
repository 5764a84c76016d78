"""How unhealthy tasks are replaced: the guide's paragraph on it, sentence by sentence.

Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_services.html; services §2.
"""

from __future__ import annotations

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.model.task import PENDING, RUNNING, STOPPED
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld

CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
WEB = make_task_definition("web", 1, containers=CHECK)


def start(count: int, *, least: int = 100, most: int = 200, grace_s: int = 0) -> ServiceWorld:
    """Return a steady service of healthy tasks."""
    world = ServiceWorld(WEB)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web",
        desired_count=count,
        health_check_grace_period_seconds=grace_s,
        deployment_configuration=ecs.DeploymentConfiguration(
            minimum_healthy_percent=least, maximum_percent=most
        ),
    )
    world.call("CreateService", request)
    world.reconcile()
    run(world)
    for task in world.tasks():
        world.report_health(task, "HEALTHY")
    assert world.service().is_steady
    return world


def run(world: ServiceWorld) -> None:
    """Let agents start what is PENDING; they stop nothing yet."""
    for task in [t for t in world.tasks() if t.last_status == PENDING]:
        world.report(task, RUNNING)


def stop(world: ServiceWorld) -> None:
    """Let agents stop what isn't wanted any more."""
    for task in world.tasks(desired=STOPPED):
        world.report(task, STOPPED)


def new_tasks(world: ServiceWorld, known: set[str]) -> list[str]:
    return [task.arn for task in world.tasks() if task.arn not in known]


def test_a_replacement_is_started_first():
    world = start(2)
    sick = world.tasks()[0]
    world.report_health(sick, "UNHEALTHY")
    assert len(world.tasks()) == 3
    assert world.tasks(desired=STOPPED) == []


def test_when_the_replacement_is_healthy_the_unhealthy_task_is_stopped():
    world = start(2)
    known = {task.arn for task in world.tasks()}
    sick = world.tasks()[0]
    world.report_health(sick, "UNHEALTHY")
    run(world)
    assert world.tasks(desired=STOPPED) == []
    (new,) = [t for t in world.tasks() if t.arn not in known]
    world.report_health(new, "HEALTHY")
    assert [task.arn for task in world.tasks(desired=STOPPED)] == [sick.arn]
    assert f"(task {sick.arn.rsplit('/', 1)[-1]}) failed container health checks" in str(
        world.messages()
    )


def test_when_the_replacement_is_unhealthy_too_one_of_both_is_stopped_and_another_started():
    world = start(2)
    known = {task.arn for task in world.tasks()}
    sick = world.tasks()[0]
    world.report_health(sick, "UNHEALTHY")
    run(world)
    (new,) = [t for t in world.tasks() if t.arn not in known]
    world.report_health(new, "UNHEALTHY")
    (gone,) = world.tasks(desired=STOPPED)
    assert gone.arn in (sick.arn, new.arn)
    stop(world)
    healthy = [t for t in world.tasks() if t.health_status == "HEALTHY"]
    assert len(healthy) == 1  # the one that always was
    assert len(world.tasks()) == 3  # it, the other unhealthy one, and the next replacement


@pytest.mark.parametrize("count", [1, 3])
def test_without_room_above_they_are_stopped_one_at_a_time_until_all_are_replaced(count: int):
    world = start(count, least=0, most=100)
    for task in world.tasks():
        world.report_health(task, "UNHEALTHY")
    first = {task.arn for task in (*world.tasks(), *world.tasks(desired=STOPPED))}
    for _ in range(count):
        assert len(world.tasks(desired=STOPPED)) == 1
        stop(world)
        assert len(world.tasks()) + len(world.tasks(desired=STOPPED)) <= count
        run(world)
        for task in [t for t in world.tasks() if t.health_status == "UNKNOWN"]:
            world.report_health(task, "HEALTHY")
    assert {task.arn for task in world.tasks()}.isdisjoint(first)
    assert len(world.tasks()) == count
    assert world.service().is_steady


def test_in_the_end_healthy_tasks_beyond_the_desired_count_are_stopped():
    world = start(2)
    sick = world.tasks()[0]
    world.report_health(sick, "UNHEALTHY")
    run(world)
    world.report_health(sick, "HEALTHY")  # it has recovered, beside its replacement
    for task in [t for t in world.tasks() if t.health_status == "UNKNOWN"]:
        world.report_health(task, "HEALTHY")
    stop(world)
    assert len(world.tasks()) == 2
    assert world.service().is_steady


def test_bad_health_within_the_grace_period_is_ignored_and_counts_afterwards():
    world = start(1, grace_s=60)
    (sick,) = world.tasks()
    world.report_health(sick, "UNHEALTHY")
    assert len(world.tasks()) == 1
    world.pass_time(60)
    world.reconcile()
    assert len(world.tasks()) == 2


def test_surplus_is_stopped_within_the_grace_period_all_the_same():
    world = start(2, grace_s=3_600)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=1))
    world.reconcile()
    assert len(world.tasks(desired=STOPPED)) == 1


def test_a_task_that_is_stopped_from_outside_is_replaced():
    world = start(2)
    gone = world.tasks()[0]
    world.call("StopTask", ecs.StopTaskRequest(task=gone.arn))
    world.reconcile()
    assert len(new_tasks(world, {gone.arn})) == 2
