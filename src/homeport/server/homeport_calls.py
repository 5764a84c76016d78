"""Calls of Homeport's own namespace that look beyond the state: at the event stream, for one.

What can be answered from the state alone is a pure operation in `operations.homeport`; every other
call is passed on to the engine as it comes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from homeport.api import ecs, homeport
from homeport.engine.events import ApiCalled
from homeport.model.arn import Scope
from homeport.operations.homeport.history import PastChange, render_history
from homeport.operations.homeport.resources import find_resource_arn
from homeport.operations.render.events import encode_event
from homeport.server.calls import Answer, Start
from homeport.server.event_stream import EventStream
from homeport.state.changes import Change
from homeport.state.view import View

EVENTS_PER_PAGE = 1_000
EVENTS_PER_PAGE_DEFAULT = 100
WAIT_TIME_MAX_S = 20
HISTORY_ENTRIES = 999  # storage reads a thousand, one of which is to compare with
HISTORY_ENTRIES_DEFAULT = 100
HISTORY_READERS = 2  # threads that read the journal at the same time; others wait their turn

Call = Callable[[ApiCalled], Awaitable[object]]


class JournalEntry(Protocol):
    """What the journal says of one change."""

    @property
    def sequence(self) -> int:
        """The commit's number."""

    @property
    def at_ms(self) -> int:
        """When it was decided."""

    @property
    def cause(self) -> str:
        """The operation's or event's name."""

    @property
    def change(self) -> Change:
        """The change itself."""


class ReadHistory(Protocol):
    """The journal's side: a record's newest changes, newest first; it blocks."""

    def __call__(self, key: str, limit: int, /) -> Sequence[JournalEntry]:
        """Return up to `limit` changes of the record with this key."""


class HomeportCalls:
    """Where calls start: answers what concerns the edges, and leaves the rest to the engine."""

    def __init__(
        self,
        start_engine: Start,
        *,
        view: View,
        stream: EventStream,
        when_durable: Callable[[Callable[[], None]], None],
        read_history: ReadHistory,
        others: Mapping[str, Call] | None = None,
    ) -> None:
        """`others` are calls that are answered elsewhere, by operation."""
        self._start_engine = start_engine
        self._running: set[asyncio.Task[None]] = set()
        self._view = view
        self._when_durable = when_durable
        self._stream = stream
        self._read_history = read_history
        self._history_turns = asyncio.Semaphore(HISTORY_READERS)
        self._own: dict[str, Call] = {
            "ListEvents": self._list_events,
            "ListHistory": self._list_history,
            **(others or {}),
        }

    def start(self, event: ApiCalled, answer: Answer) -> None:
        """Carry out one API call; `answer` gets the reply's shape, or what is raised instead.

        Both wait for the journal: nothing that a crash could take back is ever shown, and nothing
        is once another server has taken it over.
        """
        own = self._own.get(event.operation)
        if own is None:
            self._start_engine(event, answer)
            return
        task = asyncio.create_task(self._answer_with(own(event), answer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _list_events(self, event: ApiCalled) -> homeport.ListEventsResponse:
        """Answer events of the caller's account and region, waiting for one if asked to."""
        request = event.request
        assert isinstance(request, homeport.ListEventsRequest)
        limit, wait_s = _check_events_request(request)
        scope = Scope(event.account_id, event.region)
        after, tail = request.after, request.tail
        deadline_s = asyncio.get_running_loop().time() + wait_s
        is_incomplete = False
        while True:
            page = self._stream.read(
                scope, after, tail=tail, limit=limit, detail_types=request.detail_types or ()
            )
            is_incomplete = is_incomplete or page.is_incomplete
            left_s = deadline_s - asyncio.get_running_loop().time()
            if page.events or left_s <= 0 or is_incomplete or self._stream.is_closed:
                break
            after, tail = page.last_sequence, None
            await self._stream.wait(scope, left_s)
        return homeport.ListEventsResponse(
            events=[
                homeport.StreamedEvent(sequence=each.sequence, event=encode_event(each))
                for each in page.events
            ],
            last_sequence=page.last_sequence,
            is_incomplete=is_incomplete,
        )

    async def _list_history(self, event: ApiCalled) -> homeport.ListHistoryResponse:
        """Answer what the journal knows of one service, task or container instance."""
        request = event.request
        assert isinstance(request, homeport.ListHistoryRequest)
        limit = HISTORY_ENTRIES_DEFAULT if request.limit is None else request.limit
        _check_range("limit", limit, 1, HISTORY_ENTRIES)
        scope = Scope(event.account_id, event.region)
        arn = find_resource_arn(self._view, scope, request.cluster, request.resource)
        messages = self._view.service_events(arn)
        await self._durable()  # now the journal has what these events are about
        async with self._history_turns:
            found = await asyncio.to_thread(self._read_history, arn, limit + 1)
        if not found:
            raise ecs.ClientException(f"The journal holds no change of {arn}.")
        past = [PastChange(each.sequence, each.at_ms, each.cause, each.change) for each in found]
        entries = render_history(past, messages, limit)
        return homeport.ListHistoryResponse(resource_arn=arn, entries=entries)

    async def _durable(self) -> None:
        """Wait until everything decided so far is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not done.done():
                done.set_result(None)

        self._when_durable(tell)
        await done

    async def _answer_with(self, reply: Awaitable[object], answer: Answer) -> None:
        result: object
        try:
            result = await reply
        except Exception as error:  # noqa: BLE001 - refusals and bugs are the caller's to render
            result = error
        self._when_durable(partial(answer, result))


def _check_events_request(request: homeport.ListEventsRequest) -> tuple[int, int]:
    """Return how many events and how many seconds, or refuse what has no meaning."""
    limit = EVENTS_PER_PAGE_DEFAULT if request.limit is None else request.limit
    wait_s = request.wait_time_seconds or 0
    _check_range("limit", limit, 1, EVENTS_PER_PAGE)
    _check_range("waitTimeSeconds", wait_s, 0, WAIT_TIME_MAX_S)
    _check_range("tail", request.tail or 0, 0, EVENTS_PER_PAGE)
    _check_range("after", request.after or 0, 0, None)
    if request.after is not None and request.tail is not None:
        raise ecs.InvalidParameterException("Give after or tail, not both.")
    for name in request.detail_types or ():
        if name not in homeport.DETAIL_TYPES:
            known = ",".join(homeport.DETAIL_TYPES)
            raise ecs.InvalidParameterException(f"detailTypes should be of [{known}]")
    return limit, wait_s


def _check_range(name: str, value: int, least: int, most: int | None) -> None:
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ecs.InvalidParameterException(f"{name} must be {bounds}, it is {value}.")
