"""Webhooks in simulation: production's event stream, outbox and deliveries; HTTP is left out.

The outbox is a file, and outlives the control plane as it does in production; who takes the journal
over opens it, too, beside the one that doesn't know yet. Endpoints answer over a network that loses
and delays as the others do; one that is down refuses, or never answers. What they must get is
`checkers.deliveries`' to say.
"""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from homeport.operations.render.events import StateChange, encode_event, first_sequence_behind
from homeport.server.event_stream import EventStream
from homeport.server.webhooks import REQUEST_TIMEOUT_S, Webhook
from homeport.sim.chance import Stream
from homeport.sim.checkers.deliveries import DeliveryChecker
from homeport.sim.clock import Life, Timeline
from homeport.sim.disk import SimDisk, SimJournal
from homeport.sim.network import Weather
from homeport.state.store import Store
from homeport.state.view import View
from homeport.storage.outbox import OUTBOX_FILE_NAME, Outbox

URL = "http://endpoint-{}/"
FOLDER_PREFIX = "homeport-simulation-"
REFUSALS = 0.5  # of calls to an endpoint that is down; the others are never answered
HTTP_OK = 200
HTTP_UNAVAILABLE = 503


class SimWebhooks:
    """The endpoints of a run, and what each life of the control plane does for them."""

    def __init__(
        self,
        timeline: Timeline,
        chance: Stream,
        weather: Weather,
        *,
        disk: SimDisk,
        urls: Sequence[str],
    ) -> None:
        self.timeline = timeline
        self.checker = DeliveryChecker(disk, urls)
        self.down_until_ms = 0
        self._chance = chance
        self._weather = weather
        self._urls = urls
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX)
        self._left: list[object] = []  # of the process that this one was forked off
        self._outboxes: list[tuple[Life, Outbox]] = []

    def begin(self, store: Store, journal: SimJournal, life: Life) -> None:
        """Let a life of the control plane begin its deliveries, as `app` does."""
        self._close_dead()
        self.checker.recovered(store.sequence)
        known_through = first_sequence_behind(store.sequence)
        folder = Path(self._folder.name)
        outbox = Outbox(
            folder,
            self._urls,
            known_through=known_through,
            holds_journal=lambda: journal.is_held,
        )
        self._outboxes.append((life, outbox))
        stream = EventStream(View(store), journal, commit_sequence=store.sequence)
        epoch = journal.lease.epoch
        deliveries = [
            _Delivery(self, url, outbox, life=life, epoch=epoch) for url in self._urls
        ]

        def keep(events: Sequence[StateChange]) -> None:
            encoded = [(each.sequence, bytes(encode_event(each))) for each in events]
            self.checker.decided(encoded, epoch)
            outbox.add(encoded)

        def tell(events: Sequence[StateChange]) -> None:
            for each in deliveries:
                each.webhook.allow(events[-1].sequence)

        stream.listen(tell, keep=keep)
        store.feed.watch(stream.follow)
        for each in deliveries:
            each.webhook.allow(known_through)
            each.resume()

    def end(self) -> None:
        """The run is over: remove the outbox."""
        for _, outbox in self._outboxes:
            outbox.close()
        self._folder.cleanup()

    def move_out(self) -> None:
        """Go on with an outbox of its own, in a process that was forked off the one that has it.

        That one waits meanwhile, and nothing of a connection of its may be used here, or closed.
        """
        theirs = Path(self._folder.name)
        self._left.append((self._folder, [outbox._connection for _, outbox in self._outboxes]))
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX)
        for name in (OUTBOX_FILE_NAME, f"{OUTBOX_FILE_NAME}-wal"):
            if (theirs / name).exists():
                shutil.copyfile(theirs / name, Path(self._folder.name) / name)
        for _, outbox in self._outboxes:
            outbox._connection = sqlite3.connect(
                Path(self._folder.name) / OUTBOX_FILE_NAME, isolation_level=None
            )

    def _close_dead(self) -> None:
        """Let go of the file where the process is dead that had it open."""
        for life, outbox in self._outboxes:
            if life.is_over:
                outbox.close()
        self._outboxes = [pair for pair in self._outboxes if not pair[0].is_over]

    def post(self, url: str, sequence: int, body: bytes, then: Callable[[int], None]) -> None:
        """Carry a call to an endpoint and its answer back, if they arrive at all."""
        weather, chance = self._weather, self._chance
        is_refused = chance.happens(REFUSALS)
        back_ms = chance.milliseconds(weather.latency_s)
        loses_reply = chance.happens(weather.loses_reply)

        def arrive() -> None:
            if self.timeline.now_ms >= self.down_until_ms:
                self.checker.delivered(url, sequence, body)
                answer(HTTP_OK)
            elif is_refused:
                answer(HTTP_UNAVAILABLE)

        def answer(status: int) -> None:
            if not loses_reply:
                self.timeline.after(back_ms, lambda: then(status))

        there_ms = chance.milliseconds(weather.latency_s)
        if not chance.happens(weather.loses_call):
            self.timeline.after(there_ms, arrive)


