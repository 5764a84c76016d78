"""Whose turn it is on a simulated agent: what `agent.gate` does, on virtual time."""

from collections.abc import Callable
from heapq import heappop, heappush

from homeport.sim.clock import Life, Timeline

Turn = Callable[[], None]


class Place:
    """A place in a queue; who gives it up is passed over."""

    __slots__ = ("turn",)

    def __init__(self, turn: Turn) -> None:
        self.turn: Turn | None = turn

    def take(self) -> bool:
        """Let the turn come; False when it has, or was given up."""
        turn, self.turn = self.turn, None
        if turn is not None:
            turn()
        return turn is not None

    def give_up(self) -> bool:
        """Leave the queue; False when the turn had come already."""
        was_waiting, self.turn = self.turn is not None, None
        return was_waiting


class PriorityGate:
    """Lets so many through at a time; of those that wait, the lowest priority number first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._order = 0
        self._waiting: list[tuple[int, int, Place]] = []

    def enter(self, priority: int, turn: Turn) -> Place:
        """Take a turn as soon as there is room."""
        place = Place(turn)
        if self._free:
            self._free -= 1
            place.take()
        else:
            self._order += 1
            heappush(self._waiting, (priority, self._order, place))
        return place

    def leave(self) -> None:
        """Give the room to the next one."""
        while self._waiting:
            _, _, place = heappop(self._waiting)
            if place.take():
                return
        self._free += 1


class Precedence:
    """Lets some work go first: other work waits while there is any, but never longer than so."""

    def __init__(self, timeline: Timeline, life: Life, *, patience_s: float) -> None:
        self._timeline = timeline
        self._life = life
        self._patience_ms = round(patience_s * 1_000)
        self._ahead = 0
        self._waiting: list[Place] = []

    def begin(self) -> None:
        """Work that goes first has come up."""
        self._ahead += 1

    def end(self) -> None:
        """Work that goes first is done, or given up."""
        self._ahead -= 1
        if self._ahead == 0:
            waiting, self._waiting = self._waiting, []
            for place in waiting:
                place.take()

    def wait(self, turn: Turn) -> None:
        """Take a turn once nothing goes first any more, or the patience is at its end."""
        if not self._ahead:
            turn()
            return
        place = Place(turn)
        self._waiting.append(place)

        def lose_patience() -> None:
            place.take()

        self._timeline.after(self._patience_ms, lose_patience, self._life)
