"""One client's HTTP connection: uvicorn's httptools protocol, its limits, and the usual call.

A POST that arrives whole is carried out right here, without a task, a scope or a future of its
own: ASGI would cost more than the call. Whatever else a request may be goes on to the app.
uvicorn waits for ever for a request that never becomes whole and keeps headers of any size; a
body's size and time are `bodies`' work.
"""

import asyncio
import functools
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from homeport.server.calls import CLOSE, ApiCalls, Response, read_request
from homeport.server.limits import ServerLimits


class ApiProtocol(HttpToolsProtocol):
    """Carries out usual calls; closes connections that are too slow, too talkative or too many."""

    def __init__(self, calls: ApiCalls, limits: ServerLimits, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._calls = calls
        self._limits = limits
        self._address = ""
        self._awaits_headers = True
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        # While a request is held it may yet be a usual call: uvicorn doesn't know of it.
        self._is_held = False
        self._body = b""
        self._stalled: _Exchange | None = None
        self._idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request, or refuse a connection too many."""
        super().connection_made(transport)
        self._address = "{}:{}".format(*(self.server or ("localhost", 0)))
        if len(self.connections) > self._limits.connections:
            transport.close()
            return
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers with the connection."""
        self._stop_header_timer()
        self._stop_idle_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and see whether the headers are whole, late or too long."""
        if self._awaits_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if not self._awaits_headers:
            # Whole before the timer was due; the next request starts another.
            if self._header_timer is not None:
                self._stop_header_timer()
            if self._is_held and not self.transport.is_closing():
                self._hand_over()  # more of its body is to come
            return
        if self.transport.is_closing():
            return
        if self._header_bytes > self._limits.header_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._header_timer is None:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        """Expect headers; those of a request pipelined behind another are not counted twice."""
        self._awaits_headers = True
        cycle: Any = self.cycle  # None before the first
        self._is_held = cycle is None or cycle.response_complete
        if not self._is_held:
            super().on_message_begin()
            return
        self.url = self._body = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Stop expecting headers; hold on to what may be a usual call, and pass on all others."""
        self._awaits_headers = False
        self._header_bytes = 0
        if not self._is_held:
            super().on_headers_complete()
        elif (
            self.expect_100_continue
            or self.parser.get_method() != b"POST"
            or self.parser.should_upgrade()
        ):
            self._hand_over()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body; one that is too large is read away by the app."""
        if not self._is_held:
            super().on_body(body)
            return
        self._body += body
        if len(self._body) > self._limits.body_bytes:
            self._hand_over()

    def on_message_complete(self) -> None:
        """Carry out a call that arrived whole."""
        if not self._is_held:
            super().on_message_complete()
            return
        self._is_held = False
        request = read_request(
            self.headers,
            query=self.url.partition(b"?")[2].decode("latin-1"),
            scheme=self.scheme or "http",
            address=self._address,
        )
        is_kept = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        exchange = _Exchange(self, keep_alive=is_kept)
        self.cycle = exchange  # type: ignore[assignment]
        self._calls.carry_out(request, self._body, exchange.respond)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the websocket, which has its own idea of idleness."""
        self._stop_idle_timer()
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """Note when the app has answered; what is pipelined comes next."""
        self._idle_since_s = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Go on with what is pipelined, now that the client reads again."""
        super().resume_writing()
        stalled, self._stalled = self._stalled, None
        if stalled is not None:
            self._end(stalled)

    def send(self, exchange: "_Exchange", response: Response) -> None:
        """Write a whole response in one piece, as uvicorn would in two."""
        headers = response.headers
        if CLOSE in headers:
            exchange.keep_alive = False
        elif not exchange.keep_alive:
            headers = (*headers, CLOSE)
        lines = [b"%b: %b\r\n" % header for header in headers]
        head = b"".join(lines)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[response.status], head, response.body))
        if not exchange.keep_alive:
            self.transport.close()
        if self.flow.write_paused:
            self._stalled = exchange  # nothing more is written to a client that doesn't read
        else:
            self._end(exchange)

    def _end(self, exchange: "_Exchange") -> None:
        exchange.response_complete = True
        if self.pipeline or self.transport.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since_s = self.loop.time()
        if self._idle_timer is None:
            self._wait_for_idleness(self._limits.keep_alive_s)

    def _wait_for_idleness(self, wait_s: float) -> None:
        self._idle_timer = self.loop.call_later(wait_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """Hang up on a client that has asked for nothing for too long; or look again later.

        One timer for many calls: setting and cancelling one for each costs more than reading one.
        """
        self._idle_timer = None
        cycle: Any = self.cycle
        idle_s = self.loop.time() - self._idle_since_s
        if self.transport.is_closing():
            return
        if self._is_held or not cycle.response_complete:
            self._wait_for_idleness(self._limits.keep_alive_s)
        elif idle_s < self._limits.keep_alive_s:
            self._wait_for_idleness(self._limits.keep_alive_s - idle_s)
        else:
            self.transport.close()

    def _hand_over(self) -> None:
        """Give uvicorn the request that was held, as if it had just arrived."""
        self._is_held = False
        url, headers, body = self.url, self.headers, self._body
        is_expecting = self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, is_expecting
        self.headers.extend(headers)
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _start_header_timer(self) -> None:
        timeout_s = self._limits.header_timeout_s
        self._header_timer = self.loop.call_later(timeout_s, self._headers_are_late)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_are_late(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status_line: bytes) -> None:
        """Answer what is not yet a request, so without AWS's form, and hang up."""
        self._stop_header_timer()
        self.transport.write(
            b"HTTP/1.1 " + status_line + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        self.transport.close()


class _Exchange:
    """A call in flight on a connection; to uvicorn it looks like a cycle of its own."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "response_complete")

    def __init__(self, protocol: ApiProtocol, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

    @property
    def message_event(self) -> "_Exchange":
        """What uvicorn sets when the connection is lost: here nobody waits for it."""
        return self

    def set(self) -> None:
        """Wake nobody."""

    def respond(self, response: Response) -> None:
        """Send the response, unless the client has gone."""
        if not self.disconnected:
            self._protocol.send(self, response)


def make_protocol_class(calls: ApiCalls, limits: ServerLimits) -> Any:
    """Give uvicorn something it can call in place of a protocol class, with what is ours bound."""
    return functools.partial(ApiProtocol, calls, limits)
