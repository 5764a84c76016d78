"""Thousands of hostile connections: each is refused, the log stays short, nobody else notices.

Beside them a well-behaved agent is given tasks, acknowledges its payloads and keeps its connection.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlencode

import aiohttp
import pytest

from homeport.cli.api_client import ApiClient
from homeport.sim.agents import SimulatedAgent
from homeport.wire.agent_messages import acs
from homeport.wire.agent_messages.frames import MAX_FRAME_BYTES, decode_frame, encode_frame
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow

CONNECTIONS = 2_400
OVERSIZED = 12  # each of these costs its sender 4 MiB
AT_ONCE = 50
ROUNDS = 5  # tasks that the well-behaved agent is given meanwhile
ANSWER_LIMIT_S = 20
CUT_OFF = "cut off"
TOO_LARGE = 1009
UNKNOWN = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/" + "0" * 32
OTHER_ACCOUNT = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=210987654321/20261122/us-east-1/ecs/aws4_request"
}
DEFINITION = {
    "family": "web",
    "requiresCompatibilities": ["EC2"],
    "containerDefinitions": [{"name": "web", "image": "web:1", "memory": 4}],
}


class Server:
    def __init__(self) -> None:
        arguments = ["server", "--port", "0", "--ephemeral", "--log-level", "warning"]
        self.process = HomeportProcess(arguments)
        self.endpoint = self.process.wait_endpoint()
        self.client = ApiClient(self.endpoint, "us-east-1")
        self.client.call("CreateCluster", {"clusterName": "default"})
        self.client.call("RegisterTaskDefinition", DEFINITION)
        self.honest, self.stolen = self._register(), self._register()

    def _register(self) -> str:
        agent = SimulatedAgent(cluster="default", images=frozenset())
        agent.registered(self.client.call(*agent.register()))
        return agent.instance_arn

    def is_connected(self, arn: str) -> bool:
        found = self.client.call("DescribeContainerInstances", {"containerInstances": [arn]})
        return bool(found["containerInstances"][0]["agentConnected"])

    def url(self, arn: str, cluster: str = "default") -> str:
        query = urlencode({"clusterArn": cluster, "containerInstanceArn": arn})
        return f"{self.endpoint}/acs/ws?{query}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    assert server.process.stop() == 0


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


class HonestAgent:
    """Acknowledges what it is sent; `is_served` is set by each payload."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.is_served = asyncio.Event()

    async def serve(self) -> None:
        async for received in self._socket:
            message = decode_frame(received.data)
            if isinstance(message, acs.PayloadMessage):
                ack = acs.AckRequest(message_id=message.message_id)
                await self._socket.send_str(encode_frame(ack))
                self.is_served.set()
        raise AssertionError("the well-behaved agent lost its connection")


async def run_tasks(server: Server, agent: HonestAgent) -> None:
    request = {"taskDefinition": "web", "containerInstances": [server.honest]}
    for _ in range(ROUNDS):
        agent.is_served.clear()
        await asyncio.to_thread(server.client.call, "StartTask", request)
        await asyncio.wait_for(agent.is_served.wait(), ANSWER_LIMIT_S)


async def hear_end(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The refusal's type; or how else the connection ended."""
    async for received in socket:
        kind = type(decode_frame(received.data)).__name__
        if kind.endswith("Exception"):
            return kind
    # So many claim to be the same agent that the oldest have to go.
    return f"{TOO_LARGE}" if socket.close_code == TOO_LARGE else CUT_OFF


async def test_a_crowd_of_hostile_agents_is_refused_and_logged_once(
    server: Server, session: aiohttp.ClientSession
) -> None:
    async def knock(url: str, headers: dict[str, str] | None = None) -> str:
        async with session.ws_connect(url, headers=headers) as socket:
            return await hear_end(socket)

    async def shout(text: str) -> str:
        async with session.ws_connect(server.url(server.stolen)) as socket:
            try:
                await socket.send_str(text)
            except ConnectionError:
                return CUT_OFF  # refused by its first bytes, which say how long it is
            return await hear_end(socket)

    attacks: tuple[tuple[set[str], Callable[[], Awaitable[str]]], ...] = (
        ({"InvalidInstanceException"}, lambda: knock(server.url(UNKNOWN))),
        ({"InvalidClusterException"}, lambda: knock(server.url(server.honest, "other"))),
        ({"AccessDeniedException"}, lambda: knock(server.url(server.honest), OTHER_ACCOUNT)),
        ({"BadRequestException", CUT_OFF}, lambda: shout("{ this is no frame")),
    )
    gate = asyncio.Semaphore(AT_ONCE)

    async def attack(number: int) -> tuple[int, str]:
        kind = number % len(attacks)
        async with gate:
            return kind, await attacks[kind][1]()

    async with session.ws_connect(server.url(server.honest)) as socket:
        agent = HonestAgent(socket)
        serving = asyncio.create_task(agent.serve())
        working = asyncio.create_task(run_tasks(server, agent))
        answers = Counter(await asyncio.gather(*(attack(n) for n in range(CONNECTIONS))))
        oversized = await asyncio.gather(
            *(shout("x" * (MAX_FRAME_BYTES + 1)) for _ in range(OVERSIZED))
        )
        await working
        assert not serving.done()
        assert await asyncio.to_thread(server.is_connected, server.honest)
        serving.cancel()
    for kind, (expected, _) in enumerate(attacks):
        found = {answer for (each, answer) in answers if each == kind}
        assert found <= expected, (kind, found)
        assert found & expected - {CUT_OFF}
    assert set(oversized) <= {f"{TOO_LARGE}", CUT_OFF}
    warnings = [line for line in server.process.lines if "WARNING" in line or "refused" in line]
    assert len(attacks) <= len(warnings) <= len(attacks) + 2, "\n".join(warnings[:20])
