"""Placement as a client sees it: boto3 against a real server, with simulated agents.

What ECS's pages say of constraints, resources, strategies and the query language, line by line.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from homeport.sim.agents import Call, SimulatedAgent
from homeport.wire.agent_messages import payload
from homeport_process import HomeportProcess
from simulated_agent import AgentThread

IMAGE = "busybox:1"
LIMIT_S = 15
GPU_IDS = ("GPU-aaaa", "GPU-bbbb")

pytestmark = pytest.mark.slow


class Agent(SimulatedAgent):
    """An agent with attributes, GPUs and a subnet of its own, which can be slow to stop tasks."""

    def __init__(self, zone: str, **attributes: str) -> None:
        super().__init__(cluster="default", images=frozenset({IMAGE}), zone=zone)
        self.attributes = attributes
        self.is_slow_to_stop = False

    def register(self) -> Call:
        call = super().register()
        named = [{"name": name, "value": value} for name, value in self.attributes.items()]
        call.body["attributes"] += [*named, {"name": "ecs.capability.task-eni"}]
        call.body["platformDevices"] = [{"id": gpu, "type": "GPU"} for gpu in GPU_IDS]
        return call

    def _stop(self, task: payload.Task) -> list[Call]:
        return [] if self.is_slow_to_stop else super()._stop(task)


class World:
    """A server, two container instances, and a client."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.ecs: Any = boto3.client(
            "ecs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.ecs.create_cluster(clusterName="default")
        intel = {"ecs.subnet-id": "subnet-a", "ecs.cpu-architecture": "x86_64"}
        self.a = Agent("us-east-1a", stack="prod", **intel)
        subnet = {"ecs.subnet-id": "subnet-b", "homeport.subnet": "10.9.0.0/29"}
        self.b = Agent("us-east-1b", stack="test", **subnet)
        self.threads = [AgentThread(endpoint, agent) for agent in (self.a, self.b)]
        for thread in self.threads:
            thread.start()
        wait(lambda: len(self.instances("agentConnected == true")) == 2)

    def instances(self, expression: str) -> list[str]:
        arns: list[str] = self.ecs.list_container_instances(filter=expression)[
            "containerInstanceArns"
        ]
        return arns

    def define(self, family: str, container: dict[str, Any] | None = None, **members: Any) -> None:
        spec = {"name": "app", "image": IMAGE, "memory": 16, **(container or {})}
        self.ecs.register_task_definition(family=family, containerDefinitions=[spec], **members)

    def run(self, family: str, **members: Any) -> tuple[list[str], dict[str, str]]:
        """Run tasks; return where they went, and the failures' reasons by container instance."""
        reply = self.ecs.run_task(taskDefinition=family, **members)
        reasons = {failure["arn"]: failure["reason"] for failure in reply["failures"]}
        return [task["containerInstanceArn"] for task in reply["tasks"]], reasons

    def refused(self, operation: str, **members: Any) -> str:
        with pytest.raises(ClientError) as refusal:
            getattr(self.ecs, operation)(**members)
        error = refusal.value.response["Error"]
        assert error["Code"] == "InvalidParameterException", error
        return str(error["Message"])

    def tidy(self) -> None:
        """Stop every task, and wait until agents have reported it."""
        for service in self.ecs.list_services()["serviceArns"]:
            self.ecs.delete_service(service=service, force=True)
        self.a.is_slow_to_stop = self.b.is_slow_to_stop = False
        for arn in self.ecs.list_tasks()["taskArns"]:
            self.ecs.stop_task(task=arn)
        wait(lambda: not self.held())

    def held(self) -> int:
        """How many tasks the container instances hold; one that ends counts until it has."""
        arns = [self.a.instance_arn, self.b.instance_arn]
        found = self.ecs.describe_container_instances(containerInstances=arns)
        return sum(
            each["runningTasksCount"] + each["pendingTasksCount"]
            for each in found["containerInstances"]
        )


def wait(holds: Callable[[], Any]) -> Any:
    """Ask again until it holds; whatever the last answer was is returned."""
    end = time.monotonic() + LIMIT_S
    while not (answer := holds()):
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.02)  # a client polls, too
    return answer


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    process = HomeportProcess(["server", "--port", "0", "--ephemeral", "--log-level", "warning"])
    world = World(process.wait_endpoint())
    try:
        yield world
    finally:
        for thread in world.threads:
            thread.stop()
        process.stop()


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    yield shared
    shared.tidy()


def member_of(expression: str) -> list[dict[str, str]]:
    return [{"type": "memberOf", "expression": expression}]


