"""Calls made again from what they wrote, by production's operations."""

import pytest
from msgspec.structs import replace

from builders import make_cluster, make_container_instance, make_task, make_task_definition
from desk import Desk
from homeport.api import ecs
from homeport.model.capacity_provider import ATTRIBUTE_FARGATE, ATTRIBUTE_SUBNET
from homeport.model.service import Service
from homeport.model.task import PlacementWish
from homeport.operations.ecs.run_task import run_task
from homeport.operations.ecs.service_updates import update_service
from homeport.operations.ecs.services import create_service
from homeport.operations.ecs.start_task import start_task
from homeport.sim.replay.requests import (
    create_service_request,
    run_task_request,
    start_task_request,
    update_service_request,
)

ZONE = "attribute:ecs.availability-zone"
REQUESTS = {
    "plain": ecs.CreateServiceRequest(desired_count=3),
    "placed": ecs.CreateServiceRequest(
        desired_count=2,
        placement_strategy=[
            ecs.PlacementStrategy(type="spread", field=ZONE),
            ecs.PlacementStrategy(type="binpack", field="memory"),
        ],
        placement_constraints=[
            ecs.PlacementConstraint(type="distinctInstance"),
            ecs.PlacementConstraint(type="memberOf", expression="attribute:stack == blue"),
        ],
    ),
    "careful": ecs.CreateServiceRequest(
        desired_count=1,
        health_check_grace_period_seconds=30,
        availability_zone_rebalancing="DISABLED",
        deployment_configuration=ecs.DeploymentConfiguration(
            minimum_healthy_percent=50,
            maximum_percent=150,
            deployment_circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
        ),
    ),
    "daemon": ecs.CreateServiceRequest(scheduling_strategy="DAEMON"),
    "external": ecs.CreateServiceRequest(launch_type="EXTERNAL", desired_count=1),
}
UPDATES = {
    "scaled": ecs.UpdateServiceRequest(desired_count=7),
    "deployed": ecs.UpdateServiceRequest(task_definition="web:2"),
    "forced": ecs.UpdateServiceRequest(force_new_deployment=True),
    "placed": ecs.UpdateServiceRequest(
        placement_strategy=[ecs.PlacementStrategy(type="binpack", field="cpu")]
    ),
    "configured": ecs.UpdateServiceRequest(
        health_check_grace_period_seconds=5,
        deployment_configuration=ecs.DeploymentConfiguration(
            minimum_healthy_percent=0, maximum_percent=100
        ),
    ),
}


def make_desk() -> Desk:
    return Desk(
        make_cluster(),
        make_container_instance(),
        make_task_definition(),
        make_task_definition(revision=2),
    )


def create(desk: Desk, request: ecs.CreateServiceRequest) -> Service:
    named = replace(request, cluster="default", service_name="web")
    if named.task_definition is None:
        named = replace(named, task_definition="web:1")
    desk.decide(create_service, named)
    return web_of(desk)


def web_of(desk: Desk) -> Service:
    service = next(iter(desk.store.services))
    assert isinstance(service, Service)
    return service


def wanted(service: Service) -> Service:
    """What a service is to be, without the names of its deployments and of the call."""
    return replace(
        service, deployments=(), service_deployment_arn=None, document=b"", created_at_ms=0
    )


@pytest.mark.parametrize("name", REQUESTS)
def test_a_service_is_created_again_as_it_was(name):
    original = create(make_desk(), REQUESTS[name])
    again = create(make_desk(), create_service_request(original))
    assert wanted(again) == wanted(original)
    assert create_service_request(again) == create_service_request(original)


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_is_done_again_with_the_same_end(name):
    desk = make_desk()
    before = create(desk, REQUESTS["careful"])
    desk.decide(update_service, replace(UPDATES[name], cluster="default", service="web"))
    after = web_of(desk)
    other = make_desk()
    now = create(other, create_service_request(before))
    other.decide(update_service, update_service_request(before, after, now))
    assert wanted(web_of(other)) == wanted(after)
    assert len(web_of(other).deployments) == len(after.deployments)


def test_tasks_run_again_with_their_group_and_overrides():
    overrides = ecs.TaskOverride(
        container_overrides=[ecs.ContainerOverride(name="app", cpu=512, memory=999)]
    )
    request = ecs.RunTaskRequest(
        task_definition="web:1", count=2, group="nightly", started_by="cron", overrides=overrides
    )
    desk = make_desk()
    desk.decide(run_task, request)
    first = next(iter(desk.store.tasks))
    other = make_desk()
    other.decide(run_task, run_task_request(first, 2, None))
    assert len(list(other.store.tasks)) == 2
    again = next(iter(other.store.tasks))
    assert (again.group, again.started_by) == ("nightly", "cron")
    assert again.resources == first.resources
    assert again.resources.cpu_units == 512


