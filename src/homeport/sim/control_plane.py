"""The control plane as a process that can be killed: production's engine between simulated edges.

What it knows when it starts is what its disk holds. What `server.driver` and `app` are for the real
server, this is for the simulation. Two of them on one disk, and who is asked, are `nodes`.
"""

from collections.abc import Callable

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.api.shapes import Shape
from homeport.config import Config
from homeport.core.decision import Moment
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import ApiCalled
from homeport.operations.context import OperationSettings
from homeport.operations.registry import OPERATIONS
from homeport.sim.chance import Chance
from homeport.sim.clock import Life, SkewedClock, Timeline, Timer
from homeport.sim.disk import SimDisk, SimJournal
from homeport.sim.gateway import SimGateway, Surroundings
from homeport.sim.network import Direction, Network, Peer, Reply
from homeport.sim.trace import Trace
from homeport.state.store import Store
from homeport.storage.errors import StorageRefused
from homeport.wire.errors import render_error
from homeport.wire.json11 import parse_request, render_reply

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
ENDPOINT = "http://control-plane"
HTTP_OK = 200

OnStart = Callable[["ControlPlane", Store], None]
OnAnswer = Callable[[str, int, int], None]
"""Gets an answer's operation, the commit that it was decided at, and the epoch of who answers."""

OnRest = Callable[[int], None]
"""Gets the time when nothing is left to be done now; each life has its own."""

_CONFIG = Config()
SETTINGS = OperationSettings(
    instance_loss_window_s=_CONFIG.instance_loss_window_s, strict_failures=_CONFIG.strict_failures
)
"""What `homeport server` runs with when it is told nothing."""


class ControlPlane:
    """One control plane over many lives; `on_start` gets each life's store before it begins."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        chance: Chance,
        trace: Trace,
        *,
        disk: SimDisk,
        clock: SkewedClock,
        on_start: OnStart,
    ) -> None:
        self.name = name
        self.clock = clock
        self.disk = disk
        self.lives = 0
        self.network: Network | None = None
        self.on_answer: OnAnswer = lambda _name, _sequence, _epoch: None
        self.on_rest: OnRest = lambda _now_ms: None
        self._timeline = timeline
        self._entropy = chance.stream("entropy")
        self._ids = chance.stream("gateway ids")
        self._restarts = chance.stream("restarts")
        self._trace = trace
        self._on_start = on_start
        self._life: Life | None = None
        self._journal: SimJournal | None = None
        self._engine: Engine | None = None
        self._gateway: SimGateway | None = None
        self._turn: Timer | None = None
        self._turn_is_soon = False

    @property
    def is_up(self) -> bool:
        """Whether the process lives."""
        return self._life is not None

    @property
    def engine(self) -> Engine:
        """The engine of the present life."""
        assert self._engine is not None, "the control plane is down"
        return self._engine

    @property
    def journal(self) -> SimJournal:
        """The journal of the present life."""
        assert self._journal is not None, "the control plane is down"
        return self._journal

    @property
    def life(self) -> Life:
        """The present life."""
        assert self._life is not None, "the control plane is down"
        return self._life

    @property
    def gateway(self) -> SimGateway:
        """The gateway of the present life."""
        assert self._gateway is not None, "the control plane is down"
        return self._gateway

    def start(self) -> None:
        """Start the process: recover from the disk, and begin."""
        if self.is_up:
            return
        self.lives += 1
        self._trace.note(self.name, "starts at commit", self.disk.durable_sequence)
        self._life = Life()
        self._journal = self.disk.open(self.name, self._refused)
        store = self.disk.recover()
        self._engine = Engine(
            store=store,
            journal=self._journal,
            outlet=self,
            clock=self.clock,
            entropy=self._entropy,
            operations=OPERATIONS,
            settings=SETTINGS,
        )
        around = Surroundings(self._timeline, self.clock, self._trace, self._life)
        ids = Moment(self.clock.now_ms(), self._ids.draw()).ids()
        self._gateway = SimGateway(self._engine, around, ids)
        self._turn, self._turn_is_soon = None, False
        self._on_start(self, store)
        self._engine.start()

    def crash(self) -> None:
        """Kill the process at once."""
        life, gateway = self._life, self._gateway
        if life is None or gateway is None or self._journal is None or self.network is None:
            return
        self._trace.note(self.name, "is killed; durable commit", self.disk.durable_sequence)
        life.end()
        self._life = None
        self._journal.crash()
        gateway.break_all()
        self.network.reset_calls(life)
        self._engine = self._gateway = self._journal = None

    def _refused(self, refusal: StorageRefused) -> None:
        """The disk takes no more: that stops the process, as it stops the real server."""
        self._trace.note(self.name, "can't write:", refusal)
        self.crash()

    # what the network asks of it
    def answer(self, operation: str, body: bytes, reply: Callable[[Reply], None]) -> Life | None:
        """Carry out a call as the HTTP server does; None when nobody listens."""
        life, journal = self._life, self._journal
        if life is None or journal is None:
            return None
        decided_at: int | None = None

        def refuse(error: AwsError) -> None:
            self._trace.note("answer", operation, type(error).__name__, error.message)
            rendered = render_error(error)
            reply(Reply(rendered.status, rendered.body))

        def answer(result: object) -> None:
            assert not life.is_over
            sequence = self.engine.view.sequence if decided_at is None else decided_at
            self.on_answer(operation, sequence, journal.lease.epoch)
            if isinstance(result, AwsError):
                refuse(result)
                return
            assert isinstance(result, Shape) or result is None, type(result)
            reply(Reply(HTTP_OK, render_reply(result)))

        try:
            request = parse_request(ecs.OPERATIONS[operation], body)
        except AwsError as refusal:
            refuse(refusal)
            return life
        event = ApiCalled(
            operation=operation,
            request=request,
            account_id=ACCOUNT_ID,
            region=REGION,
            endpoint=ENDPOINT,
        )
        self.engine.call(event, answer)
        decided_at = self.engine.view.sequence
        return life

    def accept(self, url: str, to_agent: Direction) -> tuple[Peer, Life] | None:
        """Let a socket in; None when nobody listens."""
        if self._life is None:
            return None
        return self.gateway.accept(url, to_agent), self._life

    # what the engine asks of it
    def send_tasks(self, effect: SendTasks) -> None:
        """Pass an effect to the gateway."""
        self.gateway.send_tasks(effect)

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Pass an effect to the gateway."""
        self.gateway.disconnect_agent(effect)

    def note(self, text: str) -> None:
        """Log a line that a decision wrote."""
        self._trace.note("engine:", text)

    def work_waits(self) -> None:
        """Let the engine look at its agenda in this millisecond, behind what is planned for it."""
        if self._turn_is_soon:
            return
        if self._turn is not None:
            self._turn.cancel()
        self._turn_is_soon = True
        self._turn = self._timeline.soon(self._run_due, self._life)

    def _run_due(self) -> None:
        self._turn, self._turn_is_soon = None, False
        due_ms = self.engine.run_due()
        if self._turn_is_soon:
            return
        now_ms = self.clock.now_ms()
        if due_ms is not None and due_ms <= now_ms:
            self.work_waits()
            return
        if due_ms is not None:
            self._turn = self._timeline.after(due_ms - now_ms, self._run_due, self._life)
        self.on_rest(max(now_ms, self.engine.view.at_ms))
