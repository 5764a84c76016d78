"""What deployments with stages may be configured with: hooks, bake times, traffic.

Reference: services §10.
"""

from homeport.api import ecs
from homeport.core.reconcile.stages import (
    RECONCILE_SERVICE,
    ROLLING,
    STAGES,
    UNHOOKED_STAGES,
    UNPAUSED_STAGES,
    stages_of,
)
from homeport.model.service import PauseHook, StagedStrategy

STRATEGIES = ("ROLLING", "BLUE_GREEN", "LINEAR", "CANARY")
HOOKS_PER_SERVICE = 20
BAKE_TIME_MAX_MIN = 1_440
PAUSE_DEFAULT_MIN = 1_440
PAUSE_MAX_MIN = 20_160
LINEAR_LEAST_PERCENT = 3.0
LINEAR_DEFAULT_PERCENT = 10.0
LINEAR_DEFAULT_BAKE_MIN = 6
CANARY_LEAST_PERCENT = 0.1
CANARY_DEFAULT_PERCENT = 5.0
CANARY_DEFAULT_BAKE_MIN = 10


def check_strategy(configuration: ecs.DeploymentConfiguration, controller: str) -> None:
    """Refuse a complete deployment configuration whose members don't go together."""
    strategy = configuration.strategy or ROLLING
    if strategy not in STRATEGIES:
        raise ecs.InvalidParameterException(
            f"deploymentConfiguration.strategy should be one of [{','.join(STRATEGIES)}]"
        )
    _check_minutes(configuration.bake_time_in_minutes, "bakeTimeInMinutes")
    linear, canary = configuration.linear_configuration, configuration.canary_configuration
    for given, owner, name in (
        (linear, "LINEAR", "linearConfiguration"),
        (canary, "CANARY", "canaryConfiguration"),
    ):
        if given is not None and strategy != owner:
            raise ecs.InvalidParameterException(f"{name} is for the strategy {owner}.")
    hooks = configuration.lifecycle_hooks or []
    if controller != "ECS" and (hooks or configuration.bake_time_in_minutes):
        raise ecs.InvalidParameterException(
            "lifecycleHooks and bakeTimeInMinutes need the ECS deployment controller."
        )
    _check_hooks(hooks, strategy)
    if strategy == ROLLING:
        return
    if controller != "ECS":
        raise ecs.InvalidParameterException(
            f"The strategy {strategy} needs the ECS deployment controller."
        )
    breaker = configuration.deployment_circuit_breaker
    if breaker is not None and breaker.enable:
        raise ecs.InvalidParameterException(
            "The deployment circuit breaker can only be used with the strategy ROLLING."
        )
    early = configuration.early_success_criteria
    if early is not None and early.enable:
        raise ecs.InvalidParameterException(
            "earlySuccessCriteria can only be used with the strategy ROLLING."
        )
    if linear is not None:
        _check_percent(linear.step_percent, LINEAR_LEAST_PERCENT, "stepPercent")
        _check_minutes(linear.step_bake_time_in_minutes, "stepBakeTimeInMinutes")
    if canary is not None:
        _check_percent(canary.canary_percent, CANARY_LEAST_PERCENT, "canaryPercent")
        _check_minutes(canary.canary_bake_time_in_minutes, "canaryBakeTimeInMinutes")


