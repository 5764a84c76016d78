"""Agents' sockets of a real server: heartbeats in time, refusals in words, hostile peers alone."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from homeport.cli.api_client import ApiClient
from homeport.sim.agents import SimulatedAgent
from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.frames import MAX_FRAME_BYTES, decode_frame, encode_frame
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow

ANSWER_LIMIT_S = 10
HEARTBEAT_S = 0.1


class Server:
    """A server with quick heartbeats, and one registered container instance on it."""

    def __init__(self) -> None:
        self.process = HomeportProcess(
            [
                *("server", "--port", "0", "--ephemeral", "--log-level", "warning"),
                *("--heartbeat-interval-s", str(HEARTBEAT_S)),
                *("--agent-disconnect-window-s", str(3 * HEARTBEAT_S)),
            ]
        )
        self.endpoint = self.process.wait_endpoint()
        self.client = ApiClient(self.endpoint, "us-east-1")
        self.client.call("CreateCluster", {"clusterName": "default"})

    def register(self) -> str:
        """Register one more container instance: its ARN."""
        agent = SimulatedAgent(cluster="default", images=frozenset())
        agent.registered(self.client.call(*agent.register()))
        return agent.instance_arn

    def is_connected(self, arn: str) -> bool:
        reply = self.client.call("DescribeContainerInstances", {"containerInstances": [arn]})
        return bool(reply["containerInstances"][0]["agentConnected"])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    assert server.process.stop() == 0, "\n".join(server.process.lines)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def connect(
    session: aiohttp.ClientSession, server: Server, arn: str, path: str = "acs", **query: str
) -> aiohttp.ClientWebSocketResponse:
    members = {"clusterArn": "default", "containerInstanceArn": arn, **query}
    return await session.ws_connect(f"{server.endpoint}/{path}/ws?{urlencode(members)}")


async def hear(socket: aiohttp.ClientWebSocketResponse, kind: type[Any]) -> Any:
    """The next frame of a kind; others before it are passed over."""
    while True:
        message = decode_frame(await socket.receive_str(timeout=ANSWER_LIMIT_S))
        if isinstance(message, kind):
            return message


async def hear_close(socket: aiohttp.ClientWebSocketResponse) -> int:
    """Read until the server closes: its close code."""
    async with asyncio.timeout(ANSWER_LIMIT_S):
        async for _ in socket:
            pass
    assert socket.close_code is not None
    return socket.close_code


@pytest.mark.parametrize("path", ["acs", "tcs"])
async def test_heartbeats_come_on_both_sockets(
    server: Server, session: aiohttp.ClientSession, path: str
) -> None:
    socket = await connect(session, server, server.register(), path)
    heard = [await hear(socket, acs.HeartbeatMessage) for _ in range(4)]
    assert all(heartbeat.healthy for heartbeat in heard)
    assert len({heartbeat.message_id for heartbeat in heard}) == 4
    await socket.close()


async def test_an_agent_that_acknowledges_heartbeats_stays_and_a_silent_one_does_not(
    server: Server, session: aiohttp.ClientSession
) -> None:
    good_arn, silent_arn = server.register(), server.register()
    good = await connect(session, server, good_arn, protocolVersion="2")
    silent = await connect(session, server, silent_arn, protocolVersion="2")

    async def acknowledge() -> None:
        while True:
            heartbeat = await hear(good, acs.HeartbeatMessage)
            answer = acs.HeartbeatAckRequest(message_id=heartbeat.message_id)
            await good.send_str(encode_frame(answer))

    answering = asyncio.create_task(acknowledge())
    assert await hear_close(silent) == 1008
    assert not await asyncio.to_thread(server.is_connected, silent_arn)
    assert await asyncio.to_thread(server.is_connected, good_arn)
    answering.cancel()
    await good.close()


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({"clusterArn": "nowhere"}, acs.InvalidClusterException),
        (
            {"containerInstanceArn": "arn:aws:ecs:x:1:container-instance/a/b"},
            acs.AccessDeniedException,
        ),
        ({"containerInstanceArn": ""}, acs.BadRequestException),
    ],
)
async def test_a_refusal_comes_as_a_frame(
    server: Server,
    session: aiohttp.ClientSession,
    query: dict[str, str],
    refusal: type[Any],
) -> None:
    members = {"clusterArn": "default", "containerInstanceArn": server.register(), **query}
    socket = await session.ws_connect(f"{server.endpoint}/acs/ws?{urlencode(members)}")
    assert (await hear(socket, refusal)).message
    assert await hear_close(socket) == 1008


async def test_a_deregistered_instance_is_sent_away_now_and_when_it_returns(
    server: Server, session: aiohttp.ClientSession
) -> None:
    arn = server.register()
    socket = await connect(session, server, arn)
    await hear(socket, acs.TaskManifestMessage)
    await asyncio.to_thread(
        server.client.call, "DeregisterContainerInstance", {"containerInstance": arn}
    )
    assert await hear(socket, acs.InactiveInstanceException)
    assert await hear_close(socket) == 1008
    again = await connect(session, server, arn)
    assert await hear(again, acs.InactiveInstanceException)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"type":7}',
        '{"type":"AckRequest","message":{"messageId":7}}',
        "{" * 100_000,
        '{"type":"AckRequest","message":' + "[" * 10_000,
        "Host: x\r\n\r\n",
    ],
)
async def test_what_is_no_frame_is_answered_and_ends_that_connection_only(
    server: Server, session: aiohttp.ClientSession, text: str
) -> None:
    arn = server.register()
    bad, good = await connect(session, server, arn), await connect(session, server, arn)
    await hear(good, acs.TaskManifestMessage)
    await bad.send_str(text)
    assert await hear(bad, acs.BadRequestException)
    assert await hear_close(bad) == 1008
    assert await asyncio.to_thread(server.is_connected, arn)
    await good.close()


async def test_a_frame_over_the_limit_is_never_read_to_its_end(
    server: Server, session: aiohttp.ClientSession
) -> None:
    arn = server.register()
    socket = await connect(session, server, arn)
    await hear(socket, acs.TaskManifestMessage)
    with contextlib.suppress(ConnectionError):  # the rest of the frame meets a closed door
        await socket.send_str("x" * (MAX_FRAME_BYTES + 1))
    assert await hear_close(socket) in (1006, 1009)
    assert not await asyncio.to_thread(server.is_connected, arn)


async def test_frames_of_a_newer_agent_are_ignored(
    server: Server, session: aiohttp.ClientSession
) -> None:
    socket = await connect(session, server, server.register(), "tcs")
    await socket.send_str(json.dumps({"type": "PublishDreams", "message": {"a": [1, {}]}}))
    metrics = {"type": "PublishMetricsRequest", "message": {"timestamp": 1, "brandNew": [1]}}
    await socket.send_str("X-Signed: yes\r\n\r\n" + json.dumps(metrics))
    assert await hear(socket, tcs.AckPublishMetric) is not None
    await socket.close()


async def test_a_service_of_tasks_reaches_an_agent_in_payloads_of_bounded_size(
    server: Server, session: aiohttp.ClientSession
) -> None:
    arn = server.register()
    socket = await connect(session, server, arn)
    await hear(socket, acs.TaskManifestMessage)
    definition = {"name": "app", "image": "busybox", "memory": 4}
    call = server.client.call
    await asyncio.to_thread(
        call, "RegisterTaskDefinition", {"family": "many", "containerDefinitions": [definition]}
    )
    request = {"serviceName": "many", "taskDefinition": "many", "desiredCount": 25}
    await asyncio.to_thread(call, "CreateService", request)
    task_arns: set[str] = set()
    payloads = []
    while len(task_arns) < 25:
        payload = await hear(socket, acs.PayloadMessage)
        payloads.append(payload)
        task_arns |= {task.arn for task in payload.tasks}
    assert max(len(payload.tasks) for payload in payloads) <= 10
    numbers = [payload.seq_num for payload in payloads]
    assert numbers == sorted(set(numbers))
    await socket.close()
