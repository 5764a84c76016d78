"""`homeport.sim.agents` on real sockets: a thread that plays an agent against a real server."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

import aiohttp

from homeport.sim.agents import Call, Reactions, SimulatedAgent

RETRY_S = 0.05
ANSWER_LIMIT_S = 10
TARGET = "AmazonEC2ContainerServiceV20141113"


class AgentThread:
    """An agent's process, as far as it matters: start it, stop it, and its memory stays."""

    def __init__(self, endpoint: str, agent: SimulatedAgent) -> None:
        self.agent = agent
        self._endpoint = endpoint
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._work: asyncio.Task[None] | None = None
        self._telemetry: aiohttp.ClientWebSocketResponse | None = None

    def start(self) -> None:
        """Register, connect, and stay connected."""
        self._thread.start()

    def stop(self) -> None:
        """End the process: the sockets are closed, tasks live on."""
        assert self._work is not None
        self._loop.call_soon_threadsafe(self._work.cancel)
        self._thread.join()

    def lose_container(self, task_arn: str, name: str) -> None:
        """End a container behind everybody's back."""

        async def lose() -> None:
            await self._carry_out(self.agent.lose_container(task_arn, name))

        self._await(lose())

    def _await(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_LIMIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._work = self._loop.create_task(self._live())
        try:
            self._loop.run_until_complete(self._work)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _live(self) -> None:
        async with aiohttp.ClientSession() as self._session:
            await self._register()
            while True:
                try:
                    await self._connect()
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(RETRY_S)  # as the agent does between two tries

    async def _register(self) -> None:
        self.agent.registered(await self._call(self.agent.register()))
        found = Call(
            "DiscoverPollEndpoint",
            {"cluster": self.agent.cluster, "containerInstance": self.agent.instance_arn},
        )
        endpoints = await self._call(found)
        self._acs_url, self._tcs_url = endpoints["endpoint"], endpoints["telemetryEndpoint"]

    async def _connect(self) -> None:
        """Hold both sockets until the communication socket ends."""
        cluster, instance = self.agent.cluster, self.agent.instance_arn
        acs = {
            "clusterArn": cluster,
            "containerInstanceArn": instance,
            "agentVersion": "1.105.1",
            "agentHash": "simulated",
            "dockerVersion": "DockerVersion: 20.10.24",
            "protocolVersion": "2",
        }
        tcs = {"cluster": cluster, "containerInstance": instance}
        async with (
            self._session.ws_connect(f"{self._acs_url}ws?{urlencode(acs)}") as self._acs,
            self._session.ws_connect(f"{self._tcs_url}ws?{urlencode(tcs)}") as self._tcs,
        ):
            for text in self.agent.greet_telemetry():
                await self._tcs.send_str(text)
            listening = asyncio.create_task(self._listen_to_telemetry(self._tcs))
            try:
                async for message in self._acs:
                    await self._carry_out(self.agent.acs_frame(message.data))
            finally:
                listening.cancel()

    async def _listen_to_telemetry(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            self.agent.tcs_frame(message.data)

    async def _carry_out(self, reactions: Reactions) -> None:
        for text in reactions.acs:
            await self._acs.send_str(text)
        for call in reactions.calls:
            await self._call(call)
        for text in reactions.tcs:
            await self._tcs.send_str(text)

    async def _call(self, call: Call) -> dict[str, Any]:
        """Call the ECS API until it answers: the server may be restarting."""
        headers = {
            "X-Amz-Target": f"{TARGET}.{call.operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        while True:
            try:
                async with self._session.post(
                    self._endpoint, json=call.body, headers=headers
                ) as answer:
                    reply: dict[str, Any] = json.loads(await answer.read())
                    assert answer.status == 200, (call, reply)
                    return reply
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(RETRY_S)
