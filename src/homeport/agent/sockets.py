"""One websocket to the control plane, kept open: connect, serve, back off, connect again.

Shared by the ACS and TCS sessions. Not here: what is said on them (`control_session`,
`telemetry`).
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

import homeport
from homeport.agent.gate import Backoff
from homeport.agent.link import ControlPlaneRefusal, ControlPlaneUnavailable
from homeport.api import ecs
from homeport.wire.agent_messages import acs
from homeport.wire.agent_messages.frames import (
    MAX_FRAME_BYTES,
    FrameError,
    Message,
    decode_frame,
    encode_frame,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeport.agent.link import Link
    from homeport.agent.settings import AgentSettings

LOG: Final = logging.getLogger("homeport.agent")

HANDSHAKE_TIMEOUT_S: Final = 10
FIRST_RETRY_S: Final = 0.25
LAST_RETRY_S: Final = 120.0
INACTIVE_WAIT_S: Final = 3600.0
"""After InactiveInstanceException: the instance was deregistered (ecs-agent acs/session)."""

SHORTEST_SESSION_S: Final = 1.0
"""A connection that ends cleanly sooner than this is backed off from like a broken one."""

SILENCE_LIMIT_S: Final = 60.0
SILENCE_JITTER_S: Final = 60.0
"""A link on which nothing arrives for one to two minutes is dropped, as Amazon's agent does."""

ENDPOINT_LIFETIME_S: Final = 12 * 3600.0
AGENT_HASH: Final = "homeport"


class Ending(enum.Enum):
    """How a session ended, which decides when the next one begins."""

    CLEAN = "clean"
    BROKEN = "broken"
    INACTIVE = "inactive"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this agent is, as it says on every socket."""

    cluster: str
    container_instance_arn: str
    docker_version: str


class Socket:
    """An open websocket that speaks frames."""

    def __init__(self, name: str, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._name = name
        self._websocket = websocket
        self._silence_limit_s = SILENCE_LIMIT_S + random.uniform(0, SILENCE_JITTER_S)

    async def send(self, message: Message) -> None:
        """Send one message."""
        await self._websocket.send_str(encode_frame(message))

    async def receive(self) -> Message | Ending:
        """The next message, or how the connection ended; broken frames are logged and skipped."""
        while True:
            try:
                received = await self._websocket.receive(timeout=self._silence_limit_s)
            except TimeoutError:
                LOG.warning("%s: nothing heard for %.0f s", self._name, self._silence_limit_s)
                return Ending.BROKEN
            if received.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                try:
                    return decode_frame(received.data)
                except FrameError as error:
                    LOG.warning("%s: ignoring a frame: %s", self._name, error)
                    continue
            is_clean = self._websocket.close_code == aiohttp.WSCloseCode.OK
            return Ending.CLEAN if is_clean else Ending.BROKEN


Serve = Callable[[Socket], Awaitable[Ending]]


class Endpoints:
    """Where the control plane's sockets are: asked once, and again after a failure."""

    def __init__(self, link: Link, identity: Identity) -> None:
        self._link = link
        self._identity = identity
        self._known: ecs.DiscoverPollEndpointResponse | None = None
        self._known_until_s = 0.0

    async def find(self) -> ecs.DiscoverPollEndpointResponse:
        """The endpoints, from memory while they are fresh."""
        if self._known is None or time.monotonic() >= self._known_until_s:
            request = ecs.DiscoverPollEndpointRequest(
                cluster=self._identity.cluster,
                container_instance=self._identity.container_instance_arn,
            )
            self._known = await self._link.call(
                "DiscoverPollEndpoint", request, ecs.DiscoverPollEndpointResponse
            )
            self._known_until_s = time.monotonic() + ENDPOINT_LIFETIME_S
        return self._known

    def forget(self) -> None:
        """A connection failed: ask again."""
        self._known = None


class SocketKeeper:
    """Keeps one kind of session open for as long as the agent lives."""

    def __init__(
        self, *, name: str, settings: AgentSettings, link: Link, endpoints: Endpoints
    ) -> None:
        self._name = name
        self._settings = settings
        self._link = link
        self._endpoints = endpoints

    async def run(
        self, path_of: Callable[[ecs.DiscoverPollEndpointResponse], str], serve: Serve
    ) -> None:
        """Connect and serve, again and again; `path_of` picks the URL with its query."""
        backoff = Backoff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                started_s = time.monotonic()
                ending = await self._run_once(session, path_of, serve)
                if ending is Ending.INACTIVE:
                    LOG.error("this container instance was deregistered; waiting an hour")
                    await asyncio.sleep(INACTIVE_WAIT_S)
                    continue
                has_lasted = time.monotonic() - started_s >= SHORTEST_SESSION_S
                if has_lasted:
                    backoff.reset()
                if ending is Ending.BROKEN or not has_lasted:
                    self._endpoints.forget()
                    await asyncio.sleep(backoff.next_s())

    async def _run_once(
        self,
        session: aiohttp.ClientSession,
        path_of: Callable[[ecs.DiscoverPollEndpointResponse], str],
        serve: Serve,
    ) -> Ending:
        try:
            url = path_of(await self._endpoints.find())
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                websocket = await session.ws_connect(
                    URL(url, encoded=True),
                    headers=self._link.sign("GET", url, {}),
                    max_msg_size=MAX_FRAME_BYTES,
                )
        except (ControlPlaneUnavailable, ControlPlaneRefusal, aiohttp.ClientError) as error:
            LOG.info("%s: can't connect: %s", self._name, error)
            return Ending.BROKEN
        except (TimeoutError, OSError) as error:
            LOG.info("%s: can't connect: %r", self._name, error)
            return Ending.BROKEN
        async with websocket:
            LOG.info("%s: connected", self._name)
            try:
                ending = await serve(Socket(self._name, websocket))
            except (aiohttp.ClientError, ConnectionError) as error:
                LOG.info("%s: connection lost: %r", self._name, error)
                return Ending.BROKEN
            LOG.info("%s: connection ended (%s)", self._name, ending.value)
            return ending


def make_url(endpoint: str | None, query: Mapping[str, str]) -> str:
    """The websocket's URL under an endpoint, every query value percent-encoded."""
    if not endpoint:
        raise ControlPlaneUnavailable("DiscoverPollEndpoint names no endpoint")
    return f"{endpoint.rstrip('/')}/ws?{urlencode(sorted(query.items()), quote_via=quote, safe='')}"


def describe_agent() -> dict[str, str]:
    """The version members of both sockets' queries."""
    return {"agentVersion": homeport.__version__, "agentHash": AGENT_HASH}


def read_refusal(message: Message) -> Ending | None:
    """How the session ends if the message is an error frame; None if it isn't one."""
    match message:
        case acs.InactiveInstanceException():
            return Ending.INACTIVE
        case acs.CloseMessage():
            return Ending.CLEAN
        case (
            acs.InvalidClusterException()
            | acs.InvalidInstanceException()
            | acs.AccessDeniedException()
            | acs.BadRequestException()
            | acs.ServerException()
            | acs.ErrorMessage()
        ):
            LOG.error("the control plane says %s: %s", type(message).__name__, message.message)
            return Ending.BROKEN
    return None
