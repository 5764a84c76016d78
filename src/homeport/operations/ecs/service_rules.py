"""What CreateService and UpdateService refuse, and the defaults that they fill in.

Messages and defaults: reference services §1, §5, §13, §14 and api-errors §3. Members of ECS that
aren't built yet are refused by name; nothing is taken in silence.
"""

import functools
import re

from msgspec.structs import replace

from homeport.api import ecs
from homeport.model.service import CircuitBreaker, EarlySuccess
from homeport.model.task_definition import TaskDefinition

CLIENT_TOKEN_LENGTH_CHARACTERS = 36
TASKS_PER_SERVICE = 5_000
MINIMUM_HEALTHY_PERCENT = 100  # the default of REPLICA services
MAXIMUM_PERCENT = 200  # likewise
DAEMON_MAXIMUM_PERCENT = 100  # the default of DAEMON services, and all that they may have
FAILURE_THRESHOLD_PERCENT = 50
CLEANUPS = ("BLOCKING", "DEFERRED")
THRESHOLD_TYPES = ("BOUNDED_PERCENT", "UNBOUNDED_PERCENT", "COUNT")

ServiceRequest = ecs.CreateServiceRequest | ecs.UpdateServiceRequest

_is_client_token = re.compile(r"[!-~]+").fullmatch


def unsupported(what: str) -> ecs.UnsupportedFeatureException:
    """Make the refusal of something that ECS has and Homeport hasn't yet."""
    return ecs.UnsupportedFeatureException(
        f"Homeport does not support {what} yet. See docs/differences.md for what it does."
    )


def check_client_token(token: str | None) -> str | None:
    """Return CreateService's clientToken: at most 36 printable ASCII characters."""
    if not token:
        return None
    if len(token) > CLIENT_TOKEN_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException("idempotency token longer than 36.")
    if _is_client_token(token) is None:
        raise ecs.InvalidParameterException(
            "clientToken must consist of ASCII characters in the range of 33-126."
        )
    return token


def refuse_unbuilt_members(request: ServiceRequest) -> None:
    """Refuse members whose meaning isn't built; empty lists and switched-off ones pass."""
    for given, name in (
        (request.load_balancers, "loadBalancers"),
        (request.service_registries, "serviceRegistries"),
        (request.volume_configurations, "volumeConfigurations"),
        (request.vpc_lattice_configurations, "vpcLatticeConfigurations"),
        (request.gateway_connectors, "gatewayConnectors"),
        (request.monitoring, "monitoring"),
    ):
        if given:
            raise unsupported(f"{name} of a service")
    connect = request.service_connect_configuration
    if connect is not None and connect.enabled:
        raise unsupported("serviceConnectConfiguration with enabled true")


def check_controller(controller: ecs.DeploymentController | None) -> str:
    """Return who carries deployments out: ECS, or EXTERNAL for task sets (services §12)."""
    kind = "ECS" if controller is None else controller.type or "ECS"
    if kind not in ("ECS", "EXTERNAL", "CODE_DEPLOY"):
        raise ecs.InvalidParameterException(
            "deploymentController.type should be one of [ECS,CODE_DEPLOY,EXTERNAL]"
        )
    if kind == "CODE_DEPLOY":
        raise unsupported("the deploymentController CODE_DEPLOY")
    return kind


def check_scheduling_strategy(request: ecs.CreateServiceRequest) -> str:
    """Return REPLICA or DAEMON; a DAEMON service has no desiredCount and no strategies."""
    strategy = request.scheduling_strategy or "REPLICA"
    if strategy not in ("REPLICA", "DAEMON"):
        raise ecs.InvalidParameterException("Scheduling strategy should be one of [REPLICA,DAEMON]")
    if strategy == "DAEMON":
        if request.desired_count is not None:
            raise ecs.InvalidParameterException(
                "The daemon scheduling strategy does not support a desired count for services. "
                "Remove the desired count value and try again"
            )
        if request.placement_strategy:
            raise ecs.InvalidParameterException(
                "Placement strategies are not supported with the DAEMON scheduling strategy."
            )
    return strategy


