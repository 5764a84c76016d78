"""`homeport logs` on a real `homeport up` and its containers."""

import signal
import time
from typing import Any

import pytest

from homeport.cli.api_client import ApiClient
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SCRIPT = "echo hello from $0; echo trouble >&2; trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def up(docker_engine, tmp_path):
    process = HomeportProcess(["up", "--port", "0", "--data-dir", str(tmp_path)])
    try:
        line = process.wait_line("Homeport is up at http://", limit_s=60)
        yield line.partition("Homeport is up at ")[2].partition(",")[0]
    finally:
        process.send(signal.SIGINT)
        process.wait()


def make_service(client: ApiClient, image: str) -> None:
    container: dict[str, Any] = {
        "name": "talker",
        "image": image,
        "command": ["sh", "-c", SCRIPT],
        "memory": 16,
        "stopTimeout": 2,
    }
    client.call("RegisterTaskDefinition", {"family": "talk", "containerDefinitions": [container]})
    service = {"serviceName": "talk", "taskDefinition": "talk", "desiredCount": 1}
    client.call("CreateService", service)


def wait_task(client: ApiClient) -> str:
    """The ARN of the service's RUNNING task."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        arns = list(client.list_all("ListTasks", "taskArns", {"serviceName": "talk"}))
        tasks = client.describe_all("DescribeTasks", "tasks", arns)
        if tasks and tasks[0]["lastStatus"] == "RUNNING":
            return str(tasks[0]["taskArn"])
        time.sleep(0.05)
    raise AssertionError("no task is RUNNING")


def test_a_services_logs_are_shown_and_followed_into_tasks_that_start_later(up, busybox_image):
    client = ApiClient(up, "us-east-1")
    make_service(client, busybox_image)
    first = wait_task(client).rpartition("/")[2][:12]
    shown = HomeportProcess(["logs", "talk", "--endpoint", up])
    assert shown.wait() == 0
    assert f"{first}/talker | hello from sh" in shown.lines
    assert f"{first}/talker | trouble" in shown.lines
    follower = HomeportProcess(["logs", "-f", first, "--endpoint", up])
    service = HomeportProcess(["logs", "-f", "talk", "--tail", "1", "--endpoint", up])
    try:
        follower.wait_line("hello from")
        service.wait_line(first)
        client.call("UpdateService", {"service": "talk", "desiredCount": 2})
        service.wait_line("/talker | hello from sh")
        client.call("UpdateService", {"service": "talk", "desiredCount": 0})
        assert follower.wait() == 0, "\n".join(follower.lines)  # its one task has ended
    finally:
        follower.stop()
        service.stop()
