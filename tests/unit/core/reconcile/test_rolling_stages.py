"""ROLLING deployments with PAUSE hooks and a bake time; and hooks before every shift of traffic."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.model.task import STOPPED
from service_world import ServiceWorld, wakes

V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)
MINUTE_S = 60


def pause(*stages: str) -> ecs.DeploymentLifecycleHook:
    return ecs.DeploymentLifecycleHook(target_type="PAUSE", lifecycle_stages=list(stages))


def service(count: int = 2, **members: Any) -> ServiceWorld:
    """Return a steady service of web:1 with this deployment configuration."""
    world = ServiceWorld(V1, V2)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web:1",
        desired_count=count,
        deployment_configuration=ecs.DeploymentConfiguration(**members),
    )
    world.call("CreateService", request)
    settle(world)
    assert world.service().primary.rollout_state == "COMPLETED"
    return world


def settle(world: ServiceWorld) -> None:
    """Let everything happen that takes seconds."""
    world.reconcile()
    for _ in range(3):
        world.run_all()
        world.pass_time(5)
        world.reconcile()


def deploy(world: ServiceWorld) -> str:
    request = ecs.UpdateServiceRequest(service="web", task_definition="web:2")
    arn = world.call("UpdateService", request).service.current_service_deployment
    world.reconcile()
    return str(arn)


def describe(world: ServiceWorld, arn: str) -> ecs.ServiceDeployment:
    request = ecs.DescribeServiceDeploymentsRequest(service_deployment_arns=[arn])
    (found,) = world.call("DescribeServiceDeployments", request).service_deployments
    return found


def answer(world: ServiceWorld, arn: str, action: str = "CONTINUE") -> None:
    (hook,) = describe(world, arn).lifecycle_hook_details or []
    request = ecs.ContinueServiceDeploymentRequest(
        service_deployment_arn=arn, hook_id=hook.hook_id, action=action
    )
    world.call("ContinueServiceDeployment", request)
    world.reconcile()


def revisions(world: ServiceWorld) -> list[str]:
    return sorted(task.task_definition_arn[-1] for task in world.tasks())


def test_a_rolling_deployment_pauses_before_its_first_task_and_behind_its_last():
    world = service(lifecycle_hooks=[pause("PRE_SCALE_UP", "POST_SCALE_UP")])
    arn = deploy(world)
    settle(world)
    assert describe(world, arn).lifecycle_stage == "PRE_SCALE_UP"
    assert revisions(world) == ["1", "1"]
    answer(world, arn)
    settle(world)
    found = describe(world, arn)
    assert (found.lifecycle_stage, found.status) == ("POST_SCALE_UP", "IN_PROGRESS")
    assert revisions(world) == ["2", "2"]
    assert world.service().primary.rollout_state == "IN_PROGRESS"
    answer(world, arn)
    found = describe(world, arn)
    assert (found.lifecycle_stage, found.status) == ("CLEAN_UP", "SUCCESSFUL")
    assert world.service().is_steady


def test_a_rolling_deployment_replaces_task_by_task_inside_its_percents_between_its_hooks():
    world = service(4, lifecycle_hooks=[pause("PRE_SCALE_UP")], maximum_percent=150)
    arn = deploy(world)
    answer(world, arn)
    assert revisions(world) == ["1", "1", "1", "1", "2", "2"]
    settle(world)
    assert revisions(world) == ["2", "2", "2", "2"]


def test_a_hook_id_looks_like_one_of_ecs():
    world = service(lifecycle_hooks=[pause("PRE_SCALE_UP")])
    (hook,) = describe(world, deploy(world)).lifecycle_hook_details or []
    assert str(hook.hook_id).startswith("ecs-pause-")


def test_a_rollback_at_the_last_pause_brings_the_old_revision_back():
    world = service(lifecycle_hooks=[pause("POST_SCALE_UP")])
    arn = deploy(world)
    settle(world)
    assert revisions(world) == ["2", "2"]
    answer(world, arn, "ROLLBACK")
    settle(world)
    assert revisions(world) == ["1", "1"]
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"


def test_a_rolling_deployment_is_complete_when_it_has_baked():
    world = service(bake_time_in_minutes=5)
    arn = deploy(world)
    settle(world)
    assert revisions(world) == ["2", "2"]
    found = describe(world, arn)
    assert (found.lifecycle_stage, found.status) == ("BAKE_TIME", "IN_PROGRESS")
    world.effects.clear()
    world.pass_time(4 * MINUTE_S)
    world.reconcile()
    assert wakes(world.effects)
    assert world.service().primary.rollout_state == "IN_PROGRESS"
    world.pass_time(MINUTE_S)
    world.reconcile()
    assert describe(world, arn).status == "SUCCESSFUL"
    assert world.service().is_steady


def test_a_task_that_ends_while_it_bakes_is_replaced():
    world = service(bake_time_in_minutes=5)
    deploy(world)
    settle(world)
    world.pass_time(MINUTE_S)
    world.report(world.tasks()[0], STOPPED)
    settle(world)
    assert revisions(world) == ["2", "2"]


def test_a_circuit_breaker_watches_while_the_deployment_bakes():
    breaker = ecs.DeploymentCircuitBreaker(
        enable=True, rollback=True, reset_on_healthy_task=False
    )
    world = service(bake_time_in_minutes=5, deployment_circuit_breaker=breaker)
    arn = deploy(world)
    settle(world)
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"
    for _ in range(3):
        world.report(world.tasks()[0], STOPPED)
        world.run_all()
    settle(world)
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"
    assert revisions(world) == ["1", "1"]


def test_early_success_counts_from_the_bake_time_on():
    early = ecs.DeploymentEarlySuccessCriteria(
        enable=True, healthy_percent=50, source_service_revision_cleanup="DEFERRED"
    )
    world = service(
        bake_time_in_minutes=5, minimum_healthy_percent=50, early_success_criteria=early
    )
    arn = deploy(world)
    world.report(next(t for t in world.tasks() if t.last_status == "PENDING"), "RUNNING")
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"
    world.pass_time(5 * MINUTE_S)
    world.reconcile()
    assert describe(world, arn).status == "SUCCESSFUL"
    assert len(world.service().deployments) == 2


def test_a_deployment_that_wants_no_task_waits_for_its_hooks_all_the_same():
    world = service(0, lifecycle_hooks=[pause("PRE_SCALE_UP")])
    arn = deploy(world)
    settle(world)
    assert describe(world, arn).lifecycle_stage == "PRE_SCALE_UP"
    answer(world, arn)
    assert describe(world, arn).status == "SUCCESSFUL"
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=1))
    settle(world)
    assert revisions(world) == ["2"]


@pytest.mark.parametrize("stage", ["TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT"])
def test_a_rolling_deployment_has_no_hooks_around_shifts_of_traffic(stage: str):
    with pytest.raises(ecs.InvalidParameterException, match=r"PAUSE hook|no traffic is shifted"):
        service(lifecycle_hooks=[pause(stage)])


def test_a_daemon_service_has_neither_hooks_nor_a_bake_time():
    world = ServiceWorld(V1)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web:1",
        scheduling_strategy="DAEMON",
        deployment_configuration=ecs.DeploymentConfiguration(bake_time_in_minutes=5),
    )
    with pytest.raises(ecs.UnsupportedFeatureException, match="DAEMON"):
        world.call("CreateService", request)


def test_the_pause_before_production_traffic_comes_before_every_linear_step():
    linear = ecs.LinearConfiguration(step_percent=50.0, step_bake_time_in_minutes=1)
    world = service(
        strategy="LINEAR",
        linear_configuration=linear,
        lifecycle_hooks=[pause("PRE_PRODUCTION_TRAFFIC_SHIFT")],
    )
    arn = deploy(world)
    settle(world)
    weights = [describe(world, arn).target_service_revision.requested_production_traffic_weight]
    for _ in range(2):
        answer(world, arn)
        found = describe(world, arn)
        weights.append(found.target_service_revision.requested_production_traffic_weight)
        world.pass_time(MINUTE_S)
        world.reconcile()
    assert weights == [0.0, 50.0, 100.0]
    settle(world)
    assert describe(world, arn).status == "SUCCESSFUL"


def test_another_strategy_in_the_middle_goes_on_with_its_own_next_stage():
    hooks = [pause("POST_TEST_TRAFFIC_SHIFT")]
    world = service(strategy="BLUE_GREEN", bake_time_in_minutes=0, lifecycle_hooks=hooks)
    arn = deploy(world)
    settle(world)
    assert describe(world, arn).lifecycle_stage == "POST_TEST_TRAFFIC_SHIFT"
    configuration = ecs.DeploymentConfiguration(
        strategy="ROLLING", bake_time_in_minutes=5, lifecycle_hooks=[]
    )
    request = ecs.UpdateServiceRequest(service="web", deployment_configuration=configuration)
    world.call("UpdateService", request)
    world.reconcile()
    answer(world, arn)
    settle(world)
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"
    assert revisions(world) == ["2", "2"]
    world.pass_time(5 * MINUTE_S)
    settle(world)
    assert describe(world, arn).status == "SUCCESSFUL"
