"""Capacity providers, and strategies that divide tasks among them.

FARGATE and FARGATE_SPOT are everybody's: no record stands for them.
"""

import msgspec

from homeport.model.record import Record

FARGATE = "FARGATE"
FARGATE_SPOT = "FARGATE_SPOT"
FARGATE_PROVIDERS = (FARGATE, FARGATE_SPOT)
# What a service asks for, and what its tasks then run: the only version there is.
LATEST_PLATFORM = "LATEST"
PLATFORM_VERSION = "1.4.0"

# How a container instance says whose capacity it is, until Auto Scaling groups launch instances.
ATTRIBUTE_CAPACITY_PROVIDER = "homeport.capacity-provider"
# An instance of the local pool that runs what is asked of Fargate, and nothing else.
ATTRIBUTE_FARGATE = "homeport.fargate"
# Where such an instance gives its tasks network interfaces, as 10.213.1.0/24.
ATTRIBUTE_SUBNET = "homeport.subnet"


def running_platform(asked: str | None) -> str | None:
    """Return the platform version that tasks run whose call asked for one; None off Fargate."""
    return PLATFORM_VERSION if asked else None


class StrategyItem(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One provider's part: its first `base` tasks, then its share by `weight` (capacity §2)."""

    provider: str
    weight: int = 0
    base: int = 0


class CapacityProvider(Record, frozen=True, kw_only=True, tag="capacity_provider"):
    """A provider of an Auto Scaling group; `document` is JSON of AWS's AutoScalingGroupProvider."""

    arn: str
    name: str
    auto_scaling_group_arn: str
    is_scaling_managed: bool = False  # tasks without room wait for instances
    update_status: str = "CREATE_COMPLETE"
    document: bytes = b"{}"
    created_at_ms: int = 0
