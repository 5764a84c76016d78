"""The container instance's record."""

import msgspec

from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    ATTRIBUTE_SUBNET,
    FARGATE,
)
from homeport.model.record import Record
from homeport.model.resources import InstanceResources

ACTIVE = "ACTIVE"
DRAINING = "DRAINING"
INACTIVE = "INACTIVE"

ATTRIBUTE_AVAILABILITY_ZONE = "ecs.availability-zone"


class ContainerInstance(Record, frozen=True, kw_only=True, tag="container_instance"):
    """A container instance; an attribute without a value has None, as AWS omits it."""

    arn: str
    cluster_arn: str
    status: str = ACTIVE  # ACTIVE | DRAINING | INACTIVE
    status_reason: str | None = None
    agent_connected: bool = False
    agent_version: str | None = None
    agent_hash: str | None = None
    docker_version: str | None = None
    ec2_instance_id: str | None = None
    instance_type: str | None = None
    resources: InstanceResources = InstanceResources()
    attributes: dict[str, str | None] = msgspec.field(default_factory=dict)
    version: int = 1
    registered_at_ms: int = 0
    deregistered_at_ms: int | None = None
    connected_at_ms: int | None = None
    disconnected_at_ms: int | None = None
    lost_at_ms: int | None = None  # its agent stayed away for too long: its tasks were given up
    runtime_status: str | None = None  # OK | IMPAIRED, from the agent's telemetry
    runtime_status_changed_at_ms: int | None = None
    runtime_status_reported_at_ms: int | None = None

    @property
    def availability_zone(self) -> str | None:
        """The zone attribute, which placement spreads over."""
        return self.attributes.get(ATTRIBUTE_AVAILABILITY_ZONE)

    @property
    def capacity_provider(self) -> str | None:
        """The capacity provider whose instance it is; FARGATE for one of the local pool."""
        return FARGATE if self.is_fargate else self.attributes.get(ATTRIBUTE_CAPACITY_PROVIDER)

    @property
    def is_fargate(self) -> bool:
        """Whether it is of the local pool that takes Fargate's place."""
        return ATTRIBUTE_FARGATE in self.attributes

    @property
    def subnet(self) -> str | None:
        """Where its tasks' network interfaces get their addresses, like 10.213.1.0/24."""
        return self.attributes.get(ATTRIBUTE_SUBNET)

    @property
    def is_available(self) -> bool:
        """Whether new tasks may be placed here at all."""
        return self.status == ACTIVE and self.agent_connected
