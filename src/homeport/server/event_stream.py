"""The newest events of each account and region, in memory, for those who follow.

What a commit means is `operations.render.events`' work; here events are kept once their commit is
durable, numbered, bounded, and handed to pollers and webhooks. Those of a new service are found out
when somebody reads: its commit says all about them, and under a load of CreateService hardly anyone
does.
"""

import asyncio
import bisect
from collections import Counter
from collections.abc import Callable, Collection
from operator import attrgetter
from typing import NamedTuple

from homeport.api.errors import ServiceUnavailable
from homeport.engine.ports import Journal
from homeport.model.arn import Scope, scope_of
from homeport.model.service import Service
from homeport.model.service_deployment import ServiceRevision
from homeport.operations.render.events import (
    StateChange,
    first_sequence_behind,
    read_commit,
    read_later,
    tells_all_itself,
)
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.view import View

EVENTS_KEPT = 4_096  # of one account and region
SCOPES_KEPT = 64  # accounts and regions; beyond, the one that was silent longest is forgotten
POLLERS_LIMIT = 256  # waiting at the same time

Listener = Callable[[list[StateChange]], None]
_sequence_of = attrgetter("sequence")
_FIRST_OF_A_SERVICE = (ServiceRevision, Service)  # what its creation puts first


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
        self._unread: list[Commit] = []  # behind all that is kept
        self._pollers: dict[asyncio.Future[None], Scope] = {}
        self._listeners: list[Listener] = []
        self._keepers: list[Listener] = []
        self.is_closed = False

    def follow(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Take one applied commit; its events are told as soon as it is durable."""
        is_heard = self._listeners or self._pollers
        if not is_heard and tells_all_itself(commit, replaced):
            self._journal.when_durable(lambda: self._put_off(commit))
            return
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
        self._catch_up()
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

    def _put_off(self, commit: Commit) -> None:
        """Read a durable commit later, at once if somebody waits for events."""
        self._unread.append(commit)
        if self._pollers:
            self._catch_up()
        elif len(self._unread) >= 2 * EVENTS_KEPT:
            self._pass_over()
            if len(self._unread) > EVENTS_KEPT:  # of several scopes
                self._catch_up()

    def _catch_up(self) -> None:
        """Read the commits that were put off."""
        unread, self._unread = self._unread, []
        for commit in unread:
            events = read_later(self._view, commit)
            if events:
                self._tell(events)

    def _pass_over(self) -> None:
        """Forget commits whose events no one would find: each tells something, enough are newer."""
        newer: Counter[Scope] = Counter()
        still_unread: list[Commit] = []
        for commit in reversed(self._unread):
            scope = _scope_of(commit)
            newer[scope] += 1
            if newer[scope] <= EVENTS_KEPT:
                still_unread.append(commit)
            elif newer[scope] == EVENTS_KEPT + 1:  # and all that are older
                kept = self._kept_for(scope)
                kept.events.clear()
                kept.lost_through = first_sequence_behind(commit.sequence)
        self._unread = still_unread[::-1]

    def _tell(self, events: list[StateChange]) -> None:
        if self._unread:
            self._catch_up()
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


def _scope_of(commit: Commit) -> Scope:
    """Return whose a commit is that was put off: a cluster's scope is remembered, others aren't."""
    first = commit.changes[0]
    assert isinstance(first, Put) and isinstance(first.record, _FIRST_OF_A_SERVICE), first
    return scope_of(first.record.cluster_arn)
