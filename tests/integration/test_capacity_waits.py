"""Tasks wait in PROVISIONING until an instance joins: a real server, agents, containers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from docker_calls import list_containers
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.api_client import ApiClient
from homeport_process import HomeportProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from homeport.cli.engine_api import EngineApi

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LIMIT_S = 40
TASK_LABEL = "com.amazonaws.ecs.task-arn"
POOL_SUBNET = "10.213.77.0/24"
POOL_NETWORK = "homeport-10.213.77.0-24"  # made by the agent for the first of its tasks
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}


class Fleet:
    """A server without any instance, and agents that join when a test says so."""

    def __init__(self, endpoint: str, engine: EngineApi, folder: Path) -> None:
        self.client = ApiClient(endpoint, "us-east-1")
        self.engine = engine
        self._endpoint, self._folder = endpoint, folder
        self._agents: list[HomeportProcess] = []

    def join(self, *attributes: str) -> None:
        """Start an agent and wait until it is connected."""
        number = len(self._agents) + 1
        agent = HomeportProcess(
            [
                *("agent", "--endpoint", self._endpoint, "--data-dir", str(self._data_dir(number))),
                *("--docker-host", self.engine.docker_host, "--bind-address", f"127.0.7.{number}"),
                *("--image-pull-behavior", "prefer-cached"),
                *("--container-stop-timeout-s", "1", "--cpu", "2048", "--memory", "2048"),
                *(part for each in attributes for part in ("--attribute", each)),
            ]
        )
        self._agents.append(agent)
        agent.wait_line(" is up")

    def close(self) -> None:
        """Kill the agents, and remove what they have left."""
        for number, agent in enumerate(self._agents, start=1):
            agent.kill()
            settings = AgentSettings(
                endpoint="",
                data_dir=self._data_dir(number),
                docker_host=self.engine.docker_host,
            )
            asyncio.run(remove_containers(settings))
        self.engine.remove_network(POOL_NETWORK)

    def _data_dir(self, number: int) -> Path:
        return self._folder / str(number)

    def run(self, family: str, **members: Any) -> str:
        """Run a task that finds no room; answers its ARN."""
        asked = {"taskDefinition": family, **members}
        answer = self.client.call("RunTask", asked)
        assert answer["failures"] == []
        (task,) = answer["tasks"]
        assert task["lastStatus"] == "PROVISIONING"
        return str(task["taskArn"])

    def describe(self, arn: str) -> dict[str, Any]:
        """Describe one task."""
        return dict(self.client.call("DescribeTasks", {"tasks": [arn]})["tasks"][0])

    def wait(self, arn: str, status: str) -> dict[str, Any]:
        """Describe a task until it has a status; the API has no call that waits."""
        ends_at = time.monotonic() + LIMIT_S
        while (task := self.describe(arn))["lastStatus"] != status:
            assert time.monotonic() < ends_at, task
            time.sleep(0.05)
        return task

    def has_container(self, arn: str) -> bool:
        """Whether a container of the task runs on the Engine."""
        found = list_containers(self.engine, {TASK_LABEL: arn})
        return any(each["State"] == "running" for each in found)

    def explain(self, resource: str) -> dict[str, Any]:
        """Ask `homeport why` about a task or a service."""
        return dict(self.client.call_homeport("ExplainPlacement", {"resource": resource}))


@pytest.fixture
def fleet(tmp_path: Path, docker_engine: EngineApi) -> Iterator[Fleet]:
    server = HomeportProcess(["server", "--port", "0", "--ephemeral", "--log-level", "warning"])
    fleet = Fleet(server.wait_endpoint(), docker_engine, tmp_path)
    fleet.client.call("CreateCluster", {"clusterName": "default"})
    try:
        yield fleet
    finally:
        fleet.close()
        server.stop()


def container(image: str, *command: str) -> dict[str, Any]:
    return {"name": "app", "image": image, "command": [*command], "memory": 16, "stopTimeout": 1}


def register(client: ApiClient, family: str, image: str, **members: Any) -> None:
    definitions = [container(image, "/bin/sleep", "600")]
    asked = {"family": family, "containerDefinitions": definitions, **members}
    client.call("RegisterTaskDefinition", asked)


def test_a_task_without_room_waits_and_runs_when_an_instance_of_its_provider_joins(
    fleet: Fleet, busybox_image: str
):
    register(fleet.client, "batch", busybox_image)
    group = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/big"
    scaling = {"autoScalingGroupArn": group, "managedScaling": {"status": "ENABLED"}}
    fleet.client.call(
        "CreateCapacityProvider", {"name": "big", "autoScalingGroupProvider": scaling}
    )
    fleet.client.call(
        "PutClusterCapacityProviders",
        {
            "cluster": "default",
            "capacityProviders": ["big"],
            "defaultCapacityProviderStrategy": [{"capacityProvider": "big", "weight": 1}],
        },
    )
    arn = fleet.run("batch")  # by the cluster's default strategy
    fleet.join()  # of nobody's: it has room, and none for this task
    assert "big" in str(fleet.explain(arn))
    assert fleet.describe(arn)["lastStatus"] == "PROVISIONING"
    fleet.join("homeport.capacity-provider=big")
    task = fleet.wait(arn, "RUNNING")
    assert (task["capacityProviderName"], task["launchType"]) == ("big", "EC2")
    assert fleet.has_container(arn)


def test_a_fargate_task_waits_for_the_pool_and_runs_with_an_address_of_it(
    fleet: Fleet, busybox_image: str
):
    size = {"cpu": "256", "memory": "512", "networkMode": "awsvpc"}
    register(
        fleet.client, "pooled", busybox_image, requiresCompatibilities=["FARGATE"], **size
    )
    arn = fleet.run("pooled", launchType="FARGATE", networkConfiguration=NETWORK)
    fleet.join("homeport.fargate=true", f"homeport.subnet={POOL_SUBNET}")
    task = fleet.wait(arn, "RUNNING")
    (attachment,) = task["attachments"]
    details = {each["name"]: each["value"] for each in attachment["details"]}
    assert details["privateIPv4Address"].startswith("10.213.77.")
    assert "containerInstanceArn" not in task
    assert fleet.has_container(arn)
