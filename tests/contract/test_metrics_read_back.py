"""What an agent publishes comes back by `homeport stats` and over the API."""

import json
import time
from urllib.parse import urlencode

import pytest
from websockets.sync.client import connect

from homeport.cli.api_client import ApiClient
from homeport.sim.agents import SimulatedAgent
from homeport.wire.agent_messages import tcs
from homeport.wire.agent_messages.frames import decode_frame, encode_frame
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow  # metrics are written every 5 s

WAIT_LIMIT_S = 30
DEFINITION = {
    "family": "web",
    "containerDefinitions": [{"name": "app", "image": "web:1", "memory": 4}],
}


def publish(endpoint: str, instance_arn: str, task_arn: str) -> None:
    metric = tcs.ContainerMetric(
        container_name="app",
        cpu_stats_set=tcs.StatsSet(min=1.0, max=5.0, sample_count=4, sum=12.0),
        memory_stats_set=tcs.StatsSet(min=7, max=9, sample_count=2, sum=16),
    )
    request = tcs.PublishMetricsRequest(
        task_metrics=(tcs.TaskMetric(task_arn=task_arn, container_metrics=(metric,)),)
    )
    query = urlencode({"cluster": "default", "containerInstance": instance_arn})
    with connect(f"{endpoint.replace('http', 'ws', 1)}/tcs/ws?{query}") as socket:
        socket.send(encode_frame(request))
        while not isinstance(decode_frame(socket.recv()), tcs.AckPublishMetric):
            pass


def test_what_an_agent_publishes_is_shown_by_stats(homeport_server: str) -> None:
    client = ApiClient(homeport_server, "us-east-1")
    client.call("CreateCluster", {"clusterName": "default"})
    client.call("RegisterTaskDefinition", DEFINITION)
    agent = SimulatedAgent(cluster="default", images=frozenset())
    agent.registered(client.call(*agent.register()))
    query = urlencode({"clusterArn": "default", "containerInstanceArn": agent.instance_arn})
    with connect(f"{homeport_server.replace('http', 'ws', 1)}/acs/ws?{query}") as socket:
        socket.recv()
        started = client.call(
            "StartTask", {"taskDefinition": "web", "containerInstances": [agent.instance_arn]}
        )
    task_arn = started["tasks"][0]["taskArn"]
    publish(homeport_server, agent.instance_arn, task_arn)

    deadline_s = time.monotonic() + WAIT_LIMIT_S
    points: list[dict[str, object]] = []
    while not points and time.monotonic() < deadline_s:
        asked = {"resource": task_arn, "part": "CONTAINER"}
        points = client.call_homeport("ListMetrics", asked)["points"]
        time.sleep(0.1)
    (point,) = points
    assert (point["taskArn"], point["containerName"]) == (task_arn, "app")
    assert (point["cpuAverage"], point["cpuMaximum"]) == (3.0, 5.0)
    assert (point["memoryAverage"], point["memoryMaximum"]) == (8.0, 9.0)

    arguments = ["stats", "--part", "total", "--json", "--endpoint", homeport_server]
    shown = HomeportProcess(arguments)
    assert shown.wait() == 0
    (total,) = json.loads("\n".join(shown.lines))["points"]
    assert (total["tasks"], total["cpuAverage"]) == (1, 3.0)
