"""One played agent: an ACS websocket, and reports over signed calls of its own connection.

It speaks Amazon's protocol as a real agent does: it acknowledges payloads, heartbeats and
manifests, and reports each task RUNNING once. It starts no container, so that what is measured is
the control plane. What all agents have seen together is kept in a `Sightings`.
"""

import asyncio
import time
from collections import deque
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from homeport.bench.signed_connection import CallFailed, SignedConnection

CLUSTER = "default"
FRAME_LIMIT_BYTES = 16 * 1024 * 1024
CONTAINER_PORT = 80
HOST_PORT = 32_768


class _Named(msgspec.Struct):
    name: str


class _Task(msgspec.Struct, rename="camel"):
    arn: str
    desired_status: str
    containers: list[_Named]
    group: str = ""


class _Body(msgspec.Struct, rename="camel"):
    message_id: str | None = None
    tasks: list[_Task] = []


class _Frame(msgspec.Struct):
    type: str
    message: _Body


class _Registered(msgspec.Struct, rename="camel"):
    container_instance_arn: str


class _Registration(msgspec.Struct, rename="camel"):
    container_instance: _Registered


_FRAMES = msgspec.json.Decoder(_Frame)
_ACKNOWLEDGEMENTS = {
    "PayloadMessage": "AckRequest",
    "TaskManifestMessage": "AckRequest",
    "HeartbeatMessage": "HeartbeatAckRequest",
}


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
        self._unreported: deque[_Task] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def join(self, *, cpu_units: int, memory_mib: int) -> None:
        """Register and open the socket; its frames are answered from then on."""
        resources = [
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu_units},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory_mib},
        ]
        reply = await self._calls.call("RegisterContainerInstance", {"totalResources": resources})
        registered = msgspec.json.decode(reply, type=_Registration)
        self._arn = registered.container_instance.container_instance_arn
        query = f"clusterArn={CLUSTER}&containerInstanceArn={quote(self._arn, safe='')}"
        self._socket = await connect(
            f"{self._url.replace('http', 'ws', 1)}/acs/ws?{query}&seqNum=1&protocolVersion=2",
            compression=None,
            max_size=FRAME_LIMIT_BYTES,
            ping_interval=None,
        )
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
                frame = _FRAMES.decode(text)
                kind = _ACKNOWLEDGEMENTS.get(frame.type)
                if kind is not None:
                    await socket.send(self._acknowledge(kind, frame.message.message_id))
                if frame.type == "PayloadMessage":
                    self._take(frame.message.tasks)
            self._sightings.note_loss(f"the server closed the socket of {self._arn}")
        except ConnectionClosed as closed:
            self._sightings.note_loss(f"the socket of {self._arn} broke: {closed}")

    def _acknowledge(self, kind: str, message_id: str | None) -> str:
        message = {
            "cluster": CLUSTER,
            "containerInstance": self._arn,
            "messageId": message_id,
        }
        return msgspec.json.encode({"type": kind, "message": message}).decode()

    def _take(self, tasks: list[_Task]) -> None:
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
                await self._calls.call("SubmitTaskStateChange", _running_report(task))
                self._sightings.note_running(task.group, begun_s)
        except CallFailed as failure:
            self._sightings.note_loss(str(failure))


def _running_report(task: _Task) -> dict[str, object]:
    """Write what an agent says when all containers of a task run."""
    binding = {
        "bindIP": "0.0.0.0",
        "containerPort": CONTAINER_PORT,
        "hostPort": HOST_PORT,
        "protocol": "tcp",
    }
    containers = [
        {
            "containerName": container.name,
            "runtimeId": task.arn[-32:],
            "status": "RUNNING",
            "networkBindings": [binding],
        }
        for container in task.containers
    ]
    return {"cluster": CLUSTER, "task": task.arn, "status": "RUNNING", "containers": containers}
