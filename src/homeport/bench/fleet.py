"""A fleet over the real wire: N agents in this process, one real server with SQLite on disk.

Each agent has its own ACS websocket and reports over signed HTTP calls, so tasks are RUNNING as
far as the control plane can tell; no container is started. What a real agent does is `agent`'s.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from homeport.bench.http_load import TARGET_PREFIX
from homeport.bench.processes import cpu_seconds, peak_mib, running_server
from homeport.wire.signing import Credentials, sign_headers

CALL_CONNECTIONS = 48
CONNECTS_AT_ONCE = 64
TASKS_PER_SERVICE = 1_000
TASK_CPU_UNITS = 8
TASK_MEMORY_MIB = 16
LIMIT_S = 900.0
FRAME_LIMIT_BYTES = 16 * 1024 * 1024
HISTOGRAM_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "bench")


class FleetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet measured; `latency_ms` counts tasks by the bound they stayed under."""

    instances: int
    tasks: int
    seconds: float
    connect_seconds: float
    scheduled_per_second: float
    running_per_second: float
    server_peak_rss_mib: float
    server_cpu_seconds: float
    latency_ms: dict[str, int]


class _Named(msgspec.Struct):
    name: str


class _Task(msgspec.Struct, rename="camel"):
    arn: str
    desired_status: str
    containers: list[_Named]


class _Body(msgspec.Struct, rename="camel"):
    message_id: str | None = None
    tasks: list[_Task] = []


class _Frame(msgspec.Struct):
    type: str
    message: _Body


