"""Task definitions and their families."""

import msgspec

from homeport.model.placement import PlacementConstraint, Requirement
from homeport.model.record import Record
from homeport.model.resources import TaskResources


class ContainerSpec(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What decisions need to know of one container definition."""

    name: str
    image: str
    essential: bool = True
    cpu_units: int = 0
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None
    has_health_check: bool = False
    pins_image: bool = True  # versionConsistency
    gpu_count: int = 0


class TaskDefinition(Record, frozen=True, kw_only=True, tag="task_definition"):
    """One revision; `document` is the JSON of AWS's TaskDefinition shape as it is described."""

    arn: str
    family: str
    revision: int
    status: str = "ACTIVE"  # ACTIVE | INACTIVE | DELETE_IN_PROGRESS
    document: bytes
    containers: tuple[ContainerSpec, ...]
    resources: TaskResources  # of one task without overrides
    network_mode: str | None = None
    cpu: str | None = None  # task-level, as registered
    memory: str | None = None
    requires_attributes: tuple[str, ...] = ()
    platform: tuple[Requirement, ...] = ()  # of runtimePlatform, for launch types but Fargate
    compatibilities: tuple[str, ...] = ()
    placement_constraints: tuple[PlacementConstraint, ...] = ()
    registered_at_ms: int = 0
    deregistered_at_ms: int | None = None


class Family(Record, frozen=True, kw_only=True, tag="family"):
    """A family's counter: revisions are never reused, also after deletion."""

    key: str  # family_key(scope, name)
    name: str
    last_revision: int
