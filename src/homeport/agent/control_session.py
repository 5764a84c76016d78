"""The agent's side of ACS: payloads, manifests, heartbeats, and their acknowledgements.

One method per message kind. Not here: connecting (`sockets`), what a payload leads to
(`task_machine`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from homeport.agent import stimuli
from homeport.agent.credentials import CredentialsStore
from homeport.agent.sockets import Ending, describe_agent, make_url, read_refusal
from homeport.wire.agent_messages import acs, payload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from homeport.agent.runner import Runner
    from homeport.agent.sockets import Identity, Socket
    from homeport.api import ecs
    from homeport.wire.agent_messages.frames import Message

LOG: Final = logging.getLogger("homeport.agent")

MAX_TASKS: Final = 5_000
"""Most tasks one agent keeps, ended ones included; ECS's own quota is 5,000 an instance."""

PROTOCOL_VERSION: Final = "2"
FIRST_SEQUENCE_NUMBER: Final = "1"


class ControlSession:
    """Answers the control plane's messages on one socket after another."""

    def __init__(
        self,
        runner: Runner,
        identity: Identity,
        credentials: CredentialsStore | None = None,
        *,
        has_roles: bool = False,
    ) -> None:
        self._runner = runner
        self._credentials = credentials or CredentialsStore()
        self._identity = identity
        self._newest_manifest = 0
        self._has_warned_of_roles = has_roles
        self._responders: dict[type[Any], Callable[[Socket, Any], Awaitable[None]]] = {
            acs.HeartbeatMessage: self._on_heartbeat,
            acs.PayloadMessage: self._on_payload,
            acs.TaskManifestMessage: self._on_manifest,
            acs.TaskStopVerificationAck: self._on_stop_verified,
            acs.IAMRoleCredentialsMessage: self._on_role_credentials,
            acs.AttachTaskNetworkInterfacesMessage: self._on_unsupported,
            acs.AttachInstanceNetworkInterfacesMessage: self._on_unsupported,
            acs.ConfirmAttachmentMessage: self._on_unsupported,
            acs.StageUpdateMessage: self._on_unsupported,
            acs.PerformUpdateMessage: self._on_unsupported,
        }

    def find_url(self, endpoints: ecs.DiscoverPollEndpointResponse) -> str:
        """Where to connect, with who we are."""
        query = {
            **describe_agent(),
            "clusterArn": self._identity.cluster,
            "containerInstanceArn": self._identity.container_instance_arn,
            "dockerVersion": f"DockerVersion: {self._identity.docker_version}",
            "protocolVersion": PROTOCOL_VERSION,
            "sendCredentials": "true",
            "seqNum": FIRST_SEQUENCE_NUMBER,
        }
        return make_url(endpoints.endpoint, query)

    async def serve(self, socket: Socket) -> Ending:
        """Answer messages until the connection ends."""
        # A new connection begins anew: its control plane's clock may have been set back.
        self._newest_manifest = 0
        while True:
            message = await socket.receive()
            if isinstance(message, Ending):
                return message
            ending = read_refusal(message)
            if ending is not None:
                return ending
            await self._respond(socket, message)

    async def _respond(self, socket: Socket, message: Message) -> None:
        responder = self._responders.get(type(message))
        if responder is None:
            LOG.info("ignoring a message of type %s", getattr(message, "type", type(message)))
            return
        await responder(socket, message)

    async def _on_heartbeat(self, socket: Socket, message: acs.HeartbeatMessage) -> None:
        await socket.send(acs.HeartbeatAckRequest(message_id=message.message_id))

    async def _on_payload(self, socket: Socket, message: acs.PayloadMessage) -> None:
        """Take all tasks over, on disk before the acknowledgement; stops go first."""
        refusal = refuse_payload(message, len(self._runner.machine.tasks))
        if refusal is not None:
            LOG.error("refusing payload %s: %s", message.message_id, refusal)
            await self._nack(socket, message, refusal)
            return
        for task in message.tasks:
            # Before any container starts that may ask for them.
            for credentials in (task.role_credentials, task.execution_role_credentials):
                if credentials is not None:
                    self._credentials.put(credentials)
        tasks = sorted(message.tasks, key=lambda task: task.desired_status != "STOPPED")
        for number, task in enumerate(tasks, start=1):
            # One sync covers all that was written before it.
            is_promise = number == len(tasks)
            self._runner.tell(stimuli.TaskSent(task=task), is_promise=is_promise)
        for task in tasks:
            for credentials in (task.role_credentials, task.execution_role_credentials):
                if credentials is not None:
                    await self._ack_credentials(socket, message.message_id, credentials)
        await self._ack(socket, message)

    async def _on_manifest(self, socket: Socket, message: acs.TaskManifestMessage) -> None:
        """Ask about every task that runs here and isn't in the manifest; stop none yet."""
        if message.timeline and message.timeline <= self._newest_manifest:
            LOG.warning("discarding a task manifest that isn't newer than the last")
            return
        self._newest_manifest = message.timeline
        await self._ack(socket, message)
        candidates = self._runner.machine.list_stop_candidates(message.tasks)
        if candidates:
            await socket.send(
                acs.TaskStopVerificationMessage(
                    message_id=message.message_id, stop_candidates=candidates
                )
            )

    async def _on_stop_verified(
        self, _socket: Socket, message: acs.TaskStopVerificationAck
    ) -> None:
        for task in message.stop_tasks:
            LOG.info("stopping %s: the control plane doesn't know it", task.task_arn)
            self._runner.tell(stimuli.StopWanted(task_arn=task.task_arn))

    async def _on_role_credentials(
        self, socket: Socket, message: acs.IAMRoleCredentialsMessage
    ) -> None:
        if message.role_credentials is not None:
            self._credentials.put(message.role_credentials)
            await self._ack_credentials(socket, message.message_id, message.role_credentials)

    async def _on_unsupported(self, socket: Socket, message: Any) -> None:
        name = type(message).__name__
        LOG.warning("%s isn't supported by this agent", name)
        await self._nack(socket, message, f"{name} isn't supported by this agent")

    async def _ack_credentials(
        self, socket: Socket, message_id: str, credentials: payload.IamRoleCredentials
    ) -> None:
        if not self._has_warned_of_roles:
            self._has_warned_of_roles = True
            LOG.warning("this agent has no credentials endpoint: task roles have no effect")
        await socket.send(
            acs.IAMRoleCredentialsAckRequest(
                message_id=message_id,
                expiration=credentials.expiration,
                credentials_id=credentials.credentials_id,
            )
        )

    async def _ack(
        self, socket: Socket, message: acs.PayloadMessage | acs.TaskManifestMessage
    ) -> None:
        await socket.send(
            acs.AckRequest(
                cluster=message.cluster_arn,
                container_instance=message.container_instance_arn,
                message_id=message.message_id,
            )
        )

    async def _nack(self, socket: Socket, message: Any, reason: str) -> None:
        await socket.send(
            acs.NackRequest(
                cluster=message.cluster_arn,
                container_instance=message.container_instance_arn,
                message_id=message.message_id,
                reason=reason,
            )
        )


def refuse_payload(message: acs.PayloadMessage, known_tasks: int) -> str | None:
    """Why a payload can't be taken over, or None; a payload is taken whole or not at all."""
    if known_tasks + len(message.tasks) > MAX_TASKS:
        return f"this agent keeps {MAX_TASKS} tasks at most"
    for task in message.tasks:
        if not task.arn:
            return "a task has no arn"
        if task.desired_status not in ("RUNNING", "STOPPED"):
            return f"{task.arn}: desiredStatus {task.desired_status!r} isn't RUNNING or STOPPED"
        names = [container.name for container in task.containers]
        if not names or "" in names or len(set(names)) != len(names):
            return f"{task.arn}: containers must be there, named, and named differently"
    return None