def test_tasks_run_again_with_what_their_call_asked_of_their_place():
    there = make_container_instance(attributes={"stack": "blue", "ecs.availability-zone": "b"})
    desk = Desk(make_cluster(), there, make_task_definition())
    request = ecs.RunTaskRequest(
        task_definition="web:1",
        placement_constraints=[
            ecs.PlacementConstraint(type="memberOf", expression="attribute:stack == blue")
        ],
        placement_strategy=[ecs.PlacementStrategy(type="binpack", field="cpu")],
    )
    desk.decide(run_task, request)
    task = next(iter(desk.store.tasks))
    again = run_task_request(task, 1, None)
    assert again.placement_constraints == request.placement_constraints
    assert again.placement_strategy == request.placement_strategy


def test_the_zones_of_the_subnets_that_were_asked_for_are_asked_for_by_name():
    task = make_task("a", wish=PlacementWish(zones=("a", "b")))
    (asked,) = run_task_request(task, 1, "awsvpc").placement_constraints or ()
    assert asked.expression == "attribute:ecs.availability-zone in [a, b]"


def test_a_controller_is_changed_again_there_and_back():
    desk = make_desk()
    before = finish_deployment(desk, create(desk, ecs.CreateServiceRequest(desired_count=0)))
    for kind in ("EXTERNAL", "ECS"):
        other = copy_of(desk)
        request = ecs.UpdateServiceRequest(
            cluster="default",
            service="web",
            deployment_controller=ecs.DeploymentController(type=kind),
        )
        desk.decide(update_service, request)
        after = web_of(desk)
        other.decide(update_service, update_service_request(before, after, before))
        again = web_of(other)
        assert again.deployment_controller == kind
        assert [each.id for each in again.deployments] == [each.id for each in after.deployments]
        assert [each.id for each in again.task_sets] == [each.id for each in after.task_sets]
        before = after


def finish_deployment(desk: Desk, service: Service) -> Service:
    """Let a service's only deployment be complete."""
    primary = replace(service.primary, rollout_state="COMPLETED")
    done = replace(service, deployments=(primary,), is_steady=True)
    desk.put(done)
    return done


def copy_of(desk: Desk) -> Desk:
    return Desk(*desk.store.every_record())


NETWORK = ecs.NetworkConfiguration(
    awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-1"], assign_public_ip="DISABLED")
)


def make_fargate_desk() -> Desk:
    """A cluster with a pool instance, and a task definition for it."""
    pool = make_container_instance(
        "pool", attributes={ATTRIBUTE_FARGATE: None, ATTRIBUTE_SUBNET: "10.213.1.0/24"}
    )
    definition = make_task_definition(
        network_mode="awsvpc", compatibilities=("EC2", "FARGATE"), cpu="256", memory="512"
    )
    return Desk(make_cluster(), pool, definition)


def test_a_fargate_task_runs_again_with_a_network():
    desk = make_fargate_desk()
    request = ecs.RunTaskRequest(
        task_definition="web:1", launch_type="FARGATE", network_configuration=NETWORK
    )
    desk.decide(run_task, request)
    task = next(iter(desk.store.tasks))
    assert task.wish is not None  # it waits for the pool, and what it asked for is known
    other = make_fargate_desk()
    other.decide(run_task, run_task_request(task, 1, "awsvpc"))
    again = next(iter(other.store.tasks))
    assert (again.launch_type, again.last_status, again.wish) == (
        "FARGATE",
        "PROVISIONING",
        task.wish,
    )


def test_a_fargate_service_is_created_again_with_its_network():
    request = ecs.CreateServiceRequest(
        desired_count=1, launch_type="FARGATE", network_configuration=NETWORK
    )
    original = create(make_fargate_desk(), request)
    asked = create_service_request(original)
    assert asked.network_configuration == NETWORK
    assert wanted(create(make_fargate_desk(), asked)) == wanted(original)


def test_a_task_starts_again_on_the_instance_that_was_named():
    desk = make_desk()
    arn = make_container_instance().arn
    desk.decide(
        start_task, ecs.StartTaskRequest(task_definition="web:1", container_instances=[arn])
    )
    task = next(iter(desk.store.tasks))
    other = make_desk()
    other.decide(start_task, start_task_request(task, [arn], None))
    assert next(iter(other.store.tasks)).container_instance_arn == arn