DISTINCT = [{"type": "distinctInstance"}]


@pytest.mark.parametrize(
    ("container", "members", "reason"),
    [
        ({"cpu": 99_999}, {}, "RESOURCE:CPU"),
        ({"memory": 999_999}, {}, "RESOURCE:MEMORY"),
        (
            {"portMappings": [{"containerPort": 22}]},
            {"networkMode": "host"},
            "RESOURCE:PORTS",
        ),
        ({"resourceRequirements": [{"type": "GPU", "value": "3"}]}, {}, "RESOURCE:GPU"),
        ({"dockerSecurityOptions": ["label:type:x"]}, {}, "ATTRIBUTE"),
    ],
)
def test_each_instance_that_has_no_room_says_which_resource_is_short(
    world: World, container: dict[str, Any], members: dict[str, Any], reason: str
):
    world.define("short", container, **members)
    tasks, reasons = world.run("short")
    assert tasks == []
    assert reasons == dict.fromkeys((world.a.instance_arn, world.b.instance_arn), reason)


def test_gpus_are_named_to_the_client_and_to_the_agent(world: World):
    world.define("learn", {"resourceRequirements": [{"type": "GPU", "value": "1"}]})
    reply = world.ecs.run_task(taskDefinition="learn", count=5)
    assert len(reply["tasks"]) == 4
    assert {failure["reason"] for failure in reply["failures"]} == {"RESOURCE:GPU"}
    shown = {t["taskArn"]: tuple(t["containers"][0]["gpuIds"]) for t in reply["tasks"]}
    for agent in (world.a, world.b):
        wait(lambda agent=agent: len(agent.tasks.keys() & shown.keys()) == 2)
        held = []
        for arn in agent.tasks.keys() & shown.keys():
            (association,) = agent.tasks[arn].task.associations
            assert (association.type, association.containers) == ("gpu", ("app",))
            assert shown[arn] == (association.name,)
            held.append(association.name)
        assert sorted(held) == sorted(GPU_IDS)


def test_awsvpc_takes_interfaces_and_goes_where_the_subnet_is(world: World):
    world.define("vpc", networkMode="awsvpc")
    network = {"awsvpcConfiguration": {"subnets": ["subnet-b"]}}
    tasks, reasons = world.run("vpc", count=5, networkConfiguration=network)
    assert tasks == [world.b.instance_arn] * 3, "eight addresses, five of them AWS's"
    assert reasons[world.b.instance_arn] == "RESOURCE:ENI"
    network = {"awsvpcConfiguration": {"subnets": ["subnet-a"]}}
    _, reasons = world.run("vpc", networkConfiguration=network)
    assert reasons[world.a.instance_arn] == "RESOURCE:ENI", "it has no subnet for tasks"
    world.tidy()
    _, reasons = world.run("vpc", networkConfiguration=network)
    assert reasons[world.b.instance_arn] == "LOCATION"