def check_daemon(configuration: ecs.DeploymentConfiguration) -> None:
    """Refuse a DAEMON service that could have two tasks on one container instance (§1)."""
    if configuration.strategy != "ROLLING":
        raise ecs.InvalidParameterException(
            "The DAEMON scheduling strategy supports the deployment strategy ROLLING only."
        )
    if configuration.lifecycle_hooks or configuration.bake_time_in_minutes:
        raise unsupported("lifecycleHooks and bakeTimeInMinutes of DAEMON services")
    if configuration.maximum_percent != DAEMON_MAXIMUM_PERCENT:
        raise ecs.InvalidParameterException(
            f"maximumPercent must be {DAEMON_MAXIMUM_PERCENT} for a service with the DAEMON "
            f"scheduling strategy, it is {configuration.maximum_percent}."
        )


def check_desired_count(count: int | None) -> int:
    """Return CreateService's desiredCount."""
    if count is None:
        raise ecs.InvalidParameterException("DesiredCount is missing")
    if count < 0:
        raise ecs.InvalidParameterException("DesiredCount can not be lesser than 0")
    return check_quota(count)


def check_quota(count: int) -> int:
    """Return a number of tasks that one service may have (reference: api-errors §10)."""
    if count > TASKS_PER_SERVICE:
        raise ecs.InvalidParameterException(
            f"A service can have at most {TASKS_PER_SERVICE} tasks, {count} are desired."
        )
    return count


