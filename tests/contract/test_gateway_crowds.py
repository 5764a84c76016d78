"""Thousands of hostile connections: each is refused, the log stays short, nobody else notices."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlencode

import aiohttp
import pytest

from homeport.cli.api_client import ApiClient
from homeport.sim.agents import SimulatedAgent
from homeport.wire.agent_messages import acs
from homeport.wire.agent_messages.frames import decode_frame
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow

CONNECTIONS = 2_000
AT_ONCE = 50
CUT_OFF = "cut off"
UNKNOWN = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/" + "0" * 32


class Server:
    def __init__(self) -> None:
        arguments = ["server", "--port", "0", "--ephemeral", "--log-level", "warning"]
        self.process = HomeportProcess(arguments)
        self.endpoint = self.process.wait_endpoint()
        self.client = ApiClient(self.endpoint, "us-east-1")
        self.client.call("CreateCluster", {"clusterName": "default"})
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


async def test_a_crowd_of_hostile_agents_is_refused_and_logged_once(server: Server):
    gate = asyncio.Semaphore(AT_ONCE)

    async def attack(session: aiohttp.ClientSession, number: int) -> str:
        wrong_cluster = server.url(server.honest, "other")
        nonsense = server.url(server.stolen)
        url = (server.url(UNKNOWN), wrong_cluster, nonsense)[number % 3]
        async with gate, session.ws_connect(url) as socket:
            if url is nonsense:
                await socket.send_str("{ this is no frame")
            async for received in socket:
                kind = type(decode_frame(received.data)).__name__
                if kind.endswith("Exception"):
                    return kind
            return CUT_OFF  # so many claim to be the same agent that the oldest have to go

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        honest = await session.ws_connect(server.url(server.honest))
        answers = await asyncio.gather(*(attack(session, n) for n in range(CONNECTIONS)))
        assert server.is_connected(server.honest)
        assert set(answers) - {CUT_OFF} == {
            acs.InvalidInstanceException.__name__,
            acs.InvalidClusterException.__name__,
            acs.BadRequestException.__name__,
        }
        await honest.close()
    warnings = [line for line in server.process.lines if "WARNING" in line or "refused" in line]
    assert 1 <= len(warnings) <= 6, "\n".join(warnings[:20])