def test_a_runtime_platform_rules_out_instances_of_another(world: World):
    world.define("arm", runtimePlatform={"cpuArchitecture": "ARM64"})
    tasks, reasons = world.run("arm", count=2)
    assert tasks == [world.b.instance_arn] * 2, "which doesn't say what it is"
    windows = {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE", "cpuArchitecture": "X86_64"}
    world.define("windows", runtimePlatform=windows)
    tasks, reasons = world.run("windows")
    assert tasks == []
    assert reasons == dict.fromkeys((world.a.instance_arn, world.b.instance_arn), "ATTRIBUTE")
    world.define("intel", runtimePlatform={**windows, "operatingSystemFamily": "LINUX"})
    assert len(set(world.run("intel", count=2)[0])) == 2


def test_a_fixed_port_of_tcp_and_of_udp_are_two_and_each_is_had_once(world: World):
    for protocol in ("tcp", "udp"):
        mapping = {"containerPort": 80, "hostPort": 5_300, "protocol": protocol}
        world.define(protocol, {"portMappings": [mapping]})
        tasks, reasons = world.run(protocol, count=3)
        assert sorted(tasks) == sorted([world.a.instance_arn, world.b.instance_arn])
        assert set(reasons.values()) == {"RESOURCE:PORTS"}


def test_constraints_of_the_definition_and_of_the_call_bind_together(world: World):
    world.define("prod", placementConstraints=member_of("attribute:stack == prod"))
    assert world.run("prod", count=2)[0] == [world.a.instance_arn] * 2
    tasks, reasons = world.run(
        "prod", placementConstraints=member_of("attribute:ecs.availability-zone != us-east-1a")
    )
    assert tasks == []
    assert set(reasons.values()) == {"MemberOf placement constraint unsatisfied."}
    ten = member_of("attribute:stack exists") * 10
    message = world.refused("run_task", taskDefinition="prod", placementConstraints=ten)
    assert "at most 10 placement constraints" in message


def test_an_unmatched_expression_registers_and_fails_when_it_runs(world: World):
    world.define("nowhere", placementConstraints=member_of("attribute:moon == full"))
    assert world.run("nowhere")[0] == []


def test_distinct_instance_looks_at_the_desired_status(world: World):
    world.define("one")
    tasks, reasons = world.run("one", count=3, placementConstraints=DISTINCT)
    assert len(set(tasks)) == len(tasks) == 2
    assert set(reasons.values()) == {"DistinctInstance placement constraint unsatisfied."}
    world.a.is_slow_to_stop = True
    here = world.ecs.list_tasks(containerInstance=world.a.instance_arn)["taskArns"]
    wait(lambda: statuses(world, here) == {("RUNNING", "RUNNING")})
    world.ecs.stop_task(task=here[0])
    again, _ = world.run("one", placementConstraints=DISTINCT)
    assert again == [world.a.instance_arn]
    both = world.ecs.list_tasks(containerInstance=world.a.instance_arn)["taskArns"]
    wait(lambda: ("RUNNING", "RUNNING") in statuses(world, both))
    assert statuses(world, here) == {("STOPPED", "RUNNING")}, "two that run, for a moment"
    world.a.is_slow_to_stop = False
    world.threads[0].stop()
    world.threads[0] = AgentThread(world.endpoint, world.a)
    world.threads[0].start()  # what it was told is told again


def statuses(world: World, arns: list[str]) -> set[tuple[str, str]]:
    tasks = world.ecs.describe_tasks(tasks=arns)["tasks"]
    return {(task["desiredStatus"], task["lastStatus"]) for task in tasks}


def test_distinct_instance_counts_the_tasks_of_the_group_in_other_calls_too(world: World):
    world.define("one")
    first, _ = world.run("one", group="crew", placementConstraints=DISTINCT)
    second, _ = world.run("one", group="crew", placementConstraints=DISTINCT)
    assert {*first, *second} == {world.a.instance_arn, world.b.instance_arn}
    assert world.run("one", group="crew", placementConstraints=DISTINCT)[0] == []
    assert len(world.run("one", group="others", placementConstraints=DISTINCT)[0]) == 1


def test_affinity_and_anti_affinity_go_by_task_group(world: World):
    world.define("one")
    (database,), _ = world.run("one", group="database")
    near, _ = world.run("one", placementConstraints=member_of("task:group == database"))
    far, _ = world.run("one", placementConstraints=member_of("not(task:group == database)"))
    assert near == [database]
    assert far != [database]
    alone = member_of("not(task:group == alone)")
    apart, _ = world.run("one", group="alone", count=3, placementConstraints=alone)
    assert sorted(apart) == sorted([world.a.instance_arn, world.b.instance_arn])


def test_a_list_is_filtered_by_the_same_language(world: World):
    a, b = world.a.instance_arn, world.b.instance_arn
    expressions = {
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1c]": [a],
        "attribute:ecs.availability-zone =~ us-east-1.* and attribute:stack != prod": [b],
        "attribute:stack exists": sorted([a, b]),
        "attribute:stack !exists": [],
        "runningTasksCount == 0 && not (attribute:stack == test)": [a],
        "agentVersion < 0.1 or registeredAt < 2018-02-13": [],
        "registeredAt > 2018-06-18T22:28:28+00:00": sorted([a, b]),
        "agentConnected equals true and attribute:stack matches 'pr.d'": [a],
        "ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']": [],
        "attribute:stack !in [prod]": [b],
    }
    for expression, expected in expressions.items():
        assert sorted(world.instances(expression)) == expected, expression


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("attribute:stack = prod", "at character 17"),
        ("attribute:stack == prod and", "ends too early"),
        ("colour == blue", "at character 1"),
        ("runningTasksCount =~ 1", "can't be used with runningTasksCount"),
        ("attribute:stack =~ (a+)+\\1", "isn't supported"),
        ("attribute:stack =~ .*a.{400}", "costs more than 250000 steps"),
        ("attribute:stack == " + "x" * 10_000, "longer than 2000 characters"),
    ],
)
def test_an_expression_that_cannot_be_says_where_or_why(world: World, expression: str, words: str):
    assert words in world.refused("list_container_instances", filter=expression)
    world.define("one")
    constraints = member_of(expression)
    message = world.refused("run_task", taskDefinition="one", placementConstraints=constraints)
    assert words in message


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"count": 0}, "between 1 and 10"),
        ({"count": 11}, "between 1 and 10"),
        ({"placementConstraints": [{"type": "nearby"}]}, "one of [distinctInstance,memberOf]"),
        (
            {"placementConstraints": [{"type": "distinctInstance", "expression": "x"}]},
            "must not have an expression",
        ),
        ({"placementConstraints": [{"type": "memberOf"}]}, "must have an expression"),
        ({"placementStrategy": [{"type": "binpack", "field": "disk"}]}, "[cpu,memory]"),
        ({"placementStrategy": [{"type": "spread", "field": "colour"}]}, "attribute:NAME"),
        ({"placementStrategy": [{"type": "tidy"}]}, "[random,spread,binpack]"),
        ({"placementStrategy": [{"type": "random"}] * 6}, "At most 5"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    world: World, members: dict[str, Any], words: str
):
    world.define("one")
    assert words in world.refused("run_task", taskDefinition="one", **members)


