"""Many agents that are merely connected: what they cost a server, and how they come back.

The agents are played in this process (`idle_agent`), with both of their websockets each; the server
is another process, with SQLite on disk. It is killed and started again under them.
"""

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from homeport.bench.idle_agent import CLUSTER, TELEMETRY_INTERVAL_S, Attendance, IdleAgent
from homeport.bench.processes import cpu_seconds, homeport_command, resident_mib, running
from homeport.bench.signed_connection import SignedConnection
from homeport.server.open_files import raise_open_files_limit

SOCKETS_PER_AGENT = 2
CALL_CONNECTIONS = 8
PAGE_INSTANCES = 100
ATTENDANCE_LIMIT_S = 300.0
DEFAULT_INSTANCES = 1_000
DEFAULT_SECONDS = 60.0
KIB_PER_MIB = 1_024

Progress = Callable[[str], None]


class InstancesResult(msgspec.Struct, frozen=True, kw_only=True):
    """What connected agents cost: times in seconds, processor time in percent of one core.

    `storm_seconds` is from starting a killed server again until it has greeted every socket.
    `heartbeat_percent` is the server's processor time with heartbeats alone, `telemetry_percent`
    with what idle agents publish as well. Memory is the server's, without and with all sockets.
    """

    instances: int
    sockets: int
    connect_seconds: float
    heartbeats: int
    heartbeat_percent: float
    telemetry_percent: float
    restart_seconds: float
    storm_seconds: float
    storm_cpu_seconds: float
    resident_without_mib: float
    resident_with_mib: float
    kib_per_socket: float


class _Life(msgspec.Struct, frozen=True):
    """One life of the server."""

    process: subprocess.Popen[bytes]
    url: str

    def cpu_s(self) -> float:
        return cpu_seconds([self.process.pid])

    def resident_mib(self) -> float:
        return resident_mib(self.process.pid)


async def measure_instances(
    instances: int, progress: Progress, *, seconds: float = DEFAULT_SECONDS
) -> InstancesResult:
    """Connect agents to a server, watch it for twice `seconds`, kill it and wait for all again."""
    raise_open_files_limit()
    attendance = Attendance(SOCKETS_PER_AGENT * instances)
    with tempfile.TemporaryDirectory(prefix="homeport-instances-") as folder:
        async with _server(folder, port=0) as life:
            url = life.url
            agents = [IdleAgent(url, number, attendance) for number in range(instances)]
            await _register(agents, url)
        port = int(url.rpartition(":")[2])
        try:
            async with _server(folder, port=port) as life:
                await _count_connected(url)  # so that it has served
                without_mib = life.resident_mib()
                connect_s = await _connect(agents, attendance)
                progress(f"{instances} agents connected in {connect_s:.1f} s")
                heartbeat_percent = await _cpu_percent(life, seconds)
                with_mib = life.resident_mib()
                heartbeats = attendance.heartbeats
                progress(f"heartbeats alone: {heartbeat_percent:.1f} % of a core")
                async with _publishing(agents):
                    # An agent's first word on its container runtime is a commit, the next aren't.
                    await _cpu_percent(life, min(seconds, TELEMETRY_INTERVAL_S))
                    telemetry_percent = await _cpu_percent(life, seconds)
                progress(f"with idle telemetry: {telemetry_percent:.1f} % of a core")
                life.process.kill()
            attendance.forget()
            begun = time.perf_counter()
            async with _server(folder, port=port) as life:
                restart_s = time.perf_counter() - begun
                storm_s = await _wait_for_all(agents, attendance, begun)
                storm_cpu_s = life.cpu_s()
                connected = await _count_connected(url)
                assert connected == instances, (connected, instances)
                progress(f"killed and started again: all are back after {storm_s:.1f} s")
        finally:
            await asyncio.gather(*(agent.leave() for agent in agents))
    return InstancesResult(
        instances=instances,
        sockets=SOCKETS_PER_AGENT * instances,
        connect_seconds=connect_s,
        heartbeats=heartbeats,
        heartbeat_percent=heartbeat_percent,
        telemetry_percent=telemetry_percent,
        restart_seconds=restart_s,
        storm_seconds=storm_s,
        storm_cpu_seconds=storm_cpu_s,
        resident_without_mib=without_mib,
        resident_with_mib=with_mib,
        kib_per_socket=(with_mib - without_mib) * KIB_PER_MIB / (SOCKETS_PER_AGENT * instances),
    )


@contextlib.asynccontextmanager
async def _server(folder: str, *, port: int) -> AsyncIterator[_Life]:
    """Run a server; starting and stopping wait on a thread, since the agents live on the loop."""
    command = homeport_command(
        "server", "--port", str(port), "--data-dir", folder, "--log-level", "warning"
    )
    started = running(command, r"listening on http://\S+")
    process, line = await asyncio.to_thread(started.__enter__)
    try:
        yield _Life(process, line.split()[-1])
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)


async def _register(agents: list[IdleAgent], url: str) -> None:
    waiting = iter(agents)

    async def register_some(client: SignedConnection) -> None:
        for agent in waiting:
            await agent.register(client)
        client.close()

    first = SignedConnection(url)
    await first.call("CreateCluster", {"clusterName": CLUSTER})
    others = [SignedConnection(url) for _ in range(CALL_CONNECTIONS - 1)]
    await asyncio.gather(*(register_some(client) for client in (first, *others)))


async def _connect(agents: list[IdleAgent], attendance: Attendance) -> float:
    begun = time.perf_counter()
    for agent in agents:
        agent.start()
    return await _wait_for_all(agents, attendance, begun)


async def _wait_for_all(agents: list[IdleAgent], attendance: Attendance, begun: float) -> float:
    async with asyncio.timeout(ATTENDANCE_LIMIT_S):
        await attendance.is_full.wait()
    for agent in agents:
        agent.check()
    return time.perf_counter() - begun


async def _cpu_percent(life: _Life, seconds: float) -> float:
    """Watch the server for so long; returns its processor time in percent of one core."""
    before_s, begun = life.cpu_s(), time.perf_counter()
    await asyncio.sleep(seconds)
    return 100 * (life.cpu_s() - before_s) / (time.perf_counter() - begun)


@contextlib.asynccontextmanager
async def _publishing(agents: list[IdleAgent]) -> AsyncIterator[None]:
    """Let every agent publish at its interval, one after the other, until the block ends."""

    async def publish() -> None:
        while True:
            for agent in agents:
                await agent.publish()
                await asyncio.sleep(TELEMETRY_INTERVAL_S / len(agents))

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()


async def _count_connected(url: str) -> int:
    """Count the container instances whose agents the server says are connected."""
    client = SignedConnection(url)
    connected, token = 0, None
    while True:
        asked: dict[str, Any] = {"maxResults": PAGE_INSTANCES, "nextToken": token}
        page = msgspec.json.decode(await client.call("ListContainerInstances", asked))
        arns = page["containerInstanceArns"]
        if arns:
            named = {"containerInstances": arns}
            reply = msgspec.json.decode(await client.call("DescribeContainerInstances", named))
            connected += sum(each["agentConnected"] for each in reply["containerInstances"])
        token = page.get("nextToken")
        if token is None:
            client.close()
            return connected
