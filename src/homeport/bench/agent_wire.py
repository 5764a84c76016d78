"""What played agents say and hear: the frames and reports of Amazon's protocol that they need.

They start no container, so that what is measured is the control plane. Not here: what the agents
of a measurement do and have seen (`fleet_agent`, `service_agent`).
"""

from typing import Final
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from homeport.bench.signed_connection import SignedConnection

CLUSTER: Final = "default"
CONTAINER_PORT: Final = 80
HOST_PORT: Final = 32_768
FRAME_LIMIT_BYTES: Final = 16 * 1024 * 1024
_ACKNOWLEDGEMENTS: Final = {
    "PayloadMessage": "AckRequest",
    "TaskManifestMessage": "AckRequest",
    "HeartbeatMessage": "HeartbeatAckRequest",
}


class PlayedContainer(msgspec.Struct):
    """A container as a payload names it."""

    name: str


class PlayedTask(msgspec.Struct, rename="camel"):
    """A task as a payload names it."""

    arn: str
    desired_status: str
    family: str = ""
    version: str = ""
    containers: list[PlayedContainer] = []
    group: str = ""


class Message(msgspec.Struct, rename="camel"):
    """What of a frame's message a played agent reads."""

    message_id: str | None = None
    tasks: list[PlayedTask] = []


class Frame(msgspec.Struct):
    """A frame from the control plane."""

    type: str
    message: Message

    @property
    def tasks(self) -> list[PlayedTask]:
        """The tasks that the frame hands over: only a payload does."""
        return self.message.tasks if self.type == "PayloadMessage" else []


class _Registered(msgspec.Struct, rename="camel"):
    container_instance_arn: str


class _Registration(msgspec.Struct, rename="camel"):
    container_instance: _Registered


_FRAMES = msgspec.json.Decoder(Frame)


async def register(calls: SignedConnection, *, cpu_units: int, memory_mib: int) -> str:
    """Register a container instance of this size; returns its ARN."""
    resources = [
        {"name": "CPU", "type": "INTEGER", "integerValue": cpu_units},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": memory_mib},
    ]
    reply = await calls.call("RegisterContainerInstance", {"totalResources": resources})
    return msgspec.json.decode(reply, type=_Registration).container_instance.container_instance_arn


async def open_acs(url: str, instance_arn: str) -> ClientConnection:
    """Open the socket on which tasks are handed over."""
    query = f"clusterArn={CLUSTER}&containerInstanceArn={quote(instance_arn, safe='')}"
    return await _open(url, f"acs/ws?{query}&seqNum=1&protocolVersion=2")


async def open_tcs(url: str, instance_arn: str) -> ClientConnection:
    """Open the socket on which metrics are published."""
    query = f"cluster={CLUSTER}&containerInstance={quote(instance_arn, safe='')}"
    return await _open(url, f"tcs/ws?{query}")


async def _open(url: str, path: str) -> ClientConnection:
    return await connect(
        f"{url.replace('http', 'ws', 1)}/{path}",
        compression=None,
        max_size=FRAME_LIMIT_BYTES,
        ping_interval=None,
    )


def read_frame(text: str | bytes) -> Frame:
    """Read a frame from the control plane."""
    return _FRAMES.decode(text)


def render_acknowledgement(frame: Frame, instance_arn: str) -> str | None:
    """Write the answer that a frame wants; None if it wants none."""
    kind = _ACKNOWLEDGEMENTS.get(frame.type)
    if kind is None:
        return None
    message = {
        "cluster": CLUSTER,
        "containerInstance": instance_arn,
        "messageId": frame.message.message_id,
    }
    return msgspec.json.encode({"type": kind, "message": message}).decode()


def render_running(task: PlayedTask) -> dict[str, object]:
    """Write what an agent says when all containers of a task run."""
    binding = {
        "bindIP": "0.0.0.0",
        "containerPort": CONTAINER_PORT,
        "hostPort": HOST_PORT,
        "protocol": "tcp",
    }
    started = {"runtimeId": task.arn[-32:], "status": "RUNNING", "networkBindings": [binding]}
    containers = [{"containerName": each.name, **started} for each in task.containers]
    return {"cluster": CLUSTER, "task": task.arn, "status": "RUNNING", "containers": containers}


def render_stopped(task: PlayedTask, *, exit_code: int, reason: str) -> dict[str, object]:
    """Write what an agent says when all containers of a task have ended."""
    ended = {"status": "STOPPED", "exitCode": exit_code}
    return {
        "cluster": CLUSTER,
        "task": task.arn,
        "status": "STOPPED",
        "reason": reason or "Essential container in task exited",
        "containers": [{"containerName": each.name, **ended} for each in task.containers],
    }
