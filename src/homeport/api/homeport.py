"""Shapes and operations of Homeport's own namespace, `X-Amz-Target: Homeport.<Operation>`.

Written by hand, since AWS has no model of them; the form is that of the generated modules next
door, and so are the exceptions. Reads only: nothing here can change what ECS would not change.
"""

from __future__ import annotations

import msgspec

from homeport.api import ecs
from homeport.api.shapes import Integer, Long, OperationModel, Shape

TARGET_PREFIX = "Homeport"

TASK_STATE_CHANGE = "ECS Task State Change"
CONTAINER_INSTANCE_STATE_CHANGE = "ECS Container Instance State Change"
DEPLOYMENT_STATE_CHANGE = "ECS Deployment State Change"
SERVICE_ACTION = "ECS Service Action"
HOOK_STATE_CHANGE = "ECS Hook State Change"
DETAIL_TYPES = (
    TASK_STATE_CHANGE,
    CONTAINER_INSTANCE_STATE_CHANGE,
    DEPLOYMENT_STATE_CHANGE,
    SERVICE_ACTION,
    HOOK_STATE_CHANGE,
)


class EventBridgeEvent(Shape, kw_only=True, omit_defaults=False):
    """An event as EventBridge delivers it; `detail` is JSON whose shape its type decides."""

    version: str = "0"
    id: str
    detail_type: str = msgspec.field(name="detail-type")
    source: str = "aws.ecs"
    account: str
    time: str
    region: str
    resources: list[str]
    detail: msgspec.Raw


class StreamedEvent(Shape, kw_only=True):
    """An event with its number on the stream; numbers grow and have gaps."""

    sequence: Long
    event: msgspec.Raw


class ListEventsRequest(
    Shape,
    kw_only=True,
    rename={"detail_types": "detailTypes", "wait_time_seconds": "waitTimeSeconds"},
):
    """Which events: those behind `after`, or the newest `tail`; neither means all that are kept."""

    after: Long | None = None
    tail: Integer | None = None
    limit: Integer | None = None
    detail_types: list[str] | None = None
    wait_time_seconds: Integer | None = None


class ListEventsResponse(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={"last_sequence": "lastSequence", "is_incomplete": "isIncomplete"},
):
    """Events, oldest first; pass `last_sequence` as the next `after`.

    `is_incomplete` says that events behind `after` are not kept any more.
    """

    events: list[StreamedEvent]
    last_sequence: Long
    is_incomplete: bool = False


class MemberChange(Shape, kw_only=True, omit_defaults=False):
    """One member of a resource before and after a commit, as JSON; null where there was none."""

    member: str
    before: msgspec.Raw
    after: msgspec.Raw


class HistoryEntry(
    Shape, kw_only=True, omit_defaults=False, rename={"is_first_known": "isFirstKnown"}
):
    """What one commit did to a resource: `kind` is CHANGED, DELETED or, for services, MESSAGE.

    `cause` is the operation's or event's name; `at` is in epoch seconds. Of the first known state
    it is not said what it was before: the journal reaches back no further.
    """

    at: float
    kind: str
    cause: str
    sequence: Long | None = None
    is_first_known: bool = False
    message: str | None = None
    changes: list[MemberChange]


class ListHistoryRequest(Shape, kw_only=True):
    """Of which service, task or container instance: its name, (short) id or ARN."""

    resource: str | None = None
    cluster: str | None = None
    limit: Integer | None = None


class ListHistoryResponse(
    Shape, kw_only=True, omit_defaults=False, rename={"resource_arn": "resourceArn"}
):
    """The newest entries that the journal holds, oldest first."""

    resource_arn: str
    entries: list[HistoryEntry]


class ListMetricsRequest(
    Shape,
    kw_only=True,
    rename={
        "start_time": "startTime",
        "end_time": "endTime",
        "period_seconds": "periodSeconds",
        "max_results": "maxResults",
        "next_token": "nextToken",
    },
):
    """Of which service, task or container instance, or of the whole cluster; times are seconds.

    `part` is TOTAL, TASK or CONTAINER: whether the points are of all that together, or of each.
    """

    resource: str | None = None
    cluster: str | None = None
    part: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    period_seconds: Integer | None = None
    max_results: Integer | None = None
    next_token: str | None = None


class MetricPoint(
    Shape,
    kw_only=True,
    rename={
        "task_arn": "taskArn",
        "container_name": "containerName",
        "cpu_average": "cpuAverage",
        "cpu_maximum": "cpuMaximum",
        "memory_average": "memoryAverage",
        "memory_maximum": "memoryMaximum",
    },
):
    """One period from `timestamp` on: CPU in percent of a core, memory in MiB; absent if unknown.

    Of several containers it is the sum, of their averages or of their maxima.
    """

    timestamp: float
    tasks: Integer
    task_arn: str | None = None
    container_name: str | None = None
    cpu_average: float | None = None
    cpu_maximum: float | None = None
    memory_average: float | None = None
    memory_maximum: float | None = None


class ListMetricsResponse(
    Shape,
    kw_only=True,
    rename={
        "resource_arn": "resourceArn",
        "period_seconds": "periodSeconds",
        "next_token": "nextToken",
    },
):
    """Points in order of time, task and container; a period in which nobody published has none."""

    resource_arn: str
    period_seconds: Integer
    points: list[MetricPoint]
    next_token: str | None = None


class RefusedInstance(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={
        "container_instance_arn": "containerInstanceArn",
        "availability_zone": "availabilityZone",
        "remaining_cpu": "remainingCpu",
        "remaining_memory": "remainingMemory",
    },
):
    """A container instance, the first rule that keeps a task off it, and what would let it on."""

    container_instance_arn: str
    name: str | None  # of an instance of homeport up
    availability_zone: str | None
    remaining_cpu: Integer
    remaining_memory: Integer
    reason: str
    detail: str
    remedy: str