def check_network(
    definition: TaskDefinition,
    configuration: ecs.NetworkConfiguration | None,
    launch_type: str = "EC2",
) -> None:
    """Refuse a network configuration that doesn't go with the task definition's network mode."""
    has_vpc = configuration is not None and configuration.awsvpc_configuration is not None
    if definition.network_mode != "awsvpc":
        if has_vpc:
            raise ecs.InvalidParameterException(
                "Network Configuration is not valid for the given networkMode of this task "
                "definition."
            )
        return
    if configuration is None or configuration.awsvpc_configuration is None:
        raise ecs.InvalidParameterException(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    if not configuration.awsvpc_configuration.subnets:
        raise ecs.InvalidParameterException("subnets can not be empty.")
    if launch_type == "EXTERNAL":
        raise ecs.InvalidParameterException(
            "The EXTERNAL launch type does not support network mode awsvpc. Use bridge, host or "
            "none."
        )


def check_launchable(definition: TaskDefinition, launch_type: str) -> None:
    """Refuse a task definition that was registered for other launch types only."""
    if definition.compatibilities and launch_type not in definition.compatibilities:
        raise ecs.InvalidParameterException(
            f"Task definition does not support launch_type {launch_type}."
        )


def check_propagate_tags(value: str | None) -> str:
    """Return where the tags of tasks come from: SERVICE, TASK_DEFINITION or NONE."""
    if value not in (None, "SERVICE", "TASK_DEFINITION", "NONE"):
        raise ecs.InvalidParameterException(
            "propagateTags should be one of [TASK_DEFINITION,SERVICE,NONE]"
        )
    return value or "NONE"


def check_grace_period(seconds: int | None) -> int:
    """Return the health check grace period in seconds; none is 0."""
    if seconds is not None and seconds < 0:
        raise ecs.InvalidParameterException(
            "healthCheckGracePeriodSeconds can not be lesser than 0."
        )
    return seconds or 0


def next_zone_rebalancing(asked: str | None, known: str, maximum_percent: int) -> str:
    """Return availabilityZoneRebalancing; it needs room above 100 percent (services §13)."""
    if asked not in (None, "ENABLED", "DISABLED"):
        raise ecs.InvalidParameterException(
            "availabilityZoneRebalancing should be one of [ENABLED,DISABLED]"
        )
    if maximum_percent > 100:
        return asked or known
    if asked == "ENABLED":
        raise ecs.InvalidParameterException(
            "Availability Zone rebalancing requires a maximumPercent greater than 100."
        )
    return "DISABLED"


@functools.cache  # it is laid under what is asked, never altered
def default_configuration(scheduling_strategy: str) -> ecs.DeploymentConfiguration:
    """Return the deployment configuration of a service that was given none (services §1, §5)."""
    is_daemon = scheduling_strategy == "DAEMON"
    return ecs.DeploymentConfiguration(
        strategy="ROLLING",
        maximum_percent=DAEMON_MAXIMUM_PERCENT if is_daemon else MAXIMUM_PERCENT,
        minimum_healthy_percent=0 if is_daemon else MINIMUM_HEALTHY_PERCENT,
        bake_time_in_minutes=0,
        alarms=ecs.DeploymentAlarms(alarm_names=[], enable=False, rollback=False),
        deployment_circuit_breaker=ecs.DeploymentCircuitBreaker(
            enable=False,
            rollback=False,
            reset_on_healthy_task=True,
            threshold_configuration=ecs.ThresholdConfiguration(
                type="BOUNDED_PERCENT", value=FAILURE_THRESHOLD_PERCENT
            ),
        ),
    )


def next_configuration(
    asked: ecs.DeploymentConfiguration | None, known: ecs.DeploymentConfiguration
) -> ecs.DeploymentConfiguration:
    """Return the deployment configuration with what is asked laid over what is known."""
    if asked is None:
        return known
    _refuse_unbuilt_configuration(asked)
    strategy = asked.strategy or known.strategy
    is_other = strategy != known.strategy
    if is_other and strategy == "BLUE_GREEN" and asked.bake_time_in_minutes is None:
        raise ecs.InvalidParameterException(
            "bakeTimeInMinutes must be provided with the BLUE_GREEN deployment strategy."
        )
    merged = replace(
        known,
        maximum_percent=_or_known(asked.maximum_percent, known.maximum_percent),
        minimum_healthy_percent=_or_known(
            asked.minimum_healthy_percent, known.minimum_healthy_percent
        ),
        bake_time_in_minutes=_or_known(asked.bake_time_in_minutes, known.bake_time_in_minutes),
        strategy=strategy,
        lifecycle_hooks=_or_known_list(asked.lifecycle_hooks, known.lifecycle_hooks),
        linear_configuration=asked.linear_configuration
        or (known.linear_configuration if strategy == "LINEAR" else None),
        canary_configuration=asked.canary_configuration
        or (known.canary_configuration if strategy == "CANARY" else None),
        early_success_criteria=asked.early_success_criteria or known.early_success_criteria,
        alarms=_next_alarms(asked.alarms, known.alarms),
        deployment_circuit_breaker=_next_circuit_breaker(
            asked.deployment_circuit_breaker, known.deployment_circuit_breaker
        ),
    )
    _check_percents(merged)
    if merged.early_success_criteria is not None:
        _check_early_success(merged.early_success_criteria, merged.minimum_healthy_percent or 0)
    return merged


def _or_known_list(
    asked: list[ecs.DeploymentLifecycleHook] | None,
    known: list[ecs.DeploymentLifecycleHook] | None,
) -> list[ecs.DeploymentLifecycleHook] | None:
    return known if asked is None else asked


def _or_known(asked: int | None, known: int | None) -> int | None:
    return known if asked is None else asked


def _check_percents(configuration: ecs.DeploymentConfiguration) -> None:
    most = configuration.maximum_percent or 0
    least = configuration.minimum_healthy_percent or 0
    if not 0 <= least <= 100:
        raise ecs.InvalidParameterException(
            f"minimumHealthyPercent must be between 0 and 100, it is {least}."
        )
    if most < 100:
        raise ecs.InvalidParameterException(f"maximumPercent must be at least 100, it is {most}.")
    if most == least == 100:
        raise ecs.InvalidParameterException(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block "
            "deployments"
        )


def _check_early_success(criteria: ecs.DeploymentEarlySuccessCriteria, least: int) -> None:
    """Refuse criteria that are incomplete (API:DeploymentEarlySuccessCriteria)."""
    if not criteria.enable:
        return
    percent = criteria.healthy_percent
    if percent is None or not least <= percent <= 100:
        raise ecs.InvalidParameterException(
            "earlySuccessCriteria.healthyPercent must be between minimumHealthyPercent and 100."
        )
    if criteria.source_service_revision_cleanup not in CLEANUPS:
        raise ecs.InvalidParameterException(
            "earlySuccessCriteria.sourceServiceRevisionCleanup should be one of "
            f"[{','.join(CLEANUPS)}]"
        )


def early_success_of(configuration: ecs.DeploymentConfiguration) -> EarlySuccess | None:
    """Return the early success criteria that a complete configuration switches on, or None."""
    criteria = configuration.early_success_criteria
    if criteria is None or not criteria.enable:
        return None
    return EarlySuccess(
        healthy_percent=criteria.healthy_percent or 0,
        is_cleanup_deferred=criteria.source_service_revision_cleanup == "DEFERRED",
    )


def _refuse_unbuilt_configuration(asked: ecs.DeploymentConfiguration) -> None:
    alarms = asked.alarms
    if alarms is not None and alarms.enable:
        raise unsupported("deployment alarms with enable true")


def _next_alarms(
    asked: ecs.DeploymentAlarms | None, known: ecs.DeploymentAlarms | None
) -> ecs.DeploymentAlarms | None:
    if asked is None:
        return known
    return ecs.DeploymentAlarms(
        alarm_names=asked.alarm_names or [],
        enable=bool(asked.enable),
        rollback=bool(asked.rollback),
    )


def _next_circuit_breaker(
    asked: ecs.DeploymentCircuitBreaker | None, known: ecs.DeploymentCircuitBreaker | None
) -> ecs.DeploymentCircuitBreaker | None:
    if asked is None:
        return known
    resets = asked.reset_on_healthy_task
    threshold = asked.threshold_configuration
    if threshold is not None:
        _check_threshold(threshold)
    return ecs.DeploymentCircuitBreaker(
        enable=bool(asked.enable),
        rollback=bool(asked.rollback),
        reset_on_healthy_task=True if resets is None else resets,
        threshold_configuration=threshold
        or ecs.ThresholdConfiguration(type="BOUNDED_PERCENT", value=FAILURE_THRESHOLD_PERCENT),
    )


def _check_threshold(threshold: ecs.ThresholdConfiguration) -> None:
    if threshold.type not in THRESHOLD_TYPES:
        raise ecs.InvalidParameterException(
            f"thresholdConfiguration.type should be one of [{','.join(THRESHOLD_TYPES)}]"
        )
    most = TASKS_PER_SERVICE if threshold.type == "COUNT" else 100
    if threshold.value is None or not 1 <= threshold.value <= most:
        raise ecs.InvalidParameterException(
            f"thresholdConfiguration.value must be between 1 and {most} for {threshold.type}."
        )


def circuit_breaker_of(configuration: ecs.DeploymentConfiguration) -> CircuitBreaker | None:
    """Return the circuit breaker that a complete configuration switches on, or None."""
    asked = configuration.deployment_circuit_breaker
    if asked is None or not asked.enable:
        return None
    threshold = asked.threshold_configuration or ecs.ThresholdConfiguration()
    return CircuitBreaker(
        rolls_back=bool(asked.rollback),
        resets_on_healthy_task=asked.reset_on_healthy_task is not False,
        threshold_type=threshold.type or "BOUNDED_PERCENT",
        threshold_value=threshold.value or FAILURE_THRESHOLD_PERCENT,
    )
