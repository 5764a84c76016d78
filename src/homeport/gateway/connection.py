"""One websocket: frames in to its session, frames out in order and never without bound.

A connection has no task of its own beyond the web server's; a short one lives while frames are
being written. What outputs mean for engine and registry is `connections`' work.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from starlette.types import Receive, Send

from homeport.gateway.admission import AgentIdentity
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import CLOSE_POLICY, Outputs

log = logging.getLogger(__name__)


class Session(Protocol):
    """A pure session machine: the ACS one or the TCS one."""

    identity: AgentIdentity

    @property
    def due_ms(self) -> int:
        """When `timer_rang` must be called at the latest."""

    def connected(self, now_ms: int) -> Outputs:
        """Greet."""

    def frame_received(self, text: str | bytes, now_ms: int) -> Outputs:
        """Take one frame."""

    def timer_rang(self, now_ms: int) -> Outputs:
        """Do what is due."""

    def server_stopping(self) -> Outputs:
        """Say goodbye."""

    def instance_deregistered(self) -> Outputs:
        """Send the agent away."""


S = TypeVar("S", bound=Session)


class Connection(Generic[S]):
    """The socket's side of a session: an outbox with limits, and the reading of frames."""

    def __init__(self, number: int, session: S, send: Send, limits: GatewayLimits) -> None:
        self.number = number
        self.session = session
        self.is_closing = False
        self._send = send
        self._limits = limits
        self._outbox: deque[str] = deque()
        self._outbox_bytes = 0
        self._close: tuple[int, str] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[object] | None = None
        self._is_cut = False

    @property
    def name(self) -> str:
        """The container instance that the socket speaks for, for the log."""
        return self.session.identity.container_instance_arn

    def queue(self, text: str) -> None:
        """Write a frame behind those that wait; an agent that doesn't read is cut off."""
        if self._close is not None or self._is_cut:
            return
        self._outbox.append(text)
        self._outbox_bytes += len(text)
        limits = self._limits
        if len(self._outbox) > limits.outbox_frames or self._outbox_bytes > limits.outbox_bytes:
            log.warning("%s: cut off, %d frames unread", self.name, len(self._outbox))
            self._close = (CLOSE_POLICY, "frames are not read")
            self.cut()
            return
        self._write()

    def close(self, code: int, reason: str) -> None:
        """Close the websocket behind the frames that wait; cut it if that takes too long."""
        if self._close is None and not self._is_cut:
            self._close = (code, reason)
            self._write()
            asyncio.get_running_loop().call_later(self._limits.stop_grace_s, self.cut)

    def cut(self) -> None:
        """End the connection without waiting for the agent."""
        self._is_cut = True
        self._outbox.clear()
        if self._writing is not None:
            self._writing.cancel()
        if self._reading is not None:
            self._reading.cancel()

    async def read(self, receive: Receive, take: Callable[[str | bytes], None]) -> None:
        """Hand each frame to `take` until the websocket is closed by either side."""
        self._reading = asyncio.current_task()
        try:
            while not self._is_cut:
                event = await receive()
                if event["type"] != "websocket.receive":
                    return
                if self._close is None:
                    take(event.get("text") or event.get("bytes") or "")
        except asyncio.CancelledError:
            if not self._is_cut:
                raise
        finally:
            self._reading = None
            self._is_cut = True
            if self._writing is not None:
                self._writing.cancel()

    def _write(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_outbox())

    async def _write_outbox(self) -> None:
        try:
            while self._outbox:
                text = self._outbox.popleft()
                self._outbox_bytes -= len(text)
                await self._send({"type": "websocket.send", "text": text})
            if self._close is not None:
                code, reason = self._close
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            # The peer is gone (ASGI's word for it); reading notices the same and cleans up.
            self._outbox.clear()
        finally:
            self._writing = None
