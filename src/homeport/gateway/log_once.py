"""Which warnings were logged lately, so that a hostile or broken agent can't fill the log. Pure.

Not here: what is worth a warning.
"""

from typing import Final

KEYS_LIMIT: Final = 1_000
"""Warnings that are remembered; beyond that the longest known are forgotten."""

REPEAT_AFTER_MS: Final = 60 * 60 * 1_000
"""What goes on is said again after an hour: an agent that was sent away waits as long."""


class LogOnce:
    """Remembers who was warned of, and of what."""

    def __init__(self) -> None:
        self._logged_at_ms: dict[tuple[str, str], int] = {}

    def is_news(self, who: str, what: str, now_ms: int) -> bool:
        """Whether this is to be logged now; then it counts as logged."""
        key = (who, what)
        logged_at_ms = self._logged_at_ms.get(key)
        if logged_at_ms is not None and now_ms - logged_at_ms < REPEAT_AFTER_MS:
            return False
        self._logged_at_ms.pop(key, None)
        if len(self._logged_at_ms) >= KEYS_LIMIT:
            del self._logged_at_ms[next(iter(self._logged_at_ms))]
        self._logged_at_ms[key] = now_ms
        return True
