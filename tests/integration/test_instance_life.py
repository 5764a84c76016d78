"""The life of container instances, end to end: a real server, real agents, real containers.

Each sentence of ECS's page on container instances that says what an instance does is a test here.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_calls import list_containers
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

WAIT_LIMIT_S = 40
LOSS_WINDOW_S = 3
RETENTION_S = 4
TASK_LABEL = "com.amazonaws.ecs.task-arn"


class Machine:
    """One container instance: its agent's process, its data directory, its containers."""

    def __init__(self, cluster: "Cluster", name: str, folder: Path, number: int) -> None:
        self.cluster, self.name = cluster, name
        self.arn = ""
        self._data_dir = folder / name
        self._number = number
        self.process: HomeportProcess | None = None

    def start(self) -> None:
        """Start the agent and wait until it is connected."""
        self.process = HomeportProcess(
            [
                *("agent", "--endpoint", self.cluster.endpoint),
                *("--data-dir", str(self._data_dir)),
                *("--docker-host", self.cluster.engine.docker_host),
                *("--image-pull-behavior", "prefer-cached"),
                *("--bind-address", f"127.0.2.{self._number}"),
                *(
                    "--container-stop-timeout-s",
                    "1",
                    "--attribute",
                    f"homeport.instance={self.name}",
                ),
                *("--cpu", "1024", "--memory", "256"),
            ]
        )
        line = self.process.wait_line(" is up")
        self.arn = next(word for word in line.split() if ":container-instance/" in word)
        self.cluster.wait(lambda: self.describe()["agentConnected"])

    def kill_agent(self) -> None:
        """The agent dies, its containers live on."""
        assert self.process is not None
        self.process.kill()

    def pull_plug(self) -> None:
        """The whole machine stops: the agent and its containers."""
        self.kill_agent()
        asyncio.run(
            remove_containers(
                AgentSettings(
                    endpoint="",
                    data_dir=self._data_dir,
                    docker_host=self.cluster.engine.docker_host,
                )
            )
        )

    def describe(self) -> dict[str, Any]:
        """The instance as AWS describes it."""
        request = {"containerInstances": [self.arn]}
        found: dict[str, Any] = self.cluster.client.call("DescribeContainerInstances", request)
        return dict(found["containerInstances"][0])

    def containers(self) -> set[str]:
        """The tasks of its running containers."""
        labels = {"homeport.container-instance": self.arn}
        found = list_containers(self.cluster.engine, labels)
        return {each["Labels"][TASK_LABEL] for each in found if each["State"] == "running"}


class Cluster:
    """A server and its machines."""

    def __init__(self, endpoint: str, engine: EngineApi, folder: Path) -> None:
        self.endpoint, self.engine = endpoint, engine
        self.client = ApiClient(endpoint, "us-east-1")
        self.a, self.b = (Machine(self, n, folder, i) for i, n in enumerate("ab", start=1))

    def wait(self, check: Callable[[], Any]) -> Any:
        """Ask until something is true; the public API has no call that waits."""
        deadline_s = time.monotonic() + WAIT_LIMIT_S
        while not (found := check()):
            assert time.monotonic() < deadline_s, "\n".join(self._told())
            time.sleep(0.05)
        return found

    def _told(self) -> list[str]:
        processes = [machine.process for machine in (self.a, self.b)]
        return [line for process in processes if process for line in process.lines]

    def register(self, image: str) -> None:
        definition = {"name": "web", "image": image, "command": ["/serve"], "memory": 16}
        self.client.call(
            "RegisterTaskDefinition", {"family": "web", "containerDefinitions": [definition]}
        )

    def create_service(self, count: int, *, least: int = 50, most: int = 200) -> None:
        self.client.call(
            "CreateService",
            {
                "serviceName": "web",
                "taskDefinition": "web",
                "desiredCount": count,
                "deploymentConfiguration": {
                    "minimumHealthyPercent": least,
                    "maximumPercent": most,
                },
            },
        )

    def start_task(self, machine: Machine) -> str:
        started = self.client.call(
            "StartTask", {"taskDefinition": "web", "containerInstances": [machine.arn]}
        )
        assert started["failures"] == []
        arn = str(started["tasks"][0]["taskArn"])
        self.wait(lambda: self.task(arn)["lastStatus"] == "RUNNING")
        return arn

    def task(self, arn: str) -> dict[str, Any]:
        return dict(self.client.call("DescribeTasks", {"tasks": [arn]})["tasks"][0])

    def running(self, machine: Machine | None = None) -> set[str]:
        """ARNs of the tasks whose lastStatus is RUNNING, on one machine or anywhere."""
        request = {"containerInstance": machine.arn} if machine else {}
        arns = list(self.client.list_all("ListTasks", "taskArns", request))
        tasks = self.client.describe_all("DescribeTasks", "tasks", arns)
        return {task["taskArn"] for task in tasks if task["lastStatus"] == "RUNNING"}

    def run_cli(self, *arguments: str) -> HomeportProcess:
        process = HomeportProcess([*arguments, "--endpoint", self.endpoint])
        process.wait()
        return process


