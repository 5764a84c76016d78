"""The ASGI app: an HTTP request to an API call, its reply or refusal to an HTTP response.

Plain ASGI, since every API call passes here. The app knows no operation: `call` carries them out.
A web page of another origin cannot call it: the `X-Amz-Target` header makes a browser ask first,
and no such question (OPTIONS) is answered with leave; `hosts` refuses names led here by DNS.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from homeport.api.errors import AwsError, ServiceUnavailable, UnknownOperationException
from homeport.api.shapes import Shape
from homeport.engine.events import ApiCalled
from homeport.server.bodies import ClientGone, read_body
from homeport.server.extensions import CLOSE, RESPOND, WHOLE_BODY
from homeport.server.health import HEALTH_PATH, render_health
from homeport.server.hosts import is_own_host, refuse_foreign_host
from homeport.server.limits import ServerLimits
from homeport.wire.errors import render_error
from homeport.wire.json11 import CONTENT_TYPE, parse_request, render_reply
from homeport.wire.signing import parse_credential_scope
from homeport.wire.targets import find_operation

Headers = list[tuple[bytes, bytes]]
Call = Callable[[ApiCalled], Awaitable[object]]

log = logging.getLogger(__name__)

ACCOUNT_ID_CHARS = 12
OK = 200
# After these a connection is useless: the rest of the request may still come, or never.
CLOSING_STATUSES = frozenset({408, 413})
JSON_TYPE = (b"content-type", b"application/json")
AWS_JSON_TYPE = (b"content-type", CONTENT_TYPE.encode())


class Answer(NamedTuple):
    """A response before it is sent: status, headers beside the usual ones, body."""

    status: int
    headers: Headers
    body: bytes


class Request(NamedTuple):
    """The headers of a request that mean something here."""

    target: bytes | None
    authorization: str | None
    content_length: bytes | None
    host: str


def make_app(
    call: Call,
    *,
    default_account_id: str,
    default_region: str,
    limits: ServerLimits | None = None,
    websocket_routes: Mapping[str, ASGIApp] | None = None,
) -> ASGIApp:
    """Make the app that serves the AWS API on every path, /health, and the websocket routes.

    `call` carries out one API call: it returns the reply's shape or raises AwsError.
    """
    return ApiApp(
        call,
        default_account_id=default_account_id,
        default_region=default_region,
        limits=limits or ServerLimits(),
        websocket_routes=dict(websocket_routes or {}),
    )


class ApiApp:
    """The app itself; it holds nothing but its settings and the number of calls in flight."""

    def __init__(
        self,
        call: Call,
        *,
        default_account_id: str,
        default_region: str,
        limits: ServerLimits,
        websocket_routes: dict[str, ASGIApp],
    ) -> None:
        self._call = call
        self._default_account_id = default_account_id
        self._default_region = default_region
        self._limits = limits
        self._websocket_routes = websocket_routes
        self._in_flight = 0
        self._date = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or websocket."""
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            raise RuntimeError(f"no ASGI {scope['type']} here: run with lifespan off")

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._websocket_routes.get(scope["path"])
        if route is not None and is_own_host(_read_headers(scope).host):
            await route(scope, receive, send)
            return
        await receive()
        # Before it is accepted, closing a websocket is answered as HTTP 403.
        await send({"type": "websocket.close", "code": 1008, "reason": "no such websocket"})

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _make_request_id()
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except AwsError as error:
            answer = _refuse(error)
        # The one catch-all of this edge: a bug shows in the log, the client gets InternalFailure.
        except Exception as error:
            log.exception("request %s failed", request_id)
            answer = _refuse(error)
        finally:
            self._in_flight -= 1
        headers = [
            *answer.headers,
            (b"x-amzn-requestid", request_id.encode()),
            (b"content-length", b"%d" % len(answer.body)),
            (b"date", self._date_header()),
        ]
        respond = scope.get(RESPOND)
        if respond is not None and respond(answer.status, headers, answer.body):
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if self._in_flight > self._limits.requests_in_flight:
            raise ServiceUnavailable(
                f"The server is carrying out {self._limits.requests_in_flight} requests already; "
                "try again."
            )
        method = scope["method"]
        if scope["path"] == HEALTH_PATH and method in ("GET", "HEAD"):
            return Answer(OK, [JSON_TYPE], render_health())
        request = _read_headers(scope)
        if method != "POST":
            raise UnknownOperationException(
                f"{method} is not served; send POST with an X-Amz-Target header."
            )
        body = await read_body(
            receive, request.content_length, self._limits, has_arrived=WHOLE_BODY in scope
        )
        refuse_foreign_host(request.host)  # behind the body: the connection stays of use
        operation = find_operation(request.target)
        shape = parse_request(operation, body)
        event = self._read_call(scope, request, operation.name, shape)
        reply = await self._call(event)
        assert reply is None or isinstance(reply, Shape), f"{operation.name} returned {reply!r}"
        return Answer(OK, [AWS_JSON_TYPE], render_reply(reply))

    def _read_call(self, scope: Scope, request: Request, operation: str, shape: Shape) -> ApiCalled:
        """Find out whose call it is: the signature names the region, its key maybe an account."""
        query = scope["query_string"].decode("latin-1")
        signed = parse_credential_scope(request.authorization, query, self._default_region)
        key = signed.access_key_id or ""
        is_account = len(key) == ACCOUNT_ID_CHARS and key.isascii() and key.isdigit()
        host = request.host or "{}:{}".format(*scope["server"])
        return ApiCalled(
            operation=operation,
            request=shape,
            account_id=key if is_account else self._default_account_id,
            region=signed.region,
            endpoint=f"{scope['scheme']}://{host}",
        )

    def _date_header(self) -> bytes:
        now_s = int(time.time())
        if self._date[0] != now_s:
            self._date = (now_s, formatdate(now_s, usegmt=True).encode())
        return self._date[1]


def _make_request_id() -> str:
    """Make an id of a random UUID's form; it need be unique in a log, not unguessable."""
    bits = random.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _read_headers(scope: Scope) -> Request:
    target = authorization = length = None
    host = ""
    for name, value in scope.get("headers", ()):
        if name == b"x-amz-target":
            target = value
        elif name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"content-length":
            length = value
        elif name == b"host":
            host = value.decode("latin-1")
    return Request(target, authorization, length, host)


def _refuse(error: Exception) -> Answer:
    reply = render_error(error)
    headers: Headers = [AWS_JSON_TYPE, *reply.headers]
    if reply.status in CLOSING_STATUSES:
        headers.append(CLOSE)
    return Answer(reply.status, headers, reply.body)
