"""The waiters of boto3 and of the AWS CLI, against a real server and a simulated agent."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError

from homeport.sim.agents import SimulatedAgent
from homeport_process import HomeportProcess
from simulated_agent import AgentThread

IMAGE = "busybox:1"
CLI_LIMIT_S = 120
SOON = {"Delay": 1, "MaxAttempts": 20}

pytestmark = pytest.mark.slow


class World:
    """A server, an agent, and a client; services are of one task definition."""

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
        container = {"name": "app", "image": IMAGE, "memory": 16}
        self.ecs.register_task_definition(family="web", containerDefinitions=[container])
        agent = SimulatedAgent(cluster="default", images=frozenset({IMAGE}))
        self.agent = AgentThread(endpoint, agent)

    def serve(self, count: int = 2) -> None:
        """Create a service; nothing runs it before the agent is there."""
        self.ecs.create_service(serviceName="web", taskDefinition="web", desiredCount=count)

    def wait(self, waiter: str, **members: Any) -> None:
        """Wait as boto3 does, if with less patience."""
        self.ecs.get_waiter(waiter).wait(**members, WaiterConfig=SOON)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call the AWS CLI."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        command = [str(Path(sys.executable).parent / "aws"), "ecs", *arguments]
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=CLI_LIMIT_S,
            check=False,
        )


@pytest.fixture
def world() -> Iterator[World]:
    server = HomeportProcess(["server", "--port", "0", "--ephemeral", "--log-level", "warning"])
    try:
        world = World(server.wait_endpoint())
        world.agent.start()
        yield world
        world.agent.stop()
    finally:
        server.stop()


def test_boto3s_waiters_see_a_service_become_stable_and_inactive(world: World) -> None:
    world.serve()
    world.wait("services_stable", services=["web"])
    (service,) = world.ecs.describe_services(services=["web"])["services"]
    assert (service["runningCount"], len(service["deployments"])) == (2, 1)
    world.ecs.update_service(service="web", forceNewDeployment=True)
    world.wait("services_stable", services=["web"])
    world.ecs.delete_service(service="web", force=True)
    world.wait("services_inactive", services=["web"])


def test_boto3s_waiters_see_tasks_run_and_stop(world: World) -> None:
    arns = [task["taskArn"] for task in run_until_placed(world)]
    world.wait("tasks_running", tasks=arns)
    for arn in arns:
        world.ecs.stop_task(task=arn)
    world.wait("tasks_stopped", tasks=arns)
    with pytest.raises(WaiterError, match="terminal failure"):
        world.wait("tasks_running", tasks=arns)


def test_a_service_that_is_gone_fails_the_waiter_for_stable_ones_at_once(world: World) -> None:
    with pytest.raises(WaiterError, match="terminal failure"):
        world.wait("services_stable", services=["nobody"])
    world.serve(0)
    world.ecs.delete_service(service="web")
    world.wait("services_inactive", services=["web"])
    with pytest.raises(WaiterError, match="terminal failure"):
        world.wait("services_stable", services=["web"])


def test_the_clis_waiters_come_back_for_services_and_for_tasks(world: World) -> None:
    world.serve(1)
    world.wait("services_stable", services=["web"])  # the CLI's own looks only every 15 s
    (arn,) = world.ecs.list_tasks(serviceName="web")["taskArns"]
    for arguments in (
        ("wait", "services-stable", "--services", "web"),
        ("wait", "tasks-running", "--tasks", arn),
    ):
        done = world.cli(*arguments)
        assert done.returncode == 0, done.stderr
    world.ecs.delete_service(service="web", force=True)
    world.wait("services_inactive", services=["web"])
    for arguments in (
        ("wait", "services-inactive", "--services", "web"),
        ("wait", "tasks-stopped", "--tasks", arn),
    ):
        done = world.cli(*arguments)
        assert done.returncode == 0, done.stderr
    done = world.cli("wait", "services-stable", "--services", "web")
    assert done.returncode == 255
    assert "terminal failure" in done.stderr


def run_until_placed(world: World) -> list[dict[str, Any]]:
    """Run two tasks as soon as the agent's instance takes them: a service of one says when."""
    world.ecs.create_service(serviceName="first", taskDefinition="web", desiredCount=1)
    world.wait("services_stable", services=["first"])
    tasks: list[dict[str, Any]] = world.ecs.run_task(taskDefinition="web", count=2)["tasks"]
    return tasks