class RefusingRule(Shape, kw_only=True, omit_defaults=False):
    """A rule, how many container instances it refused, and the least that would change that."""

    reason: str
    count: Integer
    detail: str
    remedy: str


class TaskNeeds(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={"host_ports": "hostPorts", "launch_type": "launchType"},
):
    """What one task takes from its container instance, and the constraints that hold for it."""

    cpu: Integer
    memory: Integer
    gpus: Integer
    host_ports: list[str]
    launch_type: str
    attributes: list[str]
    constraints: list[str]


class ExplainPlacementRequest(Shape, kw_only=True):
    """Of which service or task; at most `limit` container instances are listed."""

    resource: str | None = None
    cluster: str | None = None
    limit: Integer | None = None


class ExplainPlacementResponse(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={
        "resource_arn": "resourceArn",
        "task_definition_arn": "taskDefinitionArn",
        "container_instance_arn": "containerInstanceArn",
        "fitting_instances": "fittingInstances",
    },
):
    """Whether one more such task has a place now; refused instances come closest first."""

    resource_arn: str
    task_definition_arn: str
    summary: str
    container_instance_arn: str | None
    needs: TaskNeeds
    fitting_instances: Integer
    rules: list[RefusingRule]
    instances: list[RefusedInstance]


class PlanPlacementRequest(
    Shape,
    kw_only=True,
    rename={
        "task_definition": "taskDefinition",
        "launch_type": "launchType",
        "placement_constraints": "placementConstraints",
        "placement_strategy": "placementStrategy",
    },
):
    """The next `count` tasks of a service, or of a task definition as RunTask would place them."""

    cluster: str | None = None
    service: str | None = None
    task_definition: str | None = None
    count: Integer | None = None
    group: str | None = None
    launch_type: str | None = None
    placement_constraints: list[ecs.PlacementConstraint] | None = None
    placement_strategy: list[ecs.PlacementStrategy] | None = None


class PlannedInstance(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={
        "container_instance_arn": "containerInstanceArn",
        "availability_zone": "availabilityZone",
    },
):
    """How many of the tasks one container instance would get."""

    container_instance_arn: str
    name: str | None  # of an instance of homeport up
    availability_zone: str | None
    tasks: Integer


class PlanPlacementResponse(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={
        "container_instance_arns": "containerInstanceArns",
        "task_definition_arn": "taskDefinitionArn",
    },
):
    """Where the tasks would go, one after the other, and why the rest would have no place."""

    task_definition_arn: str
    container_instance_arns: list[str]
    instances: list[PlannedInstance]
    unplaced: Integer
    rules: list[RefusingRule]


class ExplainServicesRequest(Shape, kw_only=True):
    """Which services: up to ten, by name or ARN."""

    cluster: str | None = None
    services: list[str] | None = None


class ExplainedService(
    Shape,
    kw_only=True,
    omit_defaults=False,
    rename={
        "service_arn": "serviceArn",
        "is_steady": "isSteady",
        "next_launch_at": "nextLaunchAt",
        "failed_rounds": "failedRounds",
    },
):
    """What one service waits for: nothing, if there is no reason.

    `next_launch_at` is in epoch seconds, null while its launches aren't throttled.
    """

    service_arn: str
    is_steady: bool
    next_launch_at: float | None
    failed_rounds: Integer
    reasons: list[str]


class ExplainServicesResponse(Shape, kw_only=True, omit_defaults=False):
    """The services that were found, in the order in which they were asked for."""

    services: list[ExplainedService]


OPERATIONS: dict[str, OperationModel] = {
    "ExplainServices": OperationModel(
        name="ExplainServices",
        snake_name="explain_services",
        input_type=ExplainServicesRequest,
        output_type=ExplainServicesResponse,
        is_read_only=True,
        errors=(ecs.ClusterNotFoundException, ecs.InvalidParameterException),
    ),
    "ExplainPlacement": OperationModel(
        name="ExplainPlacement",
        snake_name="explain_placement",
        input_type=ExplainPlacementRequest,
        output_type=ExplainPlacementResponse,
        is_read_only=True,
        errors=(
            ecs.ClientException,
            ecs.ClusterNotFoundException,
            ecs.InvalidParameterException,
        ),
    ),
    "PlanPlacement": OperationModel(
        name="PlanPlacement",
        snake_name="plan_placement",
        input_type=PlanPlacementRequest,
        output_type=PlanPlacementResponse,
        is_read_only=True,
        errors=(
            ecs.ClientException,
            ecs.ClusterNotFoundException,
            ecs.InvalidParameterException,
            ecs.ServiceNotFoundException,
        ),
    ),
    "ListEvents": OperationModel(
        name="ListEvents",
        snake_name="list_events",
        input_type=ListEventsRequest,
        output_type=ListEventsResponse,
        is_read_only=True,
        errors=(ecs.InvalidParameterException,),
    ),
    "ListMetrics": OperationModel(
        name="ListMetrics",
        snake_name="list_metrics",
        input_type=ListMetricsRequest,
        output_type=ListMetricsResponse,
        is_read_only=True,
        errors=(
            ecs.ClientException,
            ecs.ClusterNotFoundException,
            ecs.InvalidParameterException,
        ),
    ),
    "ListHistory": OperationModel(
        name="ListHistory",
        snake_name="list_history",
        input_type=ListHistoryRequest,
        output_type=ListHistoryResponse,
        is_read_only=True,
        errors=(
            ecs.ClientException,
            ecs.ClusterNotFoundException,
            ecs.InvalidParameterException,
        ),
    ),
}
