"""The pure machine of one ACS connection: a stimulus comes in, outputs go out.

It holds what belongs to the connection only (heartbeats, unacknowledged payloads); tasks are read
from the state at the moment of sending. Sockets, timers and the log are `connections`' work.
"""

from collections.abc import Callable, Iterator
from typing import Final

from homeport.engine.events import AgentConnected
from homeport.gateway.admission import AgentIdentity
from homeport.gateway.heartbeats import Heartbeats
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.manifest import make_manifest, verify_stops
from homeport.gateway.outgoing import Outgoing
from homeport.gateway.outputs import (
    CLOSE_GOING_AWAY,
    CLOSE_POLICY,
    CloseConnection,
    ObserveEvent,
    Outputs,
    SendFrame,
    WriteNote,
)
from homeport.gateway.payloads import PayloadTasks
from homeport.gateway.role_credentials import REFRESH_MS
from homeport.model.arn import dashed_uuid
from homeport.model.task import RUNNING
from homeport.state.view import View
from homeport.wire.agent_messages import acs, payload
from homeport.wire.agent_messages.frames import FrameError, Message, UnknownMessage, decode_frame

REASON_LIMIT_CHARACTERS: Final = 500
"""How much of an agent's own words goes into the log."""

NOTED_TYPES_LIMIT: Final = 20
"""How many unexpected frame types are named in the log per connection."""

_INACTIVE = "Container instance is deregistered."

RESTART_MARGIN = 1_000  # numbers drawn behind the newest commit before a crash


class SequenceNumbers:
    """Numbers that only grow, across connections and restarts: the time in ms, or one more.

    An agent discards a manifest whose timeline isn't above the newest that it has seen.
    """

    def __init__(self, after_ms: int = 0) -> None:
        self._last = after_ms + RESTART_MARGIN if after_ms else 0

    def draw(self, now_ms: int) -> int:
        """Return the next number."""
        self._last = max(self._last + 1, now_ms)
        return self._last


