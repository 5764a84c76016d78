"""Events delivered to HTTP endpoints, each in order, with retries and a bounded queue.

An endpoint gets every event of the server, one a request, as EventBridge would POST it. At least
once while the server lives: what was not delivered when it stops is lost, the journal still has it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import aiohttp

from homeport import __version__
from homeport.operations.render.events import StateChange, encode_event
from homeport.server.event_stream import EventStream

QUEUED_EVENTS = 10_000  # of one endpoint; beyond, the oldest are given up
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


@contextlib.asynccontextmanager
async def deliver_events(urls: Sequence[str], stream: EventStream) -> AsyncIterator[None]:
    """Deliver the stream's events to every URL while the block runs."""
    if not urls:
        yield
        return
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        webhooks = [Webhook(url, session) for url in dict.fromkeys(urls)]
        for webhook in webhooks:
            stream.listen(webhook.offer)
        work = [asyncio.create_task(webhook.run()) for webhook in webhooks]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            for webhook in webhooks:
                webhook.say_undelivered()


class Webhook:
    """One endpoint and what waits for it."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._url = url
        self._session = session
        self._sleep = sleep
        self._queue: deque[StateChange] = deque()
        self._has_events = asyncio.Event()
        self._given_up = 0
        self._is_failing = False

    def offer(self, events: list[StateChange]) -> None:
        """Queue events; the oldest go when the endpoint is too far behind."""
        self._queue.extend(events)
        while len(self._queue) > QUEUED_EVENTS:
            self._queue.popleft()
            self._give_up("too many wait")
        self._has_events.set()

    async def run(self) -> None:
        """Deliver one event after the other, without end."""
        while True:
            while self._queue:
                await self._deliver(self._queue.popleft())
            self._has_events.clear()
            await self._has_events.wait()

    def say_undelivered(self) -> None:
        """Log how many events nobody will deliver any more."""
        if self._queue:
            log.warning("%s: %d events were not delivered", self._url, len(self._queue))

    async def _deliver(self, change: StateChange) -> None:
        body = bytes(encode_event(change))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"homeport/{__version__}",
            "X-Homeport-Sequence": str(change.sequence),
        }
        retry_s, waited_s = FIRST_RETRY_S, 0.0
        while True:
            trouble, is_final = await self._post(body, headers)
            if trouble is None:
                if self._is_failing:
                    log.warning("%s: takes events again", self._url)
                self._is_failing = False
                return
            if is_final or waited_s >= RETRY_FOR_S:
                self._give_up(trouble)
                return
            if not self._is_failing:
                log.warning("%s: %s; trying again", self._url, trouble)
            self._is_failing = True
            await self._sleep(retry_s)
            waited_s += retry_s
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)

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
            log.warning("%s: %d events given up so far: %s", self._url, self._given_up, why)
