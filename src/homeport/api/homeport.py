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
DETAIL_TYPES = (
    TASK_STATE_CHANGE,
    CONTAINER_INSTANCE_STATE_CHANGE,
    DEPLOYMENT_STATE_CHANGE,
    SERVICE_ACTION,
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


OPERATIONS: dict[str, OperationModel] = {
    "ListEvents": OperationModel(
        name="ListEvents",
        snake_name="list_events",
        input_type=ListEventsRequest,
        output_type=ListEventsResponse,
        is_read_only=True,
        errors=(ecs.InvalidParameterException,),
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
