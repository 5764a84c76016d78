"""What any agent and Homeport's server do together: the same scenarios for every agent.

A test class inherits `AgentSuite` and gives it an `agent` fixture; the server is a real process
with its state on disk. Agents are asked for nothing but what the protocol says.
"""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from homeport.cli.api_client import ApiClient
from homeport_process import HomeportProcess

WAIT_LIMIT_S = 30
WAIT_STEP_S = 0.02
MISSING_IMAGE = "127.0.0.1:9/no/such-image:1"
KILLED = (137, 143)
MORE_THAN_START_AT_ONCE = 10  # containers of one agent, which starts 8

_names = itertools.count(1)


class AgentHandle(Protocol):
    """An agent under test."""

    def start(self) -> None:
        """Start its process; a second start goes on with what it had on disk."""

    def stop(self) -> None:
        """End its process; its containers live on."""

    def crash(self) -> None:
        """Kill its process; its containers live on."""

    def lose_container(self, task: dict[str, Any], name: str) -> None:
        """Kill one container behind everybody's back."""


class Stage:
    """A server process on disk, a client of it, and one agent in a cluster of its own."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.cluster = "suite"
        self._arguments = ["server", "--port", str(port), "--data-dir", str(data_dir)]
        self._server = HomeportProcess(self._arguments)
        self.endpoint = self._server.wait_endpoint()
        self.client = ApiClient(self.endpoint, "us-east-1")
        self.client.call("CreateCluster", {"clusterName": self.cluster})

    def restart_server(self) -> None:
        """Kill the server as a power cut would, and start it again."""
        self._server.kill()
        self._server = HomeportProcess(self._arguments)
        assert self._server.wait_endpoint() == self.endpoint

    def stop_server(self) -> None:
        assert self._server.stop() == 0, "\n".join(self._server.lines)

    def call(self, operation: str, **body: Any) -> dict[str, Any]:
        reply: dict[str, Any] = self.client.call(operation, {"cluster": self.cluster, **body})
        return reply

    def run(self, *containers: dict[str, Any]) -> str:
        """Register a task definition of these containers and run one task of it: its ARN."""
        return self.run_many(1, *containers)[0]

    def run_many(self, count: int, *containers: dict[str, Any]) -> list[str]:
        """Register a task definition of these containers and run tasks of it: their ARNs."""
        family = f"suite-{next(_names)}"
        definitions = [{"name": "app", "memory": 16, "stopTimeout": 1, **c} for c in containers]
        self.client.call(
            "RegisterTaskDefinition", {"family": family, "containerDefinitions": definitions}
        )
        ran = self.call("RunTask", taskDefinition=family, count=count)
        assert ran["failures"] == []
        return [task["taskArn"] for task in ran["tasks"]]

    def task(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("DescribeTasks", tasks=[arn])["tasks"][0]
        return found

    def wait_task(self, arn: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until the task is so; the public API has no call that waits."""
        return wait_for(lambda: self.task(arn), is_so)

    def wait_status(self, arn: str, status: str) -> dict[str, Any]:
        """Ask until the task has a status; one that is STOPPED gets no other."""
        task = self.wait_task(arn, lambda task: task["lastStatus"] in (status, "STOPPED"))
        assert task["lastStatus"] == status, task
        return task

    def instance(self) -> dict[str, Any]:
        arns = self.call("ListContainerInstances")["containerInstanceArns"]
        assert len(arns) <= 1
        if not arns:
            return {}
        described = self.call("DescribeContainerInstances", containerInstances=arns)
        found: dict[str, Any] = described["containerInstances"][0]
        return found

    def wait_connected(self, is_connected: bool = True) -> dict[str, Any]:
        return wait_for(self.instance, lambda i: i.get("agentConnected") is is_connected)


