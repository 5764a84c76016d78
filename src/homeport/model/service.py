"""Services, their deployments and their events."""

import msgspec

from homeport.model.capacity_provider import FARGATE, FARGATE_PROVIDERS, StrategyItem
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.record import Record


class CircuitBreaker(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A deployment circuit breaker that is switched on (API:DeploymentCircuitBreaker)."""

    rolls_back: bool = False
    resets_on_healthy_task: bool = True
    threshold_type: str = "BOUNDED_PERCENT"  # BOUNDED_PERCENT | UNBOUNDED_PERCENT | COUNT
    threshold_value: int = 50  # percent of desiredCount, or tasks


class EarlySuccess(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """When a rolling deployment is complete before it is through (API: earlySuccessCriteria)."""

    healthy_percent: int  # of desiredCount
    is_cleanup_deferred: bool  # older tasks needn't be gone


class PauseHook(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A PAUSE hook: the deployment waits in these stages until somebody says how to go on."""

    stages: tuple[str, ...]
    timeout_min: int = 1_440
    timeout_action: str = "ROLLBACK"  # ROLLBACK | CONTINUE


class StagedStrategy(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The stages of deployments; a ROLLING service has them only for hooks or a bake time."""

    kind: str  # BLUE_GREEN | LINEAR | CANARY | ROLLING
    bake_time_min: int = 0
    step_percent: float = 100.0  # of production traffic, LINEAR: every step, CANARY: the first
    step_bake_time_min: int = 0
    hooks: tuple[PauseHook, ...] = ()


class Deployment(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One deployment of a service: PRIMARY is the newest, ACTIVE ones still have tasks."""

    id: str
    status: str  # PRIMARY | ACTIVE
    task_definition_arn: str
    failed_tasks: int = 0
    rollout_state: str = "IN_PROGRESS"  # IN_PROGRESS | COMPLETED | FAILED
    rollout_state_reason: str = ""
    created_at_ms: int = 0
    updated_at_ms: int = 0
    revision_arn: str = ""
    wanted_tasks: int = 0  # of an older one: how many of its tasks are kept up for the time being
    last_failure_at_ms: int = 0
    is_rollback: bool = False  # run again, after a newer deployment failed or was stopped


# A service of task sets has this one in the place of deployments; it is never shown or run.
NO_DEPLOYMENT = Deployment(
    id="", status="PRIMARY", task_definition_arn="", rollout_state="COMPLETED"
)


class TaskSet(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A task set of a service whose deployment controller is EXTERNAL (API:TaskSet)."""

    id: str
    arn: str
    status: str = "ACTIVE"  # PRIMARY | ACTIVE | DRAINING
    task_definition_arn: str
    launch_type: str | None = "EC2"  # None with a strategy
    capacity_provider_strategy: tuple[StrategyItem, ...] = ()
    platform_version: str | None = None  # of Fargate
    network_configuration: bytes = b"null"  # JSON of AWS's NetworkConfiguration
    scale_percent: float = 0.0  # of the service's desiredCount
    external_id: str | None = None
    stability_status: str = "STABILIZING"  # STEADY_STATE
    stability_at_ms: int = 0
    created_at_ms: int = 0
    updated_at_ms: int = 0


class Service(Record, frozen=True, kw_only=True, tag="service"):
    """A service; `document` is JSON of the members that no decision reads (AWS camelCase)."""

    arn: str
    cluster_arn: str
    name: str
    status: str = "ACTIVE"  # ACTIVE | DRAINING | INACTIVE
    scheduling_strategy: str = "REPLICA"
    deployment_controller: str = "ECS"  # ECS | EXTERNAL
    task_definition_arn: str
    desired_count: int = 0
    launch_type: str | None = "EC2"  # None with a strategy
    capacity_provider_strategy: tuple[StrategyItem, ...] = ()
    platform_version: str | None = None  # of Fargate
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    health_check_grace_period_s: int = 0
    placement_constraints: tuple[PlacementConstraint, ...] = ()
    placement_strategy: tuple[PlacementStrategy, ...] = ()
    deployments: tuple[Deployment, ...] = ()  # with EXTERNAL one that is never shown or run
    task_sets: tuple[TaskSet, ...] = ()
    enable_ecs_managed_tags: bool = False
    propagate_tags: str = "NONE"
    enable_execute_command: bool = False
    document: bytes = b"{}"
    created_at_ms: int = 0
    deleted_at_ms: int | None = None
    is_steady: bool = False  # the steady-state event has been written for the present state
    steady_at_ms: int = 0  # when it was written last
    failed_launches: int = 0  # tasks in a row that stopped without ever RUNNING: the throttle
    quick_exits: int = 0  # rounds of tasks in a row that exited as soon as they were RUNNING
    last_failure_reason: str = ""  # why the last of them stopped
    last_failed_round_at_ms: int = 0  # when one of the two was counted last
    next_launch_at_ms: int = 0  # no launch before this moment while throttled
    waiting_since_ms: int = 0  # for room, without any of its tasks placed since
    rebalances_zones: bool = False
    is_rebalancing: bool = False  # between zones; an event says when they are even again
    moving_tasks: int = 0  # started beyond desiredCount for a better balance, not yet settled
    circuit_breaker: CircuitBreaker | None = None
    staged: StagedStrategy | None = None
    # SOURCE: the newest deployment starts nothing yet; BOTH: older ones stay beside it; OPEN: it
    # rolls out, but isn't complete yet.
    hold: str = ""
    hook_answers: int = 0  # raised by every ContinueServiceDeployment, to wake the scheduler
    early_success: EarlySuccess | None = None
    last_completed: Deployment | None = None  # what a rollback goes back to
    service_deployment_arn: str | None = None  # the one that isn't over yet
    rollback_reason: str | None = None  # a caller wants the PRIMARY deployment rolled back
    is_stop_requested: bool = False  # a caller wants it stopped where it is
    event_sequence: int = 0

    @property
    def task_launch_type(self) -> str:
        """The launch type of its tasks, also when it has a strategy in place of one."""
        if not self.capacity_provider_strategy:
            return self.launch_type or "EC2"
        provider = self.capacity_provider_strategy[0].provider
        return FARGATE if provider in FARGATE_PROVIDERS else "EC2"

    @property
    def keeps_older_tasks(self) -> bool:
        """Whether older deployments have all their tasks, whatever the newest one has."""
        return self.hold in ("SOURCE", "BOTH")

    @property
    def primary(self) -> Deployment:
        """The newest deployment."""
        return self.deployments[0]


class ServiceEvent(Record, frozen=True, kw_only=True, tag="service_event"):
    """One line of a service's events; the newest 100 are kept."""

    id: str
    service_arn: str
    sequence: int
    created_at_ms: int
    message: str
