"""Listening, starting and stopping."""

import asyncio
import socket

import pytest
from starlette.types import Receive, Scope, Send

from homeport.api import ecs
from homeport.engine.events import ApiCalled
from homeport.server.asgi import ApiApp
from homeport.server.calls import Answer, Start
from homeport.server.limits import ServerLimits
from homeport.server.serve import ApiServer, ListenError, PortInUse

HOST = "127.0.0.1"


BODY = b"{}"
HEAD = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\n"
    b"X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListClusters\r\nContent-Length: 2\r\n\r\n"
)
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# A call that arrives whole is carried out by its connection, one in pieces by the ASGI app.
PIECES = pytest.mark.parametrize("pieces", [(HEAD + BODY,), (HEAD, BODY)], ids=["whole", "pieces"])


class Engine:
    """Starts calls, and keeps them waiting until the test answers."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.answers: list[Answer] = []

    def start(self, event: ApiCalled, answer: Answer) -> None:
        self.answers.append(answer)
        self.entered.set()


def answer_at_once(event: ApiCalled, answer: Answer) -> None:
    answer(ecs.ListClustersResponse(cluster_arns=[]))


def make_server(start: Start, host: str = HOST, port: int = 0, **limits: int) -> ApiServer:
    app = ApiApp(start, default_account_id="123456789012", default_region="us-east-1")
    return ApiServer(app, host=host, port=port, limits=ServerLimits(**limits))


async def several_turns() -> None:
    """Let the server, on the same loop, see and do what there is to see and do."""
    for _ in range(20):
        await asyncio.sleep(0)


async def write(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...]) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await several_turns()  # so that they arrive apart


def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as refused:
            make_server(answer_at_once, port=port)
    assert str(port) in str(refused.value)
    assert "--port" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(ListenError, match=f"Cannot listen on {host}:0"):
        make_server(answer_at_once, host=host)


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_started_means_listening_and_stop_means_gone(host: str) -> None:
    server = make_server(answer_at_once, host=host)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(host, server.port)
    writer.write(HEAD + BODY)
    assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    server.stop()
    await serving
    assert (await reader.read()).endswith(b'{"clusterArns":[]}')
    writer.close()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(host, server.port)


@PIECES
async def test_stopping_lets_a_request_in_flight_finish(pieces: tuple[bytes, ...]) -> None:
    engine = Engine()
    server = make_server(engine.start)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    await write(writer, pieces)
    await engine.entered.wait()
    server.stop()
    await asyncio.sleep(0)
    engine.answers[0](ecs.ListClustersResponse(cluster_arns=[]))
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    await serving
    writer.close()


@PIECES
async def test_stopping_cuts_off_a_request_that_never_ends(pieces: tuple[bytes, ...]) -> None:
    engine = Engine()
    server = make_server(engine.start, stop_grace_s=0)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    _reader, writer = await asyncio.open_connection(HOST, server.port)
    await write(writer, pieces)
    await engine.entered.wait()
    server.stop()
    await asyncio.wait_for(serving, timeout=5)
    writer.close()


@PIECES
async def test_a_client_that_goes_before_its_answer_harms_nobody(
    pieces: tuple[bytes, ...]
) -> None:
    engine = Engine()
    server = make_server(engine.start)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    _reader, writer = await asyncio.open_connection(HOST, server.port)
    await write(writer, pieces)
    await engine.entered.wait()
    writer.close()
    await writer.wait_closed()
    await several_turns()
    engine.answers[0](ecs.ListClustersResponse(cluster_arns=[]))
    server.stop()
    await asyncio.wait_for(serving, timeout=5)


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    engine = Engine()
    server = make_server(engine.start, keep_alive_s=0)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(HEAD + BODY + HEAD + BODY)
    for number in range(2):
        await engine.entered.wait()
        engine.entered.clear()
        await several_turns()  # longer than it may be idle
        engine.answers[number](ecs.ListClustersResponse(cluster_arns=[]))
    answers = await asyncio.wait_for(reader.read(), timeout=5)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    writer.close()
    server.stop()
    await serving


async def test_a_websocket_outlives_the_calls_that_came_before_it() -> None:
    async def serve_agent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await several_turns()  # longer than it may be idle
        await send({"type": "websocket.send", "text": "still here"})

    app = ApiApp(
        answer_at_once,
        default_account_id="123456789012",
        default_region="us-east-1",
        websocket_routes={"/ws": serve_agent},
    )
    server = ApiServer(app, host=HOST, port=0, limits=ServerLimits(keep_alive_s=0))
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(HEAD + BODY + UPGRADE)
    await reader.readuntil(b'{"clusterArns":[]}')
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    await asyncio.wait_for(reader.readuntil(b"still here"), timeout=5)
    writer.close()
    server.stop()
    await serving


def test_a_server_never_served_gives_its_port_back() -> None:
    server = make_server(answer_at_once)
    server.close()
    make_server(answer_at_once, port=server.port).close()
