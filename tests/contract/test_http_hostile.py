"""Clients that misbehave on the socket: slow, half, huge, and plain wrong requests."""

import json
import socket
from collections.abc import Iterator

import pytest

from homeport.api import ecs
from homeport.engine.events import ApiCalled
from homeport.server.limits import ServerLimits
from served_api import ServedApi, read_to_end

LIMITS = ServerLimits(
    body_bytes=10_000,
    drained_bytes=100_000,
    header_bytes=4_096,
    header_timeout_s=0.1,
    body_timeout_s=0.1,
    keep_alive_s=1,
)
TARGET = b"X-Amz-Target: AmazonEC2ContainerServiceV20141113."


async def list_clusters(event: ApiCalled) -> object:
    return ecs.ListClustersResponse(cluster_arns=["arn:c"])


@pytest.fixture(scope="module")
def server() -> Iterator[ServedApi]:
    with ServedApi(list_clusters, limits=LIMITS) as served:
        yield served


@pytest.fixture(autouse=True)
def alive_afterwards(server: ServedApi) -> Iterator[None]:
    server.calls.clear()
    yield
    server.calls.clear()
    status, reply = answer(server.exchange(post(b"ListClusters", b"{}")))
    assert (status, reply) == (200, {"clusterArns": ["arn:c"]})


def post(operation: bytes, body: bytes, *, more: bytes = b"", length: int | None = None) -> bytes:
    declared = len(body) if length is None else length
    return (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        + (TARGET + operation + b"\r\n" if operation else b"")
        + more
        + b"Content-Length: %d\r\n\r\n" % declared
        + body
    )


def answer(received: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else {}


def test_half_a_body_is_answered_with_a_time_out_and_reaches_nobody(server: ServedApi) -> None:
    status, reply = answer(server.exchange(post(b"ListClusters", b'{"max', length=50)))
    assert (status, reply["__type"]) == (408, "RequestTimeoutException")
    assert server.calls == []


def test_half_a_request_line_is_hung_up_on(server: ServedApi) -> None:
    assert server.exchange(b"POST / HT").startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_says_nothing_is_hung_up_on(server: ServedApi) -> None:
    assert server.exchange(b"").startswith(b"HTTP/1.1 408 ")


def test_half_the_headers_of_a_second_request_are_hung_up_on(server: ServedApi) -> None:
    first = post(b"ListClusters", b"{}").replace(b"Connection: close\r\n", b"")
    received = server.exchange(first + b"POST / HTTP/1.1\r\nHost: localhost\r\n")
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in received


def test_a_client_that_leaves_in_mid_body_reaches_nobody(server: ServedApi) -> None:
    with server.connect() as connection:
        connection.sendall(post(b"ListClusters", b"{", length=9))
    assert server.calls == []


def test_endless_headers_are_refused(server: ServedApi) -> None:
    request = b"POST / HTTP/1.1\r\n" + b"X-Filler: aaaaaaaaaaaaaaaa\r\n" * 300
    assert server.exchange(request).startswith(b"HTTP/1.1 431 ")


def test_a_body_over_the_limit_is_read_away_so_that_its_client_sees_the_answer(
    server: ServedApi,
) -> None:
    status, reply = answer(server.exchange(post(b"ListClusters", b"x" * 90_000)))
    assert (status, reply["__type"]) == (413, "RequestEntityTooLargeException")
    assert "10000 bytes" in str(reply["message"])


def test_a_body_that_is_declared_enormous_is_refused_before_it_is_sent(server: ServedApi) -> None:
    status, reply = answer(server.exchange(post(b"ListClusters", b"", length=10**12)))
    assert (status, reply["__type"]) == (413, "RequestEntityTooLargeException")


def test_a_client_that_asks_first_is_told_before_it_sends_too_much(server: ServedApi) -> None:
    more = b"Expect: 100-continue\r\n"
    received = server.exchange(post(b"ListClusters", b"", more=more, length=200_000))
    assert received.startswith(b"HTTP/1.1 413 ")


def test_an_undeclared_body_over_the_limit_is_refused(server: ServedApi) -> None:
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
        + chunk * 5
        + b"0\r\n\r\n"
    )
    status, reply = answer(server.exchange(request))
    assert (status, reply["__type"]) == (413, "RequestEntityTooLargeException")


def test_a_chunked_body_is_put_together(server: ServedApi) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        + TARGET
        + b'ListClusters\r\n\r\n8\r\n{"maxRes\r\n8\r\nults":7}\r\n0\r\n\r\n'
    )
    assert answer(server.exchange(request))[0] == 200
    assert server.calls[0].request == ecs.ListClustersRequest(max_results=7)


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (post(b"", b"{}"), 404, "UnknownOperationException"),
        (post(b"MakeCoffee", b"{}"), 404, "UnknownOperationException"),
        (post(b"ListClusters", b"{"), 400, "SerializationException"),
        (post(b"ListClusters", b'{"maxResults":"7"}'), 400, "SerializationException"),
        (post(b"StopTask", b"{}"), 400, "InvalidParameterException"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            404,
            "UnknownOperationException",
        ),
        (
            b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            404,
            "UnknownOperationException",
        ),
    ],
    ids=range(7),
)
def test_a_wrong_request_has_awss_error(
    server: ServedApi, request_bytes: bytes, status: int, code: str
) -> None:
    received = server.exchange(request_bytes)
    got, reply = answer(received)
    assert (got, reply["__type"]) == (status, code)
    assert b"x-amzn-requestid: " in received
    assert b"access-control" not in received
    assert server.calls == []


def test_what_is_not_http_is_refused(server: ServedApi) -> None:
    tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 80
    assert server.exchange(tls_hello).startswith(b"HTTP/1.1 400 ")


def test_pipelined_requests_are_answered_in_order(server: ServedApi) -> None:
    one = post(b"ListClusters", b'{"maxResults":1}').replace(b"Connection: close\r\n", b"")
    two = post(b"ListClusters", b'{"maxResults":2}')
    assert server.exchange(one + two).count(b"HTTP/1.1 200 ") == 2
    assert [call.request for call in server.calls] == [
        ecs.ListClustersRequest(max_results=1),
        ecs.ListClustersRequest(max_results=2),
    ]


def test_the_health_page_says_ok_and_the_version(server: ServedApi) -> None:
    for method, has_body in ((b"GET", True), (b"HEAD", False)):
        received = server.exchange(
            method + b" /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        status, page = answer(received)
        assert status == 200
        assert (page.get("status") == "ok" and "version" in page) == has_body


def test_connections_beyond_the_limit_are_closed_and_the_others_live() -> None:
    with ServedApi(list_clusters, limits=ServerLimits(connections=1)) as served:
        with served.connect() as first:
            first.sendall(post(b"ListClusters", b"{}").replace(b"Connection: close\r\n", b""))
            assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert served.exchange(b"") == b""
            first.sendall(post(b"ListClusters", b"{}"))
            assert b"arn:c" in read_to_end(first)
        assert socket.create_connection(("127.0.0.1", served.port)).close() is None


def test_a_strangers_host_name_is_refused_and_its_connection_lives(server: ServedApi) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: evil.example\r\nX-Amz-Target: "
        b"AmazonEC2ContainerServiceV20141113.ListClusters\r\nContent-Length: 2\r\n"
    )
    received = server.exchange(head + b"\r\n{}" + head + b"Connection: close\r\n\r\n{}")
    assert received.count(b"x-amzn-errortype: AccessDeniedException") == 2
