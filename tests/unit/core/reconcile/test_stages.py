"""BLUE_GREEN, LINEAR and CANARY: stage by stage, with pauses, bake times and ways back."""

from __future__ import annotations

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.circuit_breaker import SETTLING_TIME_S
from homeport.model.task import PENDING, RUNNING, STOPPED
from service_world import ServiceWorld, wakes

BLUE, GREEN = make_task_definition("web", 1), make_task_definition("web", 2)
MINUTE_S = 60


def staged(strategy: str = "BLUE_GREEN", **members: object) -> ServiceWorld:
    """Return a steady service of two blue tasks."""
    world = ServiceWorld(BLUE, GREEN)
    configuration = ecs.DeploymentConfiguration(strategy=strategy, bake_time_in_minutes=5)
    for name, value in members.items():
        setattr(configuration, name, value)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web:1",
        desired_count=2,
        deployment_configuration=configuration,
    )
    world.call("CreateService", request)
    world.reconcile()
    settle(world)
    assert world.service().is_steady
    world.pass_time(60)
    return world


def pause(*stages: str, action: str | None = None) -> ecs.DeploymentLifecycleHook:
    timeout = ecs.DeploymentLifecycleHookTimeoutConfiguration(timeout_in_minutes=10, action=action)
    return ecs.DeploymentLifecycleHook(
        target_type="PAUSE", lifecycle_stages=list(stages), timeout_configuration=timeout
    )


def settle(world: ServiceWorld) -> None:
    """Let new tasks run for as long as they have to, to count as healthy."""
    world.run_all()
    world.pass_time(SETTLING_TIME_S)
    world.reconcile()
    world.run_all()


def deploy(world: ServiceWorld) -> str:
    request = ecs.UpdateServiceRequest(service="web", task_definition="web:2")
    arn = world.call("UpdateService", request).service.current_service_deployment
    world.reconcile()
    return str(arn)


def describe(world: ServiceWorld, arn: str) -> ecs.ServiceDeployment:
    request = ecs.DescribeServiceDeploymentsRequest(service_deployment_arns=[arn])
    (found,) = world.call("DescribeServiceDeployments", request).service_deployments
    return found


def weight(world: ServiceWorld, arn: str) -> float | None:
    target = describe(world, arn).target_service_revision
    assert target is not None
    return target.requested_production_traffic_weight


def answer(world: ServiceWorld, arn: str, action: str | None = None) -> None:
    (hook,) = describe(world, arn).lifecycle_hook_details or []
    request = ecs.ContinueServiceDeploymentRequest(
        service_deployment_arn=arn, hook_id=hook.hook_id, action=action
    )
    world.call("ContinueServiceDeployment", request)
    world.reconcile()


def revisions(world: ServiceWorld) -> list[str]:
    return sorted(task.task_definition_arn[-1] for task in world.tasks())


def later(world: ServiceWorld, minutes: int) -> None:
    world.pass_time(minutes * MINUTE_S)
    world.reconcile()


def test_the_first_deployment_has_nothing_to_shift_from_and_just_rolls_out():
    world = staged()
    assert world.service().primary.rollout_state == "COMPLETED"


def test_blue_keeps_everything_until_green_is_whole_and_has_baked():
    world = staged()
    arn = deploy(world)
    assert describe(world, arn).lifecycle_stage == "SCALE_UP"
    assert weight(world, arn) == 0.0
    assert revisions(world) == ["1", "1", "2", "2"]
    settle(world)
    assert revisions(world) == ["1", "1", "2", "2"]
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"
    assert weight(world, arn) == 100.0
    world.effects.clear()
    later(world, 4)
    assert world.now_ms + MINUTE_S * 1_000 in wakes(world.effects)
    assert revisions(world) == ["1", "1", "2", "2"]
    later(world, 1)
    assert revisions(world) == ["2", "2"]
    settle(world)
    found = describe(world, arn)
    assert (found.status, found.lifecycle_stage) == ("SUCCESSFUL", "CLEAN_UP")
    assert world.service().is_steady


def test_a_green_that_exits_as_soon_as_it_runs_never_takes_over():
    world = staged(bake_time_in_minutes=0)
    arn = deploy(world)
    for _ in range(6):
        for task in [task for task in world.tasks() if task.last_status == PENDING]:
            world.report(task, RUNNING)
        world.pass_time(1)
        for task in [t for t in world.tasks() if t.task_definition_arn == GREEN.arn]:
            world.report(task, STOPPED)
        world.pass_time(60)
        world.reconcile()
    assert describe(world, arn).lifecycle_stage == "SCALE_UP"
    assert [revision for revision in revisions(world) if revision == "1"] == ["1", "1"]