def staged_strategy_of(configuration: ecs.DeploymentConfiguration) -> StagedStrategy | None:
    """Return how a checked configuration wants its deployments staged; None: without stages."""
    strategy = configuration.strategy or ROLLING
    is_paused = bool(configuration.lifecycle_hooks or configuration.bake_time_in_minutes)
    if strategy == ROLLING and not is_paused:
        return None
    step_percent, step_bake_min = 100.0, 0
    if strategy == "LINEAR":
        linear = configuration.linear_configuration or ecs.LinearConfiguration()
        step_percent = _or_default(linear.step_percent, LINEAR_DEFAULT_PERCENT)
        step_bake_min = int(_or_default(linear.step_bake_time_in_minutes, LINEAR_DEFAULT_BAKE_MIN))
    elif strategy == "CANARY":
        canary = configuration.canary_configuration or ecs.CanaryConfiguration()
        step_percent = _or_default(canary.canary_percent, CANARY_DEFAULT_PERCENT)
        asked_min = canary.canary_bake_time_in_minutes
        step_bake_min = int(_or_default(asked_min, CANARY_DEFAULT_BAKE_MIN))
    return StagedStrategy(
        kind=strategy,
        bake_time_min=configuration.bake_time_in_minutes or 0,
        step_percent=step_percent,
        step_bake_time_min=step_bake_min,
        hooks=tuple(_hook_of(hook) for hook in configuration.lifecycle_hooks or ()),
    )


def _check_hooks(hooks: list[ecs.DeploymentLifecycleHook], strategy: str) -> None:
    if len(hooks) > HOOKS_PER_SERVICE:
        raise ecs.InvalidParameterException(
            f"lifecycleHooks can have at most {HOOKS_PER_SERVICE} items, here are {len(hooks)}."
        )
    for hook in hooks:
        if hook.target_type != "PAUSE":
            raise ecs.UnsupportedFeatureException(
                "Homeport does not support lifecycle hooks with the targetType "
                f"{hook.target_type or 'AWS_LAMBDA'} yet, only PAUSE."
            )
        _check_pause(hook, strategy)


def _check_pause(hook: ecs.DeploymentLifecycleHook, strategy: str) -> None:
    if not hook.lifecycle_stages:
        raise ecs.InvalidParameterException("lifecycleStages of a hook cannot be empty.")
    for stage in hook.lifecycle_stages:
        if stage not in STAGES or stage in UNHOOKED_STAGES or stage in UNPAUSED_STAGES:
            raise ecs.InvalidParameterException(
                f"A PAUSE hook cannot be used in the lifecycle stage {stage}."
            )
        if stage not in stages_of(strategy):
            raise ecs.InvalidParameterException(
                f"A {strategy} deployment has no lifecycle stage {stage}: no traffic is shifted."
            )
    timeout = hook.timeout_configuration
    if timeout is None:
        return
    minutes = timeout.timeout_in_minutes
    if minutes is not None and not 1 <= minutes <= PAUSE_MAX_MIN:
        raise ecs.InvalidParameterException(
            f"timeoutInMinutes must be between 1 and {PAUSE_MAX_MIN}, it is {minutes}."
        )
    if timeout.action not in (None, "ROLLBACK", "CONTINUE"):
        raise ecs.InvalidParameterException("action should be one of [ROLLBACK,CONTINUE]")


def _hook_of(hook: ecs.DeploymentLifecycleHook) -> PauseHook:
    timeout = hook.timeout_configuration or ecs.DeploymentLifecycleHookTimeoutConfiguration()
    return PauseHook(
        stages=tuple(hook.lifecycle_stages or (RECONCILE_SERVICE,)),
        timeout_min=timeout.timeout_in_minutes or PAUSE_DEFAULT_MIN,
        timeout_action=timeout.action or "ROLLBACK",
    )


def _check_minutes(minutes: int | None, member: str) -> None:
    if minutes is not None and not 0 <= minutes <= BAKE_TIME_MAX_MIN:
        raise ecs.InvalidParameterException(
            f"{member} must be between 0 and {BAKE_TIME_MAX_MIN}, it is {minutes}."
        )


def _check_percent(percent: float | None, least: float, member: str) -> None:
    if percent is None:
        return
    if not least <= percent <= 100:
        raise ecs.InvalidParameterException(
            f"{member} must be between {least} and 100.0, it is {percent}."
        )
    if percent != round(percent, 1):
        raise ecs.InvalidParameterException(f"{member} must be a multiple of 0.1: {percent}.")


def _or_default(given: float | None, default: float) -> float:
    return default if given is None else given
