"""The agent's telemetry in simulation: container health and the runtime's state over TCS.

Messages and their content are production's; metrics are left out, no decision reads them.
"""

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from homeport.agent.sockets import FIRST_RETRY_S, LAST_RETRY_S, Identity
from homeport.agent.telemetry import METRICS_INTERVAL_S, TASKS_PER_MESSAGE, task_health
from homeport.gateway.connections import TCS_PATH
from homeport.gateway.telemetry_session import CONTAINER_RUNTIME
from homeport.sim.network import Direction
from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.frames import FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from homeport.sim.agent_process import AgentProcess

RETRY_MS: Final = (round(FIRST_RETRY_S * 1_000), round(LAST_RETRY_S * 1_000))
RETRY_DOUBLINGS: Final = 9
TELEMETRY_SILENCE_MS: Final = 90_000


class AgentTelemetry:
    """One agent's telemetry socket, opened again whenever it is lost."""

    def __init__(self, process: "AgentProcess") -> None:
        self.socket: _TelemetrySocket | None = None
        self._process = process
        self._url = ""
        self._identity: Identity | None = None
        self._failures = 0
        self._last_id = 0

    def begin(self, identity: Identity) -> None:
        """Connect for the first time."""
        self._identity = identity
        query = {
            "cluster": identity.cluster,
            "containerInstance": identity.container_instance_arn,
            "dockerVersion": identity.docker_version,
        }
        self._url = f"{self._process.machine.settings.endpoint}{TCS_PATH}?{urlencode(query)}"
        self._connect()

    def publish_health(self) -> None:
        """Publish the health of every checked container now."""
        if self.socket is None or self._identity is None:
            return
        states = self._process.tasks.tasks.values()
        tasks = [h for state in states if (h := task_health(state)) is not None]
        now_s = self._process.machine.clock.now_ms() / 1_000
        for start in range(0, len(tasks), TASKS_PER_MESSAGE):
            metadata = tcs.HealthMetadata(
                cluster=self._identity.cluster,
                container_instance=self._identity.container_instance_arn,
                message_id=self._next_id(),
                fin=start + TASKS_PER_MESSAGE >= len(tasks),
            )
            chunk = tuple(tasks[start : start + TASKS_PER_MESSAGE])
            self.socket.send(
                tcs.PublishHealthRequest(metadata=metadata, tasks=chunk, timestamp=now_s)
            )

    def publish_status(self) -> None:
        """Publish whether Docker answers."""
        if self.socket is None or self._identity is None:
            return
        now_s = self._process.machine.clock.now_ms() / 1_000
        status = tcs.InstanceStatus(
            type=CONTAINER_RUNTIME,
            status="OK" if self._process.hands.is_engine_ok else "IMPAIRED",
            last_updated=now_s,
            last_status_change=now_s,
        )
        metadata = tcs.InstanceStatusMetadata(
            cluster=self._identity.cluster,
            container_instance=self._identity.container_instance_arn,
            request_id=self._next_id(),
        )
        self.socket.send(
            tcs.PublishInstanceStatusRequest(metadata=metadata, statuses=(status,), timestamp=now_s)
        )

    def lost(self, socket: "_TelemetrySocket") -> None:
        """Reconnect after a while."""
        if self.socket is socket:
            self.socket = None
            self._again()

    def _connect(self) -> None:
        process = self._process
        socket = _TelemetrySocket(self)

        def opened(way: Direction | None) -> None:
            if way is None:
                self._again()
                return
            socket.open(way)
            self.socket = socket
            self._failures = 0
            self._publish_all(socket)

        process.network.connect(
            process.machine.name, self._url, peer=socket, on_open=opened, owner=process.life
        )

    def _publish_all(self, socket: "_TelemetrySocket") -> None:
        """Publish everything after connecting and at each interval; nothing heard ends it."""
        if self.socket is not socket:
            return
        timeline = self._process.timeline
        if timeline.now_ms - socket.heard_ms > TELEMETRY_SILENCE_MS:
            socket.way.end(is_clean=False)
            self.lost(socket)
            return
        self.publish_health()
        self.publish_status()
        wait_ms = round(METRICS_INTERVAL_S * 1_000)
        timeline.after(wait_ms, lambda: self._publish_all(socket), self._process.life)

    def _again(self) -> None:
        wait_ms = min(RETRY_MS[0] << min(self._failures, RETRY_DOUBLINGS), RETRY_MS[1])
        self._failures += 1
        self._process.timeline.after(wait_ms, self._connect, self._process.life)

    def _next_id(self) -> str:
        self._last_id += 1
        return f"{self._process.machine.name}-{self._last_id}"

    @property
    def now_ms(self) -> int:
        """The true time."""
        return self._process.timeline.now_ms


class _TelemetrySocket:
    def __init__(self, telemetry: AgentTelemetry) -> None:
        self.heard_ms = 0
        self._telemetry = telemetry
        self._way: Direction | None = None

    @property
    def way(self) -> Direction:
        """The way to the control plane."""
        assert self._way is not None
        return self._way

    def open(self, way: Direction) -> None:
        """The handshake is done."""
        self._way = way
        self.heard_ms = self._telemetry.now_ms

    def send(self, message: tcs.PublishHealthRequest | tcs.PublishInstanceStatusRequest) -> None:
        """Send a message."""
        self.way.send(encode_frame(message))

    def frame_arrived(self, text: str) -> None:
        """Answer heartbeats; nothing else needs an answer."""
        self.heard_ms = self._telemetry.now_ms
        try:
            message = decode_frame(text)
        except FrameError:
            return
        if isinstance(message, acs.HeartbeatMessage) and self._way is not None:
            self._way.send(encode_frame(acs.HeartbeatAckRequest(message_id=message.message_id)))

    def socket_ended(self, is_clean: bool) -> None:
        """The connection is gone."""
        self._telemetry.lost(self)