class _Delivery:
    """One endpoint's production `Webhook` in one life of the control plane, driven by hand."""

    def __init__(
        self, webhooks: SimWebhooks, url: str, outbox: Outbox, *, life: Life, epoch: int
    ) -> None:
        self.webhooks = webhooks
        self.life = life
        self._epoch = epoch
        # It asks its HTTP session for `post` only, and its bell for what an asyncio.Event has.
        session: Any = self
        self.webhook = Webhook(url, session, outbox, sleep=self._sleep)
        bell: Any = _Bell(self)
        self.webhook._has_events = bell
        self._run: Coroutine[Any, Any, None] = self.webhook.run()

    def resume(self) -> None:
        """Go on, now that what was waited for is there."""
        if not self.life.is_over:
            with contextlib.suppress(StopIteration):  # nothing is to be delivered here any more
                self._run.send(None)

    def post(self, url: str, *, data: bytes, headers: dict[str, str], **_rest: Any) -> "_Post":
        """Send one event."""
        self.webhooks.checker.posted(url, self._epoch)
        return _Post(self, url, int(headers["X-Homeport-Sequence"]), data)

    async def _sleep(self, seconds: float) -> None:
        self.webhooks.timeline.after(round(seconds * 1_000), self.resume, self.life)
        await _Pause()


class _Bell:
    """Rings when there may be events."""

    def __init__(self, delivery: _Delivery) -> None:
        self._delivery = delivery
        self._is_set = False
        self._is_awaited = False

    def set(self) -> None:
        """Ring; who waits goes on."""
        self._is_set = True
        if self._is_awaited:
            self._is_awaited = False
            delivery = self._delivery
            delivery.webhooks.timeline.soon(delivery.resume, delivery.life)

    def clear(self) -> None:
        """Be silent."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until it rings."""
        if not self._is_set:
            self._is_awaited = True
            await _Pause()


class _Answer(NamedTuple):
    status: int


class _Post:
    """One request: entered when its answer is there, or TimeoutError when none comes."""

    def __init__(self, delivery: _Delivery, url: str, sequence: int, body: bytes) -> None:
        self._delivery = delivery
        self._call = (url, sequence, body)
        self._status: int | None = None
        self._is_over = False

    async def __aenter__(self) -> _Answer:
        delivery = self._delivery
        timeline = delivery.webhooks.timeline
        delivery.webhooks.post(*self._call, self._end)
        limit_ms = round(REQUEST_TIMEOUT_S * 1_000)
        timeout = timeline.after(limit_ms, lambda: self._end(None), delivery.life)
        await _Pause()
        timeout.cancel()
        if self._status is None:
            raise TimeoutError
        return _Answer(self._status)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Nothing is left to be closed."""

    def _end(self, status: int | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._status = status
            self._delivery.resume()


class _Pause:
    """Hands control back until something has happened: what an event loop would wait for."""

    def __await__(self) -> Generator[None, None, None]:
        yield
