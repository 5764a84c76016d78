"""Calls of Homeport's own namespace that look beyond the state: at the event stream, for one.

What can be answered from the state alone is a pure operation in `operations.homeport`; every other
call is passed on to the engine as it comes.
"""

import asyncio
from collections.abc import Awaitable, Callable

from homeport.api import ecs, homeport
from homeport.engine.events import ApiCalled
from homeport.model.arn import Scope
from homeport.operations.render.events import encode_event
from homeport.server.event_stream import EventStream

EVENTS_PER_PAGE = 1_000
EVENTS_PER_PAGE_DEFAULT = 100
WAIT_TIME_MAX_S = 20

Call = Callable[[ApiCalled], Awaitable[object]]


class HomeportCalls:
    """The server's `call`: answers what concerns the edges, and leaves the rest to the engine."""

    def __init__(self, call_engine: Call, stream: EventStream) -> None:
        self._call_engine = call_engine
        self._stream = stream
        self._own: dict[str, Call] = {"ListEvents": self._list_events}

    async def call(self, event: ApiCalled) -> object:
        """Carry out one API call: returns its reply's shape, or raises AwsError."""
        own = self._own.get(event.operation)
        return await (self._call_engine(event) if own is None else own(event))

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
