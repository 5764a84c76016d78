"""The app by plain ASGI calls: websockets' routes, header reading, impossible scopes."""

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from homeport.api import ecs
from homeport.engine.events import ApiCalled
from homeport.server.asgi import ApiApp
from homeport.server.calls import Answer


class Client:
    """Calls an app once and keeps what it sends."""

    def __init__(self, *messages: Message) -> None:
        self.sent: list[Message] = []
        self._messages = list(messages)

    async def receive(self) -> Message:
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def make_scope(**members: Any) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "scheme": "http",
        "server": ("127.0.0.1", 4566),
        "query_string": b"",
        "headers": [(b"x-amz-target", b"AmazonEC2ContainerServiceV20141113.ListClusters")],
        **members,
    }


def make_recording_app(**settings: Any) -> tuple[Any, list[ApiCalled]]:
    calls: list[ApiCalled] = []

    def start(event: ApiCalled, answer: Answer) -> None:
        calls.append(event)
        answer(ecs.ListClustersResponse(cluster_arns=[]))

    account = {"default_account_id": "123456789012", "default_region": "eu-west-1"}
    return ApiApp(start, **account, **settings), calls


async def test_a_websocket_goes_to_its_route_and_to_no_other() -> None:
    served: list[str] = []

    async def serve_agents(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["path"])

    app, _calls = make_recording_app(websocket_routes={"/ws": serve_agents})
    await app({"type": "websocket", "path": "/ws"}, None, None)
    stranger = Client({"type": "websocket.connect"})
    await app({"type": "websocket", "path": "/other"}, stranger.receive, stranger.send)
    assert served == ["/ws"]
    assert [message["type"] for message in stranger.sent] == ["websocket.close"]


async def test_an_unsigned_request_gets_the_default_account_and_region() -> None:
    app, calls = make_recording_app()
    client = Client({"type": "http.request", "body": b"{}"})
    await app(make_scope(), client.receive, client.send)
    assert client.sent[0]["status"] == 200
    assert (calls[0].account_id, calls[0].region) == ("123456789012", "eu-west-1")
    assert calls[0].endpoint == "http://127.0.0.1:4566"


async def test_the_endpoint_is_the_one_the_client_used() -> None:
    app, calls = make_recording_app()
    headers = [*make_scope()["headers"], (b"host", b"ecs.localhost:8443")]
    client = Client({"type": "http.request", "body": b"{}"})
    await app(make_scope(headers=headers, scheme="https"), client.receive, client.send)
    assert calls[0].endpoint == "https://ecs.localhost:8443"


async def test_a_client_that_is_gone_is_not_answered() -> None:
    app, calls = make_recording_app()
    client = Client(
        {"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}
    )
    await app(make_scope(), client.receive, client.send)
    assert (client.sent, calls) == ([], [])


async def test_a_length_that_is_no_number_is_refused() -> None:
    app, _calls = make_recording_app()
    headers = [*make_scope()["headers"], (b"content-length", b"-5")]
    client = Client()
    await app(make_scope(headers=headers), client.receive, client.send)
    assert client.sent[0]["status"] == 400
    assert b"SerializationException" in client.sent[1]["body"]


async def test_other_kinds_of_scope_are_a_mistake_of_ours() -> None:
    app, _calls = make_recording_app()
    with pytest.raises(RuntimeError, match="lifespan off"):
        await app({"type": "lifespan"}, None, None)
