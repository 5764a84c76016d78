"""GPUs end to end: declared by a real agent, placed by, and told to real containers."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docker_calls import call_engine, list_containers, remove_containers
from homeport.cli.api_client import ApiClient
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

WAIT_LIMIT_S = 40
GPU_TASK = {
    "name": "train",
    "memory": 16,
    "command": ["/bin/sleep", "60"],
    "resourceRequirements": [{"type": "GPU", "value": "1"}],
}


@pytest.fixture
def client(tmp_path: Path, docker_engine: EngineApi) -> Iterator[ApiClient]:
    server = HomeportProcess(["server", "--port", "0", "--ephemeral"])
    endpoint = server.wait_endpoint()
    agent = HomeportProcess(
        [
            *("agent", "--endpoint", endpoint, "--data-dir", str(tmp_path / "agent")),
            *("--docker-host", docker_engine.docker_host, "--bind-address", "127.0.2.9"),
            *("--image-pull-behavior", "prefer-cached", "--introspection-port", "0"),
            *("--gpu-id", "GPU-a", "--gpu-id", "GPU-b", "--disable-privileged"),
        ]
    )
    line = agent.wait_line(" is up")
    arn = next(word for word in line.split() if ":container-instance/" in word)
    agent.wait_line("acs: connected")
    yield ApiClient(endpoint, "us-east-1")
    agent.stop()
    remove_containers(docker_engine, {"homeport.container-instance": arn})
    server.stop()


def test_each_gpu_goes_to_one_container_which_is_told(
    client: ApiClient, docker_engine: EngineApi, busybox_image: str
):
    definition = {**GPU_TASK, "image": busybox_image}
    client.call("RegisterTaskDefinition", {"family": "g", "containerDefinitions": [definition]})
    given = {}
    for _ in range(2):
        [task] = client.call("RunTask", {"taskDefinition": "g"})["tasks"]
        [gpu_id] = task["containers"][0]["gpuIds"]
        given[gpu_id] = read_environment(client, docker_engine, task["taskArn"])
    assert sorted(given) == ["GPU-a", "GPU-b"]
    assert all(told["NVIDIA_VISIBLE_DEVICES"] == gpu_id for gpu_id, told in given.items())
    [failure] = client.call("RunTask", {"taskDefinition": "g"})["failures"]
    assert failure["reason"] == "RESOURCE:GPU"


def test_an_instance_without_privileges_is_named_when_a_task_wants_them(
    client: ApiClient, busybox_image: str
):
    definition = {"name": "p", "image": busybox_image, "memory": 16, "privileged": True}
    client.call("RegisterTaskDefinition", {"family": "p", "containerDefinitions": [definition]})
    [failure] = client.call("RunTask", {"taskDefinition": "p"})["failures"]
    assert failure["reason"] == "ATTRIBUTE"
    assert "privileged-container" in failure["detail"]


def read_environment(client: ApiClient, engine: EngineApi, task_arn: str) -> dict[str, str]:
    """The environment of a task's only container, as soon as the task is RUNNING."""
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while True:
        [task] = client.call("DescribeTasks", {"tasks": [task_arn]})["tasks"]
        if task["lastStatus"] == "RUNNING":
            break
        assert task["desiredStatus"] == "RUNNING", task.get("stoppedReason")
        assert time.monotonic() < deadline_s
        time.sleep(0.05)  # the public API has no call that waits
    [container] = list_containers(engine, {"com.amazonaws.ecs.task-arn": task_arn})
    shown = call_engine(engine, "GET", f"/containers/{container['Id']}/json")
    return dict(variable.split("=", 1) for variable in shown["Config"]["Env"])
