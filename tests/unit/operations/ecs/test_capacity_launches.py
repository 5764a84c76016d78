"""RunTask and services by strategy and on FARGATE: who gets the tasks, and which of them wait."""

from typing import Any

import pytest
from msgspec.structs import replace

from builders import NOW_MS, apply, at, make_container_instance, make_task_definition
from calls import call
from homeport.api import ecs
from homeport.core.capacity.provisioning import (
    TASKS_PER_CLUSTER,
    TOLD_AFTER_S,
    provision_tasks,
)
from homeport.core.effects import Effect
from homeport.model.arn import short_id
from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    ATTRIBUTE_SUBNET,
    CapacityProvider,
    StrategyItem,
)
from homeport.model.container_instance import ContainerInstance
from homeport.model.task import PENDING, PROVISIONING, Task
from homeport.operations.render.service_actions import read_service_action
from service_world import ServiceWorld, wakes

ARN = "arn:aws:ecs:us-east-1:123456789012:capacity-provider/{}"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
TOLD_AT_MS = NOW_MS + TOLD_AFTER_S * 1_000
SERVERLESS = make_task_definition(
    "fargate", network_mode="awsvpc", compatibilities=("EC2", "FARGATE")
)


def provider(name: str, *, is_scaling_managed: bool = True) -> CapacityProvider:
    return CapacityProvider(
        arn=ARN.format(name),
        name=name,
        auto_scaling_group_arn=f"group/{name}",
        is_scaling_managed=is_scaling_managed,
    )


def host(name: str, **attributes: str | None) -> ContainerInstance:
    return make_container_instance(
        f"host of {name}",
        cpu_units=65_536,
        memory_mib=131_072,
        attributes={ATTRIBUTE_CAPACITY_PROVIDER: name, **attributes},
    )


def make_world(*records: Any, default: tuple[StrategyItem, ...] = ()) -> ServiceWorld:
    world = ServiceWorld(make_task_definition(), SERVERLESS, *records)
    (cluster,) = world.store.clusters
    names = ("a", "b", "fixed", "FARGATE", "FARGATE_SPOT")
    world.put(replace(cluster, capacity_providers=names, default_strategy=default))
    world.put(provider("a"), provider("b"), provider("fixed", is_scaling_managed=False))
    return world


def run(world: ServiceWorld, **members: Any) -> dict[str, Any]:
    members = {"taskDefinition": "web", **members}
    return call(world.store, "RunTask", now_ms=world.now_ms, **members)


def item(name: str, weight: int = 1, base: int = 0) -> dict[str, Any]:
    return {"capacityProvider": name, "weight": weight, "base": base}


def settle(world: ServiceWorld) -> None:
    """Let waiting tasks find their places, as the engine would."""
    (cluster,) = world.store.clusters
    while (decision := provision_tasks(world.view, cluster.arn, at(world.now_ms))).changes:
        apply(world.store, decision, world.now_ms)


def tasks_of(world: ServiceWorld, name: str) -> list[Task]:
    return [task for task in world.store.tasks if task.capacity_provider == name]


def test_a_strategy_divides_the_tasks_of_a_call() -> None:
    world = make_world(host("a"), host("b"))
    reply = run(world, count=6, capacityProviderStrategy=[item("a", 1, 1), item("b", 4)])
    assert {task["launchType"] for task in reply["tasks"]} == {"EC2"}
    assert {task["lastStatus"] for task in reply["tasks"]} == {"PROVISIONING"}
    settle(world)
    assert (len(tasks_of(world, "a")), len(tasks_of(world, "b"))) == (2, 4)
    for name in "ab":
        arns = {task.container_instance_arn for task in tasks_of(world, name)}
        assert arns == {host(name).arn}


def test_without_managed_scaling_a_task_without_room_is_a_failure() -> None:
    full = make_container_instance(
        "full", memory_mib=1, attributes={ATTRIBUTE_CAPACITY_PROVIDER: "fixed"}
    )
    world = make_world(full)
    reply = run(world, capacityProviderStrategy=[item("fixed")])
    assert reply["tasks"] == []
    (failure,) = reply["failures"]  # instances of others aren't spoken of
    assert (failure["arn"], failure["reason"]) == (full.arn, "RESOURCE:MEMORY")


def test_without_managed_scaling_a_provider_without_instances_is_refused_in_ecs_words() -> None:
    words = "No Container Instances were found in your capacity provider."
    with pytest.raises(ecs.InvalidParameterException, match=words):
        run(make_world(), capacityProviderStrategy=[item("fixed")])


SAID_OF_FARGATE = (
    "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. "
    "Please try again later or in a different availability zone."
)


