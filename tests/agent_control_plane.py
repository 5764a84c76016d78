"""A control plane small enough to read, for tests of a real agent: it records and answers.

It speaks the ECS calls and both sockets that an agent needs, and decides nothing by itself: a test
sends payloads and waits for reports.
"""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from homeport.agent.main import serve_agent
from homeport.agent.settings import AgentSettings
from homeport.wire.agent_messages import acs, payload, tcs
from homeport.wire.agent_messages.frames import Message, decode_frame, encode_frame

CLUSTER_ARN = "arn:aws:ecs:us-east-1:123456789012:cluster/default"
WAIT_LIMIT_S = 30
TELEMETRY_ACKS: dict[type[Any], Message] = {
    tcs.PublishMetricsRequest: tcs.AckPublishMetric(),
    tcs.PublishHealthRequest: tcs.AckPublishHealth(),
    tcs.PublishInstanceStatusRequest: tcs.AckPublishInstanceStatus(),
}


class ControlPlane:
    """What one or more agents said, and the sockets to answer on."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.messages: list[Message] = []
        self.telemetry: list[Message] = []
        self.failures: dict[str, list[web.Response]] = {}
        self.endpoint = ""
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._news = asyncio.Condition()
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_post("/", self._on_call)
        app.router.add_get("/acs/ws", self._on_acs)
        app.router.add_get("/tcs/ws", self._on_tcs)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for socket in self._sockets.values():
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def wait(self, check: Callable[[], Any]) -> Any:
        """Wait until `check` answers something true, looking again at each piece of news."""
        async with asyncio.timeout(WAIT_LIMIT_S), self._news:
            while not (found := check()):
                await self._news.wait()
            return found

    async def wait_connected(self, arn: str) -> None:
        await self.wait(lambda: arn in self._sockets and not self._sockets[arn].closed)

    async def send(self, arn: str, message: Message) -> None:
        await self.wait_connected(arn)
        await self._sockets[arn].send_str(encode_frame(message))

    async def send_tasks(self, arn: str, *tasks: payload.Task) -> str:
        """Send a payload and wait for its acknowledgement."""
        message_id = f"m{next(self._numbers)}"
        message = acs.PayloadMessage(
            cluster_arn=CLUSTER_ARN,
            container_instance_arn=arn,
            message_id=message_id,
            seq_num=next(self._numbers),
            tasks=tasks,
        )
        await self.send(arn, message)
        await self.wait(lambda: message_id in [m.message_id for m in self._acks()])
        return message_id

    async def send_stop(self, arn: str, task: payload.Task) -> None:
        await self.send_tasks(arn, msgspec.structs.replace(task, desired_status="STOPPED"))

    def _acks(self) -> list[Any]:
        return [m for m in self.messages if isinstance(m, acs.AckRequest)]

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == operation]

    def reports(self, task: payload.Task, status: str | None = None) -> list[dict[str, Any]]:
        return [
            body
            for body in self.bodies("SubmitTaskStateChange")
            if body["task"] == task.arn and status in (None, body["status"])
        ]

    async def wait_report(self, task: payload.Task, status: str) -> dict[str, Any]:
        reports = await self.wait(lambda: self.reports(task, status))
        return dict(reports[0])

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _on_call(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        assert "/ecs/aws4_request" in request.headers["Authorization"]
        body = await request.json()
        self.calls.append((operation, body))
        failures = self.failures.get(operation)
        reply = failures.pop(0) if failures else web.json_response(self._answer(operation, body))
        await self._tell()
        return reply

    def _answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        if operation == "RegisterContainerInstance":
            document = json.loads(body["instanceIdentityDocument"])
            arn = body.get("containerInstanceArn") or make_instance_arn(document["instanceId"])
            instance = {"containerInstanceArn": arn, "attributes": body["attributes"]}
            return {"containerInstance": instance}
        if operation == "DiscoverPollEndpoint":
            return {
                "endpoint": f"{self.endpoint}/acs/",
                "telemetryEndpoint": f"{self.endpoint}/tcs/",
            }
        return {"acknowledgment": "ok"}

    async def _on_acs(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[request.query["containerInstanceArn"]] = socket
        await self._tell()
        async for received in socket:
            if received.type is WSMsgType.TEXT:
                self.messages.append(decode_frame(received.data))
                await self._tell()
        await self._tell()
        return socket

    async def _on_tcs(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for received in socket:
            message = decode_frame(received.data)
            self.telemetry.append(message)
            await socket.send_str(encode_frame(TELEMETRY_ACKS[type(message)]))
            await self._tell()
        return socket


def make_instance_arn(instance_id: str) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:container-instance/default/{instance_id}"


def refusal(code: str, message: str, status: int = 400) -> web.Response:
    """An AWS error as the wire has it."""
    return web.json_response({"__type": code, "message": message}, status=status)


class AgentHere:
    """An agent in this process, its instance ARN, and the control plane it talks to."""

    def __init__(self, control: ControlPlane, settings: AgentSettings) -> None:
        self.control = control
        self.settings = settings
        self.arn = ""
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        known = len(self.control.bodies("RegisterContainerInstance"))
        self._stop.clear()
        self._running = asyncio.create_task(serve_agent(self.settings, self._stop))
        await self.control.wait(
            lambda: (
                len(self.control.bodies("DiscoverPollEndpoint")) > 0
                and len(self.control.bodies("RegisterContainerInstance")) > known
            )
        )
        self.arn = self.control.bodies("DiscoverPollEndpoint")[-1]["containerInstance"]
        await self.control.wait_connected(self.arn)

    async def stop(self) -> None:
        self._stop.set()
        if self._running is not None:
            await self._running
            self._running = None

    async def wait_end(self) -> None:
        """Wait until the agent ends by itself; raises what it raises."""
        assert self._running is not None
        running, self._running = self._running, None
        async with asyncio.timeout(WAIT_LIMIT_S):
            await running
