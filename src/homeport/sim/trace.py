"""What happened in a run, step by step: the newest lines always, all of them when wanted."""

from collections import deque
from collections.abc import Callable

from homeport.sim.clock import Timeline

KEPT_LINES = 60
"""How many lines before a failure are shown."""


class Trace:
    """Notes lines as tuples, and puts them in words only when somebody reads them."""

    def __init__(self, timeline: Timeline, show: Callable[[str], None] | None = None) -> None:
        self._timeline = timeline
        self._show = show
        self._kept: deque[tuple[int, float, tuple[object, ...]]] = deque(maxlen=KEPT_LINES)

    def note(self, *words: object) -> None:
        """Note what happens in this step."""
        entry = (self._timeline.steps, self._timeline.seconds, words)
        if self._show is not None:
            self._show(_render(*entry))
        self._kept.append(entry)

    def newest(self) -> tuple[str, ...]:
        """Return the newest lines, the oldest of them first."""
        return tuple(_render(*entry) for entry in self._kept)


def _render(step: int, seconds: float, words: tuple[object, ...]) -> str:
    return f"{step:>8}  {seconds:>10.3f} s  {' '.join(str(word) for word in words)}"
