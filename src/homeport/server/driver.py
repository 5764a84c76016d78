"""Drives the engine on the event loop: calls come in, reconciling follows as soon as it is due.

No decision is made here; this is the asynchronous edge of the synchronous engine.
"""

import asyncio
import logging
import os
import time
from functools import partial
from typing import Protocol

from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Answer, Engine
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
    """The engine's outlet, and where calls start; `failed` is set when the engine has a bug."""

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._report_turns = ReportTurns(self._loop)
        self._engine: Engine | None = None
        self._agents: AgentOutlet | None = None
        self._turn: asyncio.Handle | None = None
        self._turn_is_soon = False

    def attach(self, engine: Engine, agents: AgentOutlet) -> None:
        """Complete the circle: the engine was built with this driver as its outlet."""
        self._engine = engine
        self._agents = agents

    def start(self, event: ApiCalled, answer: Answer) -> None:
        """Carry out one API call; `answer` gets the reply's shape once durable, or an error."""
        if event.operation in REPORT_OPERATIONS:
            self._report_turns.take(partial(self._call, event, answer))
        else:
            self._call(event, answer)

    def _call(self, event: ApiCalled, answer: Answer) -> None:
        assert self._engine is not None
        try:
            self._engine.call(event, answer)
        except Exception as bug:  # noqa: BLE001 - nothing has changed: it is this caller's alone
            answer(bug)

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
