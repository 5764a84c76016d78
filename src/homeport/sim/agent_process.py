"""The agent as a process on a simulated machine: production's task machine and control session.

What `agent.runner`, `agent.reporter`, `agent.sockets` and `agent.engine_watch` do on an event loop,
the edges here do on virtual time. It dies with its `Life`; its disk and its Docker live on.
"""

from collections import deque
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any, Final

import msgspec

from homeport.agent import registration, stimuli
from homeport.agent.control_session import ControlSession
from homeport.agent.settings import AgentSettings
from homeport.agent.sockets import FIRST_RETRY_S, INACTIVE_WAIT_S, LAST_RETRY_S, Ending, Identity
from homeport.agent.task_machine import TaskMachine
from homeport.api import ecs
from homeport.sim.agent_disk import AgentDisk, KeptReport
from homeport.sim.agent_hands import AgentHands
from homeport.sim.agent_telemetry import AgentTelemetry
from homeport.sim.chance import Stream
from homeport.sim.clock import Action, Life, SkewedClock, Timeline
from homeport.sim.docker import SimDocker
from homeport.sim.network import Direction, Network, Reply
from homeport.sim.trace import Trace
from homeport.wire.agent_messages.frames import FrameError, Message, decode_frame, encode_frame

HTTP_OK: Final = 200
HTTP_SERVER_ERROR: Final = 500
DOCKER_INFO: Final[dict[str, Any]] = {"ServerVersion": "27.0.0", "Architecture": "x86_64"}
REPORT_FIRST_RETRY_S: Final = 0.25
REPORT_LAST_RETRY_S: Final = 30.0
RETRY_FACTOR: Final = 1.5
RETRY_JITTER: Final = (0.8, 1.2)
SILENCE_S: Final = (60.0, 120.0)
CLUSTER_NOT_FOUND: Final = b"Cluster not found."


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent finds on its machine."""

    name: str
    settings: AgentSettings
    disk: AgentDisk
    docker: SimDocker
    clock: SkewedClock
    shares_kernel: bool = True  # with its containers: it may signal them itself


def make_settings(
    name: str, zone: str, cpu_units: int, memory_mib: int, **members: Any
) -> AgentSettings:
    """Return what the agent of a simulated machine is told."""
    return AgentSettings(
        endpoint="http://control-plane",
        data_dir=Path("/var/lib") / name,
        availability_zone=zone,
        cpu_units=cpu_units,
        memory_mib=memory_mib,
        **members,
    )


class Retries:
    """Growing waits with jitter, as `agent.gate.Backoff` makes them."""

    def __init__(self, chance: Stream, first_s: float, last_s: float) -> None:
        self._chance, self._first_s, self._last_s = chance, first_s, last_s
        self._next_s = first_s

    def reset(self) -> None:
        """Start over with the shortest wait."""
        self._next_s = self._first_s

    def next_ms(self) -> int:
        """Return how long to wait before the next try."""
        wait_s = self._next_s * self._chance.real(RETRY_JITTER)
        self._next_s = min(self._next_s * RETRY_FACTOR, self._last_s)
        return round(wait_s * 1_000)


class AgentProcess:
    """One life of one machine's agent."""

    def __init__(
        self,
        timeline: Timeline,
        network: Network,
        machine: Machine,
        *,
        chance: Stream,
        trace: Trace,
    ) -> None:
        self.life = Life()
        self.machine = machine
        self.timeline = timeline
        self.network = network
        self.chance = chance
        self.trace = trace
        self.arn = ""
        self.tasks = TaskMachine(
            stop_timeout_s=machine.settings.container_stop_timeout_s,
            cleanup_delay_s=machine.settings.task_cleanup_wait_s,
        )
        self.hands = AgentHands(self)
        self.telemetry = AgentTelemetry(self)
        self.socket: AgentSocket | None = None
        self._reports: dict[str, deque[KeptReport]] = {}
        self._keeper: SocketKeeper | None = None

    def start(self) -> None:
        """Register, then take up what was running and connect."""
        self.trace.note(self.machine.name, "agent starts")
        facts = self.machine.disk.facts
        if registration.INSTANCE_ID_FACT not in facts:
            facts[registration.INSTANCE_ID_FACT] = f"i-{self.chance.draw().hex()[:17]}"
            self.machine.disk.write_facts(facts)
        request = registration.make_registration(self.machine.settings, DOCKER_INFO, facts)
        retries = Retries(self.chance, REPORT_FIRST_RETRY_S, REPORT_LAST_RETRY_S)
        self._register(msgspec.json.encode(request), retries)

    def kill(self, *, with_machine: bool = False) -> None:
        """End the process; a machine that lives closes its sockets."""
        self.trace.note(self.machine.name, "agent is killed")
        self.life.end()
        if not with_machine:
            for socket in (self.socket, self.telemetry.socket):
                if socket is not None:
                    socket.way.end(is_clean=False)

    def tell(self, stimulus: stimuli.Stimulus, *, is_promise: bool = False) -> None:
        """Let the machine know, keep what changed, and have it carried out (as `agent.runner`)."""
        instructions = self.tasks.handle(stimulus, self.machine.clock.now_ms())
        saved, forgotten, reports = [], [], []
        for instruction in instructions:
            match instruction:
                case stimuli.SaveTask():
                    saved.append(instruction.state)
                case stimuli.ForgetTask():
                    forgotten.append(instruction.task_arn)
                case stimuli.ReportTask():
                    reports.append(self._written("SubmitTaskStateChange", instruction.request))
                    is_promise = is_promise or instruction.is_end
                case stimuli.ReportContainer():
                    reports.append(self._written("SubmitContainerStateChange", instruction.request))
        if saved or forgotten or reports or is_promise:
            for report in self.machine.disk.write_changes(
                saved=saved, forgotten=forgotten, reports=reports, is_promise=is_promise
            ):
                self._report(report)
        for instruction in instructions:
            self.hands.carry_out(instruction)

    def break_sockets(self) -> None:
        """Lose the connection for no reason, as happens."""
        for socket in (self.socket, self.telemetry.socket):
            if socket is not None:
                socket.way.end(is_clean=False)
                socket.socket_ended(False)

    # registration
    def _register(self, body: bytes, retries: Retries) -> None:
        def answered(reply: Reply | None) -> None:
            if reply is not None and reply.status == HTTP_OK:
                found = msgspec.json.decode(reply.body, type=ecs.RegisterContainerInstanceResponse)
                assert found.container_instance is not None
                self._begin(found.container_instance.container_instance_arn or "")
            elif reply is None or CLUSTER_NOT_FOUND in reply.body:
                self.timeline.after(retries.next_ms(), again, self.life)
            else:
                # The agent says why and exits: its container instance was deregistered.
                self.trace.note(self.machine.name, "can't register:", reply.body.decode())
                self.kill()

        def again() -> None:
            self._register(body, retries)

        self._call("RegisterContainerInstance", body, answered)

    def _begin(self, arn: str) -> None:
        disk = self.machine.disk
        self.arn = arn
        disk.write_facts({registration.ARN_FACT: arn})
        self.tasks.load(disk.tasks)
        for report in disk.reports:
            self._report(report)
        self.hands.watch()
        identity = Identity(
            cluster=self.machine.settings.cluster,
            container_instance_arn=arn,
            docker_version=str(DOCKER_INFO["ServerVersion"]),
        )
        # The session asks its runner for `machine` and `tell`, which is what `_Runner` has.
        session = ControlSession(_Runner(self), identity)  # type: ignore[arg-type]
        self._keeper = SocketKeeper(self, session)
        self._keeper.connect()
        self.telemetry.begin(identity)

    # reports
    def _written(self, operation: str, request: Any) -> tuple[str, str, bytes]:
        request = msgspec.structs.replace(request, cluster=self.machine.settings.cluster)
        return request.task, operation, msgspec.json.encode(request)

    def _report(self, report: KeptReport) -> None:
        """Queue a report behind the earlier ones of its task (as `agent.reporter`)."""
        queue = self._reports.get(report.task_arn)
        if queue is not None:
            queue.append(report)
            return
        self._reports[report.task_arn] = deque([report])
        retries = Retries(self.chance, REPORT_FIRST_RETRY_S, REPORT_LAST_RETRY_S)
        self._deliver(report.task_arn, retries)

    def _deliver(self, task_arn: str, retries: Retries) -> None:
        queue = self._reports[task_arn]
        report = queue[0]

        def again() -> None:
            self._deliver(task_arn, retries)

        def answered(reply: Reply | None) -> None:
            if reply is None or reply.status >= HTTP_SERVER_ERROR:
                self.timeline.after(retries.next_ms(), again, self.life)
                return
            if reply.status != HTTP_OK:
                self.trace.note(self.machine.name, "report refused:", reply.body.decode())
            self.machine.disk.drop_report(report.number)
            queue.popleft()
            if queue:
                retries.reset()
                again()
            else:
                del self._reports[task_arn]

        self._call(report.operation, report.body, answered)

    def _call(self, operation: str, body: bytes, on_reply: Any) -> None:
        self.network.call(self.machine.name, operation, body, on_reply=on_reply, owner=self.life)

    @property
    def is_settled(self) -> bool:
        """Whether every report was accepted."""
        return not self._reports


