"""The pure machine of one TCS connection: telemetry comes in, acknowledgements go out.

Telemetry says nothing of whether the agent is there: that is the ACS connection's to tell
(`session`), so heartbeats here are sent and no answer is awaited.
"""

from collections.abc import Callable, Iterator
from typing import Final

from homeport.engine.events import ContainerHealth, HealthReported, RuntimeStatusReported
from homeport.gateway.admission import AgentIdentity
from homeport.gateway.heartbeats import Heartbeats
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import (
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CloseConnection,
    KeepMetrics,
    ObserveEvent,
    Outputs,
    SendFrame,
    WriteNote,
)
from homeport.gateway.session import note_once
from homeport.model.arn import dashed_uuid
from homeport.state.view import View
from homeport.wire.agent_messages import acs, tcs
from homeport.wire.agent_messages.frames import FrameError, Message, UnknownMessage, decode_frame

CONTAINER_RUNTIME: Final = "ContainerRuntime"
RUNTIME_STATUSES: Final = frozenset({"OK", "IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING"})
HEALTH_STATUSES: Final = frozenset({"HEALTHY", "UNHEALTHY", "UNKNOWN"})


class TcsSession:
    """What one agent published on one telemetry connection."""

    def __init__(
        self,
        *,
        identity: AgentIdentity,
        view: View,
        ids: Iterator[str],
        limits: GatewayLimits,
        now_ms: int,
    ) -> None:
        self.identity = identity
        self._view = view
        self._ids = ids
        self._heartbeats = Heartbeats(limits, now_ms=now_ms, must_answer=False)
        self._noted_types: set[str] = set()
        self._responders: dict[type[Message], Callable[..., Outputs]] = {
            tcs.PublishMetricsRequest: self._take_metrics,
            tcs.PublishHealthRequest: self._take_health,
            tcs.PublishInstanceStatusRequest: self._take_instance_status,
            tcs.StartTelemetrySessionRequest: self._take_nothing,
            acs.HeartbeatAckRequest: self._take_nothing,
        }

    @property
    def due_ms(self) -> int:
        """When `timer_rang` must be called at the latest."""
        return self._heartbeats.due_ms

    def connected(self, now_ms: int) -> Outputs:
        """Greet with a heartbeat."""
        return self.timer_rang(now_ms)

    def frame_received(self, text: str | bytes, now_ms: int) -> Outputs:
        """Take one frame; what isn't a frame ends the connection, an unknown type doesn't."""
        try:
            message = decode_frame(text)
        except FrameError as error:
            return [
                WriteNote(f"closing a telemetry connection: {error}", is_warning=True),
                SendFrame(tcs.InvalidParameterException(message=str(error))),
                CloseConnection(CLOSE_POLICY, "bad request"),
            ]
        responder = self._responders.get(type(message))
        if responder is None:
            name = message.type if isinstance(message, UnknownMessage) else type(message).__name__
            return note_once(name, self._noted_types)
        return responder(message)

    def timer_rang(self, now_ms: int) -> Outputs:
        """Send the heartbeat that is due; without any the agent reconnects after a minute."""
        if not self._heartbeats.is_due(now_ms):
            return []
        message_id = dashed_uuid(next(self._ids))
        self._heartbeats.note_sent(message_id, now_ms)
        return [SendFrame(acs.HeartbeatMessage(healthy=True, message_id=message_id))]

    def server_stopping(self) -> Outputs:
        """Close so that the agent reconnects at once."""
        return [CloseConnection(CLOSE_GOING_AWAY, "control plane is stopping")]

    def instance_deregistered(self) -> Outputs:
        """End the telemetry of a container instance that is gone."""
        return [CloseConnection(CLOSE_NORMAL, "container instance is deregistered")]

    def _take_metrics(self, metrics: tcs.PublishMetricsRequest) -> Outputs:
        return [
            KeepMetrics(self.identity.container_instance_arn, metrics),
            SendFrame(tcs.AckPublishMetric()),
        ]

    def _take_health(self, health: tcs.PublishHealthRequest) -> Outputs:
        """Report each known status; the engine drops what it knows and what isn't this agent's."""
        containers = tuple(
            ContainerHealth(
                task_arn=task.task_arn,
                container_name=container.container_name,
                status=container.health_status,
            )
            for task in health.tasks
            for container in task.containers
            if container.health_status in HEALTH_STATUSES
        )
        outputs: Outputs = []
        if containers:
            event = HealthReported(
                container_instance_arn=self.identity.container_instance_arn, containers=containers
            )
            outputs.append(ObserveEvent(event))
        return [*outputs, SendFrame(tcs.AckPublishHealth())]

    def _take_instance_status(self, published: tcs.PublishInstanceStatusRequest) -> Outputs:
        instance = self._view.container_instance(self.identity.container_instance_arn)
        outputs: Outputs = [
            ObserveEvent(
                RuntimeStatusReported(
                    container_instance_arn=self.identity.container_instance_arn,
                    status=check.status,
                )
            )
            for check in published.statuses
            if check.type == CONTAINER_RUNTIME
            and check.status in RUNTIME_STATUSES
            and instance is not None
            and check.status != instance.runtime_status
        ]
        return [*outputs, SendFrame(tcs.AckPublishInstanceStatus())]

    def _take_nothing(self, message: Message) -> Outputs:
        return []
