"""The server killed under running tasks: nothing restarts, and no state change is lost or doubled.

`SERVER_KILLS=20 pytest tests/integration/test_server_kills.py` is the long form. A failure names
its seed: SERVER_KILLS_SEED repeats the moments.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_calls import list_containers
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.api_client import ApiClient
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

KILLS = int(os.environ.get("SERVER_KILLS", "3"))
SEED = int(os.environ.get("SERVER_KILLS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SERVICE_TASKS = 3
SHORT_TASKS_PER_KILL = 3
LIFE_MAX_S = 2.0
WAIT_LIMIT_S = 60
TASK_LABEL = "com.amazonaws.ecs.task-arn"


class World:
    """A server on a fixed port and data directory, and one agent that outlives it."""

    def __init__(self, port: int, folder: Path, engine: EngineApi) -> None:
        self._port, self._folder, self._engine = port, folder, engine
        self.start_server()
        self.client = ApiClient(f"http://127.0.0.1:{port}", "us-east-1")
        self.client.call("CreateCluster", {"clusterName": "default"})
        self._agent = HomeportProcess(
            [
                *("agent", "--endpoint", f"http://127.0.0.1:{port}"),
                *("--data-dir", str(folder / "agent"), "--docker-host", engine.docker_host),
                *("--image-pull-behavior", "prefer-cached", "--bind-address", "127.0.2.9"),
                *("--cpu", "4096", "--memory", "2048", "--container-stop-timeout-s", "1"),
            ]
        )
        line = self._agent.wait_line(" is up")
        self.instance = next(word for word in line.split() if ":container-instance/" in word)

    def start_server(self) -> None:
        arguments = ["server", "--port", str(self._port), "--log-level", "warning"]
        self._server = HomeportProcess([*arguments, "--data-dir", str(self._folder / "server")])
        self._server.wait_endpoint()

    def kill_server(self) -> None:
        self._server.kill()

    def stop(self) -> None:
        self._agent.kill()
        settings = AgentSettings(
            endpoint="", data_dir=self._folder / "agent", docker_host=self._engine.docker_host
        )
        asyncio.run(remove_containers(settings))
        self._server.stop()

    def wait(self, check: Callable[[], Any]) -> Any:
        """Ask until something is true; the public API has no call that waits."""
        deadline_s = time.monotonic() + WAIT_LIMIT_S
        while not (found := check()):
            assert time.monotonic() < deadline_s, f"seed {SEED}:\n" + "\n".join(self._agent.lines)
            time.sleep(0.05)
        return found

    def is_connected(self) -> bool:
        request = {"containerInstances": [self.instance]}
        found = self.client.call("DescribeContainerInstances", request)
        return bool(found["containerInstances"][0]["agentConnected"])

    def tasks(self, arns: list[str]) -> list[dict[str, Any]]:
        return list(self.client.describe_all("DescribeTasks", "tasks", arns))

    def service_tasks(self) -> list[str]:
        request = {"serviceName": "web"}
        return sorted(self.client.list_all("ListTasks", "taskArns", request))

    def run_short_task(self, life_s: float, exit_code: int) -> str:
        command = ["sh", "-c", f"sleep {life_s:.2f}; exit {exit_code}"]
        overrides = {"containerOverrides": [{"name": "app", "command": command}]}
        ran = self.client.call("RunTask", {"taskDefinition": "app", "overrides": overrides})
        assert ran["failures"] == []
        return str(ran["tasks"][0]["taskArn"])

    def statuses(self, task_arn: str) -> list[str]:
        """Every lastStatus that the journal has for a task, in order."""
        found = self.client.call_homeport("ListHistory", {"resource": task_arn})
        return [
            change["after"]
            for entry in found["entries"]
            for change in entry["changes"]
            if change["member"] == "lastStatus"
        ]

    def containers(self) -> Counter[str]:
        """How many containers each task has had, ended ones too."""
        found = list_containers(self._engine, {"homeport.container-instance": self.instance})
        return Counter(each["Labels"][TASK_LABEL] for each in found)


@pytest.fixture
def world(
    free_port: int, tmp_path: Path, docker_engine: EngineApi, busybox_image: str
) -> Iterator[World]:
    world = World(free_port, tmp_path, docker_engine)
    for family, command in (("web", ["/serve"]), ("app", ["true"])):
        container = {"name": "app", "image": busybox_image, "command": command, "memory": 8}
        request = {"family": family, "containerDefinitions": [container]}
        world.client.call("RegisterTaskDefinition", request)
    yield world
    world.stop()


def test_a_killed_server_restarts_no_task_and_loses_and_doubles_no_state_change(
    world: World,
) -> None:
    chance = random.Random(SEED)
    service = {"serviceName": "web", "taskDefinition": "web", "desiredCount": SERVICE_TASKS}
    world.client.call("CreateService", service)
    world.wait(lambda: len(world.service_tasks()) == SERVICE_TASKS)
    lasting = world.service_tasks()
    world.wait(lambda: all(t["lastStatus"] == "RUNNING" for t in world.tasks(lasting)))

    exit_codes: dict[str, int] = {}
    for _ in range(KILLS):
        for _ in range(SHORT_TASKS_PER_KILL):
            exit_code = chance.randrange(1, 100)
            arn = world.run_short_task(chance.uniform(0, LIFE_MAX_S), exit_code)
            exit_codes[arn] = exit_code
        time.sleep(chance.uniform(0, LIFE_MAX_S))  # the moment of the kill
        world.kill_server()
        time.sleep(chance.uniform(0, LIFE_MAX_S))  # how long it is away
        world.start_server()
        world.wait(world.is_connected)

    short = list(exit_codes)
    world.wait(lambda: all(t["lastStatus"] == "STOPPED" for t in world.tasks(short)))
    told = {t["taskArn"]: t["containers"][0].get("exitCode") for t in world.tasks(short)}
    assert told == exit_codes, SEED
    assert world.service_tasks() == lasting, SEED
    assert world.containers() == Counter(dict.fromkeys([*lasting, *short], 1)), SEED
    for arn in lasting:
        assert world.statuses(arn) == ["PENDING", "RUNNING"], SEED
    for arn in short:
        seen = world.statuses(arn)
        assert seen in (["PENDING", "RUNNING", "STOPPED"], ["PENDING", "STOPPED"]), (SEED, seen)