class _Runner:
    """What the control session needs of a runner."""

    def __init__(self, process: AgentProcess) -> None:
        self.machine = process.tasks
        self.tell = process.tell


class AgentSocket:
    """The agent's end of a websocket, as its production session uses it."""

    def __init__(self, process: AgentProcess, way: Direction) -> None:
        self.way = way
        self.ending: Ending | None = None
        self.resume: Action = _nothing
        self._process = process
        self._inbox: deque[Message | Ending] = deque()

    async def send(self, message: Message) -> None:
        """Send one message."""
        self.way.send(encode_frame(message))

    async def receive(self) -> Message | Ending:
        """Give the next message, or how the connection ended."""
        while not self._inbox:
            await _Pause()
        return self._inbox.popleft()

    def frame_arrived(self, text: str) -> None:
        """Take a frame; broken ones are skipped."""
        try:
            message = decode_frame(text)
        except FrameError as error:
            self._process.trace.note(self._process.machine.name, "skips a frame:", error)
            return
        self._inbox.append(message)
        self.resume()

    def socket_ended(self, is_clean: bool) -> None:
        """The connection is gone."""
        self._inbox.append(Ending.CLEAN if is_clean else Ending.BROKEN)
        self.resume()


def _nothing() -> None:
    """Nobody waits."""


