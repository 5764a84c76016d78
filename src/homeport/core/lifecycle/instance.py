"""How container instances change when agents connect, vanish or report (container-instances §5)."""

from msgspec.structs import replace

from homeport.core.decision import NOTHING, Decision, Moment
from homeport.core.effects import SendTasks
from homeport.model.container_instance import INACTIVE, ContainerInstance
from homeport.state.changes import Put
from homeport.state.view import View


def connect_agent(
    view: View,
    arn: str,
    moment: Moment,
    *,
    agent_version: str | None,
    agent_hash: str | None,
    docker_version: str | None,
) -> Decision:
    """Mark the agent connected and send it every task that isn't as it is wanted."""
    instance = view.container_instance(arn)
    if instance is None:
        return NOTHING
    unsettled = tuple(
        task.arn
        for task in view.tasks_of_instance(arn).values()
        if task.last_status != task.desired_status
    )
    effects = (SendTasks(arn, unsettled),) if unsettled else ()
    connected = replace(
        instance,
        agent_connected=True,
        agent_version=agent_version or instance.agent_version,
        agent_hash=agent_hash or instance.agent_hash,
        docker_version=docker_version or instance.docker_version,
        connected_at_ms=instance.connected_at_ms if instance.agent_connected else moment.now_ms,
        disconnected_at_ms=None,
        lost_at_ms=None,
        version=instance.version + 1,
    )
    is_known = replace(connected, version=instance.version) == instance
    changes = () if is_known else (Put(connected),)
    return Decision(changes=changes, effects=effects, notes=(f"agent connected: {arn}",))


def lose_agent(view: View, arn: str, moment: Moment) -> Decision:
    """Mark the agent disconnected; its tasks live on, and nothing new is placed there."""
    instance = view.container_instance(arn)
    if instance is None or not instance.agent_connected:
        return NOTHING
    return Decision(
        changes=(Put(_disconnected(instance, moment)),), notes=(f"agent disconnected: {arn}",)
    )


def disconnect_every_agent(view: View, moment: Moment) -> Decision:
    """Mark all agents disconnected: true whenever a control plane starts.

    The time in which nobody could connect isn't held against those that were away before.
    """
    away = [replace(i, disconnected_at_ms=moment.now_ms) for i in view.disconnected_instances()]
    connected = [i for i in view.every_container_instance() if i.agent_connected]
    return Decision(
        changes=(
            *(Put(instance) for instance in away),
            *(Put(_disconnected(instance, moment)) for instance in connected),
        )
    )


def report_runtime_status(view: View, arn: str, status: str, moment: Moment) -> Decision:
    """Keep what the agent says of its container runtime: OK or IMPAIRED (§10)."""
    instance = view.container_instance(arn)
    if instance is None or instance.runtime_status == status:
        return NOTHING
    reported = replace(
        instance,
        runtime_status=status,
        runtime_status_changed_at_ms=moment.now_ms,
        runtime_status_reported_at_ms=moment.now_ms,
        version=instance.version + 1,
    )
    return Decision(changes=(Put(reported),))


def deregistered(instance: ContainerInstance, moment: Moment) -> ContainerInstance:
    """Return the container instance as INACTIVE; what becomes of its tasks is the caller's."""
    return replace(
        instance,
        status=INACTIVE,
        agent_connected=False,
        deregistered_at_ms=moment.now_ms,
        disconnected_at_ms=instance.disconnected_at_ms or moment.now_ms,
        version=instance.version + 1,
    )


def _disconnected(instance: ContainerInstance, moment: Moment) -> ContainerInstance:
    return replace(
        instance,
        agent_connected=False,
        disconnected_at_ms=moment.now_ms,
        version=instance.version + 1,
    )
