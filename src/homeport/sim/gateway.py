"""The gateway's edge in simulation: what `gateway.connections` is for real websockets.

Sessions, admission, payloads and frames are production's; here are only sockets of the simulated
network and timers of the timeline.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import AgentLost
from homeport.gateway.admission import AgentIdentity, admit_agent
from homeport.gateway.connections import ACS_PATH, GatewaySettings
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import CloseConnection, ObserveEvent, Outputs, SendFrame, WriteNote
from homeport.gateway.payloads import PayloadTasks
from homeport.gateway.session import AcsSession, SequenceNumbers
from homeport.gateway.telemetry_session import TcsSession
from homeport.model.arn import Scope
from homeport.sim.clock import Life, SkewedClock, Timeline, Timer
from homeport.sim.network import Direction, Peer
from homeport.sim.trace import Trace
from homeport.wire.agent_messages.frames import encode_frame

CLEAN_CLOSE = 1000
SIGNER = Scope(GatewaySettings().account_id, GatewaySettings().region)  # every agent is the owner's

AnySession = AcsSession | TcsSession


class Surroundings(NamedTuple):
    """What every simulated process stands in."""

    timeline: Timeline
    clock: SkewedClock
    trace: Trace
    life: Life


class SimGateway:
    """All agents' sockets of one life of the control plane."""

    def __init__(self, engine: Engine, around: Surroundings, ids: Iterator[str]) -> None:
        self._engine = engine
        self._around = around
        self._ids = ids
        self._limits = GatewayLimits()
        self._payload_tasks = PayloadTasks(engine.view)
        self._sequence = SequenceNumbers(engine.view.at_ms)
        self._acs: dict[str, list[ServerSocket]] = {}
        self._tcs: dict[str, list[ServerSocket]] = {}
        self._wanted: dict[str, dict[str, None]] = {}
        self.observe_frame: Callable[[str, SendFrame], None] = lambda _arn, _frame: None

    def accept(self, url: str, to_agent: Direction) -> Peer:
        """Let a socket in, or turn it away with the protocol's own frame."""
        parts = urlsplit(url)
        socket = ServerSocket(self, to_agent)
        admitted = admit_agent(self._engine.view, parts.query.encode(), SIGNER)
        if not isinstance(admitted, AgentIdentity):
            self._around.trace.note("gateway refuses", type(admitted).__name__)
            to_agent.send(encode_frame(admitted))
            to_agent.end(is_clean=False)
            socket.is_closing = True
            return socket
        now_ms = self._around.clock.now_ms()
        is_acs = parts.path.endswith(ACS_PATH)
        socket.session = self._open_acs(admitted, now_ms) if is_acs else self._open_tcs(admitted)
        connections = self._sockets_of(socket)
        if len(connections) >= self._limits.connections_per_instance:
            self.carry_out(connections[0], [CloseConnection(CLEAN_CLOSE, "too many")])
            connections = self._sockets_of(socket)
        connections.append(socket)
        self._around.trace.note("gateway", parts.path, "open for", socket.name)
        self.carry_out(socket, socket.session.connected(now_ms))
        return socket

    def send_tasks(self, effect: SendTasks) -> None:
        """Send an agent what is wanted of its tasks; all of one turn of the loop go together."""
        if not self._acs.get(effect.container_instance_arn):
            return
        if not self._wanted:
            self._around.timeline.soon(self._send_wanted, self._around.life)
        wanted = self._wanted.setdefault(effect.container_instance_arn, {})
        wanted.update(dict.fromkeys(effect.task_arns))

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Tell an agent that its container instance is INACTIVE, and close its sockets."""
        for sockets in (self._acs, self._tcs):
            for socket in tuple(sockets.get(effect.container_instance_arn, ())):
                assert socket.session is not None
                self.carry_out(socket, socket.session.instance_deregistered())

    def break_all(self) -> None:
        """The control plane is killed: the machine closes its sockets."""
        for sockets in (self._acs, self._tcs):
            for connections in sockets.values():
                for socket in connections:
                    socket.to_agent.end(is_clean=False)

    def carry_out(self, socket: "ServerSocket", outputs: Outputs) -> None:
        """Do what a session wants done."""
        for output in outputs:
            match output:
                case SendFrame():
                    self._send_frame(socket, output)
                case ObserveEvent():
                    self._engine.observe(output.event)
                case WriteNote():
                    self._around.trace.note("gateway:", output.text)
                case CloseConnection():
                    self._close(socket, output)
        if not socket.is_closing:
            self._plan(socket)

    def forget(self, socket: "ServerSocket") -> None:
        """Take a socket out: its agent may be lost with it."""
        if socket.is_closing:
            return
        socket.is_closing = True
        connections = self._sockets_of(socket)
        was_newest = connections[-1] is socket
        connections.remove(socket)
        if not was_newest or not isinstance(socket.session, AcsSession):
            return
        if connections:
            heir = connections[-1].session
            assert isinstance(heir, AcsSession)
            self._engine.observe(heir.announce().event)
        else:
            self._engine.observe(AgentLost(container_instance_arn=socket.name))

    def _open_acs(self, identity: AgentIdentity, now_ms: int) -> AcsSession:
        return AcsSession(
            identity=identity,
            view=self._engine.view,
            payload_tasks=self._payload_tasks,
            sequence=self._sequence,
            ids=self._ids,
            limits=self._limits,
            now_ms=now_ms,
        )

    def _open_tcs(self, identity: AgentIdentity) -> TcsSession:
        return TcsSession(
            identity=identity,
            view=self._engine.view,
            ids=self._ids,
            limits=self._limits,
            now_ms=self._around.clock.now_ms(),
        )

    def _sockets_of(self, socket: "ServerSocket") -> list["ServerSocket"]:
        sockets = self._acs if isinstance(socket.session, AcsSession) else self._tcs
        return sockets.setdefault(socket.name, [])

    def _send_wanted(self) -> None:
        wanted, self._wanted = self._wanted, {}
        for arn, task_arns in wanted.items():
            sockets = self._acs.get(arn)
            if sockets and isinstance(sockets[-1].session, AcsSession):
                now_ms = self._around.clock.now_ms()
                outputs = sockets[-1].session.tasks_wanted(tuple(task_arns), now_ms)
                self.carry_out(sockets[-1], outputs)

    def _send_frame(self, socket: "ServerSocket", output: SendFrame) -> None:
        text = encode_frame(output.message)

        def send() -> None:
            self.observe_frame(socket.name, output)
            socket.to_agent.send(text)

        if output.tells_state:
            self._engine.when_durable(send)
        else:
            socket.to_agent.send(text)

    def _close(self, socket: "ServerSocket", output: CloseConnection) -> None:
        self._around.trace.note("gateway closes", socket.name, output.reason)
        self.forget(socket)
        is_clean = output.code == CLEAN_CLOSE
        self._engine.when_durable(lambda: socket.to_agent.end(is_clean=is_clean))

    def _plan(self, socket: "ServerSocket") -> None:
        session = socket.session
        assert session is not None
        due_ms = session.due_ms
        if socket.timer is not None:
            if socket.timer_ms <= due_ms:
                return
            socket.timer.cancel()
        wait_ms = max(due_ms - self._around.clock.now_ms(), 0)

        def ring() -> None:
            socket.timer = None
            if not socket.is_closing:
                assert session is not None
                self.carry_out(socket, session.timer_rang(self._around.clock.now_ms()))

        socket.timer_ms = due_ms
        socket.timer = self._around.timeline.after(wait_ms, ring, self._around.life)

    def take_frame(self, socket: "ServerSocket", text: str) -> None:
        """Hand a frame to its session."""
        assert socket.session is not None
        outputs = socket.session.frame_received(text, self._around.clock.now_ms())
        self.carry_out(socket, outputs)


class ServerSocket:
    """The control plane's end of one socket."""

    def __init__(self, gateway: SimGateway, to_agent: Direction) -> None:
        self.session: AnySession | None = None
        self.to_agent = to_agent
        self.is_closing = False
        self.timer: Timer | None = None
        self.timer_ms = 0
        self._gateway = gateway

    @property
    def name(self) -> str:
        """The container instance's ARN."""
        assert self.session is not None
        return self.session.identity.container_instance_arn

    def frame_arrived(self, text: str) -> None:
        """Take a frame from the agent."""
        if not self.is_closing:
            self._gateway.take_frame(self, text)

    def socket_ended(self, is_clean: bool) -> None:
        """The agent is gone."""
        if self.session is not None:
            self._gateway.forget(self)
