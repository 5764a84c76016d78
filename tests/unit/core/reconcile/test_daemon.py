"""DAEMON services: one task on every matching instance, first to come and last to go."""

from __future__ import annotations

from builders import make_container_instance, make_task, make_task_definition
from homeport.api import ecs
from homeport.core.effects import AwaitCapacity
from homeport.model.task import PENDING, RUNNING, STOPPED
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld

CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)
CHECKED = make_task_definition("checked", 1, containers=CHECK)


def daemon(instances: int = 3, *, definition: str = "web:1", **members: object) -> ServiceWorld:
    world = ServiceWorld(V1, V2, CHECKED, instances=instances)
    request = ecs.CreateServiceRequest(
        service_name="web", task_definition=definition, scheduling_strategy="DAEMON"
    )
    for name, value in members.items():
        setattr(request, name, value)
    world.call("CreateService", request)
    world.reconcile()
    return world


def update(world: ServiceWorld, **members: object) -> None:
    request = ecs.UpdateServiceRequest(service="web")
    for name, value in members.items():
        setattr(request, name, value)
    world.call("UpdateService", request)
    world.reconcile()


def places(world: ServiceWorld) -> list[str]:
    return sorted(task.container_instance_arn or "" for task in world.tasks())


def test_every_instance_gets_one_task_and_the_count_says_how_many():
    world = daemon(3)
    assert places(world) == [instance.arn for instance in world.instances()]
    world.run_all()
    service = world.service()
    assert service.desired_count == 3
    assert service.is_steady
    assert service.primary.rollout_state == "COMPLETED"


def test_a_new_instance_gets_its_task_and_a_lost_one_counts_no_more():
    world = daemon(1)
    world.run_all()
    world.put(make_container_instance("new"))
    world.reconcile()
    assert len(world.tasks()) == 2
    world.run_all()
    assert world.service().desired_count == 2


def test_only_instances_that_match_the_constraints_have_one():
    constraint = ecs.PlacementConstraint(type="memberOf", expression="attribute:gpu == yes")
    world = daemon(2, placement_constraints=[constraint])
    assert world.tasks() == []
    assert world.service().is_steady
    first = world.instances()[0]
    world.change_instance(first, attributes={**first.attributes, "gpu": "yes"})
    world.reconcile()
    assert places(world) == [first.arn]


def test_a_task_ends_when_its_instance_stops_matching():
    constraint = ecs.PlacementConstraint(type="memberOf", expression="attribute:gpu == yes")
    world = daemon(2, placement_constraints=[constraint])
    for instance in world.instances():
        world.change_instance(instance, attributes={**instance.attributes, "gpu": "yes"})
    world.reconcile()
    world.run_all()
    first = world.instances()[0]
    world.change_instance(first, attributes={**first.attributes, "gpu": "no"})
    world.reconcile()
    (leaving,) = world.tasks(desired=STOPPED)
    assert leaving.container_instance_arn == first.arn
    world.run_all()
    assert world.service().desired_count == 1


def test_on_a_draining_instance_the_daemon_goes_last():
    world = daemon(1)
    world.run_all()
    instance = world.instances()[0]
    other = make_task("other", definition=V1, instance=instance, last_status=RUNNING)
    world.put(other)
    world.change_instance(instance, status="DRAINING")
    world.reconcile()
    assert len(world.tasks()) == 1
    world.report(other, STOPPED)
    world.reconcile()
    assert world.tasks() == []
    world.run_all()
    assert world.service().desired_count == 0


def test_a_rollout_stops_old_tasks_as_the_minimum_allows_and_starts_when_they_are_gone():
    world = daemon(
        4, deployment_configuration=ecs.DeploymentConfiguration(minimum_healthy_percent=50)
    )
    world.run_all()
    update(world, task_definition="web:2")
    assert len(world.tasks()) == 2
    first, _ = world.tasks(desired=STOPPED)
    world.report(first, STOPPED)
    new = [t for t in world.tasks() if t.task_definition_arn == V2.arn]
    assert [t.container_instance_arn for t in new] == [first.container_instance_arn]
    assert len(world.tasks(desired=STOPPED)) == 1  # two are healthy: no more may go
    world.run_all()
    assert {t.task_definition_arn for t in world.tasks()} == {V2.arn}
    assert world.service().is_steady


