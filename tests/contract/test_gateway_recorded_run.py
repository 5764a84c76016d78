"""Amazon's agent as it was recorded, line by line, against a real server: the other side fits.

The fixture holds what the agent sent (register, connect, run, restart, stop, a failed pull); names
that the control plane gives are filled in. What the server says in between is compared byte for
byte with `control_frames.jsonl`, in which ids, times and numbers are left open.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.frames import decode_frame

RECORDING = Path(__file__).parent / "fixtures/amazon_agent_run.jsonl"
CONTROL_FRAMES = Path(__file__).parent / "fixtures/control_frames.jsonl"
CLUSTER_ARN = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
ANSWER_LIMIT_S = 10

# The recorded agent said that it is EXTERNAL.
LAUNCH_TYPE = "EXTERNAL"

TASK_DEFINITION = {
    "family": "demo",
    "networkMode": "bridge",
    "cpu": "256",
    "memory": "128",
    "volumes": [{"name": "data", "host": {}}],
    "containerDefinitions": [
        {
            "name": "web",
            "image": "busybox:latest",
            "cpu": 64,
            "memory": 64,
            "portMappings": [{"containerPort": 80, "hostPort": 0}],
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
            "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
            "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5},
        },
        {
            "name": "init",
            "image": "busybox:latest",
            "command": ["/bin/echo", "init"],
            "memory": 16,
            "essential": False,
        },
    ],
}
BAD_DEFINITION = {
    "family": "bad",
    "containerDefinitions": [{"name": "bad", "image": "no/such:image", "memory": 16}],
}


class Replay:
    """Plays the recorded lines in order; `names` is what the lines' placeholders stand for."""

    def __init__(self, endpoint: str, session: aiohttp.ClientSession) -> None:
        self.names: dict[str, str] = {}
        self._endpoint = endpoint
        self._session = session
        self._lines = [Template(line) for line in RECORDING.read_text().splitlines()]
        self._sockets: dict[str, aiohttp.ClientWebSocketResponse] = {}
        self.unsaid = CONTROL_FRAMES.read_text().splitlines()

    def peek(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self._lines[0].safe_substitute(self.names))
        return line

    async def play(self, *expected: str) -> dict[str, Any]:
        """Play the next line, which must be one of these; returns the answer of a call."""
        line = self.peek()
        what = line.get("op") or line.get("frame", {}).get("type") or "connect"
        assert what in expected, (what, expected)
        line = json.loads(self._lines.pop(0).substitute(self.names))
        if what == "connect":
            url = self._endpoint + line["connect"]
            self._sockets[line["channel"]] = await self._session.ws_connect(url)
        elif "frame" in line:
            await self._sockets[line["channel"]].send_str(self._frame_text(line))
        else:
            return await self.call(line["op"], line["body"])
        return {}

    def _frame_text(self, line: dict[str, Any]) -> str:
        text = json.dumps(line["frame"])
        # The recording was made behind the signed header lines that TCS frames start with.
        return text if line["channel"] == "acs" else f"Host: x\r\nX-Amz-Date: y\r\n\r\n{text}"

    async def call(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call the ECS API as the agent and as a client do."""
        headers = {
            "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        async with self._session.post(self._endpoint, json=body, headers=headers) as answer:
            reply: dict[str, Any] = await answer.json(content_type=None)
            assert answer.status == 200, reply
            return reply

    async def hear(self, channel: str, kind: type[Any]) -> Any:
        """The next frame of a kind on a socket; heartbeats before it are passed over."""
        while True:
            text = await self._sockets[channel].receive_str(timeout=ANSWER_LIMIT_S)
            message = decode_frame(text)
            self._compare(text)
            if isinstance(message, kind):
                return message
            assert isinstance(message, acs.HeartbeatMessage | acs.TaskManifestMessage), message

    def _compare(self, text: str) -> None:
        """Find the expected frame; of the same, only the heartbeats and answers come repeatedly."""
        message = json.loads(text)["message"]
        (task,) = message.get("tasks") or [{}]
        names = {**self.names, "CLUSTER": CLUSTER_ARN, **message, "arn": task.get("arn")}
        for number, container in enumerate(task.get("containers", [])):
            names[f"container{number}"] = container["containerArn"]
        for line in self.unsaid:
            if Template(line).safe_substitute(names) == text:
                if "$CLUSTER" in line:
                    self.unsaid.remove(line)
                return
        raise AssertionError(f"no frame of {CONTROL_FRAMES.name} is {text}")

    async def hang_up(self) -> None:
        for socket in self._sockets.values():
            await socket.close()
        self._sockets.clear()

    async def task(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("DescribeTasks", {"tasks": [arn]}))["tasks"][0]
        return found

    async def wait_instance(self, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the container instance is described so."""
        async with asyncio.timeout(ANSWER_LIMIT_S):
            while True:
                reply = await self.call(
                    "DescribeContainerInstances",
                    {"containerInstances": [self.names["INSTANCE"]]},
                )
                if is_so(reply["containerInstances"][0]):
                    return


@pytest.fixture
async def replay(homeport_server: str) -> AsyncIterator[Replay]:
    async with aiohttp.ClientSession() as session:
        replay = Replay(homeport_server, session)
        await replay.call("CreateCluster", {"clusterName": "default"})
        yield replay
        await replay.hang_up()


async def test_the_recorded_run_of_amazons_agent_plays_to_its_end(replay: Replay) -> None:
    await start_agent(replay)
    first_timeline = await meet(replay)
    task_arn = await run_the_task(replay)
    await restart_agent(replay, first_timeline)
    await stop_the_task(replay, task_arn)
    await fail_to_pull(replay)
    assert [line for line in replay.unsaid if "$CLUSTER" in line] == []


async def start_agent(replay: Replay) -> None:
    sent = replay.peek()["body"]
    instance = (await replay.play("RegisterContainerInstance"))["containerInstance"]
    echoed = {a["name"]: a.get("value") for a in instance["attributes"]}
    for attribute in sent["attributes"]:
        assert echoed[attribute["name"]] == attribute.get("value")
    assert instance["status"] == "ACTIVE"
    replay.names["INSTANCE"] = instance["containerInstanceArn"]
    replay.names["QUOTED_INSTANCE"] = quote(instance["containerInstanceArn"], safe="")
    found = await replay.play("DiscoverPollEndpoint")
    assert found["endpoint"].endswith("/acs/")
    assert found["telemetryEndpoint"].endswith("/tcs/")


async def meet(replay: Replay) -> int:
    await replay.play("connect")
    await replay.play("connect")
    await replay.play("PublishMetricsRequest")
    await replay.hear("tcs", tcs.AckPublishMetric)
    heartbeat = await replay.hear("acs", acs.HeartbeatMessage)
    assert heartbeat.healthy
    replay.names["HEARTBEAT"] = heartbeat.message_id
    await replay.play("HeartbeatAckRequest")
    manifest = await replay.hear("acs", acs.TaskManifestMessage)
    assert manifest.tasks == ()
    assert manifest.container_instance_arn == replay.names["INSTANCE"]
    await replay.wait_instance(lambda i: bool(i["agentConnected"]))
    await replay.wait_instance(
        lambda i: (
            i["versionInfo"]
            == {
                "agentVersion": "1.105.1",
                "agentHash": "a8b3e7d3",
                "dockerVersion": "DockerVersion: 20.10.24+dfsg1",
            }
        )
    )
    return int(manifest.timeline)


async def run_the_task(replay: Replay) -> str:
    await replay.call("RegisterTaskDefinition", TASK_DEFINITION)
    ran = await replay.call("RunTask", {"taskDefinition": "demo", "launchType": LAUNCH_TYPE})
    assert ran["failures"] == []
    task_arn: str = ran["tasks"][0]["taskArn"]
    assert ran["tasks"][0]["lastStatus"] == "PENDING"
    payload = await replay.hear("acs", acs.PayloadMessage)
    (task,) = payload.tasks
    assert (task.arn, task.desired_status) == (task_arn, "RUNNING")
    assert (task.family, task.version, task.cpu, task.memory) == ("demo", "1", 0.25, 128)
    web = task.containers[0]
    assert web.depends_on[0].container_name == "init"
    assert "Healthcheck" in web.docker_config.config
    replay.names["PAYLOAD"], replay.names["FIRST_TASK"] = payload.message_id, task_arn
    await replay.play("AckRequest")
    assert await replay.play("SubmitTaskStateChange")
    described = await replay.task(task_arn)
    assert described["lastStatus"] == "RUNNING"
    containers = {c["name"]: c for c in described["containers"]}
    assert containers["web"]["networkBindings"] == [
        {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}
    ]
    assert (containers["init"]["lastStatus"], containers["init"]["exitCode"]) == ("STOPPED", 0)
    await replay.play("PublishMetricsRequest")
    await replay.hear("tcs", tcs.AckPublishMetric)
    await replay.play("PublishInstanceStatusRequest")
    await replay.hear("tcs", tcs.AckPublishInstanceStatus)
    return task_arn


async def restart_agent(replay: Replay, first_timeline: int) -> None:
    await replay.hang_up()
    await replay.wait_instance(lambda i: not i["agentConnected"])
    instance = (await replay.play("RegisterContainerInstance"))["containerInstance"]
    assert instance["containerInstanceArn"] == replay.names["INSTANCE"]
    assert {"name": "stack", "value": "prod"} in instance["attributes"]
    await replay.play("DiscoverPollEndpoint")
    await replay.play("connect")
    await replay.play("connect")
    heartbeat = await replay.hear("acs", acs.HeartbeatMessage)
    manifest = await replay.hear("acs", acs.TaskManifestMessage)
    assert manifest.timeline > first_timeline
    assert [(t.task_arn, t.desired_status) for t in manifest.tasks] == [
        (replay.names["FIRST_TASK"], "RUNNING")
    ]
    replay.names["HEARTBEAT"] = heartbeat.message_id
    replay.names["MANIFEST"] = manifest.message_id
    await replay.play("HeartbeatAckRequest")
    await replay.play("AckRequest")
    await replay.wait_instance(lambda i: bool(i["agentConnected"]))


async def stop_the_task(replay: Replay, task_arn: str) -> None:
    await replay.call("StopTask", {"task": task_arn})
    payload = await replay.hear("acs", acs.PayloadMessage)
    assert [(t.arn, t.desired_status) for t in payload.tasks] == [(task_arn, "STOPPED")]
    replay.names["PAYLOAD"] = payload.message_id
    await replay.play("AckRequest")
    assert (await replay.task(task_arn))["lastStatus"] == "RUNNING"
    await replay.play("SubmitTaskStateChange")
    described = await replay.task(task_arn)
    assert (described["lastStatus"], described["stopCode"]) == ("STOPPED", "UserInitiated")
    web = next(c for c in described["containers"] if c["name"] == "web")
    assert web["exitCode"] == 137
    assert described["executionStoppedAt"].__class__ is float


async def fail_to_pull(replay: Replay) -> None:
    await replay.call("RegisterTaskDefinition", BAD_DEFINITION)
    ran = await replay.call("RunTask", {"taskDefinition": "bad", "launchType": LAUNCH_TYPE})
    task_arn = ran["tasks"][0]["taskArn"]
    payload = await replay.hear("acs", acs.PayloadMessage)
    replay.names["PAYLOAD"], replay.names["SECOND_TASK"] = payload.message_id, task_arn
    await replay.play("AckRequest")
    await replay.play("SubmitTaskStateChange")
    described = await replay.task(task_arn)
    assert (described["lastStatus"], described["stopCode"]) == ("STOPPED", "TaskFailedToStart")
    assert described["containers"][0]["reason"].startswith("CannotPullImageManifestError")
    assert described["pullStartedAt"] < described["pullStoppedAt"]
