"""The network between machines: calls with a reply, and sockets whose frames keep their order.

A machine that is cut off loses nothing at once: what is on its way arrives when the cut heals, or
never. Calls can be lost, lose their reply, or arrive long after the caller has given up. What the
bytes mean is the control plane's and the agents' business.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from homeport.sim.chance import Span, Stream
from homeport.sim.clock import Life, Timeline

HANDSHAKE_TIMEOUT_MS = 10_000
CALL_TIMEOUT_MS = 30_000
"""After so long a caller gives a call up, as the agent's and AWS's own clients do."""

LATENCY_S: Span = (0.0002, 0.002)
HELD_S: Span = (1.0, 90.0)
NEVER_MS = 1 << 62


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes


OnReply = Callable[[Reply | None], None]
"""Gets the reply, or None when nobody knows what became of the call."""


class Peer(Protocol):
    """One end of a socket."""

    def frame_arrived(self, text: str) -> None:
        """Take a frame."""

    def socket_ended(self, is_clean: bool) -> None:
        """Hear that the other end has closed the socket, or is gone."""


class Server(Protocol):
    """Who answers calls and sockets: the control plane, dead or alive."""

    def answer(self, operation: str, body: bytes, reply: Callable[[Reply], None]) -> Life | None:
        """Carry out a call; returns the process that does, None when nobody listens."""

    def accept(self, url: str, to_agent: "Direction") -> "tuple[Peer, Life] | None":
        """Let a socket in: its end here and the process that holds it; None: nobody listens."""


OnOpen = Callable[["Direction | None"], None]
"""Gets the way to the control plane, or None when no socket came to be."""


class Weather:
    """How the network is today; faults change it and healing sets it right."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Be fine: nothing gets lost, late or doubled."""
        self.latency_s: Span = LATENCY_S
        self.loses_call = 0.0
        self.loses_reply = 0.0
        self.holds_call = 0.0  # so long that it may arrive after the caller's next try
        self.holds_reply = 0.0
        self.doubles_call = 0.0  # it arrives a second time, long after the first


class Network:
    """All links of all machines; a machine is known by its name."""

    def __init__(self, timeline: Timeline, chance: Stream, server: Server) -> None:
        self.timeline = timeline
        self.weather = Weather()
        self._chance = chance
        self._server = server
        self._heals_ms: dict[str, int] = {}
        self._open_calls: dict[int, tuple[Life, Callable[[], None]]] = {}
        self._last_call = 0

    def cut_off(self, machine: str, until_ms: int = NEVER_MS) -> None:
        """Let nothing through to or from a machine until then."""
        self._heals_ms[machine] = max(until_ms, self._heals_ms.get(machine, 0))

    def arrival_ms(self, machine: str) -> int:
        """Return when what is sent now over a machine's link arrives."""
        latency_ms = self._chance.milliseconds(self.weather.latency_s)
        return max(self.timeline.now_ms, self._heals_ms.get(machine, 0)) + latency_ms

    def heals_ms(self, machine: str) -> int | None:
        """Return when a machine's link works again; None while it works."""
        heals_ms = self._heals_ms.get(machine)
        return None if heals_ms is None or heals_ms <= self.timeline.now_ms else heals_ms

    def call(
        self, machine: str, operation: str, body: bytes, *, on_reply: OnReply, owner: Life
    ) -> None:
        """Send a call; `on_reply` is called once, unless the caller dies before."""
        call = _Call(self, machine, on_reply, owner)
        self._last_call += 1
        number = self._last_call
        call.forget = lambda: self._open_calls.pop(number, None)
        weather, chance = self.weather, self._chance
        if chance.happens(weather.loses_call):
            return
        held_ms = chance.milliseconds(HELD_S) if chance.happens(weather.holds_call) else 0

        def arrive() -> None:
            heals_ms = self.heals_ms(machine)
            if heals_ms is not None:
                if heals_ms < NEVER_MS:
                    self.timeline.at(heals_ms + 1, arrive)
                return
            process = self._server.answer(operation, body, call.answered)
            if process is None:
                call.reset()
            elif call.is_open:
                self._open_calls[number] = (process, call.reset)

        self.timeline.at(self.arrival_ms(machine) + held_ms, arrive)
        if chance.happens(weather.doubles_call):
            again_ms = chance.milliseconds(HELD_S)
            self.timeline.at(self.arrival_ms(machine) + again_ms, arrive)

    def connect(self, machine: str, url: str, *, peer: Peer, on_open: OnOpen, owner: Life) -> None:
        """Open a socket; `peer` gets its frames, `on_open` is called once."""
        opening = _Opening(self, on_open, owner)

        def arrive() -> None:
            if self.heals_ms(machine) is not None:
                return
            to_agent = Direction(self, machine, peer, owner)
            to_agent.tell(opening.opened)
            accepted = self._server.accept(url, to_agent)
            if accepted is None:
                self.timeline.at(self.arrival_ms(machine), lambda: opening.end(None), owner)
                return
            opening.to_server = Direction(self, machine, *accepted)

        self.timeline.at(min(self.arrival_ms(machine), NEVER_MS), arrive)

    def loses_reply(self) -> bool:
        """Draw whether a reply gets lost."""
        return self._chance.happens(self.weather.loses_reply)

    def reply_held_ms(self) -> int:
        """Draw for how long a reply is held on its way."""
        is_held = self._chance.happens(self.weather.holds_reply)
        return self._chance.milliseconds(HELD_S) if is_held else 0

    def reset_calls(self, process: Life) -> None:
        """A control plane died: who waits for its answer hears that the connection broke."""
        waiting = [reset for holder, reset in self._open_calls.values() if holder is process]
        for reset in waiting:
            reset()


