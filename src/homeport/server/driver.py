"""Drives the engine on the event loop: answers as awaitables, reconciling as soon as it is due.

No decision is made here; this is the asynchronous edge of the synchronous engine.
"""

import asyncio
import logging
import os
import time
from typing import Protocol

from homeport.api.errors import AwsError, ServiceUnavailable
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import ApiCalled
from homeport.server.report_turns import REPORT_OPERATIONS, ReportTurns

log = logging.getLogger("homeport.engine")

ENTROPY_BYTES = 16
ENTROPY_BATCH_BYTES = 4_096  # asked of the machine at once: each time is a system call


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class SystemEntropy:
    """The machine's chance."""

    def __init__(self) -> None:
        self._batch = b""
        self._used_bytes = 0

    def draw(self) -> bytes:
        """Return 16 fresh bytes."""
        start = self._used_bytes
        if start == len(self._batch):
            self._batch = os.urandom(ENTROPY_BATCH_BYTES)
            start = 0
        self._used_bytes = start + ENTROPY_BYTES
        return self._batch[start : self._used_bytes]


class AgentOutlet(Protocol):
    """Where effects for agents go: the gateway."""

    def send_tasks(self, effect: SendTasks) -> None:
        """Send an agent what is wanted of its tasks."""

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Tell an agent that its container instance is gone."""


class EngineDriver:
    """The engine's outlet and the server's `call`; `failed` is set when the engine has a bug."""

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._report_turns = ReportTurns(self._loop)
        self._engine: Engine | None = None
        self._agents: AgentOutlet | None = None
        self._turn: asyncio.Handle | None = None
        self._turn_is_soon = False
        self._waiting: dict[_PendingAnswer, None] = {}
        self._refusal: str | None = None

    def attach(self, engine: Engine, agents: AgentOutlet) -> None:
        """Complete the circle: the engine was built with this driver as its outlet."""
        self._engine = engine
        self._agents = agents

    async def call(self, event: ApiCalled) -> object:
        """Carry out one API call; returns its reply's shape once durable, or raises AwsError."""
        assert self._engine is not None
        if event.operation in REPORT_OPERATIONS:
            await self._report_turns.wait()
        if self._refusal is not None:
            raise ServiceUnavailable(self._refusal)
        answer = _PendingAnswer()
        self._engine.call(event, answer.take)
        reply = answer.reply if answer.is_there else await self._wait(answer)
        if isinstance(reply, AwsError):
            raise reply
        return reply

    def refuse_calls(self, message: str) -> None:
        """Answer whoever waits, and whoever calls from now on, with ServiceUnavailable.

        For the end of a server that has failed: what waits will never be durable.
        """
        self._refusal = message
        for answer in list(self._waiting):
            answer.take(ServiceUnavailable(message))

    async def _wait(self, answer: "_PendingAnswer") -> object:
        self._waiting[answer] = None
        try:
            return await answer.wait(self._loop)
        finally:
            del self._waiting[answer]

    def send_tasks(self, effect: SendTasks) -> None:
        """Pass an effect to the gateway."""
        assert self._agents is not None
        self._agents.send_tasks(effect)

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Pass an effect to the gateway."""
        assert self._agents is not None
        self._agents.disconnect_agent(effect)

    def note(self, text: str) -> None:
        """Log a line that a decision wrote."""
        log.info("%s", text)

    def work_waits(self) -> None:
        """Let the engine look at its agenda in this turn of the loop, behind what is queued."""
        if self._turn_is_soon:
            return
        if self._turn is not None:
            self._turn.cancel()
        self._turn_is_soon = True
        self._turn = self._loop.call_soon(self._run_due)

    def stop(self) -> None:
        """Take no more turns."""
        if self._turn is not None:
            self._turn.cancel()
        self._turn_is_soon = True

    def _run_due(self) -> None:
        assert self._engine is not None
        self._turn, self._turn_is_soon = None, False
        try:
            due_ms = self._engine.run_due()
        except Exception as bug:  # noqa: BLE001 - the one catch-all of this edge
            # A bug: the state may not be what the schedulers think, so the server stops.
            if not self.failed.done():
                self.failed.set_exception(bug)
            self.stop()
            return
        if due_ms is None or self._turn_is_soon:
            return
        wait_s = due_ms / 1_000 - time.time()
        if wait_s <= 0:
            self.work_waits()
        else:
            self._turn = self._loop.call_later(wait_s, self._run_due)


class _PendingAnswer:
    """Most answers are there at once; only the others need a future."""

    __slots__ = ("_future", "is_there", "reply")

    def __init__(self) -> None:
        self.is_there = False
        self.reply: object = None
        self._future: asyncio.Future[object] | None = None

    def take(self, reply: object) -> None:
        self.is_there = True
        self.reply = reply
        if self._future is not None and not self._future.done():
            self._future.set_result(reply)

    async def wait(self, loop: asyncio.AbstractEventLoop) -> object:
        self._future = loop.create_future()
        return await self._future