class AcsSession:
    """What one agent was told and has answered on one connection."""

    def __init__(
        self,
        *,
        identity: AgentIdentity,
        view: View,
        payload_tasks: PayloadTasks,
        sequence: SequenceNumbers,
        ids: Iterator[str],
        limits: GatewayLimits,
        now_ms: int,
    ) -> None:
        self.identity = identity
        self._view = view
        self._payload_tasks = payload_tasks
        self._sequence = sequence
        self._ids = ids
        self._limits = limits
        self._heartbeats = Heartbeats(
            limits, now_ms=now_ms, must_answer=identity.answers_heartbeats
        )
        self._outgoing = Outgoing(limits)
        self._roles_due_ms = now_ms + REFRESH_MS
        self._noted_types: set[str] = set()
        self._responders: dict[type[Message], Callable[..., Outputs]] = {
            acs.AckRequest: self._take_ack,
            acs.NackRequest: self._take_nack,
            acs.HeartbeatAckRequest: self._take_heartbeat_ack,
            acs.TaskStopVerificationMessage: self._take_stop_candidates,
            acs.IAMRoleCredentialsAckRequest: self._take_nothing,
            acs.ErrorMessage: self._take_error,
        }

    @property
    def due_ms(self) -> int:
        """When `timer_rang` must be called at the latest."""
        due_ms = min(self._heartbeats.due_ms, self._roles_due_ms)
        outgoing_ms = self._outgoing.due_ms
        return due_ms if outgoing_ms is None else min(due_ms, outgoing_ms)

    def connected(self, now_ms: int) -> Outputs:
        """Greet: a heartbeat, then the manifest; the engine sends the tasks that need it."""
        manifest = make_manifest(
            self._view,
            self.identity,
            message_id=self._next_id(),
            timeline=self._sequence.draw(now_ms),
            now_ms=now_ms,
        )
        return [
            *self._send_heartbeat(now_ms),
            SendFrame(manifest, tells_state=True),
            *self._refresh_roles(now_ms),
            self.announce(),
        ]

    def announce(self) -> ObserveEvent:
        """Tell the engine of the agent; it answers with the tasks that aren't as wanted."""
        return ObserveEvent(
            AgentConnected(
                container_instance_arn=self.identity.container_instance_arn,
                agent_version=self.identity.agent_version,
                agent_hash=self.identity.agent_hash,
                docker_version=self.identity.docker_version,
            )
        )

    def frame_received(self, text: str | bytes, now_ms: int) -> Outputs:
        """Take one frame; what isn't a frame ends the connection, an unknown type doesn't."""
        try:
            message = decode_frame(text)
        except FrameError as error:
            return [
                WriteNote(f"closing a connection: {error}", is_warning=True),
                SendFrame(acs.BadRequestException(message=str(error))),
                CloseConnection(CLOSE_POLICY, "bad request"),
            ]
        responder = self._responders.get(type(message))
        if responder is None:
            return self._ignore(message)
        return responder(message, now_ms)

    def tasks_wanted(self, task_arns: tuple[str, ...], now_ms: int) -> Outputs:
        """Send what is now wanted of these tasks."""
        self._outgoing.want(task_arns)
        return self._send_payloads(now_ms)

    def timer_rang(self, now_ms: int) -> Outputs:
        """Send the heartbeat that is due, send lost payloads again, or give a dead agent up."""
        if self._heartbeats.is_unanswered(now_ms):
            return [
                WriteNote("the agent doesn't acknowledge heartbeats", is_warning=True),
                CloseConnection(CLOSE_POLICY, "heartbeat not acknowledged"),
            ]
        outputs: Outputs = []
        if self._heartbeats.is_due(now_ms):
            outputs += self._send_heartbeat(now_ms)
        if now_ms >= self._roles_due_ms:
            outputs += self._refresh_roles(now_ms)
        lost = self._outgoing.requeue_lost(now_ms)
        if lost:
            outputs.append(WriteNote(f"{lost} payloads were not acknowledged: sending again"))
        return outputs + self._send_payloads(now_ms)

    def server_stopping(self) -> Outputs:
        """Say goodbye so that the agent reconnects at once."""
        return [
            SendFrame(acs.CloseMessage(message="The control plane is stopping.")),
            CloseConnection(CLOSE_GOING_AWAY, "control plane is stopping"),
        ]

    def instance_deregistered(self) -> Outputs:
        """Send the agent away: it stays away for an hour.

        Amazon's agent doesn't heed the frame, only a close that isn't a normal one and begins with
        the exception's name (ecs-agent/acs/session/session.go).
        """
        return [
            SendFrame(acs.InactiveInstanceException(message=_INACTIVE), tells_state=True),
            CloseConnection(CLOSE_POLICY, acs.InactiveInstanceException.__name__),
        ]

    def _send_heartbeat(self, now_ms: int) -> Outputs:
        message_id = self._next_id()
        self._heartbeats.note_sent(message_id, now_ms)
        return [SendFrame(acs.HeartbeatMessage(healthy=True, message_id=message_id))]

    def _refresh_roles(self, now_ms: int) -> Outputs:
        """Send every RUNNING task's credentials anew: agents keep them in memory only."""
        self._roles_due_ms = now_ms + REFRESH_MS
        mine = self._view.tasks_of_instance(self.identity.container_instance_arn)
        return [
            SendFrame(refresh)
            for task in mine.values()
            if task.last_status == RUNNING == task.desired_status
            for refresh in self._payload_tasks.list_refreshes(task, self._ids, now_ms)
        ]

    def _send_payloads(self, now_ms: int) -> Outputs:
        outputs: Outputs = []
        while True:
            task_arns, wait_ms = self._outgoing.take_batch()
            if not task_arns:
                return outputs
            tasks = self._build_tasks(task_arns, outputs, now_ms)
            if not tasks:
                continue
            message = acs.PayloadMessage(
                cluster_arn=self.identity.cluster_arn,
                container_instance_arn=self.identity.container_instance_arn,
                message_id=self._next_id(),
                seq_num=self._sequence.draw(now_ms),
                generated_at=now_ms,
                tasks=tasks,
            )
            self._outgoing.note_sent(
                message.message_id,
                tuple(task.arn for task in tasks),
                wait_ms=wait_ms,
                now_ms=now_ms,
            )
            outputs.append(SendFrame(message, tells_state=True))

    def _build_tasks(
        self, task_arns: tuple[str, ...], outputs: Outputs, now_ms: int
    ) -> tuple[payload.Task, ...]:
        """Build from the present state: what has ended isn't this agent's any more."""
        mine = self._view.tasks_of_instance(self.identity.container_instance_arn)
        built: list[payload.Task] = []
        for arn in task_arns:
            task = mine.get(arn)
            if task is None:
                continue
            wire_task = self._payload_tasks.build(task, now_ms)
            if wire_task is None:
                outputs.append(
                    WriteNote(f"{task.task_definition_arn} is gone: can't start {arn}", True)
                )
            else:
                built.append(wire_task)
        return tuple(built)

    def _take_ack(self, ack: acs.AckRequest, now_ms: int) -> Outputs:
        self._outgoing.note_acknowledged(ack.message_id)
        return self._send_payloads(now_ms)

    def _take_nack(self, nack: acs.NackRequest, now_ms: int) -> Outputs:
        """Note why; the payload stays unacknowledged, so it is sent again, less and less often."""
        return [WriteNote(f"the agent refused a message: {_brief(nack.reason)}", is_warning=True)]

    def _take_heartbeat_ack(self, ack: acs.HeartbeatAckRequest, now_ms: int) -> Outputs:
        self._heartbeats.note_answered(ack.message_id)
        return []

    def _take_stop_candidates(
        self, request: acs.TaskStopVerificationMessage, now_ms: int
    ) -> Outputs:
        if len(request.stop_candidates) > self._limits.stop_candidates:
            text = f"More than {self._limits.stop_candidates} stop candidates in one message."
            return [
                SendFrame(acs.BadRequestException(message=text)),
                CloseConnection(CLOSE_POLICY, "bad request"),
            ]
        answer = verify_stops(self._view, self.identity, request, now_ms=now_ms)
        outputs: Outputs = [
            WriteNote(f"stopping a task that is not wanted here: {_brief(task.task_arn)}")
            for task in answer.stop_tasks
        ]
        return [*outputs, SendFrame(answer, tells_state=True)]

    def _take_nothing(self, message: Message, now_ms: int) -> Outputs:
        return []

    def _take_error(self, error: acs.ErrorMessage, now_ms: int) -> Outputs:
        return [WriteNote(f"the agent reports: {_brief(error.message)}", is_warning=True)]

    def _ignore(self, message: Message) -> Outputs:
        """Note a type once per connection; a newer agent may say more than we know."""
        name = message.type if isinstance(message, UnknownMessage) else type(message).__name__
        return note_once(name, self._noted_types)

    def _next_id(self) -> str:
        return dashed_uuid(next(self._ids))


def note_once(type_name: str, noted: set[str]) -> Outputs:
    """Note an unexpected frame type unless it was noted, or too many types were."""
    if type_name in noted or len(noted) >= NOTED_TYPES_LIMIT:
        return []
    noted.add(type_name)
    return [WriteNote(f"ignoring frames of type {_brief(type_name)!r}")]


def _brief(text: str) -> str:
    return text[:REASON_LIMIT_CHARACTERS]
