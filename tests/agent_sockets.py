"""The gateway on a real engine with sockets that are two queues: no network, no disk."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from builders import NOW_MS, make_store
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.gateway.connections import Gateway, GatewaySettings
from homeport.gateway.limits import GatewayLimits
from homeport.model.container_instance import ContainerInstance
from homeport.state.changes import AnyRecord, Commit
from homeport.wire.agent_messages.frames import Message, decode_frame, encode_frame

ANSWER_LIMIT_S = 5


class FakeClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


class FakeEntropy:
    """Chance that is none."""

    def draw(self) -> bytes:
        return bytes(16)


class HeldJournal:
    """A journal whose disk a test can hold up."""

    def __init__(self) -> None:
        self.is_held = False
        self.waiting: list[Callable[[], None]] = []

    def append(self, commit: Commit) -> None:
        pass

    def when_durable(self, then: Callable[[], None]) -> None:
        if self.is_held:
            self.waiting.append(then)
        else:
            then()

    def release(self) -> None:
        self.is_held = False
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then()


class World:
    """A gateway, its engine, and what happened between them; also the engine's outlet."""

    def __init__(
        self,
        *records: AnyRecord,
        limits: GatewayLimits | None = None,
        settings: GatewaySettings | None = None,
        clock: Any = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.journal = HeldJournal()
        self.store = make_store(*records)
        self.notes: list[str] = []
        self.engine = Engine(
            store=self.store,
            journal=self.journal,
            outlet=self,
            clock=self.clock,
            entropy=FakeEntropy(),
            operations={},
        )
        self.gateway = Gateway(self.engine, self.clock, settings, limits=limits)

    def send_tasks(self, effect: SendTasks) -> None:
        self.gateway.send_tasks(effect)

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        self.gateway.disconnect_agent(effect)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def work_waits(self) -> None:
        pass

    def is_connected(self, instance: ContainerInstance) -> bool:
        found = self.engine.view.container_instance(instance.arn)
        assert found is not None
        return found.agent_connected

    def open(self, instance: ContainerInstance, *, path: str = "/acs/ws", **query: str) -> "Socket":
        """Open a socket as an instance's agent would."""
        members = {
            "clusterArn": "default",
            "containerInstanceArn": instance.arn,
            "protocolVersion": "2",
            **query,
        }
        return Socket(self.gateway, path, members)


class Socket:
    """The agent's end of one websocket."""

    def __init__(self, gateway: Gateway, path: str, query: dict[str, str]) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.to_app.put_nowait({"type": "websocket.connect"})
        self.is_stuck = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.is_gone = False
        scope = {"type": "websocket", "path": path, "query_string": urlencode(query).encode()}
        self.serving = asyncio.create_task(gateway.routes[path](scope, self.to_app.get, self._send))

    async def _send(self, event: Any) -> None:
        if not self.reads.is_set():
            self.is_stuck.set()
            await self.reads.wait()
        if self.is_gone:
            raise OSError("the peer is gone")
        self.events.put_nowait(event)
        if event["type"] == "websocket.close":
            # As the web server does: behind its own close the app hears of no more frames.
            self.to_app.put_nowait({"type": "websocket.disconnect", "code": event["code"]})

    async def event(self) -> dict[str, Any]:
        """The next thing that the gateway did to the websocket."""
        return await asyncio.wait_for(self.events.get(), ANSWER_LIMIT_S)

    async def frame(self, kind: type[Any]) -> Any:
        """The next frame of a kind; others before it are passed over."""
        while True:
            event = await self.event()
            assert event["type"] != "websocket.close", event
            if event["type"] == "websocket.send":
                message = decode_frame(event["text"])
                if isinstance(message, kind):
                    return message

    async def close_event(self) -> dict[str, Any]:
        """The websocket's close by the gateway; frames before it are passed over."""
        while (event := await self.event())["type"] != "websocket.close":
            pass
        return event

    def say(self, message: Message) -> None:
        """Send a frame."""
        self.say_text(encode_frame(message))

    def say_text(self, text: str) -> None:
        """Send a frame's text."""
        self.to_app.put_nowait({"type": "websocket.receive", "text": text})

    async def hang_up(self) -> None:
        """Close the socket from the agent's side; returns when the gateway is done with it."""
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await self.done()

    async def done(self) -> None:
        """Wait for the gateway to be done with the socket."""
        await asyncio.wait_for(self.serving, ANSWER_LIMIT_S)
