"""One played agent: an ACS websocket, and reports over signed calls of its own connection.

It speaks Amazon's protocol as a real agent does: it acknowledges payloads, heartbeats and
manifests, and reports each task RUNNING once. It starts no container, so that what is measured is
the control plane. What all agents have seen together is kept in a `Sightings`.
"""

import asyncio
import time
from collections import deque

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from homeport.bench.agent_wire import (
    PlayedTask,
    open_acs,
    read_frame,
    register,
    render_acknowledgement,
    render_running,
)
from homeport.bench.signed_connection import CallFailed, SignedConnection


class Sightings:
    """When the fleet saw what; times in seconds since `begun`."""

    def __init__(self, wanted_tasks: int) -> None:
        self._wanted = wanted_tasks
        self.begun = 0.0
        self.asked_s: dict[str, float] = {}  # by task group: when its service was asked for
        self.assigned_s: dict[str, float] = {}  # by task: when its agent was sent it
        self.running_s: list[float] = []  # when an agent's report of it was acknowledged
        self.latency_s: list[float] = []  # from when it was asked for until it was RUNNING
        self.report_s: list[float] = []  # how long agents waited for a report's acknowledgement
        self.loss: str | None = None  # why an agent isn't there any more
        self.is_over = asyncio.Event()  # every task is RUNNING, or an agent was lost

    def begin(self) -> None:
        """Count times from now on."""
        self.begun = time.perf_counter()

    @property
    def since_begun_s(self) -> float:
        """The time now."""
        return time.perf_counter() - self.begun

    def note_asked(self, service_name: str) -> None:
        """Remember that all tasks of a service are asked for now."""
        self.asked_s[f"service:{service_name}"] = self.since_begun_s

    def note_running(self, group: str, reported_s: float) -> None:
        """Count one more task that is RUNNING; its report was sent at `reported_s`."""
        now_s = self.since_begun_s
        self.report_s.append(now_s - reported_s)
        self.running_s.append(now_s)
        self.latency_s.append(now_s - self.asked_s[group])
        if len(self.running_s) >= self._wanted:
            self.is_over.set()

    def note_loss(self, reason: str) -> None:
        """Remember that an agent was cut off: its tasks will never be reported."""
        self.loss = self.loss or reason
        self.is_over.set()


class PlayedAgent:
    """One container instance's agent."""

    def __init__(self, url: str, sightings: Sightings) -> None:
        self._url = url
        self._sightings = sightings
        self._calls = SignedConnection(url)
        self._arn = ""
        self._socket: ClientConnection | None = None
        self._unreported: deque[PlayedTask] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def join(self, *, cpu_units: int, memory_mib: int) -> None:
        """Register and open the socket; its frames are answered from then on."""
        self._arn = await register(self._calls, cpu_units=cpu_units, memory_mib=memory_mib)
        self._socket = await open_acs(self._url, self._arn)
        self._reading = asyncio.create_task(self._read(self._socket))

    async def leave(self) -> None:
        """Hang up."""
        for work in (self._reading, self._reporting):
            if work is not None:
                work.cancel()
        if self._socket is not None:
            await self._socket.close()
        self._calls.close()

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                frame = read_frame(text)
                answer = render_acknowledgement(frame, self._arn)
                if answer is not None:
                    await socket.send(answer)
                self._take(frame.tasks)
            self._sightings.note_loss(f"the server closed the socket of {self._arn}")
        except ConnectionClosed as closed:
            self._sightings.note_loss(f"the socket of {self._arn} broke: {closed}")

    def _take(self, tasks: list[PlayedTask]) -> None:
        for task in tasks:
            known = self._sightings.assigned_s
            if task.arn not in known and task.desired_status == "RUNNING":
                known[task.arn] = self._sightings.since_begun_s
                self._unreported.append(task)
        if self._unreported and (self._reporting is None or self._reporting.done()):
            self._reporting = asyncio.create_task(self._report())

    async def _report(self) -> None:
        try:
            while self._unreported:
                task = self._unreported.popleft()
                begun_s = self._sightings.since_begun_s
                await self._calls.call("SubmitTaskStateChange", render_running(task))
                self._sightings.note_running(task.group, begun_s)
        except CallFailed as failure:
            self._sightings.note_loss(str(failure))