class _Pause:
    """Hands control back until something has arrived: what an event loop would wait for."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class SocketKeeper:
    """Keeps the communication socket open for as long as the agent lives (as `agent.sockets`)."""

    def __init__(self, process: AgentProcess, session: ControlSession) -> None:
        self._process = process
        self._session = session
        self._retries = Retries(process.chance, FIRST_RETRY_S, LAST_RETRY_S)
        self._serving: Coroutine[Any, Any, Ending] | None = None
        self._heard_ms = 0

    def connect(self) -> None:
        """Ask where the socket is, and open it."""
        process = self._process
        request = ecs.DiscoverPollEndpointRequest(
            cluster=process.machine.settings.cluster, container_instance=process.arn
        )

        def found(reply: Reply | None) -> None:
            if reply is None or reply.status != HTTP_OK:
                self._again(Ending.BROKEN)
                return
            endpoints = msgspec.json.decode(reply.body, type=ecs.DiscoverPollEndpointResponse)
            self._open(self._session.find_url(endpoints))

        process.network.call(
            process.machine.name,
            "DiscoverPollEndpoint",
            msgspec.json.encode(request),
            on_reply=found,
            owner=process.life,
        )

    def _open(self, url: str) -> None:
        process = self._process
        peer = _Late()

        def opened(way: Direction | None) -> None:
            if way is None:
                self._again(Ending.BROKEN)
                return
            socket = AgentSocket(process, way)
            peer.socket = process.socket = socket
            self._serve(socket)

        process.network.connect(
            process.machine.name, url, peer=peer, on_open=opened, owner=process.life
        )

    def _serve(self, socket: AgentSocket) -> None:
        process = self._process
        serving: Coroutine[Any, Any, Ending] = self._session.serve(socket)  # type: ignore[arg-type]
        silence_ms = process.chance.milliseconds(SILENCE_S)
        heard_ms = process.timeline.now_ms

        def resume() -> None:
            nonlocal heard_ms
            heard_ms = process.timeline.now_ms
            try:
                serving.send(None)
            except StopIteration as end:
                end_with(end.value)

        def end_with(ending: Ending) -> None:
            socket.resume = _nothing
            serving.close()
            if process.socket is socket:
                process.socket = None
                self._again(ending)

        def listen() -> None:
            if process.socket is not socket:
                return
            due_ms = heard_ms + silence_ms
            if process.timeline.now_ms < due_ms:
                process.timeline.at(due_ms, listen, process.life)
                return
            process.trace.note(process.machine.name, "nothing heard: reconnecting")
            socket.way.end(is_clean=False)
            end_with(Ending.BROKEN)

        socket.resume = resume
        self._retries.reset()
        resume()
        process.timeline.after(silence_ms, listen, process.life)

    def _again(self, ending: Ending) -> None:
        process = self._process
        process.trace.note(process.machine.name, "socket ended", ending.value)
        wait_ms = 0
        if ending is Ending.INACTIVE:
            wait_ms = round(INACTIVE_WAIT_S * 1_000)
        elif ending is Ending.BROKEN:
            wait_ms = self._retries.next_ms()
        process.timeline.after(wait_ms, self.connect, process.life)


class _Late:
    """Passes on to a socket that isn't there before its handshake is done."""

    def __init__(self) -> None:
        self.socket: AgentSocket | None = None

    def frame_arrived(self, text: str) -> None:
        """Pass a frame on."""
        if self.socket is not None:
            self.socket.frame_arrived(text)

    def socket_ended(self, is_clean: bool) -> None:
        """Pass the end on."""
        if self.socket is not None:
            self.socket.socket_ended(is_clean)
