"""Whole responses in one write, over real connections: `server.connections`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from homeport.api import ecs
from homeport.engine.events import ApiCalled
from homeport.server.asgi import ApiApp
from homeport.server.serve import ApiServer
from served_api import start_with

HOST = "127.0.0.1"
LIMIT_S = 5


async def list_clusters(event: ApiCalled) -> object:
    assert isinstance(event.request, ecs.ListClustersRequest)
    await asyncio.sleep(0)
    return ecs.ListClustersResponse(cluster_arns=[event.request.next_token or ""])


@asynccontextmanager
async def served() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    app = ApiApp(
        start_with(list_clusters), default_account_id="123456789012", default_region="us-east-1"
    )
    server = ApiServer(app, host=HOST, port=0)
    serving = asyncio.create_task(server.serve())
    await server.started.wait()
    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        async with asyncio.timeout(LIMIT_S):
            yield reader, writer
    finally:
        writer.close()
        server.stop()
        await serving


def request(token: str, *headers: str, version: str = "1.1") -> bytes:
    body = msgspec.json.encode({"nextToken": token})
    head = [
        f"POST / HTTP/{version}",
        "Host: localhost",
        "X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListClusters",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def read_response(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.rstrip().split(b"\r\n")
    headers = {name: value for name, _, value in (line.partition(b": ") for line in lines)}
    return status, headers, await reader.readexactly(int(headers[b"content-length"]))


async def test_pipelined_requests_are_answered_each_and_in_order() -> None:
    async with served() as (reader, writer):
        writer.write(request("a") + request("b") + request("c"))
        answers = [await read_response(reader) for _ in range(3)]
    bodies = [msgspec.json.decode(body) for _, _, body in answers]
    assert bodies == [{"clusterArns": [token]} for token in "abc"]


async def test_a_refusal_keeps_the_connection_and_names_its_type() -> None:
    async with served() as (reader, writer):
        writer.write(request("a").replace(b"ListClusters", b"NoOperation"))
        status, headers, _ = await read_response(reader)
        assert status == b"HTTP/1.1 404 Not Found"
        assert headers[b"x-amzn-errortype"] == b"UnknownOperationException"
        assert b"connection" not in headers
        writer.write(request("again"))
        status, _, body = await read_response(reader)
    assert (status, msgspec.json.decode(body)) == (b"HTTP/1.1 200 OK", {"clusterArns": ["again"]})


@pytest.mark.parametrize(
    "last", [request("x", "Connection: close"), request("x", version="1.0")], ids=["close", "1.0"]
)
async def test_a_client_that_wants_no_more_is_answered_and_let_go(last: bytes) -> None:
    async with served() as (reader, writer):
        writer.write(last)
        _, headers, body = await read_response(reader)
        assert headers[b"connection"] == b"close"
        assert msgspec.json.decode(body) == {"clusterArns": ["x"]}
        assert await reader.read() == b""


async def test_a_client_that_asks_whether_to_continue_is_told_to() -> None:
    async with served() as (reader, writer):
        head, _, body = request("a", "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        status, _, answer = await read_response(reader)
    assert (status, msgspec.json.decode(answer)) == (b"HTTP/1.1 200 OK", {"clusterArns": ["a"]})


async def test_a_response_to_a_client_that_does_not_read_waits_and_arrives_whole() -> None:
    token = "t" * 500_000
    async with served() as (reader, writer):
        count = 40
        writer.write(request(token) * count)
        for _ in range(count):
            _, _, body = await read_response(reader)
            assert msgspec.json.decode(body) == {"clusterArns": [token]}