@pytest.fixture
def cluster(tmp_path: Path, docker_engine: EngineApi, busybox_image: str) -> Iterator[Cluster]:
    server = HomeportProcess(
        [
            *("server", "--port", "0", "--ephemeral", "--log-level", "warning"),
            *("--instance-loss-window-s", str(LOSS_WINDOW_S)),
            *("--deregistered-instance-retention-s", str(RETENTION_S)),
        ]
    )
    cluster = Cluster(server.wait_endpoint(), docker_engine, tmp_path)
    cluster.client.call("CreateCluster", {"clusterName": "default"})
    cluster.register(busybox_image)
    try:
        cluster.a.start()
        cluster.b.start()
        yield cluster
    finally:
        for machine in (cluster.a, cluster.b):
            if machine.process is not None:
                machine.pull_plug()
        server.stop()


def test_a_registered_instance_is_active_connected_and_takes_tasks(cluster: Cluster):
    instance = cluster.a.describe()
    assert (instance["status"], instance["agentConnected"]) == ("ACTIVE", True)
    assert instance["versionInfo"]["agentVersion"]
    assert instance["versionInfo"]["dockerVersion"].startswith("DockerVersion: ")
    task = cluster.start_task(cluster.a)
    assert cluster.a.containers() == {task}
    assert cluster.a.describe()["runningTasksCount"] == 1


def test_a_stopped_instance_stays_active_and_its_tasks_are_stopped_and_replaced(cluster: Cluster):
    cluster.create_service(2)
    cluster.wait(lambda: len(cluster.running()) == 2)
    alone = cluster.start_task(cluster.a)
    moved = cluster.running(cluster.a)
    cluster.a.pull_plug()
    cluster.wait(lambda: not cluster.a.describe()["agentConnected"])
    assert cluster.a.describe()["status"] == "ACTIVE"
    cluster.wait(lambda: cluster.task(alone)["lastStatus"] == "STOPPED")
    for arn in moved:
        task = cluster.task(arn)
        assert task["stopCode"] == "TerminationNotice"
        ec2_id = cluster.a.describe()["ec2InstanceId"]
        assert task["stoppedReason"] == f"Host EC2 (instance {ec2_id}) stopped."
    cluster.wait(lambda: len(cluster.running(cluster.b)) == 2)
    # Started again, it is the same container instance and takes tasks.
    arn = cluster.a.arn
    cluster.a.start()
    assert cluster.a.arn == arn
    assert cluster.a.describe()["runningTasksCount"] == 0
    cluster.start_task(cluster.a)


def test_a_brief_disconnect_kills_nothing_and_nothing_is_restarted(cluster: Cluster):
    task = cluster.start_task(cluster.a)
    before = cluster.task(task)
    cluster.a.kill_agent()
    cluster.wait(lambda: not cluster.a.describe()["agentConnected"])
    cluster.a.start()
    after = cluster.task(task)
    assert after["lastStatus"] == "RUNNING"
    assert after["containers"][0]["runtimeId"] == before["containers"][0]["runtimeId"]
    assert after["startedAt"] == before["startedAt"]


def test_an_agent_that_comes_back_too_late_gives_up_what_was_replaced(cluster: Cluster):
    cluster.create_service(1)
    [first] = cluster.wait(cluster.running)
    owner, other = cluster.a, cluster.b
    if first not in owner.containers():
        owner, other = other, owner
    owner.kill_agent()
    cluster.wait(lambda: cluster.task(first)["lastStatus"] == "STOPPED")
    [second] = cluster.wait(lambda: cluster.running(other))
    assert owner.containers() == {first}  # nobody there to stop it
    owner.start()
    cluster.wait(lambda: not owner.containers())
    assert cluster.running() == {second}
    assert other.containers() == {second}


