"""Events delivered to HTTP endpoints, each in order, with retries and a bounded outbox.

An endpoint gets every event of the server, one a request, as EventBridge would POST it: at least
once, across restarts too, since what wasn't delivered waits in the outbox.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from homeport import __version__
from homeport.operations.render.events import StateChange, encode_event
from homeport.server.event_stream import EventStream

EVENTS_PER_READ = 100  # from the outbox
REQUEST_TIMEOUT_S = 10.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 60.0
RETRY_FOR_S = 3_600.0  # from the first attempt until an event is given up

# Trying again helps with these; any other answer of 300 and more is final.
_RETRIED_STATUSES = frozenset({408, 409, 425, 429})
_SERVER_ERROR = 500
_REDIRECTION = 300

Sleep = Callable[[float], Awaitable[None]]

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """Where events wait; it outlives the process."""

    def is_ours(self) -> bool:
        """Whether no other server has taken it over; raises OSError as `read` does."""

    def add(self, events: Iterable[tuple[int, bytes]]) -> int:
        """Keep numbered events; returns how many are lost."""

    def taken(self, url: str) -> int:
        """Return the number of the last event that an endpoint needs no more."""

    def read(self, after: int, through: int, limit: int) -> list[tuple[int, bytes]]:
        """Return events behind one number, up to another, oldest first.

        Raises OSError when the disk doesn't give them.
        """

    def note_taken(self, url: str, sequence: int) -> None:
        """Note that an endpoint needs nothing up to a number any more."""

    def count_behind(self, sequence: int) -> int:
        """Return how many events there are behind a number."""


@contextlib.asynccontextmanager
async def deliver_events(
    urls: Sequence[str], stream: EventStream, outbox: Outbox, *, known_through: int
) -> AsyncIterator[None]:
    """Deliver the stream's events, and what waits from before, to every URL while the block runs.

    Events up to `known_through` are durable already.
    """
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        webhooks = [Webhook(url, session, outbox) for url in urls]
        for webhook in webhooks:
            webhook.allow(known_through)
            webhook.say_waiting("wait from before")

        def keep(events: Sequence[StateChange]) -> None:
            lost = outbox.add((each.sequence, bytes(encode_event(each))) for each in events)
            if lost:
                log.warning("%d events given up: too many wait for webhooks", lost)

        def tell(events: Sequence[StateChange]) -> None:
            for webhook in webhooks:
                webhook.allow(events[-1].sequence)

        stream.listen(tell, keep=keep)
        work = [asyncio.create_task(webhook.run()) for webhook in webhooks]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            for webhook in webhooks:
                webhook.say_waiting("wait for the next start")


class Webhook:
    """One endpoint, which takes what waits for it in the outbox, one event after the other."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        outbox: Outbox,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._url = url
        self._name = public_part(url)
        self._session = session
        self._outbox = outbox
        self._sleep = sleep
        self._taken = outbox.taken(url)
        self._allowed = self._taken  # events up to this number may be told
        self._has_events = asyncio.Event()
        self._given_up = 0
        self._is_failing = False

    def allow(self, through: int) -> None:
        """Let events up to a number be told: their commits are durable."""
        self._allowed = through
        self._has_events.set()

    async def run(self) -> None:
        """Deliver one event after the other, until another server does."""
        is_ours = True
        while is_ours:
            self._has_events.clear()
            try:
                is_ours = await self._deliver_waiting()
            except OSError as error:
                log.warning("%s: %s; trying again", self._name, error)
                await self._sleep(LONGEST_RETRY_S)
            else:
                if is_ours:
                    await self._has_events.wait()

    async def _deliver_waiting(self) -> bool:
        """Deliver what is allowed by now; False when that is another server's business."""
        while batch := self._outbox.read(self._taken, self._allowed, EVENTS_PER_READ):
            for sequence, body in batch:
                if not await self._deliver(sequence, body):
                    return False
                self._taken = sequence
                self._outbox.note_taken(self._url, sequence)
        return True

    def say_waiting(self, words: str) -> None:
        """Log how many events haven't been delivered, if any."""
        waiting = self._outbox.count_behind(self._taken)
        if waiting:
            log.warning("%s: %d events %s", self._name, waiting, words)

    async def _deliver(self, sequence: int, body: bytes) -> bool:
        """Try until an event needs no more; False when that is another server's business now."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"homeport/{__version__}",
            "X-Homeport-Sequence": str(sequence),
        }
        retry_s, waited_s = FIRST_RETRY_S, 0.0
        while self._outbox.is_ours():
            trouble, is_final = await self._post(body, headers)
            if trouble is None:
                if self._is_failing:
                    log.warning("%s: takes events again", self._name)
                self._is_failing = False
                return True
            if is_final or waited_s >= RETRY_FOR_S:
                self._give_up(trouble)
                return True
            if not self._is_failing:
                log.warning("%s: %s; trying again", self._name, trouble)
            self._is_failing = True
            await self._sleep(retry_s)
            waited_s += retry_s
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)
        return False

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[str | None, bool]:
        """Send one event: what went wrong, and whether trying again is of no use."""
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except TimeoutError:
            return f"no answer within {REQUEST_TIMEOUT_S:.0f} s", False
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}: {error}", False
        if status < _REDIRECTION:
            return None, False
        is_final = status < _SERVER_ERROR and status not in _RETRIED_STATUSES
        return f"answered {status}", is_final

    def _give_up(self, why: str) -> None:
        """Count an event that is lost to this endpoint, and say so at the 1st, 2nd, 4th, 8th..."""
        self._given_up += 1
        if self._given_up & (self._given_up - 1) == 0:
            log.warning("%s: %d events given up so far: %s", self._name, self._given_up, why)


def public_part(url: str) -> str:
    """What a log may show of a URL: names and passwords, paths and queries hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/..."
