"""One connected agent without tasks: both of its websockets, kept open as Amazon's agent does.

It acknowledges heartbeats and manifests, publishes telemetry, and comes back after a lost
connection with Amazon's waits. What all agents together have seen is kept in an `Attendance`.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from homeport.bench.signed_connection import SignedConnection

CLUSTER: Final = "default"
CPU_UNITS: Final = 2_048
MEMORY_MIB: Final = 4_096
FRAME_LIMIT_BYTES: Final = 4 * 1024 * 1024
TELEMETRY_INTERVAL_S: Final = 20.0
# Waits before the next try (ecs-agent/acs/session/session.go, ecs-agent/tcs/handler/handler.go).
ACS_WAITS_S: Final = (0.25, 120.0, 1.5)
TCS_WAITS_S: Final = (1.0, 60.0, 2.0)
WAIT_JITTER: Final = 0.2
# What stands before each telemetry frame of Amazon's agent.
SIGNED_HEAD: Final = "Host: 127.0.0.1\r\nX-Amz-Date: 20261122T000000Z\r\n\r\n"


class _Registered(msgspec.Struct, rename="camel"):
    container_instance_arn: str


class _Registration(msgspec.Struct, rename="camel"):
    container_instance: _Registered


class _Message(msgspec.Struct, rename="camel"):
    message_id: str | None = None


class _Frame(msgspec.Struct):
    type: str
    message: _Message


_FRAMES = msgspec.json.Decoder(_Frame)


class Attendance:
    """Which sockets the server has greeted; `is_full` while it has greeted all of them."""

    def __init__(self, sockets: int) -> None:
        self._wanted = sockets
        self._greeted: set[str] = set()
        self.heartbeats = 0
        self.is_full = asyncio.Event()

    def greeted(self, socket_name: str) -> None:
        """Count a socket in: the server has said on it what it says first."""
        self._greeted.add(socket_name)
        if len(self._greeted) >= self._wanted:
            self.is_full.set()

    def lost(self, socket_name: str) -> None:
        """Count a socket out."""
        self._greeted.discard(socket_name)
        self.is_full.clear()

    def forget(self) -> None:
        """Count all sockets out: the server that greeted them is dead."""
        self._greeted.clear()
        self.is_full.clear()


class IdleAgent:
    """One container instance's agent."""

    def __init__(self, url: str, number: int, attendance: Attendance) -> None:
        self._url = url
        self._attendance = attendance
        self._number = number
        self._arn = ""
        self._keeping: list[asyncio.Task[None]] = []
        self._telemetry: ClientConnection | None = None

    async def register(self, client: SignedConnection) -> None:
        """Register a container instance; one call on a client's connection."""
        resources = [
            {"name": "CPU", "type": "INTEGER", "integerValue": CPU_UNITS},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": MEMORY_MIB},
        ]
        reply = await client.call("RegisterContainerInstance", {"totalResources": resources})
        registered = msgspec.json.decode(reply, type=_Registration)
        self._arn = registered.container_instance.container_instance_arn

    def start(self) -> None:
        """Open both sockets, and keep them open from now on."""
        arn = quote(self._arn, safe="")
        acs = f"acs/ws?clusterArn={CLUSTER}&containerInstanceArn={arn}&seqNum=1&protocolVersion=2"
        tcs = f"tcs/ws?cluster={CLUSTER}&containerInstance={arn}"
        versions = "&agentVersion=1.105.1&agentHash=bench&dockerVersion=20.10.24"
        self._keeping = [
            asyncio.create_task(self._keep(f"{acs}{versions}", "acs", ACS_WAITS_S)),
            asyncio.create_task(self._keep(f"{tcs}{versions}", "tcs", TCS_WAITS_S)),
        ]

    def check(self) -> None:
        """Raise what went wrong meanwhile."""
        for task in self._keeping:
            if task.done() and not task.cancelled():
                task.result()

    async def leave(self) -> None:
        """Close both sockets."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def publish(self) -> None:
        """Publish what an agent without tasks publishes every 20 s."""
        socket = self._telemetry
        if socket is None:
            return
        names = {"cluster": CLUSTER, "containerInstance": self._arn}
        metrics = {"metadata": {**names, "idle": True, "fin": True, "messageId": "1"}}
        check = {"type": "ContainerRuntime", "status": "OK", "lastUpdated": 1}
        status = {"metadata": {**names, "requestId": "1"}, "statuses": [check], "timestamp": 1}
        with contextlib.suppress(ConnectionClosed):
            await _send(socket, "PublishMetricsRequest", {**metrics, "timestamp": 1}, SIGNED_HEAD)
            await _send(socket, "PublishInstanceStatusRequest", status, SIGNED_HEAD)

    async def _keep(
        self, path_and_query: str, kind: str, waits_s: tuple[float, float, float]
    ) -> None:
        first_s, last_s, factor = waits_s
        wait_s = first_s
        url = f"{self._url.replace('http', 'ws', 1)}/{path_and_query}"
        while True:
            try:
                async with connect(
                    url, compression=None, max_size=FRAME_LIMIT_BYTES, ping_interval=None
                ) as socket:
                    wait_s = first_s
                    await self._read(socket, kind)
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
                # Waiting for the server is the point; bounded by whoever waits for `is_full`.
                await asyncio.sleep(wait_s * random.uniform(1, 1 + WAIT_JITTER))
                wait_s = min(wait_s * factor, last_s)

    async def _read(self, socket: ClientConnection, kind: str) -> None:
        name = f"{kind}/{self._number}"
        greeting = "TaskManifestMessage" if kind == "acs" else "HeartbeatMessage"
        if kind == "tcs":
            self._telemetry = socket
        try:
            async for text in socket:
                frame = _FRAMES.decode(text)
                if frame.type == greeting:
                    self._attendance.greeted(name)
                await self._answer(socket, kind, frame)
        finally:
            self._attendance.lost(name)

    async def _answer(self, socket: ClientConnection, kind: str, frame: _Frame) -> None:
        if frame.type == "HeartbeatMessage":
            self._attendance.heartbeats += 1
            if kind == "acs":
                body = {"messageId": frame.message.message_id}
                await _send(socket, "HeartbeatAckRequest", body)
        elif frame.type == "TaskManifestMessage":
            body = {"messageId": frame.message.message_id, "cluster": CLUSTER}
            await _send(socket, "AckRequest", {**body, "containerInstance": self._arn})


async def _send(
    socket: ClientConnection, kind: str, message: Mapping[str, object], head: str = ""
) -> None:
    text = msgspec.json.encode({"type": kind, "message": message}).decode()
    await socket.send(f"{head}{text}")
