"""What placement is asked, and what it answers: the final interface, whatever engine is behind."""

import msgspec

from homeport.model.placement import PlacementConstraint, PlacementStrategy, Requirement
from homeport.model.resources import TaskResources

REFUSALS_LIMIT = 1_000  # of one answer, those of the container instances that came closest


class PlacementRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`count` identical tasks for one cluster.

    `group` is the task group (distinctInstance and task:group look at it); `service_arn` makes
    spread count the service's tasks instead of the group's. `refusals_wanted` are those of the
    container instances that come closest, all of them of `capacity_provider` if there is one, which
    a constraint keeps the tasks on. `claimant` is who has the cluster's turn, if it is for these
    tasks.
    """

    cluster_arn: str
    group: str
    service_arn: str | None = None
    claimant: str | None = None
    resources: TaskResources
    requires_attributes: tuple[str, ...] = ()
    platform: tuple[Requirement, ...] = ()
    zones: tuple[str, ...] = ()  # those of the subnets that were given; () for any
    constraints: tuple[PlacementConstraint, ...] = ()
    strategies: tuple[PlacementStrategy, ...] = ()
    launch_type: str = "EC2"
    capacity_provider: str | None = None  # not of Fargate's
    count: int = 1
    refusals_wanted: int = REFUSALS_LIMIT


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why one container instance can't take the task: AWS's reason, and what exactly is short."""

    container_instance_arn: str
    reason: str  # e.g. RESOURCE:MEMORY, AGENT, ATTRIBUTE (task-lifecycle §8)
    detail: str  # e.g. "needs 512 MiB, 128 MiB are left"


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tasks go, in order; fewer than asked when no room is left.

    `refusals` says why the rest was not placed, one for each container instance (at most as many
    as were wanted), by ARN; it is empty when everything was placed.
    """

    container_instance_arns: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
