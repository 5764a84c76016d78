"""Bounds on what runs at the same time, and on how soon a failed try is repeated.

Small edges shared by the runner, the reporter and the sessions. No Docker, no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class PriorityGate:
    """Lets so many through at a time; of those that wait, the lowest priority number first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def slot(self, priority: int) -> AsyncIterator[None]:
        """Hold one slot for the block."""
        await self._enter(priority)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: int) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot was handed over just as the wait was given up: pass it on.
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Precedence:
    """Lets some work go first: other work waits while there is any, but never longer than so."""

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._ahead = 0
        self._nobody_ahead = asyncio.Event()
        self._nobody_ahead.set()

    def begin(self) -> None:
        """Work that goes first has come up."""
        self._ahead += 1
        self._nobody_ahead.clear()

    def end(self) -> None:
        """Work that goes first is done, or given up."""
        self._ahead -= 1
        if self._ahead == 0:
            self._nobody_ahead.set()

    async def wait(self) -> None:
        """Return once nothing goes first any more, or the patience is at its end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._nobody_ahead.wait()


class Backoff:
    """Growing waits between tries, with jitter so that many agents don't come back as one."""

    def __init__(self, *, first_s: float, last_s: float, factor: float = 1.5) -> None:
        self._first_s, self._last_s, self._factor = first_s, last_s, factor
        self._next_s = first_s

    def reset(self) -> None:
        """A try went well: start over with the shortest wait."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """How long to wait before the next try."""
        wait_s = self._next_s * random.uniform(0.8, 1.2)
        self._next_s = min(self._next_s * self._factor, self._last_s)
        return wait_s
