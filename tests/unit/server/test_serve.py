"""Listening, starting and stopping."""

import asyncio
import socket

import pytest
from starlette.types import Receive, Scope, Send

from homeport.server.limits import ServerLimits
from homeport.server.serve import ApiServer, ListenError, PortInUse

HOST = "127.0.0.1"


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as refused:
            ApiServer(answer_ok, host=HOST, port=port)
    assert str(port) in str(refused.value)
    assert "--port" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(ListenError, match=f"Cannot listen on {host}:0"):
        ApiServer(answer_ok, host=host, port=0)


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_started_means_listening_and_stop_means_gone(host: str) -> None:
    server = ApiServer(answer_ok, host=host, port=0)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(host, server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    server.stop()
    await serving
    assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(host, server.port)


async def test_stopping_lets_a_request_in_flight_finish() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def answer_later(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await release.wait()
        await answer_ok(scope, receive, send)

    server = ApiServer(answer_later, host=HOST, port=0)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await entered.wait()
    server.stop()
    release.set()
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    await serving
    writer.close()


async def test_stopping_cuts_off_a_request_that_never_ends() -> None:
    entered = asyncio.Event()

    async def never_answer(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    server = ApiServer(never_answer, host=HOST, port=0, limits=ServerLimits(stop_grace_s=0))
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    _reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await entered.wait()
    server.stop()
    await asyncio.wait_for(serving, timeout=5)
    writer.close()


def test_a_server_never_served_gives_its_port_back() -> None:
    server = ApiServer(answer_ok, host=HOST, port=0)
    server.close()
    ApiServer(answer_ok, host=HOST, port=server.port).close()
