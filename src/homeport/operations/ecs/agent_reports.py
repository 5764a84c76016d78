"""What agents submit: SubmitTaskStateChange, SubmitContainerStateChange and attachments.

How a report alters a task is `core.lifecycle.task`'s work. An agent sends a report again until it
is acknowledged, so late, repeated and pointless ones are acknowledged too.
"""

from collections.abc import Callable, Sequence

from homeport.api import ecs
from homeport.core.decision import NOTHING, Decision
from homeport.core.lifecycle.task import ContainerReport, TaskReport, report_task
from homeport.model.arn import parse_arn
from homeport.model.cluster import Cluster
from homeport.model.task import NetworkBinding
from homeport.operations.context import CallContext
from homeport.operations.lookup import find_cluster, task_arn_from
from homeport.state.view import View

ACKNOWLEDGMENT = "ok"
CONTAINERS_PER_REPORT = 100
NETWORK_BINDINGS_PER_CONTAINER = 400  # 100 ports or ranges, each for two protocols and IP versions
RUNTIME_ID_LENGTH_CHARACTERS = 255
IMAGE_DIGEST_LENGTH_CHARACTERS = 255
PORT_MAX = 65_535
TIMESTAMP_MAX_S = 253_402_300_799  # the year 9999


def submit_task_state_change(
    view: View, request: ecs.SubmitTaskStateChangeRequest, context: CallContext
) -> Decision:
    """Take in an agent's word on a task and on those of its containers that changed.

    A container that has ended already is reported RUNNING and STOPPED in one list. Reports on
    tasks nobody knows any more are acknowledged without a change.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    containers = request.containers or []
    if len(containers) > CONTAINERS_PER_REPORT:
        raise ecs.InvalidParameterException(
            f"A report can hold at most {CONTAINERS_PER_REPORT} container changes, "
            f"this one has {len(containers)}."
        )
    report = TaskReport(
        task_arn=_reported_task_arn(cluster, request.task, context),
        status=request.status,
        reason=request.reason,
        containers=tuple(_container_report(change) for change in containers),
        pull_started_at_ms=_milliseconds(request.pull_started_at, "pullStartedAt"),
        pull_stopped_at_ms=_milliseconds(request.pull_stopped_at, "pullStoppedAt"),
        execution_stopped_at_ms=_milliseconds(request.execution_stopped_at, "executionStoppedAt"),
    )
    decision = report_task(
        view, report, context.moment, is_strict=context.settings.strict_failures
    )
    return _acknowledged(decision, ecs.SubmitTaskStateChangeResponse(acknowledgment=ACKNOWLEDGMENT))


def submit_container_state_change(
    view: View, request: ecs.SubmitContainerStateChangeRequest, context: CallContext
) -> Decision:
    """Take in an agent's word on one container; the task's own status stays."""
    cluster = find_cluster(view, context.scope, request.cluster)
    change = ecs.ContainerStateChange(
        container_name=request.container_name,
        runtime_id=request.runtime_id,
        status=request.status,
        exit_code=request.exit_code,
        reason=request.reason,
        network_bindings=request.network_bindings,
    )
    report = TaskReport(
        task_arn=_reported_task_arn(cluster, request.task, context),
        containers=(_container_report(change),),
    )
    decision = report_task(
        view, report, context.moment, is_strict=context.settings.strict_failures
    )
    return _acknowledged(
        decision, ecs.SubmitContainerStateChangeResponse(acknowledgment=ACKNOWLEDGMENT)
    )


def submit_attachment_state_changes(
    view: View, request: ecs.SubmitAttachmentStateChangesRequest, context: CallContext
) -> Decision:
    """Acknowledge an agent's word on attachments; no task of Homeport's has any yet."""
    find_cluster(view, context.scope, request.cluster)
    return _acknowledged(
        NOTHING, ecs.SubmitAttachmentStateChangesResponse(acknowledgment=ACKNOWLEDGMENT)
    )


def _acknowledged(decision: Decision, reply: object) -> Decision:
    return Decision(
        reply=reply,
        changes=decision.changes,
        effects=decision.effects,
        notes=decision.notes,
    )


def _reported_task_arn(cluster: Cluster, identifier: str | None, context: CallContext) -> str:
    """Return the reported task's ARN, or refuse one that names another cluster."""
    if not identifier:
        raise ecs.InvalidParameterException("Task cannot be empty.")
    arn = task_arn_from(context.scope, cluster, identifier)
    parsed = parse_arn(arn)
    if parsed is None or parsed.kind != "task":
        raise ecs.InvalidParameterException(f"Invalid identifier: {arn[:255]} is not a task's ARN.")
    if len(parsed.path) > 1 and parsed.path[0] != cluster.name:
        raise ecs.InvalidParameterException(
            f"Invalid identifier: Identifier is for cluster {parsed.path[0]}. "
            f"Your cluster is {cluster.name}"
        )
    return arn


def _container_report(change: ecs.ContainerStateChange) -> ContainerReport:
    if not change.container_name:
        raise ecs.InvalidParameterException("Container name cannot be empty.")
    bindings = change.network_bindings
    return ContainerReport(
        name=change.container_name,
        status=change.status,
        exit_code=change.exit_code,
        reason=change.reason,
        runtime_id=_cut(change.runtime_id, RUNTIME_ID_LENGTH_CHARACTERS),
        image_digest=_cut(change.image_digest, IMAGE_DIGEST_LENGTH_CHARACTERS),
        network_bindings=None if bindings is None else _bindings(bindings),
    )


def _bindings(bindings: Sequence[ecs.NetworkBinding]) -> tuple[NetworkBinding, ...]:
    if len(bindings) > NETWORK_BINDINGS_PER_CONTAINER:
        raise ecs.InvalidParameterException(
            f"A container can have at most {NETWORK_BINDINGS_PER_CONTAINER} network bindings, "
            f"this report has {len(bindings)}."
        )
    return tuple(
        NetworkBinding(
            bind_ip=binding.bind_ip or "0.0.0.0",
            container_port=_port(binding.container_port),
            host_port=_port(binding.host_port),
            protocol=binding.protocol or "tcp",
            container_port_range=binding.container_port_range,
            host_port_range=binding.host_port_range,
        )
        for binding in bindings
    )


def _port(port: int | None) -> int | None:
    if port is not None and not 0 <= port <= PORT_MAX:
        raise ecs.InvalidParameterException(f"A port must be between 0 and {PORT_MAX}, not {port}.")
    return port


def _cut(text: str | None, length_characters: int) -> str | None:
    return None if text is None else text[:length_characters]


def _milliseconds(seconds: float | None, member: str) -> int | None:
    if seconds is None:
        return None
    if not 0 <= seconds <= TIMESTAMP_MAX_S:
        raise ecs.InvalidParameterException(f"{member} must be a time in epoch seconds.")
    return round(seconds * 1_000)


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "SubmitTaskStateChange": submit_task_state_change,
    "SubmitContainerStateChange": submit_container_state_change,
    "SubmitAttachmentStateChanges": submit_attachment_state_changes,
}
