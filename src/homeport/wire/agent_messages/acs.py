"""Messages of the agent communication service (ACS), both directions.

Source: the service's message model, described in the agent-protocol notes. A class's name is the
frame's `type`. Not here: telemetry (`tcs`), the text form (`frames`).
"""

from homeport.wire.agent_messages.payload import (
    Attachment,
    ElasticNetworkInterface,
    IamRoleCredentials,
    Task,
)
from homeport.wire.agent_messages.record import FullRecord, Record


class PayloadMessage(Record, frozen=True):
    """Tasks to start or stop on a container instance; acknowledged once all are taken over."""

    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    seq_num: int = 0
    timeline: int | None = None
    generated_at: int = 0
    tasks: tuple[Task, ...] = ()


class AckRequest(Record, frozen=True):
    """The agent took a message over."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""


class NackRequest(Record, frozen=True):
    """The agent refuses a message, with the reason."""

    cluster: str = ""
    container_instance: str = ""
    message_id: str = ""
    reason: str = ""


class HeartbeatMessage(FullRecord, frozen=True):
    """The control plane is there; on ACS the agent answers with HeartbeatAckRequest."""

    healthy: bool = False
    message_id: str = ""


class HeartbeatAckRequest(Record, frozen=True):
    """The agent heard a heartbeat."""

    message_id: str = ""


class TaskIdentifier(Record, frozen=True):
    """A task by ARN, its cluster and what is wanted of it."""

    task_arn: str = ""
    task_cluster_arn: str = ""
    desired_status: str = ""


class TaskManifestMessage(FullRecord, frozen=True):
    """All tasks that the control plane believes this instance has (generatedAt in ms)."""

    cluster_arn: str = ""
    container_instance_arn: str = ""
    message_id: str = ""
    generated_at: int = 0
    timeline: int = 0
    tasks: tuple[TaskIdentifier, ...] = ()


class TaskStopVerificationMessage(FullRecord, frozen=True):
    """Tasks that the agent runs and the manifest doesn't want: shall they stop?"""

    message_id: str = ""
    stop_candidates: tuple[TaskIdentifier, ...] = ()


class TaskStopVerificationAck(FullRecord, frozen=True):
    """Of the candidates, those that shall really stop."""

    message_id: str = ""
    generated_at: int = 0
    stop_tasks: tuple[TaskIdentifier, ...] = ()


class IAMRoleCredentialsMessage(Record, frozen=True):
    """New credentials for a task's role (roleType TaskApplication or TaskExecution)."""

    message_id: str = ""
    task_arn: str = ""
    task_cluster_arn: str = ""
    role_type: str = ""
    role_credentials: IamRoleCredentials | None = None


class IAMRoleCredentialsAckRequest(Record, frozen=True):
    """The agent holds these credentials now."""

    message_id: str = ""
    expiration: str = ""
    credentials_id: str = ""


class AttachTaskNetworkInterfacesMessage(Record, frozen=True):
    """Network interfaces that will appear for a task."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""
    task_arn: str = ""
    task_cluster_arn: str = ""
    generated_at: int = 0
    wait_timeout_ms: int = 0
    elastic_network_interfaces: tuple[ElasticNetworkInterface, ...] = ()


class AttachInstanceNetworkInterfacesMessage(Record, frozen=True):
    """Network interfaces that will appear for the instance."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""
    generated_at: int = 0
    wait_timeout_ms: int = 0
    elastic_network_interfaces: tuple[ElasticNetworkInterface, ...] = ()


class ConfirmAttachmentMessage(Record, frozen=True):
    """An attachment that the agent shall look for and confirm."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""
    task_arn: str = ""
    task_cluster_arn: str = ""
    generated_at: int = 0
    wait_timeout_ms: int = 0
    attachment: Attachment | None = None


class UpdateInfo(Record, frozen=True):
    """Where a new agent can be had."""

    location: str = ""
    signature: str = ""


class StageUpdateMessage(Record, frozen=True):
    """Fetch a new agent."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""
    update_info: UpdateInfo | None = None


class PerformUpdateMessage(Record, frozen=True):
    """Switch to the staged agent."""

    message_id: str = ""
    cluster_arn: str = ""
    container_instance_arn: str = ""
    update_info: UpdateInfo | None = None


class CloseMessage(Record, frozen=True):
    """The control plane is about to close the connection: reconnect at once."""

    message: str = ""


class ErrorMessage(Record, frozen=True):
    """An unspecified error, in words."""

    message: str = ""


class InvalidClusterException(Record, frozen=True):
    """The agent named a cluster that doesn't exist."""

    message: str = ""


class InvalidInstanceException(Record, frozen=True):
    """The agent named a container instance that doesn't exist."""

    message: str = ""


class InactiveInstanceException(Record, frozen=True):
    """The container instance was deregistered; the agent stays away for an hour."""

    message: str = ""


class AccessDeniedException(Record, frozen=True):
    """The agent's credentials don't allow this."""

    message: str = ""


class BadRequestException(Record, frozen=True):
    """The agent sent something that can't be understood."""

    message: str = ""


class ServerException(Record, frozen=True):
    """The control plane failed; try again later."""

    message: str = ""
