"""The manifest handshake: which tasks an agent should have, and which of its own it must stop.

The agent names what it runs beyond the manifest; only tasks that really should stop come back to it
(container-instances §11 of the reference).
"""

from homeport.gateway.admission import AgentIdentity
from homeport.model.task import STOPPED
from homeport.state.view import View
from homeport.wire.agent_messages import acs


def make_manifest(
    view: View, identity: AgentIdentity, *, message_id: str, timeline: int, now_ms: int
) -> acs.TaskManifestMessage:
    """List every task that isn't STOPPED of a container instance, with what is wanted of it.

    `timeline` must be above any that the agent has seen, or it discards the manifest.
    """
    return acs.TaskManifestMessage(
        cluster_arn=identity.cluster_arn,
        container_instance_arn=identity.container_instance_arn,
        message_id=message_id,
        generated_at=now_ms,
        timeline=timeline,
        tasks=tuple(
            acs.TaskIdentifier(
                task_arn=task.arn,
                task_cluster_arn=task.cluster_arn,
                desired_status=task.desired_status,
            )
            for task in view.tasks_of_instance(identity.container_instance_arn).values()
        ),
    )


def verify_stops(
    view: View,
    identity: AgentIdentity,
    request: acs.TaskStopVerificationMessage,
    *,
    now_ms: int,
) -> acs.TaskStopVerificationAck:
    """Confirm those candidates that are not wanted on this container instance.

    The answer repeats the request's message id, which is the manifest's: Amazon's agent heeds no
    other (ecs-agent/acs/session/task_stop_verification_ack_responder.go).
    """
    wanted = view.tasks_of_instance(identity.container_instance_arn)
    return acs.TaskStopVerificationAck(
        message_id=request.message_id,
        generated_at=now_ms,
        stop_tasks=tuple(
            acs.TaskIdentifier(
                task_arn=candidate.task_arn,
                task_cluster_arn=candidate.task_cluster_arn or identity.cluster_arn,
                desired_status=STOPPED,
            )
            for candidate in request.stop_candidates
            if candidate.task_arn not in wanted
            or wanted[candidate.task_arn].desired_status == STOPPED
        ),
    )
