"""`homeport replay` of a real server's journal, with simulated agents on real sockets."""

import json
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.cli.api_client import ApiClient
from homeport.sim.agents import SimulatedAgent
from homeport_process import HomeportProcess
from simulated_agent import AgentThread

pytestmark = pytest.mark.slow

INSTANCES = 4
ZONES = ("us-east-1a", "us-east-1b")
SETTLED_LIMIT_S = 30
SPREAD = [{"type": "spread", "field": "attribute:ecs.availability-zone"}]


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[Path, ApiClient]]:
    """A server with a data directory and four container instances; its folder and a client."""
    folder = tmp_path / "data"
    process = HomeportProcess(
        ["server", "--port", "0", "--log-level", "warning", "--data-dir", str(folder)]
    )
    agents: list[AgentThread] = []
    try:
        endpoint = process.wait_endpoint()
        client = ApiClient(endpoint, "us-east-1")
        client.call("CreateCluster", {"clusterName": "default"})
        for number in range(INSTANCES):
            memory = SimulatedAgent(
                cluster="default", images=frozenset({"busybox"}), zone=ZONES[number % 2]
            )
            agents.append(AgentThread(endpoint, memory))
            agents[-1].start()
        wait_until(lambda: count_instances(client) == INSTANCES)
        yield folder, client
    finally:
        for agent in agents:
            agent.stop()
        process.stop()


def wait_until(is_so) -> None:
    """Ask again and again: what is waited for is another process' work."""
    deadline_s = time.monotonic() + SETTLED_LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline_s, "the server didn't come to rest"
        time.sleep(0.02)


def count_instances(client: ApiClient) -> int:
    arns = client.call("ListContainerInstances", {})["containerInstanceArns"]
    if not arns:
        return 0
    found = client.call("DescribeContainerInstances", {"containerInstances": arns})
    return sum(each["agentConnected"] for each in found["containerInstances"])


def service(client: ApiClient) -> dict:
    (found,) = client.call("DescribeServices", {"services": ["web"]})["services"]
    return found


def wait_steady(client: ApiClient, count: int) -> None:
    wait_until(
        lambda: service(client)["runningCount"] == count
        and len(service(client)["deployments"]) == 1
        and service(client)["deployments"][0]["rolloutState"] == "COMPLETED"
    )


def work(client: ApiClient) -> None:
    """Create a service, scale and deploy it, and run tasks beside it."""
    container = {"name": "app", "image": "busybox", "cpu": 256, "memory": 1_024}
    job = {"name": "job", "image": "busybox", "cpu": 64, "memory": 64, "command": ["true"]}
    client.call("RegisterTaskDefinition", {"family": "web", "containerDefinitions": [container]})
    client.call("RegisterTaskDefinition", {"family": "job", "containerDefinitions": [job]})
    request = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 4}
    client.call("CreateService", {**request, "placementStrategy": SPREAD})
    wait_steady(client, 4)
    client.call("UpdateService", {"service": "web", "desiredCount": 7})
    wait_steady(client, 7)
    client.call("RegisterTaskDefinition", {"family": "web", "containerDefinitions": [container]})
    client.call("UpdateService", {"service": "web", "taskDefinition": "web:2"})
    wait_steady(client, 7)
    client.call("RunTask", {"taskDefinition": "job", "count": 3})
    client.call("UpdateService", {"service": "web", "desiredCount": 5})
    wait_steady(client, 5)


def replay(folder: Path, *arguments: str) -> dict:
    process = HomeportProcess(["replay", str(folder), "--json", *arguments])
    assert process.wait() == 0, process.lines
    found: dict = json.loads("\n".join(process.lines))
    return found


# Running tasks may differ by a tenth: the whole journal is a second long, and in the simulation
# a call, a commit and a report take no time.
AGREEMENT_PERCENT = 10


def test_a_running_servers_journal_is_replayed_as_it_was_and_as_it_might_have_been(
    served, tmp_path
):
    folder, client = served
    work(client)
    files = {path.name for path in folder.iterdir()}

    same = replay(folder)
    assert same["agreement"]["running_difference_at_end"] == 0
    assert same["agreement"]["running_difference_percent"] < AGREEMENT_PERCENT
    assert same["after"]["series"]["running"]["peak"] == pytest.approx(
        same["before"]["series"]["running"]["peak"], abs=3
    )
    assert same["before"]["deployments"] == same["after"]["deployments"] == 2
    assert same["after"]["deployments_completed"] == 2
    assert same["refused"] == same["left_out"] == {}

    picture = tmp_path / "replay.svg"
    packed = replay(folder, "--strategy", "binpack:memory", "--plot", str(picture))
    used = [packed[side]["series"]["instances_used"]["mean"] for side in ("before", "after")]
    assert used[1] < used[0] - 0.5
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")

    cramped = replay(folder, "--instances", "1", "--instance-type", "t3.medium")
    assert cramped["before"]["unplaced_task_seconds"] < cramped["after"]["unplaced_task_seconds"]
    assert cramped["after"]["series"]["running"]["last"] < 5

    # The server has noticed nothing: it goes on, and nothing is left beside its files.
    client.call("UpdateService", {"service": "web", "desiredCount": 6})
    wait_steady(client, 6)
    assert {path.name for path in folder.iterdir()} == files


def test_a_report_for_people_says_what_differs(served):
    folder, client = served
    work(client)
    process = HomeportProcess(["replay", str(folder), "--desired-count", "web=2"])
    assert process.wait() == 0
    shown = "\n".join(process.lines)
    assert "Running tasks" in shown
    assert "Task-seconds without a place" in shown
    assert "running tasks  before" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "there is no journal at nowhere"),
        ([__file__], "damaged or isn't a database"),
        (["nowhere", "--plot", "picture.png"], "--plot draws SVG"),
        (["nowhere", "--circuit-breaker", "maybe"], "'maybe' isn't on, off or rollback"),
        (["nowhere", "--strategy", "web=tightly"], "'tightly' isn't a placement strategy"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(arguments, complaint):
    process = HomeportProcess(["replay", *arguments])
    assert process.wait() == 1
    (line,) = process.lines
    assert line.startswith("homeport: error: ")
    assert complaint in line