def test_a_task_that_leaves_a_draining_instance_is_no_reason_to_stop_another():
    world = daemon(
        3, deployment_configuration=ecs.DeploymentConfiguration(minimum_healthy_percent=50)
    )
    world.run_all()
    world.change_instance(world.instances()[0], status="DRAINING")
    update(world, task_definition="web:2")
    assert len(world.tasks(desired=STOPPED)) == 2  # the one that leaves, and one of two
    assert len(world.tasks()) == 1


def test_an_instance_never_has_two_tasks_of_a_daemon():
    world = daemon(3)
    world.run_all()
    update(world, task_definition="web:2")
    for task in world.tasks(desired=STOPPED):
        held = {t.container_instance_arn for t in world.tasks(desired=STOPPED)}
        assert held.isdisjoint(places(world))
        world.report(task, STOPPED)


def test_unhealthy_tasks_are_replaced_one_at_a_time():
    world = daemon(2, definition="checked:1")
    world.run_all()
    for task in world.tasks():
        world.report_health(task, "UNHEALTHY")
    (sick,) = world.tasks(desired=STOPPED)
    assert sick.stopped_reason == "Task failed container health checks"
    world.report(sick, STOPPED)
    assert len(world.tasks(desired=STOPPED)) == 1
    assert len([t for t in world.tasks() if t.last_status == PENDING]) == 1


def test_an_instance_without_room_is_complained_of_and_waited_for():
    world = daemon(0)
    world.put(make_container_instance("small", cpu_units=64))
    world.reconcile()
    assert "has insufficient CPU units available." in world.messages()[-1]
    assert world.service().desired_count == 1
    assert any(isinstance(effect, AwaitCapacity) for effect in world.effects)


def test_a_task_that_ends_is_replaced_on_its_instance():
    world = daemon(2)
    world.run_all()
    world.pass_time(60)
    gone = world.tasks()[0]
    world.report(gone, STOPPED)
    assert places(world) == [instance.arn for instance in world.instances()]


def test_a_deleted_daemon_needs_no_force_and_drains():
    world = daemon(2)
    world.run_all()
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web"))
    world.reconcile()
    world.run_all()
    assert world.service().status == "INACTIVE"


def test_a_bad_revision_is_rolled_back_on_every_instance():
    breaker = ecs.DeploymentCircuitBreaker(enable=True, rollback=True)
    configuration = ecs.DeploymentConfiguration(deployment_circuit_breaker=breaker)
    world = daemon(2, deployment_configuration=configuration)
    world.run_all()
    world.pass_time(60)
    world.reconcile()
    update(world, task_definition="web:2")
    for _ in range(4):
        for task in (*world.tasks(desired=STOPPED), *world.tasks()):
            world.report(task, STOPPED, "CannotPullContainerError")
        world.pass_time(60)
        world.reconcile()
    assert world.service().task_definition_arn == V1.arn
    world.run_all()
    assert {t.task_definition_arn for t in world.tasks()} == {V1.arn}


def test_percents_that_let_no_task_go_are_complained_of():
    configuration = ecs.DeploymentConfiguration(minimum_healthy_percent=90)
    world = daemon(4, deployment_configuration=configuration)
    world.run_all()
    update(world, task_definition="web:2")
    assert world.tasks(desired=STOPPED) == []
    assert "because of the service deployment configuration" in world.messages()[-1]
    less = ecs.DeploymentConfiguration(minimum_healthy_percent=50)
    update(world, deployment_configuration=less)
    world.run_all()
    assert {task.task_definition_arn for task in world.tasks()} == {V2.arn}
    assert world.service().is_steady