class _Call:
    """One call under way: answered, given up, or reset, whichever comes first."""

    def __init__(self, network: Network, machine: str, on_reply: OnReply, owner: Life) -> None:
        self.forget: Callable[[], object] = lambda: None
        self.is_open = True  # nobody has answered yet
        self._network = network
        self._machine = machine
        self._on_reply: OnReply | None = on_reply
        self._owner = owner
        self._timeout = network.timeline.after(CALL_TIMEOUT_MS, self._give_up, owner)

    def answered(self, reply: Reply) -> None:
        """The control plane answers: the reply sets out."""
        self.is_open = False
        self.forget()
        if not self._network.loses_reply():
            held_ms = self._network.reply_held_ms()
            self._set_out(lambda: self._end(reply), held_ms)

    def reset(self) -> None:
        """Nobody listens, or not any more."""
        self.is_open = False
        self.forget()
        self._set_out(lambda: self._end(None))

    def _set_out(self, arrive: Callable[[], None], held_ms: int = 0) -> None:
        arrival_ms = self._network.arrival_ms(self._machine) + held_ms
        if arrival_ms < NEVER_MS:
            self._network.timeline.at(arrival_ms, arrive, self._owner)

    def _give_up(self) -> None:
        self._end(None)

    def _end(self, reply: Reply | None) -> None:
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            self._timeout.cancel()
            on_reply(reply)


class _Opening:
    """A socket's handshake: done, refused or given up."""

    def __init__(self, network: Network, on_open: OnOpen, owner: Life) -> None:
        self.to_server: Direction | None = None
        self._on_open: OnOpen | None = on_open
        self._timeout = network.timeline.after(HANDSHAKE_TIMEOUT_MS, lambda: self.end(None), owner)

    def opened(self) -> None:
        """The control plane's first byte has arrived."""
        self.end(self.to_server)

    def end(self, to_server: "Direction | None") -> None:
        """Tell the agent once; a socket that comes too late is closed again."""
        on_open, self._on_open = self._on_open, None
        if on_open is not None:
            self._timeout.cancel()
            on_open(to_server)
        elif to_server is not None:
            to_server.end(is_clean=False)


class Direction:
    """One way of a socket: what is sent arrives in order, or not at all."""

    def __init__(self, network: Network, machine: str, peer: Peer, life: Life) -> None:
        self._network = network
        self._machine = machine
        self._peer = peer
        self._life = life
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()
        self._last_ms = 0

    def send(self, text: str) -> None:
        """Send a frame."""
        self.tell(lambda: self._peer.frame_arrived(text))

    def end(self, *, is_clean: bool) -> None:
        """Close behind the frames under way; a process that is killed doesn't close cleanly."""
        self.tell(lambda: self._peer.socket_ended(is_clean))

    def tell(self, action: Callable[[], None]) -> None:
        """Let something happen at the other end, behind all that was sent before."""
        self._last_ms = max(self._last_ms, self._network.arrival_ms(self._machine))
        self._queue.append((self._last_ms, action))
        if len(self._queue) == 1:
            self._plan()

    def _plan(self) -> None:
        at_ms = max(self._queue[0][0], self._network.heals_ms(self._machine) or 0)
        if at_ms < NEVER_MS:
            self._network.timeline.at(at_ms, self._arrive, self._life)

    def _arrive(self) -> None:
        if self._network.heals_ms(self._machine) is not None:
            self._plan()
            return
        _, action = self._queue.popleft()
        if self._queue:
            self._plan()
        action()