def test_a_service_that_waits_for_fargates_pool_says_so_after_a_minute_and_once() -> None:
    world = make_world()
    create(world, [item("FARGATE")], desired=2, definition="fargate")
    assert TOLD_AT_MS in wakes(look(world))
    assert SAID_OF_FARGATE not in world.messages()
    world.pass_time(TOLD_AFTER_S)
    look(world)
    world.pass_time(600)
    look(world)
    assert world.messages().count(SAID_OF_FARGATE) == 1
    actions = [
        read_service_action(world.service(), event)
        for event in world.view.service_events(world.service().arn)
        if event.message == SAID_OF_FARGATE
    ]
    assert [(a.event_name, a.reason) for a in actions if a is not None] == [
        ("SERVICE_TASK_PLACEMENT_FAILURE", "RESOURCE:FARGATE")
    ]


def test_a_service_that_waits_for_a_providers_instances_says_which_came_closest() -> None:
    world = make_world(host("a"), make_task_definition("huge", memory_mib=1_000_000))
    create(world, [item("a")], desired=1, definition="huge")
    world.pass_time(TOLD_AFTER_S)
    look(world)
    (said,) = (m for m in world.messages() if "unable to place" in m)
    assert f"(container-instance {short_id(host('a').arn)}) has insufficient memory" in said


def look(world: ServiceWorld) -> list[Effect]:
    (cluster,) = world.store.clusters
    return list(world.commit(provision_tasks(world.view, cluster.arn, world.moment())).effects)


def test_the_clusters_default_strategy_holds_unless_a_launch_type_is_named() -> None:
    world = make_world(host("a"), default=(StrategyItem("a", weight=1),))
    assert run(world)["tasks"][0]["capacityProviderName"] == "a"
    assert "capacityProviderName" not in run(world, launchType="EC2")["tasks"][0]


def test_a_fargate_task_shows_its_platform_and_no_container_instance() -> None:
    pool = make_container_instance(
        "pool", attributes={ATTRIBUTE_FARGATE: "true", ATTRIBUTE_SUBNET: "10.1.1.0/24"}
    )
    world = make_world(pool)
    run(world, taskDefinition="fargate", launchType="FARGATE", networkConfiguration=NETWORK)
    settle(world)
    (task,) = world.store.tasks
    assert task.container_instance_arn == pool.arn
    (shown,) = call(world.store, "DescribeTasks", tasks=[task.arn])["tasks"]
    assert (shown["launchType"], shown["platformVersion"]) == ("FARGATE", "1.4.0")
    assert "containerInstanceArn" not in shown
    (attachment,) = shown["attachments"]
    assert {"name": "privateIPv4Address", "value": "10.1.1.4"} in attachment["details"]
    (container,) = shown["containers"]
    assert container["networkInterfaces"] == [
        {"attachmentId": attachment["id"], "privateIpv4Address": "10.1.1.4"}
    ]


def test_tasks_of_other_launch_types_stay_off_the_fargate_pool() -> None:
    pool = make_container_instance("pool", attributes={ATTRIBUTE_FARGATE: "true"})
    world = make_world(pool)
    for instance in world.instances():
        if instance.arn != pool.arn:
            world.change_instance(instance, agent_connected=False)
    reply = run(world)
    assert reply["tasks"] == []
    assert pool.arn not in {failure["arn"] for failure in reply["failures"]}


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({"platformVersion": "9"}, ecs.PlatformUnknownException, "does not exist"),
        (
            {"placementConstraints": [{"type": "distinctInstance"}]},
            ecs.InvalidParameterException,
            "not supported with the FARGATE",
        ),
        ({"networkConfiguration": None}, ecs.InvalidParameterException, "must be provided"),
        ({"taskDefinition": "web"}, ecs.InvalidParameterException, "launch_type FARGATE"),
    ],
)
def test_what_fargate_cannot_do_is_refused(
    members: dict[str, Any], error: type[Exception], message: str
) -> None:
    asked = {"taskDefinition": "fargate", "launchType": "FARGATE", "networkConfiguration": NETWORK}
    asked = {name: value for name, value in {**asked, **members}.items() if value is not None}
    with pytest.raises(error, match=message):
        run(make_world(), **asked)


