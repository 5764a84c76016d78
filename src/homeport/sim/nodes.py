"""Two control planes on one disk: one is asked, the other takes over when it is told to.

The one that was taken over from isn't told: it lives on for a while with its sockets, its open
calls and connections over which more of them come, as a server does that was stopped for a moment.
It may answer nothing of the past; its disk refuses its next commit, and that ends it.
"""

from collections.abc import Callable

from homeport.sim.chance import Chance
from homeport.sim.clock import Life, SkewedClock, Timeline
from homeport.sim.control_plane import ControlPlane, OnAnswer, OnStart
from homeport.sim.disk import SimDisk
from homeport.sim.network import Direction, Network, Peer, Reply
from homeport.sim.trace import Trace

CALLS_OVER_OLD_CONNECTIONS = 0.3  # go to the one that was taken over from, while it lives
NAMES = ("control plane a", "control plane b")


class Nodes:
    """Whom the network's name leads to: the leader."""

    def __init__(
        self, timeline: Timeline, chance: Chance, trace: Trace, *, disk: SimDisk, on_start: OnStart
    ) -> None:
        self.clock = SkewedClock(timeline)
        self._timeline = timeline
        self._trace = trace
        self._connections = chance.stream("old connections")
        self._leader, self._other = (
            ControlPlane(
                name, timeline, chance, trace, disk=disk, clock=self.clock, on_start=on_start
            )
            for name in NAMES
        )

    def attach(self, network: Network, on_answer: OnAnswer) -> None:
        """Tell both of the network that they are on, and who hears of their answers."""
        for node in (self._leader, self._other):
            node.network = network
            node.on_answer = on_answer

    @property
    def is_up(self) -> bool:
        """Whether the leader lives."""
        return self._leader.is_up

    @property
    def lives(self) -> int:
        """How often one of them was started."""
        return self._leader.lives + self._other.lives

    def start(self) -> None:
        """Start the leader unless it lives."""
        self._leader.start()

    def crash(self) -> None:
        """Kill the leader."""
        self._leader.crash()

    def take_over(self, old_lives_ms: int) -> None:
        """Let the other one lead; the one before lives on for as long as nothing ends it."""
        self._other.crash()
        self._leader, self._other = self._other, self._leader
        self._trace.note(self._leader.name, "takes over from", self._other.name)
        self._leader.start()
        old = self._other

        def end() -> None:
            if old is self._other:
                old.crash()

        self._timeline.after(old_lives_ms, end)

    def end_old(self) -> None:
        """Kill the one that was taken over from, if it still lives."""
        self._other.crash()

    # what the network asks of them
    def answer(self, operation: str, body: bytes, reply: Callable[[Reply], None]) -> Life | None:
        """Carry out a call; None when nobody listens."""
        if self._other.is_up and self._connections.happens(CALLS_OVER_OLD_CONNECTIONS):
            return self._other.answer(operation, body, reply)
        return self._leader.answer(operation, body, reply)

    def accept(self, url: str, to_agent: Direction) -> tuple[Peer, Life] | None:
        """Let a socket in; None when nobody listens."""
        return self._leader.accept(url, to_agent)
