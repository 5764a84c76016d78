"""The gateway: all agents' connections, and the way of events and effects between them and engine.

The newest connection of a container instance gets its tasks; its agent counts as lost only when
the last one is gone. What a connection says is its session's decision (`session`,
`telemetry_session`); reading and writing are `connection`'s work.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import AgentLost
from homeport.engine.ports import Clock
from homeport.gateway.admission import AgentIdentity, admit_agent, read_signer
from homeport.gateway.connection import Connection
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.log_once import LogOnce
from homeport.gateway.metrics import LatestMetrics, MetricsSink
from homeport.gateway.outputs import (
    CLOSE_POLICY,
    CLOSE_TRY_LATER,
    CloseConnection,
    KeepMetrics,
    ObserveEvent,
    Outputs,
    SendFrame,
    WriteNote,
)
from homeport.gateway.payloads import PayloadTasks
from homeport.gateway.registry import Registry
from homeport.gateway.session import AcsSession, SequenceNumbers
from homeport.gateway.telemetry_session import TcsSession
from homeport.gateway.timers import Timers
from homeport.model.arn import Scope
from homeport.wire.agent_messages import acs
from homeport.wire.agent_messages.frames import Message, encode_frame

log = logging.getLogger(__name__)

ACS_PATH: Final = "/acs/ws"
TCS_PATH: Final = "/tcs/ws"

QUERY_LOGGED_BYTES: Final = 300
"""How much of a refused request goes into the log."""

RINGS_PER_HEARTBEAT: Final = 100
"""Timers may be late by this part of the heartbeat interval, so that several ring together."""

AnyConnection = Connection[AcsSession] | Connection[TcsSession]


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration says of the gateway."""

    heartbeat_interval_s: float = 30.0
    agent_disconnect_window_s: float = 90.0
    account_id: str = "123456789012"  # of requests whose signature names none
    region: str = "us-east-1"


