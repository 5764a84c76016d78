"""Websockets through the real server: routes, refusals, size, and no time limit once open."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from homeport.engine.events import ApiCalled
from homeport.server.limits import ServerLimits
from served_api import ServedApi

LIMITS = ServerLimits(header_timeout_s=0.05, keep_alive_s=1, websocket_message_bytes=1_000)


async def echo(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """Send the query, then, later than any HTTP limit, what came."""
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()
    await websocket.send_text(websocket.url.query)
    text = await websocket.receive_text()
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(2 * LIMITS.header_timeout_s, later.set_result, None)
    await later
    await websocket.send_text(text)
    await websocket.close()


async def answer_nothing(event: ApiCalled) -> object:
    return None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ServedApi(answer_nothing, limits=LIMITS, websocket_routes={"/ws": echo}) as served:
        yield f"ws://127.0.0.1:{served.port}"


def test_an_open_websocket_outlives_the_limits_of_http(url: str) -> None:
    with connect(f"{url}/ws?clusterArn=arn%3Aaws&seqNum=1") as websocket:
        assert websocket.recv() == "clusterArn=arn%3Aaws&seqNum=1"
        websocket.send("still here")
        assert websocket.recv() == "still here"


def test_a_path_nobody_serves_is_forbidden(url: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{url}/elsewhere")
    assert refused.value.response.status_code == 403


def test_a_message_over_the_limit_closes_the_websocket(url: str) -> None:
    with connect(f"{url}/ws") as websocket:
        websocket.recv()
        websocket.send("x" * 1_001)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
