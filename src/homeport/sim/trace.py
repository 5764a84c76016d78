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
        self._kept: deque[tuple[int, int, tuple[object, ...]]] = deque(maxlen=KEPT_LINES)

    def note(self, *words: object) -> None:
        """Note what happens in this step."""
        entry = (self._timeline.steps, self._timeline.now_ms, words)
        if self._show is not None:
            self._show(self._render(*entry))
        self._kept.append(entry)

    def newest(self) -> tuple[str, ...]:
        """Return the newest lines, the oldest of them first."""
        return tuple(self._render(*entry) for entry in self._kept)

    def _render(self, step: int, at_ms: int, words: tuple[object, ...]) -> str:
        seconds = (at_ms - self._timeline.start_ms) / 1_000
        return f"{step:>8}  {seconds:>10.3f} s  {' '.join(str(word) for word in words)}"