class Gateway:
    """The agents' side of the control plane; every method but `stop` returns without waiting."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        settings: GatewaySettings | None = None,
        *,
        limits: GatewayLimits | None = None,
        metrics: MetricsSink | None = None,
    ) -> None:
        self._settings = settings or GatewaySettings()
        self._limits = _with_settings(limits or GatewayLimits(), self._settings)
        self._engine = engine
        self._clock = clock
        self._metrics = metrics or LatestMetrics(self._limits)
        coarseness_ms = self._limits.heartbeat_interval_ms // RINGS_PER_HEARTBEAT
        self._timers = Timers(clock, coarseness_ms)
        self._payload_tasks = PayloadTasks(engine.view)
        self._sequence = SequenceNumbers(engine.view.at_ms)
        self._ids = _draw_ids()
        self._last_number = 0
        self._acs: Registry[AcsSession] = Registry()
        self._tcs: Registry[TcsSession] = Registry()
        self._serving: set[asyncio.Task[Any]] = set()
        self._wanted: dict[str, dict[str, None]] = {}
        self._is_stopping = False
        self._log_once = LogOnce()
        self.routes: Mapping[str, ASGIApp] = {ACS_PATH: self.serve_acs, TCS_PATH: self.serve_tcs}

    # effects
    def send_tasks(self, effect: SendTasks) -> None:
        """Send an agent what is wanted of its tasks; all of one turn of the loop go together.

        Without a connection nothing is lost: whoever connects is sent all that isn't as wanted.
        """
        if self._acs.newest(effect.container_instance_arn) is None:
            return
        if not self._wanted:
            asyncio.get_running_loop().call_soon(self._send_wanted)
        wanted = self._wanted.setdefault(effect.container_instance_arn, {})
        wanted.update(dict.fromkeys(effect.task_arns))

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Tell an agent that its container instance is INACTIVE, and close its connections."""
        arn = effect.container_instance_arn
        connections: tuple[AnyConnection, ...] = (*self._acs.of(arn), *self._tcs.of(arn))
        for connection in connections:
            self._carry_out(connection, connection.session.instance_deregistered())

    async def stop(self) -> None:
        """Say goodbye to every agent; returns when all are gone or the grace is over."""
        self._is_stopping = True
        self._timers.stop()
        connections: tuple[AnyConnection, ...] = (*self._acs, *self._tcs)
        for connection in connections:
            self._carry_out(connection, connection.session.server_stopping())
        if self._serving:
            # A connection cuts itself when its agent lets it wait.
            await asyncio.wait(self._serving, timeout=2 * self._limits.stop_grace_s)

    # websockets
    async def serve_acs(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one agent communication websocket (ASGI)."""

        def open_connection(identity: AgentIdentity) -> Connection[AcsSession]:
            session = AcsSession(
                identity=identity,
                view=self._engine.view,
                payload_tasks=self._payload_tasks,
                sequence=self._sequence,
                ids=self._ids,
                limits=self._limits,
                now_ms=self._clock.now_ms(),
            )
            connection = Connection(self._next_number(), session, send, self._limits)
            self._close_oldest(self._acs.of(connection.name))
            self._acs.add(connection)
            return connection

        await self._serve(scope, receive, send, open_connection)

    async def serve_tcs(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one telemetry websocket (ASGI)."""

        def open_connection(identity: AgentIdentity) -> Connection[TcsSession]:
            session = TcsSession(
                identity=identity,
                view=self._engine.view,
                ids=self._ids,
                limits=self._limits,
                now_ms=self._clock.now_ms(),
            )
            connection = Connection(self._next_number(), session, send, self._limits)
            self._close_oldest(self._tcs.of(connection.name))
            self._tcs.add(connection)
            return connection

        await self._serve(scope, receive, send, open_connection)

    async def _serve(
        self,
        scope: AsgiScope,
        receive: Receive,
        send: Send,
        open_connection: Callable[[AgentIdentity], AnyConnection],
    ) -> None:
        await receive()
        try:
            await send({"type": "websocket.accept"})
            admitted = self._admit(scope)
            if not isinstance(admitted, AgentIdentity):
                self._note_refusal(scope, admitted)
                await _turn_away(send, admitted)
                return
        except OSError:
            return  # gone before it was let in: ASGI's word for a send that nobody hears
        except RuntimeError:
            if not self._is_stopping:
                raise
            # uvicorn, shutting down, has closed it already, and knows so a moment later.
            await receive()
            return
        connection = open_connection(admitted)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            self._carry_out(connection, connection.session.connected(self._clock.now_ms()))
            await connection.read(receive, lambda text: self._take_frame(connection, text))
        finally:
            self._serving.discard(task)
            self._forget(connection)

    def _admit(self, scope: AsgiScope) -> AgentIdentity | Message:
        if self._is_stopping:
            return acs.CloseMessage(message="The control plane is stopping.")
        if len(self._acs) + len(self._tcs) >= self._limits.connections:
            text = f"The control plane has {self._limits.connections} agent connections already."
            return acs.ServerException(message=text)
        settings = self._settings
        default = Scope(settings.account_id, settings.region)
        signer = read_signer(scope.get("headers", ()), default)
        if not isinstance(signer, Scope):
            return signer
        return admit_agent(self._engine.view, scope["query_string"], signer)

    # sessions
    def _take_frame(self, connection: AnyConnection, text: str | bytes) -> None:
        if not connection.is_closing:
            outputs = connection.session.frame_received(text, self._clock.now_ms())
            self._carry_out(connection, outputs)

    def _send_wanted(self) -> None:
        wanted, self._wanted = self._wanted, {}
        for arn, task_arns in wanted.items():
            connection = self._acs.newest(arn)
            if connection is not None:
                outputs = connection.session.tasks_wanted(tuple(task_arns), self._clock.now_ms())
                self._carry_out(connection, outputs)

    def _carry_out(self, connection: AnyConnection, outputs: Outputs) -> None:
        for output in outputs:
            match output:
                case SendFrame():
                    self._send_frame(connection, output)
                case ObserveEvent():
                    self._engine.observe(output.event)
                case KeepMetrics():
                    self._metrics.keep_metrics(
                        output.container_instance_arn, output.metrics, self._clock.now_ms()
                    )
                case WriteNote():
                    self._write_note(connection.name, output)
                case CloseConnection():
                    self._close(connection, output)
        if not connection.is_closing and not self._is_stopping:
            self._timers.plan(
                connection.number,
                connection.session.due_ms,
                lambda now_ms: self._carry_out(connection, connection.session.timer_rang(now_ms)),
            )

    def _write_note(self, name: str, note: WriteNote) -> None:
        if not note.is_warning:
            log.info("%s: %s", name, note.text)
        elif self._log_once.is_news(name, note.text, self._clock.now_ms()):
            log.warning("%s: %s", name, note.text)

    def _note_refusal(self, scope: AsgiScope, refusal: Message) -> None:
        """Log a refusal once for each peer and kind, whatever the peer says that it is.

        Who comes back while the server stops does nothing wrong.
        """
        if self._is_stopping:
            return
        peer, kind = str((scope.get("client") or ("unknown",))[0]), type(refusal).__name__
        if self._log_once.is_news(peer, kind, self._clock.now_ms()):
            query = scope["query_string"][:QUERY_LOGGED_BYTES].decode(errors="replace")
            log.warning("refused an agent's websocket from %s: %s (%r)", peer, kind, query)

    def _send_frame(self, connection: AnyConnection, output: SendFrame) -> None:
        text = encode_frame(output.message)
        if output.tells_state:
            # The state that it tells may be ahead of the disk: no agent hears of it before.
            self._engine.when_durable(lambda: connection.queue(text))
        else:
            connection.queue(text)

    def _close(self, connection: AnyConnection, output: CloseConnection) -> None:
        self._forget(connection)
        # By the same way as frames that tell of state, so as not to overtake them.
        self._engine.when_durable(lambda: connection.close(output.code, output.reason))

    def _close_oldest(self, connections: tuple[AnyConnection, ...]) -> None:
        if len(connections) >= self._limits.connections_per_instance:
            output = CloseConnection(CLOSE_POLICY, "too many connections of one container instance")
            self._carry_out(connections[0], [output])

    def _forget(self, connection: AnyConnection) -> None:
        """Take a connection out of the registry: its agent may be lost with it."""
        connection.is_closing = True
        self._timers.drop(connection.number)
        if isinstance(connection.session, TcsSession):
            registry: Registry[Any] = self._tcs
        else:
            registry = self._acs
        if connection not in registry:
            return
        was_newest = registry.newest(connection.name) is connection
        registry.remove(connection)
        if registry is self._acs and was_newest and not self._is_stopping:
            self._replace_newest(connection.name)

    def _replace_newest(self, container_instance_arn: str) -> None:
        """Let the engine know that an agent is lost, or that an older connection speaks for it."""
        heir = self._acs.newest(container_instance_arn)
        if heir is None:
            self._engine.observe(AgentLost(container_instance_arn=container_instance_arn))
        else:
            self._engine.observe(heir.session.announce().event)

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number


async def _turn_away(send: Send, refusal: Message) -> None:
    """Say why as the protocol does, in a frame, and close."""
    is_transient = isinstance(refusal, acs.CloseMessage | acs.ServerException)
    await send({"type": "websocket.send", "text": encode_frame(refusal)})
    await send(
        {
            "type": "websocket.close",
            "code": CLOSE_TRY_LATER if is_transient else CLOSE_POLICY,
            "reason": type(refusal).__name__,
        }
    )


def _with_settings(limits: GatewayLimits, settings: GatewaySettings) -> GatewayLimits:
    return msgspec.structs.replace(
        limits,
        heartbeat_interval_ms=max(round(settings.heartbeat_interval_s * 1_000), 1),
        agent_silence_ms=max(round(settings.agent_disconnect_window_s * 1_000), 1),
    )


def _draw_ids() -> Iterator[str]:
    while True:
        yield uuid.uuid4().hex