def wait_for(
    ask: Callable[[], dict[str, Any]], is_so: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not is_so(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(WAIT_STEP_S)
    return found


def container_of(task: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in task["containers"] if c["name"] == name)
    return found


def assert_unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Check that a task is as it was; that its agent is away for a moment may show."""
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed <= {"connectivity", "connectivityAt", "version"}, (before, after)


def find_free_port() -> int:
    """A port that a restarted server can have again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class AgentSuite:
    """The scenarios; `image` is one that the agent has, with busybox's commands."""

    image = ""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
        stage = Stage(tmp_path_factory.mktemp("server"), find_free_port())
        yield stage
        stage.stop_server()

    @pytest.fixture(autouse=True)
    def _connected(self, stage: Stage, agent: AgentHandle) -> None:
        stage.wait_connected()

    def sleeper(self, name: str = "app", **members: Any) -> dict[str, Any]:
        """A container that runs until it is stopped."""
        return {"name": name, "image": self.image, "command": ["sleep", "3600"], **members}

    def test_it_registers_and_tells_what_it_is(self, stage: Stage) -> None:
        instance = stage.instance()
        assert instance["status"] == "ACTIVE"
        assert instance["versionInfo"]["agentVersion"]
        assert instance["versionInfo"]["dockerVersion"]
        names = {attribute["name"] for attribute in instance["attributes"]}
        assert {"ecs.os-type", "ecs.availability-zone"} <= names

    def test_a_task_runs_with_a_port_and_stops_when_it_is_told(self, stage: Stage) -> None:
        port = {"containerPort": 80, "hostPort": 0}
        arn = stage.run(self.sleeper(portMappings=[port]))
        app = container_of(stage.wait_status(arn, "RUNNING"), "app")
        assert app["runtimeId"]
        (binding,) = app["networkBindings"]
        assert binding["containerPort"] == 80
        assert binding["hostPort"] > 1_024
        stage.call("StopTask", task=arn, reason="enough")
        stopped = stage.wait_status(arn, "STOPPED")
        assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
        assert container_of(stopped, "app")["exitCode"] in KILLED

    def test_tasks_that_are_stopped_at_once_end_whether_their_turn_to_start_has_come_or_not(
        self, stage: Stage
    ) -> None:
        arns = stage.run_many(MORE_THAN_START_AT_ONCE, self.sleeper())
        for arn in arns:
            stage.call("StopTask", task=arn)
        for arn in arns:
            stopped = stage.wait_status(arn, "STOPPED")
            assert stopped["stopCode"] == "UserInitiated"
            app = container_of(stopped, "app")
            assert app["lastStatus"] == "STOPPED"
            assert app.get("exitCode", KILLED[0]) in KILLED  # without one it never ran

    def test_a_container_waits_for_the_success_of_another(self, stage: Stage) -> None:
        init = {"name": "init", "image": self.image, "command": ["true"], "essential": False}
        after = [{"containerName": "init", "condition": "SUCCESS"}]
        arn = stage.run(self.sleeper(dependsOn=after), init)
        running = stage.wait_status(arn, "RUNNING")
        assert container_of(running, "init")["exitCode"] == 0
        assert container_of(running, "app")["lastStatus"] == "RUNNING"
        stage.call("StopTask", task=arn)
        stage.wait_status(arn, "STOPPED")

    def test_a_failed_dependency_stops_the_task(self, stage: Stage) -> None:
        init = {"name": "init", "image": self.image, "command": ["false"], "essential": False}
        after = [{"containerName": "init", "condition": "SUCCESS"}]
        arn = stage.run(self.sleeper(dependsOn=after), init)
        stopped = stage.wait_status(arn, "STOPPED")
        assert container_of(stopped, "init")["exitCode"] == 1
        assert "runtimeId" not in container_of(stopped, "app")

    def test_an_essential_containers_exit_stops_the_task(self, stage: Stage) -> None:
        side = self.sleeper("side", essential=False)
        ends = {"name": "app", "image": self.image, "command": ["sh", "-c", "exit 7"]}
        arn = stage.run(ends, side)
        stopped = stage.wait_status(arn, "STOPPED")
        assert stopped["stopCode"] == "EssentialContainerExited"
        assert container_of(stopped, "app")["exitCode"] == 7

    def test_a_container_killed_behind_its_back_is_reported(
        self, stage: Stage, agent: AgentHandle
    ) -> None:
        arn = stage.run(self.sleeper())
        agent.lose_container(stage.wait_status(arn, "RUNNING"), "app")
        stopped = stage.wait_status(arn, "STOPPED")
        assert stopped["stopCode"] == "EssentialContainerExited"
        assert container_of(stopped, "app")["exitCode"] == 137

    def test_a_missing_image_stops_the_task_with_the_reason(self, stage: Stage) -> None:
        arn = stage.run({"name": "app", "image": MISSING_IMAGE})
        stopped = stage.wait_status(arn, "STOPPED")
        assert stopped["stopCode"] == "TaskFailedToStart"
        assert "CannotPull" in container_of(stopped, "app")["reason"]

    def test_a_health_check_makes_the_task_healthy(self, stage: Stage) -> None:
        check = {"command": ["CMD", "true"], "interval": 5, "timeout": 2}
        arn = stage.run(self.sleeper(healthCheck=check))
        healthy = stage.wait_task(arn, lambda task: task["healthStatus"] == "HEALTHY")
        assert container_of(healthy, "app")["healthStatus"] == "HEALTHY"
        stage.call("StopTask", task=arn)
        stage.wait_status(arn, "STOPPED")

    def test_a_restarted_agent_is_the_same_instance_and_keeps_its_tasks(
        self, stage: Stage, agent: AgentHandle
    ) -> None:
        arn = stage.run(self.sleeper())
        before = stage.wait_status(arn, "RUNNING")
        instance_arn = stage.instance()["containerInstanceArn"]
        agent.stop()
        stage.wait_connected(False)
        agent.start()
        assert stage.wait_connected()["containerInstanceArn"] == instance_arn
        assert_unchanged(before, stage.task(arn))
        stage.call("StopTask", task=arn)
        stage.wait_status(arn, "STOPPED")

    def test_what_was_wanted_while_the_agent_was_away_happens_when_it_is_back(
        self, stage: Stage, agent: AgentHandle
    ) -> None:
        arn = stage.run(self.sleeper())
        stage.wait_status(arn, "RUNNING")
        agent.crash()
        stage.wait_connected(False)
        assert stage.call("StopTask", task=arn)["task"]["lastStatus"] == "RUNNING"
        agent.start()
        stage.wait_status(arn, "STOPPED")

    def test_a_killed_server_finds_the_agent_and_its_tasks_again(self, stage: Stage) -> None:
        arn = stage.run(self.sleeper())
        before = stage.wait_status(arn, "RUNNING")
        stage.restart_server()
        assert_unchanged(before, stage.task(arn))
        stage.wait_connected()
        later = stage.run(self.sleeper())
        stage.wait_status(later, "RUNNING")
        for task in (arn, later):
            stage.call("StopTask", task=task)
            stage.wait_status(task, "STOPPED")

    def test_a_deregistered_instance_is_told_so(self, stage: Stage, agent: AgentHandle) -> None:
        """The last scenario: this agent stays away from now on."""
        instance = stage.instance()
        stage.call(
            "DeregisterContainerInstance",
            containerInstance=instance["containerInstanceArn"],
            force=True,
        )
        assert stage.instance() == {}
