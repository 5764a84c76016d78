"""Tasks and their containers."""

import msgspec

from homeport.model.placement import PlacementConstraint, PlacementStrategy, Requirement
from homeport.model.record import Record
from homeport.model.resources import TaskResources

PROVISIONING = "PROVISIONING"
PENDING = "PENDING"
RUNNING = "RUNNING"
STOPPED = "STOPPED"


class NetworkBinding(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where a container's port is reachable, as the agent reported it."""

    bind_ip: str = "0.0.0.0"
    container_port: int | None = None
    host_port: int | None = None
    protocol: str = "tcp"
    container_port_range: str | None = None
    host_port_range: str | None = None


class Container(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One container of a task; everything but name, arn and image comes from agent reports."""

    arn: str
    name: str
    image: str
    cpu: str = "0"
    memory: str | None = None
    memory_reservation: str | None = None
    last_status: str = PENDING
    exit_code: int | None = None
    reason: str | None = None
    runtime_id: str | None = None
    image_digest: str | None = None
    health_status: str = "UNKNOWN"
    network_bindings: tuple[NetworkBinding, ...] = ()
    gpu_ids: tuple[str, ...] = ()


class PlacementWish(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a task asked of its place: all while it waits, then what its call added to it."""

    requires_attributes: tuple[str, ...] = ()
    constraints: tuple[PlacementConstraint, ...] = ()
    strategies: tuple[PlacementStrategy, ...] = ()
    zones: tuple[str, ...] = ()
    platform: tuple[Requirement, ...] = ()


class Task(Record, frozen=True, kw_only=True, tag="task"):
    """A task: the specification never changes, desired and last status move only forward."""

    arn: str
    cluster_arn: str
    task_definition_arn: str
    container_instance_arn: str | None = None
    availability_zone: str | None = None
    service_arn: str | None = None
    deployment_id: str | None = None
    group: str
    started_by: str | None = None
    launch_type: str = "EC2"
    capacity_provider: str | None = None  # set only by a strategy
    wish: PlacementWish | None = None  # while PROVISIONING; later only of standalone tasks
    platform_version: str | None = None  # of Fargate
    private_ip: str | None = None  # of its network interface
    desired_status: str = RUNNING  # RUNNING | STOPPED
    last_status: str = PENDING
    health_status: str = "UNKNOWN"
    resources: TaskResources
    containers: tuple[Container, ...]
    overrides: bytes = b""  # JSON of AWS's TaskOverride; empty when nothing is overridden
    document: bytes = b""  # JSON of further Task members that no decision reads; empty for none
    enable_execute_command: bool = False
    stop_code: str | None = None
    stopped_reason: str | None = None
    connectivity: str | None = None
    protected_until_ms: int | None = None  # from scale-in and deployments
    version: int = 1
    created_at_ms: int = 0
    connectivity_at_ms: int | None = None
    pull_started_at_ms: int | None = None
    pull_stopped_at_ms: int | None = None
    started_at_ms: int | None = None
    stopping_at_ms: int | None = None
    execution_stopped_at_ms: int | None = None
    stopped_at_ms: int | None = None

    def is_protected(self, now_ms: int) -> bool:
        """Whether scale-in and deployments have to leave it alone (task-lifecycle §10)."""
        return self.protected_until_ms is not None and now_ms < self.protected_until_ms

    @property
    def is_provisioning(self) -> bool:
        """Whether it waits for capacity: no container instance has it yet."""
        return self.last_status == PROVISIONING

    @property
    def is_stopped(self) -> bool:
        """Whether the agent has reported the end, or the task never reached one."""
        return self.last_status == STOPPED
