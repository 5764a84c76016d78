"""How many requests a task may make: a token bucket for each, on a clock that may be given."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CALLERS: Final = 5_000


class RequestRate:
    """Admits `per_second` requests of a caller in the long run, `burst` of them at once."""

    def __init__(
        self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # caller → tokens left, when in s

    def admits(self, caller: str) -> bool:
        """Whether one more request of this caller is taken now."""
        now_s = self._clock()
        tokens, at_s = self._buckets.pop(caller, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - at_s) * self._per_second)
        if len(self._buckets) >= MAX_CALLERS:
            del self._buckets[next(iter(self._buckets))]
        is_admitted = tokens >= 1
        self._buckets[caller] = (tokens - 1 if is_admitted else tokens, now_s)
        return is_admitted
