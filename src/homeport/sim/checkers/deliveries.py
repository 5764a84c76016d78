"""Truth: webhooks get every event of a durable commit, in order, and of no other commit.

An endpoint may get an event again, not before another one that it hasn't had yet. Whoever has lost
the journal's lease sends none; what it had sent before may still arrive.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from homeport.operations.render.events import first_sequence_behind
from homeport.sim.disk import SimDisk
from homeport.sim.violation import Violation

TRUTH = "webhooks get each event, in order, and no other"
FENCED = "only the newest lease delivers events"


class DeliveryChecker:
    """Remembers what was decided, over all lives, and what each endpoint has got."""

    def __init__(self, disk: SimDisk, urls: Sequence[str]) -> None:
        self._disk = disk
        self._bodies: dict[int, bytes] = {}
        self._order: list[int] = []  # the numbers of all events, in order
        self._last = dict.fromkeys(urls, 0)

    def decided(self, events: Sequence[tuple[int, bytes]], epoch: int) -> None:
        """A commit is applied: these are its events, if it can become durable at all."""
        if epoch != self._disk.newest_epoch:
            return
        for sequence, body in events:
            self._bodies[sequence] = body
            self._order.append(sequence)

    def recovered(self, commit_sequence: int) -> None:
        """The control plane has started: what was decided behind this commit never happened."""
        last = first_sequence_behind(commit_sequence)
        while self._order and self._order[-1] > last:
            del self._bodies[self._order.pop()]

    def posted(self, url: str, epoch: int) -> None:
        """Whoever has this lease sends an event to an endpoint."""
        if epoch != self._disk.newest_epoch:
            newest = self._disk.newest_epoch
            raise Violation(FENCED, f"epoch {epoch} sends to {url}, {newest} is held")

    def delivered(self, url: str, sequence: int, body: bytes) -> None:
        """An endpoint gets an event."""
        durable = first_sequence_behind(self._disk.durable_sequence)
        if sequence > durable or self._bodies.get(sequence) != body:
            raise Violation(TRUTH, f"{url} hears of {sequence}, which never happened")
        last = self._last[url]
        if sequence <= last:
            return
        missed = self._order[bisect_right(self._order, last)]
        if missed != sequence:
            raise Violation(TRUTH, f"{url} gets {sequence} before {missed}")
        self._last[url] = sequence

    def find_undelivered(self) -> Iterator[str]:
        """Say which endpoints lack events."""
        newest = self._order[-1] if self._order else 0
        for url, last in self._last.items():
            if last < newest:
                yield f"{url} has events up to {last} of {newest}"
