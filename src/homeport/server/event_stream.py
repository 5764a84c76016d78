"""The newest events of each account and region, in memory, for those who follow.

What a commit means is `operations.render.events`' work; here events are kept once their commit is
durable, numbered, bounded, and handed to pollers and webhooks.
"""

import asyncio
import bisect
from collections.abc import Callable, Collection
from operator import attrgetter
from typing import NamedTuple

from homeport.api.errors import ServiceUnavailable
from homeport.engine.ports import Journal
from homeport.model.arn import Scope
from homeport.operations.render.events import StateChange, first_sequence_behind, read_commit
from homeport.state.changes import AnyRecord, Commit
from homeport.state.view import View

EVENTS_KEPT = 4_096  # of one account and region
SCOPES_KEPT = 64  # accounts and regions; beyond, the one that was silent longest is forgotten
POLLERS_LIMIT = 256  # waiting at the same time

Listener = Callable[[list[StateChange]], None]
_sequence_of = attrgetter("sequence")


class EventPage(NamedTuple):
    """Some events, oldest first, how far the stream was read, and whether a part was lost."""

    events: list[StateChange]
    last_sequence: int
    is_incomplete: bool


class _Kept:
    """The events of one scope; those up to `lost_through` aren't kept."""

    def __init__(self, lost_through: int) -> None:
        self.lost_through = lost_through
        self.events: list[StateChange] = []

    def add(self, event: StateChange) -> None:
        self.events.append(event)
        # Cut seldom and much: cutting a list from its front costs its length.
        if len(self.events) >= 2 * EVENTS_KEPT:
            self.lost_through = self.events[-EVENTS_KEPT - 1].sequence
            del self.events[:-EVENTS_KEPT]


class EventStream:
    """Follows the store's feed; everything happens on the event loop's thread."""

    def __init__(self, view: View, journal: Journal, *, commit_sequence: int) -> None:
        self._view = view
        self._journal = journal
        self._newest = first_sequence_behind(commit_sequence)
        self._lost_through = self._newest
        self._kept: dict[Scope, _Kept] = {}
        self._pollers: dict[asyncio.Future[None], Scope] = {}
        self._listeners: list[Listener] = []
        self._keepers: list[Listener] = []
        self.is_closed = False

    def follow(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Take one applied commit; its events are told as soon as it is durable."""
        events = read_commit(self._view, commit, replaced)
        if events:
            for keep in self._keepers:
                keep(events)
            self._journal.when_durable(lambda: self._tell(events))

    def listen(self, listener: Listener, *, keep: Listener | None = None) -> None:
        """Call `listener` with the events of every commit from now on, once it is durable.

        `keep` hears of them as soon as they are decided, so that what is durable is kept, too.
        """
        self._listeners.append(listener)
        if keep is not None:
            self._keepers.append(keep)

    def read(
        self,
        scope: Scope,
        after: int | None,
        *,
        tail: int | None = None,
        limit: int,
        detail_types: Collection[str] = (),
    ) -> EventPage:
        """Return up to `limit` events behind `after`, or the newest `tail`; None and None: all.

        A number that this stream never gave out, from before a restart, counts as all, too.
        """
        kept = self._kept.get(scope) or _Kept(self._lost_through)
        is_incomplete = after is not None and not kept.lost_through <= after <= self._newest
        start = 0
        if after is not None and not is_incomplete:
            start = bisect.bisect_right(kept.events, after, key=_sequence_of)
        wanted = [
            each
            for each in kept.events[start:]
            if not detail_types or each.detail_type in detail_types
        ]
        if tail is not None:
            wanted = wanted[len(wanted) - min(tail, len(wanted)) :]
        page = wanted[:limit]
        last = page[-1].sequence if len(page) < len(wanted) else self._newest
        return EventPage(page, last, is_incomplete)

    async def wait(self, scope: Scope, limit_s: float) -> None:
        """Return when there is a new event of this scope, at the latest after `limit_s`.

        Raises ServiceUnavailable when too many wait already.
        """
        if self.is_closed:
            return
        if len(self._pollers) >= POLLERS_LIMIT:
            raise ServiceUnavailable(
                f"{POLLERS_LIMIT} callers wait for events already; ask without waitTimeSeconds."
            )
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pollers[told] = scope
        try:
            await asyncio.wait((told,), timeout=limit_s)
        finally:
            del self._pollers[told]

    def close(self) -> None:
        """Let everybody who waits go; nobody waits from now on."""
        self.is_closed = True
        for told in self._pollers:
            if not told.done():
                told.set_result(None)

    def _tell(self, events: list[StateChange]) -> None:
        self._newest = events[-1].sequence
        kept = scope = None
        for event in events:
            if kept is None or event.scope != scope:
                kept, scope = self._kept_for(event.scope), event.scope
            kept.add(event)
        if self._pollers:
            self._wake({event.scope for event in events})
        for listener in self._listeners:
            listener(events)

    def _wake(self, scopes: set[Scope]) -> None:
        for told, scope in self._pollers.items():
            if scope in scopes and not told.done():
                told.set_result(None)

    def _kept_for(self, scope: Scope) -> _Kept:
        # Put last again: the first is the one that was silent longest.
        kept = self._kept.pop(scope, None)
        if kept is None:
            kept = _Kept(self._lost_through)
            if len(self._kept) >= SCOPES_KEPT:
                del self._kept[next(iter(self._kept))]
                self._lost_through = self._newest
        self._kept[scope] = kept
        return kept
