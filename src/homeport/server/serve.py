"""Running the app: the listening socket, uvicorn on uvloop and httptools, start and stop.

Prints nothing and installs no signal handlers; `app` decides when to stop and what to say.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn

from homeport.server.asgi import ApiApp
from homeport.server.connections import make_protocol_class
from homeport.server.limits import ServerLimits


class ListenError(Exception):
    """The server cannot listen where it was told to; the message says what to do, in one line."""


class PortInUse(ListenError):
    """Another process listens on the port already."""


class ApiServer:
    """One listening server: `serve` it in a task, wait for `started`, and `stop` it."""

    def __init__(
        self, app: ApiApp, *, host: str, port: int, limits: ServerLimits | None = None
    ) -> None:
        self._limits = limits or ServerLimits()
        self._socket = _listen(host, port, self._limits.backlog_connections)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.started = asyncio.Event()
        self._calls = app.calls
        self._server = _Server(_make_config(app, self._limits), self.started)

    async def serve(self) -> None:
        """Accept connections until `stop` is called; returns when the last is done with."""
        await self._server.serve(sockets=[self._socket])

    def refuse_calls(self, message: str) -> None:
        """Answer whoever waits, and whoever calls from now on, with ServiceUnavailable."""
        self._calls.refuse_calls(message)

    def stop(self) -> None:
        """Stop accepting, let requests in flight finish for `stop_grace_s`, then cut them off."""
        self._server.stop_wanted.set()

    def close(self) -> None:
        """Give the port back when the server was never served."""
        self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers and without its ten wake-ups a second."""

    def __init__(self, config: uvicorn.Config, started: asyncio.Event) -> None:
        super().__init__(config)
        self.stop_wanted = asyncio.Event()
        self._started_event = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started_event.set()

    async def main_loop(self) -> None:
        await self.stop_wanted.wait()


def _make_config(app: ApiApp, limits: ServerLimits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=make_protocol_class(app.calls, limits),
        ws="websockets-sansio",
        ws_max_size=limits.websocket_message_bytes,
        # The agent protocol has heartbeats of its own, and its frames are small.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=limits.backlog_connections,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.stop_grace_s,
    )


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explain(error, host, port) from error
    return listener


def _explain(error: OSError, host: str, port: int) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"Port {port} on {host} is in use: stop what listens there, or choose another port "
            "with --port."
        )
    if error.errno == errno.EACCES:
        return ListenError(
            f"No permission to listen on port {port}: choose one above 1023 with --port."
        )
    return ListenError(f"Cannot listen on {host}:{port}: {error.strerror or error}.")
