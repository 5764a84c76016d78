"""The ASGI app: websockets, the health page, and API calls that aren't of the usual kind.

The usual call never comes here (`connections`): this is for bodies that arrive in pieces, for what
is pipelined, too large or not POST. The app knows no operation: `calls` carries them out.
A web page of another origin cannot call it: the `X-Amz-Target` header makes a browser ask first,
and no such question (OPTIONS) is answered with leave; `hosts` refuses names led here by DNS.
"""

import asyncio
from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from homeport.api.errors import AwsError, UnknownOperationException
from homeport.server.bodies import ClientGone, read_body
from homeport.server.calls import ApiCalls, Request, Response, Start, read_request
from homeport.server.health import HEALTH_PATH, render_health
from homeport.server.hosts import is_own_host
from homeport.server.limits import ServerLimits

JSON_TYPE = (b"content-type", b"application/json")


class ApiApp:
    """Serves the AWS API on every path, /health, and the websocket routes."""

    def __init__(
        self,
        start: Start,
        *,
        default_account_id: str,
        default_region: str,
        limits: ServerLimits | None = None,
        websocket_routes: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self._limits = limits or ServerLimits()
        self._websocket_routes = dict(websocket_routes or {})
        self.calls = ApiCalls(
            start,
            default_account_id=default_account_id,
            default_region=default_region,
            most_in_flight=self._limits.requests_in_flight,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or websocket."""
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            raise RuntimeError(f"no ASGI {scope['type']} here: run with lifespan off")

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._websocket_routes.get(scope["path"])
        if route is not None and is_own_host(_read_request(scope).host):
            await route(scope, receive, send)
            return
        await receive()
        # Before it is accepted, closing a websocket is answered as HTTP 403.
        await send({"type": "websocket.close", "code": 1008, "reason": "no such websocket"})

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(scope, receive)
        except ClientGone:
            return
        except AwsError as error:
            response = self.calls.render(error)
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": response.headers,
            }
        )
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        method = scope["method"]
        if scope["path"] == HEALTH_PATH and method in ("GET", "HEAD"):
            return self.calls.render_page(JSON_TYPE, render_health())
        request = _read_request(scope)
        if method != "POST":
            raise UnknownOperationException(
                f"{method} is not served; send POST with an X-Amz-Target header."
            )
        body = await self._read_body(request, receive)
        responded: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def respond(response: Response) -> None:
            if not responded.done():
                responded.set_result(response)

        self.calls.carry_out(request, body, respond)
        return await responded

    async def _read_body(self, request: Request, receive: Receive) -> bytes:
        self.calls.arriving += 1
        try:
            self.calls.refuse_one_too_many()
            return await read_body(receive, request.content_length, self._limits)
        finally:
            self.calls.arriving -= 1


def _read_request(scope: Scope) -> Request:
    return read_request(
        scope.get("headers", ()),
        query=scope.get("query_string", b"").decode("latin-1"),
        scheme=scope.get("scheme", "http"),
        address="{}:{}".format(*(scope.get("server") or ("localhost", 0))),
    )
