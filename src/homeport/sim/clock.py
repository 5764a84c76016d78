"""Virtual time: a heap of what happens when, and the clocks that simulated machines read.

Nothing waits: time is that of the next entry. What happens at the same millisecond happens in the
order in which it was planned, so a run is the same every time.
"""

import enum
from collections.abc import Callable
from heapq import heappop, heappush

START_MS = 1_760_000_000_000
"""When every simulation begins (October 2025), in epoch milliseconds."""

Action = Callable[[], None]


class Life:
    """The life of a simulated process: what it planned dies with it."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False

    def end(self) -> None:
        """Kill the process: nothing that it planned will happen."""
        self.is_over = True


class Timer:
    """One planned action; cancelled or dead with its owner it does nothing."""

    __slots__ = ("action", "at_ms", "owner")

    def __init__(self, at_ms: int, action: Action, owner: Life | None) -> None:
        self.at_ms = at_ms
        self.action: Action | None = action
        self.owner = owner

    def cancel(self) -> None:
        """Let it not happen."""
        self.action = None


class Stop(enum.Enum):
    """Why a run of the timeline is over."""

    AT_MOMENT = enum.auto()
    AT_STEP = enum.auto()
    IN_A_LOOP = enum.auto()


class Timeline:
    """All that is going to happen, and the moment that it is now (epoch milliseconds)."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.start_ms = start_ms
        self.now_ms = start_ms
        self.steps = 0
        self._order = 0
        self._heap: list[tuple[int, int, Timer]] = []

    def at(self, at_ms: int, action: Action, owner: Life | None = None) -> Timer:
        """Plan an action for a moment; a past one means now, behind what is planned for now."""
        if at_ms < self.now_ms:
            at_ms = self.now_ms
        timer = Timer(at_ms, action, owner)
        self._order += 1
        heappush(self._heap, (at_ms, self._order, timer))
        return timer

    def after(self, delay_ms: int, action: Action, owner: Life | None = None) -> Timer:
        """Plan an action for so many milliseconds from now."""
        at_ms = self.now_ms + delay_ms if delay_ms > 0 else self.now_ms
        timer = Timer(at_ms, action, owner)
        self._order += 1
        heappush(self._heap, (at_ms, self._order, timer))
        return timer

    def soon(self, action: Action, owner: Life | None = None) -> Timer:
        """Plan an action for this very millisecond, behind what is planned for it already."""
        return self.at(self.now_ms, action, owner)

    def step(self, until_ms: int) -> bool:
        """Let the next thing happen; False when nothing is left before `until_ms`."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            at_ms, _, timer = heappop(heap)
            action, owner = timer.action, timer.owner
            if action is None or (owner is not None and owner.is_over):
                continue
            self.now_ms = at_ms
            self.steps += 1
            action()
            return True
        self.now_ms = max(self.now_ms, until_ms)
        return False

    def run(self, until_ms: int, until_step: int, steps_per_moment: int) -> "Stop":
        """Let things happen until a moment or a step, but only so many at the same millisecond."""
        heap, steps, moment_ms, since_step = self._heap, self.steps, self.now_ms, self.steps
        while steps < until_step:
            if not heap or heap[0][0] > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                return Stop.AT_MOMENT
            at_ms, _, timer = heappop(heap)
            action, owner = timer.action, timer.owner
            if action is None or (owner is not None and owner.is_over):
                continue
            steps += 1
            self.steps = steps
            if at_ms != moment_ms:
                self.now_ms = moment_ms = at_ms
                since_step = steps
            elif steps - since_step > steps_per_moment:
                return Stop.IN_A_LOOP
            action()
        return Stop.AT_STEP

    @property
    def seconds(self) -> float:
        """How long the simulation has lasted, in simulated seconds."""
        return (self.now_ms - self.start_ms) / 1_000


class SkewedClock:
    """One machine's clock: the true time, and what it is off by."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.offset_ms = 0

    def now_ms(self) -> int:
        """Return what this machine takes for the time, in epoch milliseconds."""
        return self._timeline.now_ms + self.offset_ms