def test_only_so_many_tasks_of_a_cluster_may_wait() -> None:
    world = make_world()
    for _ in range(TASKS_PER_CLUSTER // 10):
        world.pass_time(1)
        run(world, count=10, capacityProviderStrategy=[item("a")])
    with pytest.raises(ecs.ClientException, match="at most 500"):
        run(world, capacityProviderStrategy=[item("a")])


def create(
    world: ServiceWorld, strategy: list[dict[str, Any]], desired: int = 4, definition: str = "web"
) -> None:
    network = {"networkConfiguration": NETWORK} if definition == "fargate" else {}
    call(
        world.store,
        "CreateService",
        serviceName="web",
        taskDefinition=definition,
        desiredCount=desired,
        capacityProviderStrategy=strategy,
        **network,
    )
    world.reconcile()


def test_a_service_keeps_the_ratio_of_its_strategy_as_it_grows_and_shrinks() -> None:
    world = make_world(host("a"), host("b"))
    create(world, [item("a", 1, 1), item("b", 3)], desired=5)
    assert (len(tasks_of(world, "a")), len(tasks_of(world, "b"))) == (2, 3)
    assert {task.last_status for task in world.tasks()} == {PROVISIONING}
    settle(world)
    assert {task.last_status for task in world.tasks()} == {PENDING}
    world.run_all()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=9))
    world.reconcile()
    settle(world)
    world.run_all()
    assert (len(tasks_of(world, "a")), len(tasks_of(world, "b"))) == (3, 6)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=1))
    world.reconcile()
    assert [task.capacity_provider for task in world.tasks()] == ["a"]


def test_a_service_with_a_strategy_shows_no_launch_type() -> None:
    world = make_world(host("a"))
    create(world, [item("a")])
    (shown,) = call(world.store, "DescribeServices", services=["web"])["services"]
    assert "launchType" not in shown
    assert shown["capacityProviderStrategy"] == [item("a")]
    assert shown["deployments"][0]["capacityProviderStrategy"] == [item("a")]


def test_another_strategy_starts_a_deployment_and_one_for_a_launch_type_must_be_forced() -> None:
    world = make_world(host("a"), host("b"))
    create(world, [item("a")])
    before = world.service().primary.id
    other = [ecs.CapacityProviderStrategyItem(capacity_provider="b", weight=1)]
    request = ecs.UpdateServiceRequest(service="web", capacity_provider_strategy=other)
    world.call("UpdateService", request)
    assert world.service().primary.id != before
    with pytest.raises(ecs.InvalidParameterException, match="forceNewDeployment"):
        none = ecs.UpdateServiceRequest(service="web", capacity_provider_strategy=[])
        world.call("UpdateService", none)


def test_a_service_whose_tasks_fargate_cannot_run_slows_down() -> None:
    pool = make_container_instance(
        "pool",
        memory_mib=64,
        attributes={ATTRIBUTE_FARGATE: "true", ATTRIBUTE_SUBNET: "10.1.1.0/24"},
    )
    world = make_world(pool)
    call(
        world.store,
        "CreateService",
        serviceName="web",
        taskDefinition="fargate",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=NETWORK,
    )
    for _ in range(5):
        world.reconcile()
        settle(world)
        world.pass_time(1)
    assert world.service().failed_launches >= 3
    assert world.service().next_launch_at_ms > world.now_ms - 1_000
    told = [m for m in world.messages() if "was unable to place a task. Reason: Capacity is" in m]
    assert len(told) == 1  # an identical message is kept back
    assert told[0].startswith("(service web) ")


def test_a_service_says_that_no_more_tasks_of_its_cluster_may_wait() -> None:
    world = make_world()
    create(world, [item("a")], desired=TASKS_PER_CLUSTER + 1)
    assert len(world.tasks()) == TASKS_PER_CLUSTER
    assert world.messages()[-1] == (
        "(service web) was unable to place tasks in your cluster because the tasks provisioning "
        "capacity limit was exceeded."
    )


def test_a_clusters_statistics_count_fargate_apart() -> None:
    world = make_world()
    run(world, taskDefinition="fargate", launchType="FARGATE", networkConfiguration=NETWORK)
    world.pass_time(1)
    run(world)
    (cluster,) = call(world.store, "DescribeClusters", include=["STATISTICS"])["clusters"]
    counts = {each["name"]: each["value"] for each in cluster["statistics"]}
    assert (counts["pendingFargateTasksCount"], counts["pendingEC2TasksCount"]) == ("1", "1")


def test_a_service_says_that_its_capacity_provider_has_no_instances() -> None:
    world = ServiceWorld(make_task_definition(), provider("fixed", is_scaling_managed=False))
    (cluster,) = world.store.clusters
    world.put(replace(cluster, capacity_providers=("fixed",)))
    for instance in world.instances():
        world.change_instance(instance, status="INACTIVE")
    create(world, [item("fixed")], desired=1)
    assert world.messages() == [
        "(service web) was unable to place a task because no container instance met all of its "
        "requirements. Reason: No Container Instances were found in your capacity provider. For "
        "more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
    ]
