"""A scenario's words as requests of the ECS API."""

from collections.abc import Iterable

from homeport.api import ecs
from homeport.core.reconcile.rebalance import OPT_IN_TAG, OPT_IN_VALUE
from homeport.sim.scenario import Breaker, Provider, ServiceWish, Share, Staging, TaskFamily

CONTAINER_PORT = 8_080
GROUP_ARN = (
    "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:"
    "00000000-0000-0000-0000-000000000000:autoScalingGroupName/{}"
)
NETWORK = ecs.NetworkConfiguration(
    awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-simulated"])
)

NO_NETWORK = ecs.NetworkConfiguration()


def make_definition_request(name: str, task: TaskFamily) -> ecs.RegisterTaskDefinitionRequest:
    """Write a family as RegisterTaskDefinition wants it."""
    mappings = [
        ecs.PortMapping(container_port=port, host_port=port, protocol="tcp")
        for port in task.host_ports
    ]
    if task.has_dynamic_port:
        mappings.append(ecs.PortMapping(container_port=CONTAINER_PORT, protocol="tcp"))
    main = ecs.ContainerDefinition(
        name="main",
        image=task.image,
        cpu=task.cpu_units,
        memory=task.memory_mib,
        essential=True,
        port_mappings=mappings,
        stop_timeout=task.stop_timeout_s,
    )
    if task.has_health_check:
        main.health_check = ecs.HealthCheck(command=["CMD", "true"], interval=5)
    containers = [main]
    if task.sidecar_image is not None:
        is_awaited = task.sidecar_condition in ("COMPLETE", "SUCCESS")
        sidecar = ecs.ContainerDefinition(
            name="sidecar", image=task.sidecar_image, cpu=16, memory=16, essential=not is_awaited
        )
        if task.sidecar_condition == "HEALTHY":
            sidecar.health_check = ecs.HealthCheck(command=["CMD", "true"], interval=5)
        main.depends_on = [
            ecs.ContainerDependency(container_name="sidecar", condition=task.sidecar_condition)
        ]
        containers.append(sidecar)
    if not task.is_fargate:
        return ecs.RegisterTaskDefinitionRequest(
            family=name, network_mode="bridge", container_definitions=containers
        )
    return ecs.RegisterTaskDefinitionRequest(
        family=name,
        network_mode="awsvpc",
        requires_compatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        container_definitions=containers,
    )


def make_service_request(
    name: str, wish: ServiceWish, task: TaskFamily, token: str
) -> ecs.CreateServiceRequest:
    """Write a service as CreateService wants it; one of task sets brings no task definition."""
    request = ecs.CreateServiceRequest(
        service_name=name,
        client_token=token,
        deployment_configuration=_configuration(wish),
        placement_constraints=_constraints(wish) or None,
        placement_strategy=[
            ecs.PlacementStrategy(type=s.type, field=s.field) for s in wish.strategies
        ]
        or None,
        health_check_grace_period_seconds=wish.grace_s or None,
        availability_zone_rebalancing=None if wish.rebalances_zones else "DISABLED",
    )
    if wish.rebalances_instances:
        request.tags = [ecs.Tag(key=OPT_IN_TAG, value=OPT_IN_VALUE)]
    if wish.is_daemon:
        request.scheduling_strategy = "DAEMON"
    else:
        request.desired_count = wish.count
    if wish.is_external:
        request.deployment_controller = ecs.DeploymentController(type="EXTERNAL")
        return request
    request.task_definition = wish.task
    request.capacity_provider_strategy = make_strategy(wish.shares) or None
    if task.is_fargate:
        request.network_configuration = NETWORK
    return request


def make_strategy(shares: Iterable[Share]) -> list[ecs.CapacityProviderStrategyItem]:
    """Write a capacity provider strategy."""
    return [
        ecs.CapacityProviderStrategyItem(
            capacity_provider=share.provider, weight=share.weight, base=share.base
        )
        for share in shares
    ]


def make_percents(minimum: int | None, maximum: int | None) -> ecs.DeploymentConfiguration:
    """Write a deployment configuration of percents only."""
    return ecs.DeploymentConfiguration(minimum_healthy_percent=minimum, maximum_percent=maximum)


def make_provider_request(name: str, provider: Provider) -> ecs.CreateCapacityProviderRequest:
    """Write a capacity provider of an Auto Scaling group that nobody looks for."""
    status = "ENABLED" if provider.is_scaling_managed else "DISABLED"
    return ecs.CreateCapacityProviderRequest(
        name=name,
        auto_scaling_group_provider=ecs.AutoScalingGroupProvider(
            auto_scaling_group_arn=GROUP_ARN.format(name),
            managed_scaling=ecs.ManagedScaling(status=status),
        ),
    )


def make_restaging(staging: Staging | None) -> ecs.DeploymentConfiguration:
    """Write how deployments go from now on; without a staging they roll, without any pause."""
    configuration = ecs.DeploymentConfiguration(lifecycle_hooks=[], bake_time_in_minutes=0)
    if staging is None:
        configuration.strategy = "ROLLING"
    else:
        _stage(configuration, staging)
    return configuration


def _constraints(wish: ServiceWish) -> list[ecs.PlacementConstraint]:
    constraints = []
    if wish.is_distinct:
        constraints.append(ecs.PlacementConstraint(type="distinctInstance"))
    if wish.member_of is not None:
        constraints.append(ecs.PlacementConstraint(type="memberOf", expression=wish.member_of))
    return constraints


def _configuration(wish: ServiceWish) -> ecs.DeploymentConfiguration:
    configuration = make_percents(wish.minimum_healthy_percent, wish.maximum_percent)
    if wish.breaker is not None:
        configuration.deployment_circuit_breaker = _breaker(wish.breaker)
    if wish.early_percent is not None:
        configuration.early_success_criteria = ecs.DeploymentEarlySuccessCriteria(
            enable=True,
            healthy_percent=wish.early_percent,
            source_service_revision_cleanup="DEFERRED",
        )
    if wish.staging is not None:
        _stage(configuration, wish.staging)
    return configuration


def _breaker(breaker: Breaker) -> ecs.DeploymentCircuitBreaker:
    return ecs.DeploymentCircuitBreaker(
        enable=True,
        rollback=breaker.rolls_back,
        reset_on_healthy_task=breaker.resets_on_healthy,
        threshold_configuration=ecs.ThresholdConfiguration(
            type=breaker.threshold_type, value=breaker.threshold_value
        ),
    )


def _stage(configuration: ecs.DeploymentConfiguration, staging: Staging) -> None:
    configuration.strategy = staging.kind
    configuration.bake_time_in_minutes = staging.bake_min
    if staging.kind == "LINEAR":
        configuration.linear_configuration = ecs.LinearConfiguration(
            step_percent=staging.step_percent, step_bake_time_in_minutes=staging.step_bake_min
        )
    elif staging.kind == "CANARY":
        configuration.canary_configuration = ecs.CanaryConfiguration(
            canary_percent=staging.step_percent, canary_bake_time_in_minutes=staging.step_bake_min
        )
    if staging.pauses:
        configuration.lifecycle_hooks = [
            ecs.DeploymentLifecycleHook(
                target_type="PAUSE",
                lifecycle_stages=list(staging.pauses),
                timeout_configuration=ecs.DeploymentLifecycleHookTimeoutConfiguration(
                    timeout_in_minutes=staging.pause_min, action=staging.pause_action
                ),
            )
        ]
