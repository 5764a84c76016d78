"""One client's HTTP connection: uvicorn's httptools protocol with the limits it lacks.

uvicorn waits for ever for a request that never becomes whole and keeps headers of any size. A
body's size and time are `bodies`' work, since the app reads it.
"""

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from homeport.server.extensions import CLOSE, RESPOND, WHOLE_BODY
from homeport.server.limits import ServerLimits


class LimitedHttpProtocol(HttpToolsProtocol):
    """Closes connections that are too slow, too talkative in their headers, or too many."""

    def __init__(self, limits: ServerLimits, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._awaits_headers = True
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request, or refuse a connection too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            transport.close()
            return
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._stop_header_timer()
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
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop expecting headers and hand the request to the app."""
        self._awaits_headers = False
        self._header_bytes = 0
        super().on_headers_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.scope is self.scope:  # not so for a websocket
            self.scope[RESPOND] = functools.partial(self._respond, cycle)  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """Let the app know that it need not wait for this request's body."""
        self.scope[WHOLE_BODY] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def _respond(
        self,
        cycle: RequestResponseCycle,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> bool:
        """Write a response to POST in one piece, as uvicorn would in two (`extensions.Respond`).

        `headers` name what they are in lower case, and Content-Length is among them.
        """
        if self.flow.write_paused or cycle.response_started or cycle.scope["method"] != "POST":
            return False
        if cycle.disconnected:
            return True
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        if CLOSE in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers = (*headers, CLOSE)
        pieces = [STATUS_LINE[status]]
        for name, value in headers:
            pieces += (name, b": ", value, b"\r\n")
        pieces += (b"\r\n", body)
        self.transport.write(b"".join(pieces))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

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


def make_protocol_class(limits: ServerLimits) -> Any:
    """Give uvicorn something it can call in place of a protocol class, with our limits bound."""
    return functools.partial(LimitedHttpProtocol, limits)