def test_strategies_are_followed_in_their_order(world: World):
    world.define("one", {"cpu": 100})
    packed = [{"type": "binpack", "field": "memory"}]
    tasks, _ = world.run("one", count=4, placementStrategy=packed)
    assert len(set(tasks)) == 1
    zones = [{"type": "spread", "field": "attribute:ecs.availability-zone"}, *packed]
    tasks, _ = world.run("one", count=4, group="even", placementStrategy=zones)
    assert {tasks.count(arn) for arn in set(tasks)} == {2}
    tasks, _ = world.run(
        "one", count=4, group="host", placementStrategy=[{"type": "SPREAD", "field": "host"}]
    )
    assert {tasks.count(arn) for arn in set(tasks)} == {2}


def test_a_service_waits_tells_the_closest_and_starts_when_an_attribute_appears(world: World):
    world.define("one")
    world.ecs.create_service(
        serviceName="picky",
        taskDefinition="one",
        desiredCount=1,
        placementConstraints=member_of("attribute:shelf == top"),
    )

    def service() -> dict[str, Any]:
        found: dict[str, Any] = world.ecs.describe_services(services=["picky"])["services"][0]
        return found

    (event,) = wait(lambda: service()["events"])
    assert "was unable to place a task because no container instance met all" in event["message"]
    assert 'encountered error "MemberOf placement constraint unsatisfied."' in event["message"]
    assert (service()["runningCount"], service()["pendingCount"]) == (0, 0)
    why = json.loads(homeport(world, "why", "picky", "--json"))
    assert why["fittingInstances"] == 0
    attribute = {"name": "shelf", "value": "top", "targetId": world.b.instance_arn}
    world.ecs.put_attributes(attributes=[attribute])
    wait(lambda: service()["runningCount"] == 1)
    plan = json.loads(homeport(world, "plan", "--service", "picky", "--count", "3", "--json"))
    assert plan["containerInstanceArns"] == [world.b.instance_arn] * 3
    world.ecs.delete_attributes(attributes=[{**attribute, "value": "top"}])


def test_update_service_keeps_changes_or_clears_constraints_without_a_deployment(world: World):
    world.define("one")
    strategy = [{"type": "binpack", "field": "cpu"}]
    created = world.ecs.create_service(
        serviceName="kept",
        taskDefinition="one",
        desiredCount=0,
        placementConstraints=DISTINCT,
        placementStrategy=strategy,
    )["service"]

    def update(**members: Any) -> dict[str, Any]:
        updated: dict[str, Any] = world.ecs.update_service(service="kept", **members)["service"]
        assert [d["id"] for d in updated["deployments"]] == [created["deployments"][0]["id"]]
        return updated

    assert update(desiredCount=0)["placementConstraints"] == DISTINCT
    changed = update(placementConstraints=member_of("attribute:stack == prod"))
    assert changed["placementConstraints"][0]["type"] == "memberOf"
    cleared = update(placementConstraints=[], placementStrategy=[])
    assert (cleared["placementConstraints"], cleared["placementStrategy"]) == ([], [])


def homeport(world: World, *arguments: str) -> str:
    """Run a command of Homeport's against the server; its standard output."""
    command = [sys.executable, "-m", "homeport", *arguments, "--endpoint", world.endpoint]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
