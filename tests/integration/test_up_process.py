"""`homeport up` and `homeport demo` as a person runs them, on a real Docker Engine."""

import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from docker_calls import find_demo_containers, list_containers
from homeport.cli.api_client import ApiClient
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

INSTANCE_LABEL = "homeport.container-instance"


def own_containers(engine: EngineApi, instance_arns: list[str]) -> list[dict[str, Any]]:
    return [
        container
        for arn in instance_arns
        for container in list_containers(engine, {INSTANCE_LABEL: arn})
    ]


def read_endpoint(process: HomeportProcess) -> str:
    line = process.wait_line("Homeport is up at http://", limit_s=60)
    return line.partition("Homeport is up at ")[2].partition(",")[0]


def test_up_runs_tasks_on_two_instances_and_leaves_no_container_behind(
    docker_engine, busybox_image, tmp_path
):
    process = HomeportProcess(["up", "--port", "0", "--data-dir", str(tmp_path)])
    try:
        client = ApiClient(read_endpoint(process), "us-east-1")
        arns = list(client.list_all("ListContainerInstances", "containerInstanceArns"))
        instances = client.describe_all("DescribeContainerInstances", "containerInstances", arns)
        zones = {
            each["value"]
            for instance in instances
            for each in instance["attributes"]
            if each["name"] == "ecs.availability-zone"
        }
        assert zones == {"us-east-1a", "us-east-1b"}
        definition = {
            "family": "web",
            "containerDefinitions": [
                {
                    "name": "web",
                    "image": busybox_image,
                    "command": ["/serve"],
                    "memory": 16,
                    # The same host port for both: each instance has an address of its own.
                    "portMappings": [{"containerPort": 80, "hostPort": 8099}],
                }
            ],
        }
        client.call("RegisterTaskDefinition", definition)
        started = client.call("RunTask", {"taskDefinition": "web", "count": 2})
        assert started["failures"] == []
        tasks = [task["taskArn"] for task in started["tasks"]]
        wait_tasks(client, tasks, "RUNNING")
        assert len(own_containers(docker_engine, arns)) == 2
    finally:
        process.send(signal.SIGINT)
        assert process.wait() == 0, "\n".join(process.lines)
    assert own_containers(docker_engine, arns) == []


def wait_tasks(client: ApiClient, tasks: list[str], status: str) -> None:
    """Ask until all `tasks` have `status`; the public API has no call that waits."""
    deadline = time.monotonic() + 30
    while True:
        found = client.call("DescribeTasks", {"tasks": tasks})["tasks"]
        if {task["lastStatus"] for task in found} == {status}:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_service_has_its_tasks_again_after_up_was_stopped_and_started(
    docker_engine, busybox_image, tmp_path
):
    definition = {"name": "web", "image": busybox_image, "command": ["/serve"], "memory": 16}
    first = HomeportProcess(["up", "--port", "0", "--data-dir", str(tmp_path)])
    try:
        client = ApiClient(read_endpoint(first), "us-east-1")
        client.call(
            "RegisterTaskDefinition", {"family": "web", "containerDefinitions": [definition]}
        )
        service = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 2}
        client.call("CreateService", service)
        before = wait_running(client, 2)
    finally:
        assert first.stop() == 0, "\n".join(first.lines)
    second = HomeportProcess(["up", "--port", "0", "--data-dir", str(tmp_path)])
    try:
        client = ApiClient(read_endpoint(second), "us-east-1")
        wait_tasks(client, sorted(before), "STOPPED")
        assert wait_running(client, 2).isdisjoint(before)
    finally:
        assert second.stop() == 0, "\n".join(second.lines)


def test_up_comes_back_with_another_number_of_instances(docker_engine, tmp_path):
    for count in (2, 3, 1):
        arguments = ["up", "--instances", str(count), "--port", "0", "--data-dir", str(tmp_path)]
        process = HomeportProcess(arguments)
        try:
            client = ApiClient(read_endpoint(process), "us-east-1")
            arns = list(client.list_all("ListContainerInstances", "containerInstanceArns"))
            found = client.describe_all("DescribeContainerInstances", "containerInstances", arns)
            assert [each["agentConnected"] for each in found].count(True) == count
        finally:
            assert process.stop() == 0, "\n".join(process.lines)
        noise = [line for line in process.lines if "connection open" in line or "GET /" in line]
        assert noise == []


def wait_running(client: ApiClient, count: int) -> set[str]:
    """Ask until the service has `count` tasks, all RUNNING: their ARNs."""
    deadline = time.monotonic() + 30
    while True:
        arns = list(client.list_all("ListTasks", "taskArns", {"serviceName": "web"}))
        found = client.describe_all("DescribeTasks", "tasks", arns)
        if len(found) == count and {each["lastStatus"] for each in found} == {"RUNNING"}:
            return set(arns)
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_up_ends_and_says_why_when_its_server_cannot_start(docker_engine, homeport_server):
    port = homeport_server.rpartition(":")[2]
    process = HomeportProcess(["up", "--ephemeral", "--port", port])
    assert process.wait() == 1
    assert process.lines[-1].startswith("homeport: error: ")
    assert [line for line in process.lines if port in line] == process.lines[-1:]


def test_up_ends_all_when_one_agent_ends(docker_engine):
    process = HomeportProcess(["up", "--ephemeral", "--port", "0"])
    try:
        read_endpoint(process)
        (agent, *_) = child_pids(process.process.pid, "agent")
        kill(agent)
        assert process.wait() == 1
        assert "agent" in process.lines[-1]
        assert child_pids(process.process.pid, "") == []
    finally:
        process.stop()


def test_children_end_when_up_itself_is_killed(docker_engine):
    process = HomeportProcess(["up", "--ephemeral", "--port", "0"])
    endpoint = read_endpoint(process)
    children = child_pids(process.process.pid, "")
    assert len(children) == 3
    process.process.kill()
    process.wait()  # its output pipe is shared with no child, so this is `up` alone
    for pid in children:
        wait_gone(pid)
    assert endpoint


def test_the_demo_shows_everything_and_cleans_up(docker_engine):
    before = find_demo_containers(docker_engine)
    process = HomeportProcess(["demo", "--port", "0"])
    assert process.wait(limit_s=180) == 0, "\n".join(process.lines)
    shown = "\n".join(process.lines)
    for part in ("us-east-1a", "us-east-1b", "200 hello from container", "replaced after"):
        assert part in shown
    assert "[8/8]" in shown
    after = find_demo_containers(docker_engine)
    assert after <= before


def child_pids(parent: int, command: str) -> list[int]:
    """The running `homeport COMMAND` children of a process, from /proc."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
            line = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(stat.rpartition(")")[2].split()[1]) == parent and (
            not command or command.encode() in line
        ):
            found.append(int(folder.name))
    return sorted(found)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_gone(pid: int) -> None:
    """Wait for the end of a process that is not our child, without asking again and again."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([handle], [], [], 20)
        assert ready, f"process {pid} is still there"
    finally:
        os.close(handle)
