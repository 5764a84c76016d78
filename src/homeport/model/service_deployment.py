"""Service deployments and service revisions: the history of what a service was told to run."""

import msgspec

from homeport.model.capacity_provider import StrategyItem
from homeport.model.record import Record

ENDED = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")


class ContainerImage(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The digest that a service revision's tasks run a container's image at."""

    container_name: str
    image: str
    image_digest: str


class ServiceRevision(Record, frozen=True, kw_only=True, tag="service_revision"):
    """What a deployment brings out; it never changes, but for the digests once they are known."""

    arn: str
    service_arn: str
    cluster_arn: str
    task_definition_arn: str
    launch_type: str | None = "EC2"  # None with a strategy
    capacity_provider_strategy: tuple[StrategyItem, ...] = ()
    platform_version: str | None = None  # of Fargate
    container_images: tuple[ContainerImage, ...] = ()
    document: bytes = b"{}"  # JSON of the other members of AWS's ServiceRevision, as given
    created_at_ms: int = 0


class HookState(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A PAUSE hook of the stage that a service deployment is in."""

    id: str
    stage: str
    status: str = "AWAITING_ACTION"  # SUCCEEDED | FAILED | TIMED_OUT
    expires_at_ms: int = 0
    timeout_action: str = "ROLLBACK"


class ServiceDeployment(Record, frozen=True, kw_only=True, tag="service_deployment"):
    """One release of a service, from its call to its end (API:ServiceDeployment)."""

    arn: str
    service_arn: str
    cluster_arn: str
    deployment_id: str
    target_revision_arn: str
    source_revision_arns: tuple[str, ...] = ()
    status: str = "PENDING"
    status_reason: str | None = None
    lifecycle_stage: str | None = None
    stage_started_at_ms: int = 0
    hooks: tuple[HookState, ...] = ()
    production_weight: float = 0.0  # percent of traffic for the target; the sources have the rest
    test_weight: float = 0.0
    weight_changed_at_ms: int = 0
    deployment_configuration: bytes = b"{}"  # JSON of AWS's DeploymentConfiguration
    rollback_reason: str | None = None
    rollback_started_at_ms: int | None = None
    rollback_revision_arn: str | None = None
    circuit_breaker_status: str = "DISABLED"  # MONITORING | TRIGGERED | MONITORING_COMPLETE
    failure_count: int = 0
    failure_threshold: int = 0
    created_at_ms: int = 0
    started_at_ms: int | None = None
    stopped_at_ms: int | None = None
    finished_at_ms: int | None = None
    updated_at_ms: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ENDED
