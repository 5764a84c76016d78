"""FARGATE under `homeport up`, end to end: real containers with an address a task."""

import signal
import time
import urllib.request
from typing import Any

import pytest

from docker_calls import list_containers
from homeport.cli.api_client import ApiClient
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TASK_LABEL = "com.amazonaws.ecs.task-arn"
WAIT_LIMIT_S = 60
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}


def read_endpoint(process: HomeportProcess) -> str:
    line = process.wait_line("Homeport is up at http://", limit_s=60)
    return line.partition("Homeport is up at ")[2].partition(",")[0]


def register(client: ApiClient, image: str) -> None:
    # A trap, so that process 1 ends on SIGTERM.
    call_neighbor = "trap 'exit 0' TERM; until wget -qO- http://127.0.0.1/; do sleep 0.1; done"
    client.call(
        "RegisterTaskDefinition",
        {
            "family": "web",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [
                {
                    "name": "web",
                    "image": image,
                    "command": ["/serve"],
                    "portMappings": [{"containerPort": 80}],
                },
                {
                    "name": "neighbor",
                    "image": image,
                    "essential": False,
                    "command": ["/bin/sh", "-c", call_neighbor],
                },
            ],
        },
    )


def wait_tasks(client: ApiClient, tasks: list[str], status: str) -> list[dict[str, Any]]:
    """Ask until all `tasks` have `status`; the public API has no call that waits."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        found: list[dict[str, Any]] = client.call(
            "DescribeTasks", {"cluster": "serverless", "tasks": tasks}
        )["tasks"]
        if {task["lastStatus"] for task in found} == {status}:
            return found
        stopped = [task["stoppedReason"] for task in found if task["lastStatus"] == "STOPPED"]
        assert status == "STOPPED" or not stopped, stopped
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def address_of(task: dict[str, Any]) -> str:
    (attachment,) = task["attachments"]
    details = {detail["name"]: detail["value"] for detail in attachment["details"]}
    address: str = details["privateIPv4Address"]
    return address


def test_fargate_tasks_run_on_an_instance_made_for_their_cluster(
    docker_engine: EngineApi, busybox_image: str, tmp_path: Any
) -> None:
    process = HomeportProcess(
        ["up", "--instances", "1", "--port", "0", "--data-dir", str(tmp_path)]
    )
    tasks: list[str] = []
    try:
        client = ApiClient(read_endpoint(process), "us-east-1")
        client.call("CreateCluster", {"clusterName": "serverless"})
        register(client, busybox_image)
        started = client.call(
            "RunTask",
            {
                "cluster": "serverless",
                "taskDefinition": "web",
                "launchType": "FARGATE",
                "count": 2,
                "networkConfiguration": NETWORK,
            },
        )
        assert started["failures"] == []
        assert {task["lastStatus"] for task in started["tasks"]} == {"PROVISIONING"}
        tasks = [task["taskArn"] for task in started["tasks"]]
        running = wait_tasks(client, tasks, "RUNNING")
        addresses = [address_of(task) for task in running]
        assert len(set(addresses)) == 2
        for address in addresses:
            assert b"hello from container" in fetch(f"http://{address}/")
        # The neighbor reached the web container at 127.0.0.1: they share one namespace.
        wait_neighbors(client, tasks)
        listed = client.call("ListContainerInstances", {"cluster": "serverless"})
        assert listed["containerInstanceArns"] == []
        for task in tasks:
            client.call("StopTask", {"cluster": "serverless", "task": task})
        wait_tasks(client, tasks, "STOPPED")
        client.call("DeleteCluster", {"cluster": "serverless"})
    finally:
        process.send(signal.SIGINT)
        assert process.wait() == 0, "\n".join(process.lines)
    for task in tasks:
        assert list_containers(docker_engine, {TASK_LABEL: task}) == []
    names = {network["Name"] for network in docker_engine.read_json("/networks")}
    subnet = addresses[0].rpartition(".")[0]
    assert f"homeport-{subnet}.0-24" not in names


def fetch(url: str) -> bytes:
    """What a task answers, as soon as its program listens: RUNNING says only that it runs."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def wait_neighbors(client: ApiClient, tasks: list[str]) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        found = client.call("DescribeTasks", {"cluster": "serverless", "tasks": tasks})["tasks"]
        exits = [c.get("exitCode") for t in found for c in t["containers"] if c["name"] != "web"]
        if exits == [0, 0]:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