def test_draining_moves_service_tasks_and_leaves_standalone_ones(cluster: Cluster):
    cluster.create_service(2, least=100)
    cluster.wait(lambda: len(cluster.running()) == 2)
    alone = cluster.start_task(cluster.a)
    version = cluster.a.describe()["version"]
    drained = cluster.run_cli("instances", "drain", "a")
    assert drained.process.returncode == 0, drained.lines
    assert "1 standalone task" in drained.lines[-1]
    assert cluster.a.describe()["status"] == "DRAINING"
    # Once for the status, and once for the task of the service that stopped here.
    assert cluster.a.describe()["version"] == version + 2
    assert cluster.running(cluster.a) == {alone}
    assert len(cluster.running(cluster.b)) == 2
    refused = cluster.client.call(
        "StartTask", {"taskDefinition": "web", "containerInstances": [cluster.a.arn]}
    )
    assert refused["tasks"] == []
    shown = cluster.run_cli("instances", "activate", "a", "--json")
    assert json.loads("\n".join(shown.lines))[0]["status"] == "ACTIVE"
    cluster.start_task(cluster.a)


def test_a_deregistered_instance_is_gone_and_its_agent_stays_away(cluster: Cluster):
    cluster.create_service(2)
    cluster.wait(lambda: len(cluster.running()) == 2)
    alone = cluster.start_task(cluster.a)
    refused = cluster.run_cli("instances", "deregister", "a")
    assert refused.process.returncode == 1
    assert "Found running tasks on the instance." in refused.lines[-1]
    assert "--force" in refused.lines[-1]
    orphans = cluster.a.containers()
    forced = cluster.run_cli("instances", "deregister", "a", "--force")
    assert forced.process.returncode == 0, forced.lines
    gone = cluster.a.describe()
    assert (gone["status"], gone["agentConnected"]) == ("INACTIVE", False)
    listed = cluster.client.call("ListContainerInstances", {})["containerInstanceArns"]
    assert listed == [cluster.b.arn]
    assert cluster.task(alone)["stoppedReason"] == (
        "Container instance deregistration forced by user"
    )
    cluster.wait(lambda: len(cluster.running(cluster.b)) == 2)
    assert orphans <= cluster.a.containers()  # orphaned: they keep running, untracked
    assert cluster.a.process is not None
    cluster.a.process.wait_line("deregistered")
    request = {"containerInstances": [cluster.a.arn]}
    cluster.wait(
        lambda: (
            cluster.client.call("DescribeContainerInstances", request)["failures"]
            == [{"arn": cluster.a.arn, "reason": "MISSING"}]
        )
    )


def test_an_instance_never_changes_its_size(cluster: Cluster):
    cluster.a.kill_agent()
    assert cluster.a.process is not None
    arguments = list(cluster.a.process.process.args)[3:]  # type: ignore[arg-type]
    smaller = HomeportProcess([*arguments, "--cpu", "512"])  # type: ignore[list-item]
    assert smaller.wait() == 1
    assert "Container instance type changes are not supported." in smaller.lines[-1]


def test_an_unknown_instance_is_refused_in_aws_words(cluster: Cluster):
    with pytest.raises(ApiRefusal) as refused:
        cluster.client.call("DeregisterContainerInstance", {"containerInstance": "0" * 32})
    assert refused.value.code == "InvalidParameterException"


ROLE_COMMAND = """
mkfifo /requests && exec 3<>/requests
printf 'GET %s HTTP/1.0\\r\\n\\r\\n' "$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" >&3
nc 169.254.170.2 80 <&3 | grep -q '"AccessKeyId":"123456789012"'
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the address 169.254.170.2 needs root")
def test_a_task_with_a_role_finds_a_place_and_its_credentials(cluster: Cluster, busybox_image: str):
    definition = {
        "name": "asks",
        "image": busybox_image,
        "command": ["sh", "-c", ROLE_COMMAND],
        "memory": 16,
    }
    cluster.client.call(
        "RegisterTaskDefinition",
        {
            "family": "asks",
            "taskRoleArn": "arn:aws:iam::123456789012:role/asks",
            "containerDefinitions": [definition],
        },
    )
    started = cluster.client.call("RunTask", {"taskDefinition": "asks"})
    assert started["failures"] == []
    arn = started["tasks"][0]["taskArn"]
    task = cluster.wait(lambda: (t := cluster.task(arn))["lastStatus"] == "STOPPED" and t)
    assert task["containers"][0]["exitCode"] == 0
