"""What goes first, what is done once for many, and how soon a failed try is repeated.

Small edges shared by the runner, the reporter and the sessions. No Docker, no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


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


class SharedWork(Generic[Result]):
    """Does a thing once for all that ask for it while it is under way."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Result]] = {}

    async def join(self, name: str, work: Callable[[str], Coroutine[Any, Any, Result]]) -> Result:
        """The result of what is under way by that name, or of `work(name)`, begun now."""
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = asyncio.create_task(work(name))
            running.add_done_callback(lambda done: self._end(name, done))
        # Whoever gives up must not take the others' with it.
        return await asyncio.shield(running)

    async def cancel(self) -> None:
        """Give up all that is under way."""
        running = [*self._running.values()]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _end(self, name: str, done: asyncio.Task[Result]) -> None:
        self._running.pop(name, None)
        if not done.cancelled():
            # Whoever waited has been told; if nobody waits any more, nobody minds.
            done.exception()


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
