"""One played agent of services under change: its tasks run, stop when told, and some die at once.

It speaks Amazon's protocol as `fleet_agent` does, and beyond that reports ends, and publishes each
task's metrics every 20 s as a real agent does. Tasks of the family `CRASHING` exit with 1 as soon
as they run. What the agents of one measurement do together is seen in a `Ward`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection

from homeport.bench.agent_wire import (
    CLUSTER,
    PlayedTask,
    open_acs,
    open_tcs,
    read_frame,
    register,
    render_acknowledgement,
    render_running,
    render_stopped,
)
from homeport.bench.signed_connection import SignedConnection
from homeport.wire.agent_messages import tcs

CONTAINER: Final = "web"
CRASHING: Final = "crashing"
CRASH_AFTER_S: Final = 0.05
INTERVAL_S: Final = 20.0
CONNECTIONS: Final = 4
"""For reports; a real agent has up to 16, so that no task's end waits for many others' starts."""

TASKS_PER_FRAME: Final = 10
"""As Amazon's agent cuts its metrics (ecs-agent/tcs/client)."""

SIGNED_HEAD: Final = "Host: 127.0.0.1\r\nX-Amz-Date: 20261122T000000Z\r\n\r\n"


class Ward:
    """What runs at which agent, by family; everybody who waits for a change is told of it."""

    def __init__(self) -> None:
        self.running: dict[str, dict[str, ServiceAgent]] = {}
        self.crashes = 0
        self.starts = 0
        self.trouble: BaseException | None = None
        self._changed = asyncio.Event()

    def note_running(self, family: str, arn: str, agent: "ServiceAgent") -> None:
        """A task's RUNNING was acknowledged."""
        self.running.setdefault(family, {})[arn] = agent
        self.starts += 1
        self._tell()

    def note_stopped(self, family: str, arn: str) -> None:
        """A task has ended at its agent."""
        self.running.get(family, {}).pop(arn, None)
        self._tell()

    def note_trouble(self, trouble: BaseException) -> None:
        """An agent can't go on: the measurement is worth nothing."""
        self.trouble = self.trouble or trouble
        self._tell()

    async def wait_for(self, family: str, count: int, limit_s: float) -> None:
        """Wait until so many of a family run; raises TimeoutError, or an agent's trouble."""
        async with asyncio.timeout(limit_s):
            while len(self.running.get(family, {})) != count:
                if self.trouble is not None:
                    raise self.trouble
                self._changed.clear()
                await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()


class ServiceAgent:
    """One container instance's agent."""

    def __init__(self, url: str, ward: Ward) -> None:
        self._url = url
        self._ward = ward
        self._idle = [SignedConnection(url) for _ in range(CONNECTIONS)]
        self._connections = (*self._idle,)
        self._arn = ""
        self._tasks: dict[str, PlayedTask] = {}
        self._reports: deque[tuple[PlayedTask, dict[str, object]]] = deque()
        self._work: set[asyncio.Task[None]] = set()
        self._acs: ClientConnection | None = None
        self._tcs: ClientConnection | None = None

    async def join(self, *, cpu_units: int, memory_mib: int) -> None:
        """Register, and open both sockets; their frames are answered from then on."""
        self._arn = await register(self._connections[0], cpu_units=cpu_units, memory_mib=memory_mib)
        self._acs = await open_acs(self._url, self._arn)
        self._tcs = await open_tcs(self._url, self._arn)
        self._begin(self._listen(self._acs))
        self._begin(_drain(self._tcs))

    async def leave(self) -> None:
        """Hang up."""
        for task in [*self._work]:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for socket in (self._acs, self._tcs):
            if socket is not None:
                await socket.close()
        for connection in self._connections:
            connection.close()

    def kill(self, arn: str) -> None:
        """A task of ours has been killed from outside; the control plane is told."""
        self._end(self._tasks[arn], exit_code=137, reason="killed")

    async def publish(self) -> None:
        """Publish what an agent with these tasks publishes every `INTERVAL_S`."""
        assert self._tcs is not None
        for message in render_metrics(self._arn, [*self._tasks.values()], time.time()):
            frame = {"type": "PublishMetricsRequest", "message": message}
            await self._tcs.send(SIGNED_HEAD + msgspec.json.encode(frame).decode())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (trouble := task.exception()) is not None:
            self._ward.note_trouble(trouble)

    async def _listen(self, socket: ClientConnection) -> None:
        async for text in socket:
            frame = read_frame(text)
            answer = render_acknowledgement(frame, self._arn)
            if answer is not None:
                await socket.send(answer)
            for task in frame.tasks:
                self._take(task)

    def _take(self, task: PlayedTask) -> None:
        known = self._tasks.get(task.arn)
        if task.desired_status == "RUNNING" and known is None:
            self._tasks[task.arn] = task
            self._report(task, render_running(task))
        elif task.desired_status == "STOPPED" and known is not None:
            self._end(known, exit_code=0, reason="")

    def _end(self, task: PlayedTask, *, exit_code: int, reason: str) -> None:
        if self._tasks.pop(task.arn, None) is not None:
            self._ward.note_stopped(task.family, task.arn)
            self._report(task, render_stopped(task, exit_code=exit_code, reason=reason))

    def _report(self, task: PlayedTask, report: dict[str, object]) -> None:
        self._reports.append((task, report))
        if self._idle:
            self._begin(self._send_reports(self._idle.pop()))

    async def _send_reports(self, connection: SignedConnection) -> None:
        try:
            while self._reports:
                task, report = self._reports.popleft()
                await connection.call("SubmitTaskStateChange", report)
                if report["status"] == "RUNNING" and task.arn in self._tasks:
                    self._ward.note_running(task.family, task.arn, self)
                    if task.family == CRASHING:
                        asyncio.get_running_loop().call_later(CRASH_AFTER_S, self._crash, task)
        finally:
            self._idle.append(connection)

    def _crash(self, task: PlayedTask) -> None:
        if task.arn in self._tasks:
            self._ward.crashes += 1
            self._end(task, exit_code=1, reason="")


async def _drain(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


def render_metrics(
    instance_arn: str, tasks: list[PlayedTask], at_s: float
) -> list[tcs.PublishMetricsRequest]:
    """Write what an agent publishes of its tasks, ten a frame."""
    parts = [tasks[n : n + TASKS_PER_FRAME] for n in range(0, len(tasks), TASKS_PER_FRAME)] or [[]]
    return [
        tcs.PublishMetricsRequest(
            metadata=tcs.MetricsMetadata(
                cluster=CLUSTER,
                container_instance=instance_arn,
                message_id=f"{at_s:.0f}-{number}",
                idle=not tasks,
                fin=number == len(parts) - 1,
            ),
            task_metrics=tuple(_metric(task) for task in part),
            timestamp=at_s,
        )
        for number, part in enumerate(parts)
    ]


def _metric(task: PlayedTask) -> tcs.TaskMetric:
    cpu = tcs.StatsSet(min=1.5, max=1.5, sample_count=1, sum=1.5)
    memory = tcs.StatsSet(min=12, max=12, sample_count=1, sum=12)
    containers = tuple(
        tcs.ContainerMetric(container_name=each.name, cpu_stats_set=cpu, memory_stats_set=memory)
        for each in task.containers
    )
    return tcs.TaskMetric(
        task_arn=task.arn,
        task_definition_family=task.family,
        task_definition_version=task.version,
        container_metrics=containers,
    )