class _Calls:
    """Signed calls over a few kept connections; each connection carries one call at a time."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/"
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._gate = asyncio.Semaphore(CALL_CONNECTIONS)

    async def __call__(self, operation: str, body: object) -> dict[str, Any]:
        async with self._gate:
            if self._idle:
                reader, writer = self._idle.pop()
            else:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(self._request(operation, msgspec.json.encode(body)))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            start = head.index(b"content-length:") + 15
            reply = await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
            self._idle.append((reader, writer))
        if head[9:12] != b"200":
            raise RuntimeError(f"{operation}: {reply.decode()}")
        decoded: dict[str, Any] = msgspec.json.decode(reply)
        return decoded

    def _request(self, operation: str, body: bytes) -> bytes:
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"{TARGET_PREFIX}.{operation}",
        }
        signed = sign_headers(
            method="POST",
            url=self._url,
            headers=headers,
            body=body,
            credentials=CREDENTIALS,
            region="us-east-1",
            signed_at=datetime.now(UTC),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        host = f"{self._host}:{self._port}"
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


class _Fleet:
    """All agents, and what they have seen."""

    def __init__(self, url: str, calls: _Calls, wanted_tasks: int) -> None:
        self._url, self._calls, self._wanted = url, calls, wanted_tasks
        self._decoder = msgspec.json.Decoder(_Frame)
        self._reports: set[asyncio.Task[None]] = set()
        self._seen: dict[str, None] = {}
        self.begun = 0.0
        self.scheduled_s = 0.0
        self.running_s: list[float] = []
        self.is_done = asyncio.Event()
        self._connected = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def join(self, stack: contextlib.AsyncExitStack, per_instance: int) -> None:
        """Register one agent and open its socket; its frames are answered from then on."""
        resources = [
            {"name": "CPU", "type": "INTEGER", "integerValue": per_instance * TASK_CPU_UNITS},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": per_instance * TASK_MEMORY_MIB},
        ]
        async with self._connected:
            registered = await self._calls(
                "RegisterContainerInstance", {"totalResources": resources}
            )
            arn = registered["containerInstance"]["containerInstanceArn"]
            query = f"clusterArn=default&containerInstanceArn={quote(arn, safe='')}"
            socket = await connect(
                f"{self._url.replace('http', 'ws', 1)}/acs/ws?{query}&seqNum=1&protocolVersion=2",
                compression=None,
                max_size=FRAME_LIMIT_BYTES,
                ping_interval=None,
            )
        stack.push_async_callback(socket.close)
        reading = asyncio.create_task(self._serve(socket, arn))
        stack.callback(reading.cancel)

    async def _serve(self, socket: ClientConnection, arn: str) -> None:
        async for text in socket:
            frame = self._decoder.decode(text)
            if frame.type == "PayloadMessage":
                await socket.send(_ack("AckRequest", arn, frame.message.message_id))
                self._take(frame.message.tasks)
            elif frame.type == "HeartbeatMessage":
                await socket.send(_ack("HeartbeatAckRequest", arn, frame.message.message_id))
            elif frame.type == "TaskManifestMessage":
                await socket.send(_ack("AckRequest", arn, frame.message.message_id))

    def _take(self, tasks: list[_Task]) -> None:
        for task in tasks:
            if task.arn not in self._seen and task.desired_status == "RUNNING":
                self._seen[task.arn] = None
                report = asyncio.create_task(self._report(task))
                self._reports.add(report)
                report.add_done_callback(self._reports.discard)
        if len(self._seen) >= self._wanted and not self.scheduled_s:
            self.scheduled_s = time.perf_counter() - self.begun

    async def _report(self, task: _Task) -> None:
        containers = [
            {
                "containerName": container.name,
                "runtimeId": task.arn[-32:],
                "status": "RUNNING",
                "networkBindings": [
                    {
                        "bindIP": "0.0.0.0",
                        "containerPort": 80,
                        "hostPort": 32768,
                        "protocol": "tcp",
                    }
                ],
            }
            for container in task.containers
        ]
        body = {"cluster": "default", "task": task.arn, "status": "RUNNING"}
        await self._calls("SubmitTaskStateChange", {**body, "containers": containers})
        self.running_s.append(time.perf_counter() - self.begun)
        if len(self.running_s) >= self._wanted:
            self.is_done.set()


def _ack(kind: str, arn: str, message_id: str | None) -> str:
    message = {"cluster": "default", "containerInstance": arn, "messageId": message_id}
    return msgspec.json.encode({"type": kind, "message": message}).decode()


async def measure_fleet(instances: int, tasks: int, progress: Callable[[str], None]) -> FleetResult:
    """Start a server, connect the fleet, create the services, wait until every task is RUNNING."""
    with tempfile.TemporaryDirectory(prefix="homeport-fleet-") as folder:
        arguments = ("--data-dir", folder, "--log-level", "warning")
        with running_server(*arguments) as (process, url):
            calls = _Calls(url)
            fleet = _Fleet(url, calls, tasks)
            async with contextlib.AsyncExitStack() as stack:
                connect_s = await _connect(fleet, stack, calls, instances=instances, tasks=tasks)
                progress(f"{instances} agents connected in {connect_s:.1f} s")
                cpu_before_s = cpu_seconds([process.pid])
                await _create_services(fleet, calls, tasks)
                async with asyncio.timeout(LIMIT_S):
                    await fleet.is_done.wait()
                seconds = time.perf_counter() - fleet.begun
                progress(f"{tasks} tasks RUNNING in {seconds:.1f} s")
                cpu_s = cpu_seconds([process.pid]) - cpu_before_s
                rss_mib = peak_mib(process.pid)
            calls.close()
    return FleetResult(
        instances=instances,
        tasks=tasks,
        seconds=seconds,
        connect_seconds=connect_s,
        scheduled_per_second=tasks / fleet.scheduled_s,
        running_per_second=tasks / seconds,
        server_peak_rss_mib=rss_mib,
        server_cpu_seconds=cpu_s,
        latency_ms=_histogram(fleet.running_s),
    )


async def _connect(
    fleet: _Fleet, stack: contextlib.AsyncExitStack, calls: _Calls, *, instances: int, tasks: int
) -> float:
    await calls("CreateCluster", {})
    per_instance = 2 * -(-tasks // instances)  # room to spread, as a fleet has
    begun = time.perf_counter()
    await asyncio.gather(*(fleet.join(stack, per_instance) for _ in range(instances)))
    return time.perf_counter() - begun


async def _create_services(fleet: _Fleet, calls: _Calls, tasks: int) -> None:
    container = {
        "name": "web",
        "image": "web:1",
        "cpu": TASK_CPU_UNITS,
        "memory": TASK_MEMORY_MIB,
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
    }
    await calls("RegisterTaskDefinition", {"family": "web", "containerDefinitions": [container]})
    fleet.begun = time.perf_counter()
    for number, start in enumerate(range(0, tasks, TASKS_PER_SERVICE)):
        body = {
            "serviceName": f"web-{number}",
            "taskDefinition": "web",
            "desiredCount": min(TASKS_PER_SERVICE, tasks - start),
        }
        await calls("CreateService", body)


def _histogram(times_s: list[float]) -> dict[str, int]:
    counts = dict.fromkeys([*(f"{bound}" for bound in HISTOGRAM_MS), "more"], 0)
    for each_s in times_s:
        bound = next((b for b in HISTOGRAM_MS if each_s * 1_000 <= b), None)
        counts["more" if bound is None else f"{bound}"] += 1
    return counts
