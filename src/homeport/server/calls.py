"""An API call from its request to its response, whichever way the two travel.

The connection itself carries the usual call (`connections`), ASGI what is unusual about one
(`asgi`). What a request means is `wire`'s work, and what comes of it the engine's.
"""

import itertools
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable
from email.utils import formatdate

import msgspec
from msgspec.structs import replace

from homeport.api.errors import AwsError, ServiceUnavailable
from homeport.api.shapes import Shape
from homeport.engine.events import ApiCalled
from homeport.server.hosts import refuse_foreign_host
from homeport.wire.errors import render_error
from homeport.wire.json11 import CONTENT_TYPE, parse_request, render_reply
from homeport.wire.signing import parse_credential_scope
from homeport.wire.targets import find_operation

Header = tuple[bytes, bytes]
Answer = Callable[[object], None]  # gets the reply's shape, or what was raised in its place
Start = Callable[[ApiCalled, Answer], None]  # carries a call out; `answer` is called once, later

log = logging.getLogger(__name__)

OK = 200
# After these a connection is useless: the rest of the request may still come, or never.
CLOSING_STATUSES = frozenset({408, 413})
CLOSE = (b"connection", b"close")
AWS_JSON_TYPE = (b"content-type", CONTENT_TYPE.encode())


class Request(msgspec.Struct, frozen=True):
    """What of a request's head means something here; `address` is where it came in."""

    target: bytes | None
    authorization: str | None
    content_length: bytes | None
    host: str
    query: str
    scheme: str
    address: str


class Response(msgspec.Struct, frozen=True):
    """A whole response; the headers name everything that it needs, in lower case."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


Respond = Callable[[Response], None]


class ApiCalls:
    """The calls in flight; `start` is the other side: the engine, or what stands before it."""

    def __init__(
        self, start: Start, *, default_account_id: str, default_region: str, most_in_flight: int
    ) -> None:
        self.arriving = 0  # requests whose bodies are still being read
        self._start = start
        self._default_account_id = default_account_id
        self._default_region = default_region
        self._most_in_flight = most_in_flight
        self._open: dict[_Exchange, None] = {}
        self._refusal: str | None = None
        self._date = (0, b"")

    def carry_out(self, request: Request, body: bytes, respond: Respond) -> None:
        """Carry out one call; `respond` is called once, now or when the answer is durable."""
        exchange = _Exchange(self, respond)
        self._open[exchange] = None
        try:
            self.refuse_one_too_many()
            refuse_foreign_host(request.host)
            operation = find_operation(request.target)
            shape = parse_request(operation, body)
            self._start(self._read_call(request, operation.name, shape), exchange.answer)
        except Exception as error:  # noqa: BLE001 - a bug must not keep a client waiting
            exchange.answer(error)

    def refuse_one_too_many(self) -> None:
        """Raise ServiceUnavailable when as many requests as may are in flight."""
        if self._refusal is not None:
            raise ServiceUnavailable(self._refusal)
        if len(self._open) + self.arriving > self._most_in_flight:
            raise ServiceUnavailable(
                f"The server is carrying out {self._most_in_flight} requests already; try again."
            )

    def refuse_calls(self, message: str) -> None:
        """Answer whoever waits, and whoever calls from now on, with ServiceUnavailable.

        For the end of a server that has failed: what waits will never be durable.
        """
        self._refusal = message
        for exchange in list(self._open):
            exchange.answer(ServiceUnavailable(message))

    def close(self, exchange: "_Exchange") -> bool:
        """Take an exchange out of flight; False when it was answered before."""
        return self._open.pop(exchange, self) is None

    def render(self, reply: object) -> Response:
        """Write the response to a reply's shape, or to an error in its place."""
        if isinstance(reply, Exception):
            return self._render_error(reply)
        try:
            assert reply is None or isinstance(reply, Shape), f"no shape: {reply!r}"
            return self._complete(OK, (AWS_JSON_TYPE,), render_reply(reply))
        except Exception as error:  # noqa: BLE001 - likewise
            return self._render_error(error)

    def render_page(self, content_type: Header, body: bytes) -> Response:
        """Write a response that is none of the API's."""
        return self._complete(OK, (content_type,), body)

    def _render_error(self, error: Exception) -> Response:
        reply = render_error(error)
        response = self._complete(reply.status, (AWS_JSON_TYPE, *reply.headers), reply.body)
        if not isinstance(error, AwsError):
            # A bug: the log has it, by the id that the client gets with InternalFailure.
            request_id = dict(response.headers)[b"x-amzn-requestid"].decode()
            log.error("request %s failed", request_id, exc_info=error)
        if reply.status in CLOSING_STATUSES:
            return replace(response, headers=(*response.headers, CLOSE))
        return response

    def _complete(self, status: int, headers: tuple[Header, ...], body: bytes) -> Response:
        return Response(
            status,
            (
                *headers,
                (b"x-amzn-requestid", _make_request_id()),
                (b"content-length", b"%d" % len(body)),
                (b"date", self._date_header()),
            ),
            body,
        )

    def _read_call(self, request: Request, operation: str, shape: Shape) -> ApiCalled:
        """Find out whose call it is: the signature names the region, its key maybe an account."""
        signed = parse_credential_scope(request.authorization, request.query, self._default_region)
        return ApiCalled(
            operation=operation,
            request=shape,
            account_id=signed.account_id(self._default_account_id),
            region=signed.region,
            endpoint=f"{request.scheme}://{request.host or request.address}",
        )

    def _date_header(self) -> bytes:
        now_s = int(time.time())
        if self._date[0] != now_s:
            self._date = (now_s, formatdate(now_s, usegmt=True).encode())
        return self._date[1]


class _Exchange:
    """One call in flight: whoever answers first does, all others are too late."""

    __slots__ = ("_calls", "_respond")

    def __init__(self, calls: ApiCalls, respond: Respond) -> None:
        self._calls = calls
        self._respond = respond

    def answer(self, reply: object) -> None:
        if self._calls.close(self):
            self._respond(self._calls.render(reply))


def read_request(
    headers: Iterable[Header], *, query: str, scheme: str, address: str
) -> Request:
    """Pick the headers that mean something; their names are in lower case."""
    named = dict(headers)
    authorization = named.get(b"authorization")
    return Request(
        target=named.get(b"x-amz-target"),
        authorization=None if authorization is None else authorization.decode("latin-1"),
        content_length=named.get(b"content-length"),
        host=named.get(b"host", b"").decode("latin-1"),
        query=query,
        scheme=scheme,
        address=address,
    )


def _make_request_id() -> bytes:
    """Make an id of a random UUID's form; it need be unique in a log, not unguessable."""
    return b"%b%012x" % (_ID_START, next(_id_ends))


# What the ids of one process have in common, and what tells them apart.
_ID_START = str(uuid.uuid4())[:24].encode()
_id_ends = itertools.count(random.getrandbits(47))  # within 48 bits for longer than it will run
