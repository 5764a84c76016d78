"""One timer for all connections: who must be looked at, and when.

A thousand idle connections cost one pending call of the event loop and one entry each.
"""

import asyncio
import heapq
from collections.abc import Callable

from homeport.engine.ports import Clock

Ring = Callable[[int], None]  # gets the time


class Timers:
    """Rings each key once, at its time or a little later; the newest plan for a key counts.

    What is due within `coarseness_ms` of each other rings together.
    """

    def __init__(self, clock: Clock, coarseness_ms: int) -> None:
        self._clock = clock
        self._coarseness_ms = coarseness_ms
        self._plans: dict[int, tuple[int, Ring]] = {}
        self._queue: list[tuple[int, int]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._handle_ms = 0

    def plan(self, key: int, at_ms: int, ring: Ring) -> None:
        """Ring for this key at a time; replaces an earlier plan."""
        known = self._plans.get(key)
        self._plans[key] = (at_ms, ring)
        if known is None or known[0] != at_ms:
            heapq.heappush(self._queue, (at_ms, key))
        self._arm()

    def drop(self, key: int) -> None:
        """Forget a key."""
        self._plans.pop(key, None)

    def stop(self) -> None:
        """Ring no more."""
        self._plans.clear()
        self._queue.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        while self._queue and not self._is_current(*self._queue[0]):
            heapq.heappop(self._queue)
        if not self._queue:
            return
        at_ms = self._queue[0][0]
        if self._handle is not None:
            if self._handle_ms <= at_ms:
                return
            self._handle.cancel()
        wait_ms = max(at_ms - self._clock.now_ms(), 0) + self._coarseness_ms
        self._handle = asyncio.get_running_loop().call_later(wait_ms / 1_000, self._ring_due)
        self._handle_ms = at_ms

    def _is_current(self, at_ms: int, key: int) -> bool:
        plan = self._plans.get(key)
        return plan is not None and plan[0] == at_ms

    def _ring_due(self) -> None:
        self._handle = None
        now_ms = self._clock.now_ms()
        while self._queue and self._queue[0][0] <= now_ms:
            at_ms, key = heapq.heappop(self._queue)
            if self._is_current(at_ms, key):
                _, ring = self._plans.pop(key)
                ring(now_ms)
        self._arm()
