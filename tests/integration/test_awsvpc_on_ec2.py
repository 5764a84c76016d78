"""Network mode awsvpc on an EC2 container instance: an address a task while slots last."""

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_calls import remove_containers
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

WAIT_LIMIT_S = 60
SUBNET = "10.214.77.0/29"  # eight addresses, five of them kept: three tasks
NETWORK_NAME = "homeport-10.214.77.0-29"
TASK_LABEL = "com.amazonaws.ecs.task-arn"


@pytest.fixture
def agent(homeport_server: str, docker_engine: EngineApi, tmp_path: Path) -> Iterator[None]:
    process = HomeportProcess(
        [
            *("agent", "--endpoint", homeport_server, "--data-dir", str(tmp_path / "agent")),
            *("--docker-host", docker_engine.docker_host),
            *("--attribute", f"homeport.subnet={SUBNET}"),
            *("--cpu", "1024", "--memory", "1024"),
        ]
    )
    yield
    process.stop()


def wait_statuses(ecs: Any, arns: list[str], status: str) -> list[dict[str, Any]]:
    """Ask until all tasks have a status; the public API has no call that waits."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        tasks: list[dict[str, Any]] = ecs.describe_tasks(tasks=arns)["tasks"]
        if {task["lastStatus"] for task in tasks} == {status}:
            return tasks
        assert time.monotonic() < deadline, tasks
        time.sleep(0.1)


def test_each_task_answers_at_its_own_address_and_no_more_start_than_there_are_interfaces(
    ecs: Any, agent: None, docker_engine: EngineApi, busybox_image: str
):
    ecs.create_cluster(clusterName="default")
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not ecs.list_container_instances(filter="agentConnected == true")[
        "containerInstanceArns"
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    web = {"name": "web", "image": busybox_image, "command": ["/serve"], "memory": 32}
    ecs.register_task_definition(
        family="vpc", networkMode="awsvpc", containerDefinitions=[web]
    )
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    reply = ecs.run_task(taskDefinition="vpc", count=4, networkConfiguration=network)
    assert [failure["reason"] for failure in reply["failures"]] == ["RESOURCE:ENI"]
    arns = [task["taskArn"] for task in reply["tasks"]]
    try:
        tasks = wait_statuses(ecs, arns, "RUNNING")
        addresses = [
            task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in tasks
        ]
        assert sorted(addresses) == ["10.214.77.4", "10.214.77.5", "10.214.77.6"]
        for address in addresses:
            with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
                assert answer.status == 200
    finally:
        for arn in arns:
            ecs.stop_task(task=arn)
        wait_statuses(ecs, arns, "STOPPED")
        for arn in arns:
            remove_containers(docker_engine, {TASK_LABEL: arn})
        docker_engine.remove_network(NETWORK_NAME)