def test_a_pause_waits_until_somebody_goes_on():
    world = staged(lifecycle_hooks=[pause("PRE_SCALE_UP", "POST_SCALE_UP")])
    arn = deploy(world)
    assert describe(world, arn).lifecycle_stage == "PRE_SCALE_UP"
    assert revisions(world) == ["1", "1"]
    (hook,) = describe(world, arn).lifecycle_hook_details or []
    assert (hook.status, hook.target_type, hook.timeout_action) == (
        "AWAITING_ACTION",
        "PAUSE",
        "ROLLBACK",
    )
    answer(world, arn)
    assert revisions(world) == ["1", "1", "2", "2"]
    settle(world)
    assert describe(world, arn).lifecycle_stage == "POST_SCALE_UP"
    answer(world, arn, "CONTINUE")
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"


@pytest.mark.parametrize("stage", ["PRE_SCALE_UP", "POST_SCALE_UP"])
def test_blue_follows_desired_count_while_it_has_the_traffic(stage: str):
    world = staged(lifecycle_hooks=[pause(stage)])
    arn = deploy(world)
    settle(world)
    green = [] if stage == "PRE_SCALE_UP" else ["2"]
    for count in (3, 1, 2):
        world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=count))
        world.reconcile()
        settle(world)
        assert describe(world, arn).lifecycle_stage == stage
        assert revisions(world) == ["1"] * count + green * count


def test_a_pause_can_be_answered_with_a_rollback():
    world = staged(lifecycle_hooks=[pause("POST_SCALE_UP")])
    blue = {task.arn for task in world.tasks()}
    arn = deploy(world)
    settle(world)
    answer(world, arn, "ROLLBACK")
    settle(world)
    found = describe(world, arn)
    assert found.status == "ROLLBACK_SUCCESSFUL"
    assert found.rollback is not None and "hook" in (found.rollback.reason or "")
    assert {task.arn for task in world.tasks()} == blue


def test_a_pause_that_nobody_answers_takes_its_action():
    world = staged(lifecycle_hooks=[pause("POST_SCALE_UP")])
    arn = deploy(world)
    settle(world)
    later(world, 10)
    settle(world)
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"

    world = staged(lifecycle_hooks=[pause("POST_SCALE_UP", action="CONTINUE")])
    arn = deploy(world)
    settle(world)
    later(world, 10)
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"


def test_linear_moves_traffic_in_equal_steps_that_bake():
    linear = ecs.LinearConfiguration(step_percent=40.0, step_bake_time_in_minutes=2)
    world = staged("LINEAR", linear_configuration=linear)
    arn = deploy(world)
    settle(world)
    seen = [weight(world, arn)]
    for _ in range(2):
        later(world, 1)
        assert weight(world, arn) == seen[-1]
        later(world, 1)
        seen.append(weight(world, arn))
    assert seen == [40.0, 80.0, 100.0]
    assert describe(world, arn).lifecycle_stage == "BAKE_TIME"


def test_canary_moves_a_little_bakes_and_then_moves_all():
    world = staged("CANARY")
    arn = deploy(world)
    settle(world)
    assert weight(world, arn) == 5.0
    later(world, 9)
    assert describe(world, arn).lifecycle_stage == "PRODUCTION_TRAFFIC_SHIFT"
    later(world, 1)
    assert weight(world, arn) == 100.0


def test_it_can_be_stopped_in_the_middle_and_blue_is_untouched():
    world = staged("CANARY")
    blue = {task.arn for task in world.tasks()}
    arn = deploy(world)
    settle(world)
    request = ecs.StopServiceDeploymentRequest(service_deployment_arn=arn)
    world.call("StopServiceDeployment", request)
    world.reconcile()
    settle(world)
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"
    assert weight(world, arn) == 0.0
    assert {task.arn for task in world.tasks()} == blue


def test_a_blue_task_that_ends_meanwhile_is_replaced_by_a_blue_one():
    world = staged()
    deploy(world)
    settle(world)
    blue = next(t for t in world.tasks() if t.task_definition_arn == BLUE.arn)
    world.report(blue, STOPPED)
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    assert new.task_definition_arn == BLUE.arn


def test_a_green_that_never_scales_up_is_rolled_back_after_a_day():
    world = staged()
    arn = deploy(world)
    later(world, 24 * 60)
    settle(world)
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"
    assert revisions(world) == ["1", "1"]


def test_a_deployment_that_takes_more_than_30_days_is_rolled_back():
    steps = ecs.LinearConfiguration(step_percent=3.0, step_bake_time_in_minutes=1_440)
    world = staged("LINEAR", linear_configuration=steps)
    arn = deploy(world)
    settle(world)
    for _ in range(29):
        later(world, 1_440)
    assert describe(world, arn).status == "IN_PROGRESS"
    assert revisions(world) == ["1", "1", "2", "2"]
    later(world, 1_440)
    settle(world)
    assert describe(world, arn).status == "ROLLBACK_SUCCESSFUL"
    assert revisions(world) == ["1", "1"]


