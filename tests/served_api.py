"""A real HTTP server around a `call` of the test's own, on a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import boto3
import uvloop
from botocore.config import Config
from starlette.types import ASGIApp

from homeport.engine.events import ApiCalled
from homeport.server.asgi import ApiApp
from homeport.server.calls import Answer, Start
from homeport.server.limits import ServerLimits
from homeport.server.serve import ApiServer

DEFAULT_ACCOUNT_ID = "123456789012"
DEFAULT_REGION = "us-east-1"
START_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 10


def start_with(call: Callable[[ApiCalled], Coroutine[Any, Any, object]]) -> Start:
    """Make a coroutine function what `ApiApp` starts calls with."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry_out(event: ApiCalled, answer: Answer) -> None:
        try:
            answer(await call(event))
        except Exception as error:  # noqa: BLE001 - what a test raises is what is rendered
            answer(error)

    def start(event: ApiCalled, answer: Answer) -> None:
        task = asyncio.get_running_loop().create_task(carry_out(event, answer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return start


def ask(start: Start, event: ApiCalled) -> "asyncio.Future[object]":
    """Start a call at once; the future gets its reply, or raises what came in its place."""
    replied: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def answer(reply: object) -> None:
        if replied.done():  # its caller has gone
            return
        if isinstance(reply, Exception):
            replied.set_exception(reply)
        else:
            replied.set_result(reply)

    start(event, answer)
    return replied


class ServedApi:
    """Serves while the `with` block runs; `calls` holds what reached the engine's side."""

    def __init__(
        self,
        answer: Callable[[ApiCalled], Awaitable[object]],
        *,
        limits: ServerLimits | None = None,
        websocket_routes: dict[str, ASGIApp] | None = None,
    ) -> None:
        self.calls: list[ApiCalled] = []
        self.port = 0
        self._answer = answer
        self._limits = limits or ServerLimits()
        self._routes = websocket_routes
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _call(self, event: ApiCalled) -> object:
        self.calls.append(event)
        return await self._answer(event)

    async def _serve(self) -> None:
        app = ApiApp(
            start_with(self._call),
            default_account_id=DEFAULT_ACCOUNT_ID,
            default_region=DEFAULT_REGION,
            limits=self._limits,
            websocket_routes=self._routes,
        )
        self._server = ApiServer(app, host="127.0.0.1", port=0, limits=self._limits)
        self._loop = asyncio.get_running_loop()
        self.port = self._server.port
        serving = asyncio.create_task(self._server.serve())
        await self._server.started.wait()
        self._ready.set()
        await serving

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(START_TIMEOUT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, *, access_key_id: str = "test", region: str = DEFAULT_REGION) -> Any:
        """Make a boto3 client that tries once."""
        return boto3.client(
            "ecs",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def run(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something on the server's own loop and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_TIMEOUT_S)

    def connect(self) -> socket.socket:
        """Open a bare connection, for clients that misbehave."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_TIMEOUT_S)

    def exchange(self, request: bytes) -> bytes:
        """Send bytes on a new connection and read until the server closes it."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received
