"""Every deployment's tasks run on what its own revision names: launch type, strategy, platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from builders import apply, at, make_container_instance, make_task_definition
from calls import call
from homeport.core.capacity.provisioning import provision_tasks
from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    ATTRIBUTE_SUBNET,
    CapacityProvider,
)
from homeport.model.task import RUNNING, STOPPED
from service_world import ServiceWorld

if TYPE_CHECKING:
    from homeport.model.container_instance import ContainerInstance
    from homeport.model.task import Task

BOTH = ("EC2", "FARGATE")
V1, V2 = (make_task_definition("web", revision, compatibilities=BOTH) for revision in (1, 2))
INSIDE = make_task_definition("inside", network_mode="awsvpc", compatibilities=BOTH)


def network(subnet: str) -> dict[str, Any]:
    return {"awsvpcConfiguration": {"subnets": [subnet]}}


def provider(name: str) -> CapacityProvider:
    return CapacityProvider(
        arn=f"arn:aws:ecs:us-east-1:123456789012:capacity-provider/{name}",
        name=name,
        auto_scaling_group_arn=f"group/{name}",
    )


def host(name: str, **attributes: str | None) -> ContainerInstance:
    return make_container_instance(
        f"host of {name}",
        cpu_units=65_536,
        memory_mib=131_072,
        attributes=attributes or {ATTRIBUTE_CAPACITY_PROVIDER: name},
    )


def make_world() -> ServiceWorld:
    pool = {ATTRIBUTE_FARGATE: "true", ATTRIBUTE_SUBNET: "10.1.1.0/24"}
    world = ServiceWorld(V1, V2, INSIDE, host("a"), host("b"), host("pool", **pool))
    (cluster,) = world.store.clusters
    world.put(replace(cluster, capacity_providers=("a", "b", "FARGATE", "FARGATE_SPOT")))
    world.put(provider("a"), provider("b"))
    return world


def item(name: str) -> dict[str, Any]:
    return {"capacityProvider": name, "weight": 1, "base": 0}


def create(world: ServiceWorld, **members: Any) -> None:
    members = {"taskDefinition": "web:1", "desiredCount": 2, **members}
    call(world.store, "CreateService", serviceName="web", **members)
    settle(world)
    assert world.service().primary.rollout_state == "COMPLETED"
    world.pass_time(60)


def update(world: ServiceWorld, **members: Any) -> dict[str, Any]:
    reply = call(world.store, "UpdateService", service="web", now_ms=world.now_ms, **members)
    world.reconcile()
    return reply["service"]


def settle(world: ServiceWorld) -> None:
    """Let the scheduler look, waiting tasks find their places, and agents do what they are told."""
    (cluster,) = world.store.clusters
    for _ in range(5):
        world.reconcile()
        while (decision := provision_tasks(world.view, cluster.arn, at(world.now_ms))).changes:
            apply(world.store, decision, world.now_ms)
        world.run_all()


def providers(tasks: list[Task]) -> list[str | None]:
    return [task.capacity_provider for task in tasks]


def describe(world: ServiceWorld) -> dict[str, Any]:
    (shown,) = call(world.store, "DescribeServices", services=["web"])["services"]
    return dict(shown)


def test_an_older_revision_is_kept_up_on_its_own_strategy() -> None:
    world = make_world()
    create(world, capacityProviderStrategy=[item("a")])
    update(world, capacityProviderStrategy=[item("b")])
    lost = next(task for task in world.tasks() if task.capacity_provider == "a")
    world.report(lost, STOPPED, "gone")
    assert providers(world.tasks()).count("a") == 2


def test_a_rollback_goes_back_to_the_strategy_too() -> None:
    world = make_world()
    create(world, capacityProviderStrategy=[item("a")])
    reply = update(world, capacityProviderStrategy=[item("b")])
    world.report(next(t for t in world.tasks() if t.capacity_provider == "a"), STOPPED, "gone")
    arn = reply["currentServiceDeployment"]
    call(world.store, "StopServiceDeployment", serviceDeploymentArn=arn)
    settle(world)
    assert providers(world.tasks()) == ["a", "a"]
    assert describe(world)["capacityProviderStrategy"] == [item("a")]
    update(world, desiredCount=3)
    settle(world)
    assert providers(world.tasks()) == ["a", "a", "a"]


def test_each_deployment_shows_its_own_capacity() -> None:
    world = make_world()
    create(world, capacityProviderStrategy=[item("a")])
    update(world, capacityProviderStrategy=[item("b")])
    newest, oldest = describe(world)["deployments"]
    assert newest["capacityProviderStrategy"] == [item("b")]
    assert oldest["capacityProviderStrategy"] == [item("a")]


def test_a_service_moves_from_ec2_to_fargate_and_back_when_it_is_rolled_back() -> None:
    world = make_world()
    create(world)
    reply = update(
        world,
        taskDefinition="inside",
        networkConfiguration=network("subnet-1"),
        capacityProviderStrategy=[item("FARGATE")],
        forceNewDeployment=True,
    )
    assert "launchType" not in reply
    newest, oldest = describe(world)["deployments"]
    assert (newest["platformVersion"], oldest.get("platformVersion")) == ("1.4.0", None)
    assert oldest["launchType"] == "EC2"
    arn = reply["currentServiceDeployment"]
    call(world.store, "StopServiceDeployment", serviceDeploymentArn=arn)
    settle(world)
    shown = describe(world)
    assert (shown["launchType"], shown.get("platformVersion")) == ("EC2", None)
    assert {task.launch_type for task in world.tasks()} == {"EC2"}


@pytest.mark.parametrize("asked", [None, "LATEST", "1.4.0"])
def test_a_service_shows_the_platform_version_it_asked_for_and_what_runs_the_one_it_has(
    asked: str | None,
) -> None:
    world = make_world()
    members = {} if asked is None else {"platformVersion": asked}
    create(
        world,
        taskDefinition="inside",
        launchType="FARGATE",
        networkConfiguration=network("subnet-1"),
        **members,
    )
    shown = describe(world)
    assert shown["platformVersion"] == (asked or "LATEST")
    assert "currentServiceDeployment" not in update(world, **members)
    arn = world.service().primary.revision_arn
    (revision,) = call(world.store, "DescribeServiceRevisions", serviceRevisionArns=[arn])[
        "serviceRevisions"
    ]
    running = {shown["deployments"][0]["platformVersion"], revision["platformVersion"]}
    assert running | {task.platform_version for task in world.tasks()} == {"1.4.0"}


def test_a_rollback_shows_the_network_configuration_of_the_revision_that_runs() -> None:
    world = make_world()
    old, new = network("subnet-1"), network("subnet-2")
    create(world, taskDefinition="inside", launchType="FARGATE", networkConfiguration=old)
    reply = update(world, networkConfiguration=new)
    shown = describe(world)
    assert shown["networkConfiguration"] == new
    assert [d["networkConfiguration"] for d in shown["deployments"]] == [new, old]
    arn = reply["currentServiceDeployment"]
    call(world.store, "StopServiceDeployment", serviceDeploymentArn=arn)
    settle(world)
    assert describe(world)["networkConfiguration"] == old
    assert "currentServiceDeployment" not in update(world, networkConfiguration=old)


def test_a_revision_shows_what_it_was_deployed_with() -> None:
    world = make_world()
    create(
        world,
        taskDefinition="inside",
        capacityProviderStrategy=[item("FARGATE")],
        networkConfiguration=network("subnet-1"),
    )
    arn = world.service().primary.revision_arn
    (revision,) = call(world.store, "DescribeServiceRevisions", serviceRevisionArns=[arn])[
        "serviceRevisions"
    ]
    assert "launchType" not in revision
    assert revision["capacityProviderStrategy"] == [item("FARGATE")]
    assert revision["platformVersion"] == "1.4.0"
    assert revision["networkConfiguration"] == network("subnet-1")
    assert {task.last_status for task in world.tasks()} == {RUNNING}


def test_every_task_set_runs_on_its_own_capacity() -> None:
    world = make_world()
    external = {"type": "EXTERNAL"}
    call(
        world.store,
        "CreateService",
        serviceName="web",
        desiredCount=2,
        deploymentController=external,
    )
    for members in (
        {"taskDefinition": "web:1", "capacityProviderStrategy": [item("b")]},
        {
            "taskDefinition": "inside",
            "launchType": "FARGATE",
            "networkConfiguration": network("subnet-1"),
        },
    ):
        members |= {"service": "web", "cluster": "default", "scale": {"value": 100.0}}
        call(world.store, "CreateTaskSet", now_ms=world.now_ms, **members)
        world.pass_time(1)
    settle(world)
    first, second = describe(world)["taskSets"]
    assert first["capacityProviderStrategy"] == [item("b")]
    assert (second["launchType"], second["platformVersion"]) == ("FARGATE", "LATEST")
    assert second["networkConfiguration"] == network("subnet-1")
    kinds = sorted((task.capacity_provider or "", task.launch_type) for task in world.tasks())
    assert kinds == [("", "FARGATE")] * 2 + [("b", "EC2")] * 2
