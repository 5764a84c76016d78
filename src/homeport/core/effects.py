"""The closed list of effects: what a decision may ask of the world outside.

Every effect may be lost or repeated; whatever comes of it returns as an event.
"""

import msgspec


class SendTasks(msgspec.Struct, frozen=True, gc=False):
    """Send the agent of a container instance what is now wanted of these tasks."""

    container_instance_arn: str
    task_arns: tuple[str, ...]


class DisconnectAgent(msgspec.Struct, frozen=True, gc=False):
    """Tell an agent that its container instance is INACTIVE, and close its connections."""

    container_instance_arn: str


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Look at a service again at a given time, though nothing changes until then."""

    at_ms: int
    service_arn: str


class AwaitCapacity(msgspec.Struct, frozen=True, gc=False):
    """Look at a service again as soon as a container instance of its cluster has more room.

    `takes_turn` says whether it waits for that room itself, or for what others do with it.
    """

    cluster_arn: str
    service_arn: str
    takes_turn: bool = True


class AwaitZone(msgspec.Struct, frozen=True, gc=False):
    """Look at a service again once a zone may have room for it, but not before a given time.

    `has_hosts` says whether container instances there lack nothing but room: without any, what
    tasks leave behind is of no use, and only a change of an instance is.
    """

    cluster_arn: str
    zone: str | None
    service_arn: str
    not_before_ms: int
    has_hosts: bool


Effect = SendTasks | DisconnectAgent | WakeAt | AwaitCapacity | AwaitZone