def test_a_newer_deployment_takes_the_place_of_one_in_its_stages():
    world = staged()
    first = deploy(world)
    settle(world)
    request = ecs.UpdateServiceRequest(service="web", force_new_deployment=True)
    second = world.call("UpdateService", request).service.current_service_deployment
    world.reconcile()
    assert describe(world, first).status == "STOPPED"
    settle(world)
    later(world, 5)
    settle(world)
    assert describe(world, second).status == "SUCCESSFUL"
    assert len(world.tasks()) == 2


def test_switching_to_rolling_in_the_middle_rolls_the_rest_out():
    world = staged("CANARY")
    arn = deploy(world)
    settle(world)
    configuration = ecs.DeploymentConfiguration(strategy="ROLLING", bake_time_in_minutes=0)
    request = ecs.UpdateServiceRequest(service="web", deployment_configuration=configuration)
    world.call("UpdateService", request)
    world.reconcile()
    settle(world)
    assert revisions(world) == ["2", "2"]
    assert describe(world, arn).status == "SUCCESSFUL"


def test_looking_again_changes_nothing_while_a_stage_waits():
    world = staged()
    deploy(world)
    settle(world)
    before = world.view.sequence
    world.reconcile()
    assert world.view.sequence == before
    assert {t.last_status for t in world.tasks()} == {RUNNING}


@pytest.mark.parametrize(
    ("strategy", "members", "error"),
    [
        ("PURPLE", {}, ecs.InvalidParameterException),
        ("BLUE_GREEN", {"bake_time_in_minutes": None}, ecs.InvalidParameterException),
        (
            "CANARY",
            {"canary_configuration": ecs.CanaryConfiguration(canary_percent=3.05)},
            ecs.InvalidParameterException,
        ),
        ("BLUE_GREEN", {"bake_time_in_minutes": 1_441}, ecs.InvalidParameterException),
        ("BLUE_GREEN", {"lifecycle_hooks": [pause("SCALE_UP")]}, ecs.InvalidParameterException),
        (
            "BLUE_GREEN",
            {"lifecycle_hooks": [pause("PRODUCTION_TRAFFIC_SHIFT")]},
            ecs.InvalidParameterException,
        ),
        (
            "BLUE_GREEN",
            {"lifecycle_hooks": [ecs.DeploymentLifecycleHook(lifecycle_stages=["PRE_SCALE_UP"])]},
            ecs.UnsupportedFeatureException,
        ),
        (
            "LINEAR",
            {"linear_configuration": ecs.LinearConfiguration(step_percent=1.0)},
            ecs.InvalidParameterException,
        ),
        (
            "LINEAR",
            {"canary_configuration": ecs.CanaryConfiguration()},
            ecs.InvalidParameterException,
        ),
        (
            "BLUE_GREEN",
            {
                "deployment_circuit_breaker": ecs.DeploymentCircuitBreaker(
                    enable=True, rollback=True
                )
            },
            ecs.InvalidParameterException,
        ),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(
    strategy: str, members: dict[str, object], error: type[Exception]
):
    with pytest.raises(error):
        staged(strategy, **members)


def test_only_a_hook_that_waits_can_be_answered():
    world = staged(lifecycle_hooks=[pause("POST_SCALE_UP")])
    arn = deploy(world)
    settle(world)
    (hook,) = describe(world, arn).lifecycle_hook_details or []
    answer(world, arn)
    request = ecs.ContinueServiceDeploymentRequest(service_deployment_arn=arn, hook_id=hook.hook_id)
    with pytest.raises(ecs.InvalidParameterException, match="hookId"):
        world.call("ContinueServiceDeployment", request)
    request.service_deployment_arn = f"{arn}x"
    with pytest.raises(ecs.ServiceDeploymentNotFoundException):
        world.call("ContinueServiceDeployment", request)


def test_each_revision_keeps_all_its_tasks_while_their_instances_are_drained():
    world = staged(lifecycle_hooks=[pause("POST_SCALE_UP")])
    deploy(world)
    settle(world)
    assert revisions(world) == ["1", "1", "2", "2"]
    for instance in world.instances():
        world.change_instance(instance, status="DRAINING")
    world.reconcile()
    running = [t for t in world.tasks(desired=RUNNING) if t.last_status == RUNNING]
    blue = [task for task in running if task.task_definition_arn == BLUE.arn]
    assert len(blue) == 2
    assert len(running) >= 3
