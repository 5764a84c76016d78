"""The deployment circuit breaker: what counts, when it trips, and what happens then."""

from __future__ import annotations

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.circuit_breaker import SETTLING_TIME_S, failure_threshold
from homeport.model.service import CircuitBreaker
from homeport.model.task import PENDING, RUNNING, STOPPED
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld, wakes

CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
V1, V2, V3 = (make_task_definition("web", revision) for revision in (1, 2, 3))
CHECKED = make_task_definition("checked", 1, containers=CHECK)
HUGE = make_task_definition("huge", 1, memory_mib=1_000_000)


def breaking(count: int = 2, *, rollback: bool = True, **members: object) -> ServiceWorld:
    """Return a steady service of web:1 that has a circuit breaker."""
    world = ServiceWorld(V1, V2, V3, CHECKED, HUGE)
    breaker = ecs.DeploymentCircuitBreaker(enable=True, rollback=rollback)
    for name, value in members.items():
        setattr(breaker, name, value)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web:1",
        desired_count=count,
        deployment_configuration=ecs.DeploymentConfiguration(deployment_circuit_breaker=breaker),
    )
    world.call("CreateService", request)
    world.reconcile()
    settle(world)
    assert world.service().primary.rollout_state == "COMPLETED"
    return world


def settle(world: ServiceWorld) -> None:
    world.run_all()
    world.pass_time(SETTLING_TIME_S)
    world.reconcile()
    world.run_all()


def deploy(world: ServiceWorld, definition: str = "web:2") -> None:
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition=definition))
    world.reconcile()


def fail_launches(world: ServiceWorld, count: int) -> None:
    """Let newest tasks stop one by one without ever RUNNING, whatever the throttle says."""
    for _ in range(count):
        world.pass_time(60)
        world.reconcile()
        pending = [t for t in world.tasks() if t.last_status == PENDING]
        world.report(pending[0], STOPPED, "CannotPullContainerError: no such image")


def crash(world: ServiceWorld, count: int) -> None:
    """Let newest tasks run and exit at once, one after the other."""
    for _ in range(count):
        world.pass_time(60)
        world.reconcile()
        (task, *_) = [t for t in world.tasks() if t.last_status == PENDING]
        world.report(task, RUNNING)
        world.pass_time(1)
        world.report(task, STOPPED)


@pytest.mark.parametrize(
    ("kind", "value", "desired", "threshold"),
    [
        ("BOUNDED_PERCENT", 50, 1, 3),
        ("BOUNDED_PERCENT", 50, 25, 13),
        ("BOUNDED_PERCENT", 50, 400, 200),
        ("BOUNDED_PERCENT", 50, 800, 200),
        ("UNBOUNDED_PERCENT", 50, 1, 1),
        ("UNBOUNDED_PERCENT", 50, 800, 400),
        ("UNBOUNDED_PERCENT", 50, 0, 1),
        ("COUNT", 7, 800, 7),
    ],
)
def test_the_threshold_is_as_aws_reckons_it(kind: str, value: int, desired: int, threshold: int):
    breaker = CircuitBreaker(threshold_type=kind, threshold_value=value)
    assert failure_threshold(breaker, desired) == threshold


@pytest.mark.parametrize(
    ("kind", "value", "desired", "threshold"),
    [
        ("COUNT", 1, 2, 1),
        ("COUNT", 5, 2, 5),
        ("BOUNDED_PERCENT", 50, 2, 3),
        ("BOUNDED_PERCENT", 50, 8, 4),
        ("UNBOUNDED_PERCENT", 25, 2, 1),
        ("UNBOUNDED_PERCENT", 50, 8, 4),
    ],
)
def test_the_threshold_bears_one_failure_less_whatever_its_kind(
    kind: str, value: int, desired: int, threshold: int
):
    configuration = ecs.ThresholdConfiguration(type=kind, value=value)
    world = breaking(desired, threshold_configuration=configuration)
    completed = world.service().primary.id
    deploy(world)
    pending = [task for task in world.tasks() if task.last_status == PENDING]
    for task in pending[: threshold - 1]:  # no further ones come before their time
        world.report(task, STOPPED, "CannotPullContainerError: no such image")
    fail_launches(world, threshold - 1 - len(pending[: threshold - 1]))
    assert world.service().primary.rollout_state == "IN_PROGRESS"
    assert world.service().primary.failed_tasks == threshold - 1
    fail_launches(world, 1)
    assert world.service().primary.id == completed


def test_tasks_that_never_run_fail_the_deployment_and_the_last_completed_one_is_run_again():
    world = breaking()
    good, tasks = world.service().primary, {t.arn for t in world.tasks()}
    deploy(world)
    bad = world.service().primary
    fail_launches(world, 2)
    assert world.service().primary.id == bad.id
    fail_launches(world, 1)
    service = world.service()
    assert service.primary.id == good.id
    assert service.task_definition_arn == V1.arn
    settle(world)
    assert {t.arn for t in world.tasks()} == tasks  # left untouched
    service = world.service()
    assert [d.id for d in service.deployments] == [good.id]
    assert service.primary.rollout_state == "COMPLETED"
    lines = [m for m in world.messages() if "deployment" in m][-3:]
    assert lines == [
        f"(service web) (deployment {bad.id}) deployment failed: tasks failed to start.",
        f"(service web) rolling back to deployment {good.id}.",
        f"(service web) (deployment {good.id}) deployment completed.",
    ]


def test_a_failed_deployment_says_which_one_it_is_rolled_back_to():
    world = breaking()
    good = world.service().primary
    deploy(world)
    bad = world.service().primary
    pending = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(pending[0], RUNNING)  # so that it has a task left to go
    fail_launches(world, 3)
    again, failed = world.service().deployments
    assert (again.id, again.status, again.rollout_state) == (good.id, "PRIMARY", "IN_PROGRESS")
    assert (failed.id, failed.status, failed.rollout_state) == (bad.id, "ACTIVE", "FAILED")
    assert failed.rollout_state_reason == (
        f"ECS deployment circuit breaker: rolling back to deploymentId {good.id}."
    )


def test_without_rollback_a_failed_deployment_launches_no_more():
    world = breaking(rollback=False)
    deploy(world)
    bad = world.service().primary
    fail_launches(world, 3)
    failed = world.service().primary
    assert (failed.id, failed.rollout_state) == (bad.id, "FAILED")
    assert failed.rollout_state_reason == "ECS deployment circuit breaker: tasks failed to start."
    world.pass_time(3_600)
    world.reconcile()
    assert {t.task_definition_arn for t in world.tasks()} <= {V1.arn, V2.arn}
    news = len(world.tasks())
    for task in [t for t in world.tasks() if t.task_definition_arn == V2.arn]:
        world.report(task, STOPPED)
        news -= 1
    assert len(world.tasks()) == news


def test_what_is_left_of_a_failed_deployment_makes_way_for_the_older_tasks_that_run():
    world = breaking(rollback=False)
    kept = {task.arn for task in world.tasks()}
    deploy(world)
    survivor, *_ = [task for task in world.tasks() if task.last_status == PENDING]
    world.report(survivor, RUNNING)  # it has proved nothing yet when the others fail
    for _ in range(3):
        (task,) = [task for task in world.tasks() if task.last_status == PENDING]
        world.report(task, STOPPED, "CannotPullContainerError: no such image")
    assert world.service().primary.rollout_state == "FAILED"
    assert {task.arn for task in world.tasks()} == kept
    settle(world)
    assert {task.arn for task in world.tasks()} == kept


def test_the_last_completed_deployment_follows_desired_count_while_the_newest_has_failed():
    world = breaking(rollback=False)
    deploy(world)
    fail_launches(world, 3)
    for count in (5, 1, 3):
        request = ecs.UpdateServiceRequest(service="web", desired_count=count)
        world.call("UpdateService", request)
        world.reconcile()
        settle(world)
        assert [t.task_definition_arn for t in world.tasks()] == [V1.arn] * count
    assert world.service().primary.rollout_state == "FAILED"


def test_the_first_deployment_has_nothing_to_go_back_to_and_stalls():
    world = ServiceWorld(V1)
    breaker = ecs.DeploymentCircuitBreaker(enable=True, rollback=True)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(
            service_name="web",
            task_definition="web:1",
            desired_count=1,
            deployment_configuration=ecs.DeploymentConfiguration(
                deployment_circuit_breaker=breaker
            ),
        ),
    )
    world.reconcile()
    fail_launches(world, 3)
    assert world.service().primary.rollout_state == "FAILED"
    assert world.tasks() == []


def test_a_stalled_service_starts_again_with_its_next_deployment():
    world = breaking(rollback=False)
    deploy(world)
    fail_launches(world, 3)
    deploy(world, "web:3")
    settle(world)
    assert {t.task_definition_arn for t in world.tasks()} == {V3.arn}
    assert world.service().primary.rollout_state == "COMPLETED"


def test_tasks_that_run_and_then_exit_count_too():
    world = breaking(1)
    deploy(world)
    crash(world, 3)
    assert world.service().task_definition_arn == V1.arn
    settle(world)
    assert {t.task_definition_arn for t in world.tasks()} == {V1.arn}


def test_under_strict_failures_only_those_count_that_ecs_counts():
    world = breaking(1)
    world.is_strict = True
    deploy(world)
    (task,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(task, RUNNING)
    assert world.service().primary.rollout_state == "IN_PROGRESS"  # the old task stops yet
    world.report(task, STOPPED)
    assert world.service().primary.failed_tasks == 0
    assert world.service().quick_exits == 0


def test_a_task_without_a_health_check_is_healthy_when_it_has_run_for_a_while():
    world = breaking(1)
    deploy(world)
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.effects.clear()
    world.report(new, RUNNING)
    assert len(world.tasks()) == 2  # the old task stays until then
    assert world.now_ms + SETTLING_TIME_S * 1_000 in wakes(world.effects)
    world.pass_time(SETTLING_TIME_S)
    world.reconcile()
    assert [t.arn for t in world.tasks()] == [new.arn]


def test_a_healthy_task_makes_up_for_earlier_failures():
    world = breaking(1)
    deploy(world)
    fail_launches(world, 2)
    assert world.service().primary.failed_tasks == 2
    world.pass_time(60)
    world.reconcile()
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(new, RUNNING)
    assert world.service().primary.failed_tasks == 2
    world.pass_time(SETTLING_TIME_S)
    world.reconcile()
    assert world.service().primary.failed_tasks == 0


def test_with_reset_on_healthy_task_switched_off_failures_add_up():
    world = breaking(2, reset_on_healthy_task=False)
    deploy(world)
    fail_launches(world, 2)
    world.pass_time(60)
    world.reconcile()
    (new, *_) = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(new, RUNNING)
    world.pass_time(SETTLING_TIME_S)
    world.reconcile()
    fail_launches(world, 1)
    assert world.service().task_definition_arn == V1.arn


def test_unhealthy_tasks_fail_the_deployment():
    world = breaking(1)
    deploy(world, "checked:1")
    bad = world.service().primary
    for _ in range(3):
        for task in world.tasks():
            if task.deployment_id == bad.id and task.last_status == PENDING:
                world.report(task, RUNNING)
                world.report_health(task, "UNHEALTHY")
        for task in world.tasks(desired=STOPPED):
            world.report(task, STOPPED)
    assert world.service().task_definition_arn == V1.arn


def test_a_health_check_that_passes_makes_up_for_earlier_failures():
    world = breaking(1)
    deploy(world, "checked:1")
    fail_launches(world, 2)
    world.pass_time(60)
    world.reconcile()
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(new, RUNNING)
    assert world.service().primary.failed_tasks == 2
    world.agent_reports_health(new, "HEALTHY")
    assert world.service().primary.failed_tasks == 0


def test_a_side_container_that_is_healthy_makes_up_for_nothing_before_its_task_runs():
    world = breaking(1)
    deploy(world, "checked:1")
    fail_launches(world, 2)
    world.pass_time(60)
    world.reconcile()
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.agent_reports_health(new, "HEALTHY")
    assert world.service().primary.failed_tasks == 2
    world.report(new, RUNNING)
    assert world.service().primary.failed_tasks == 0


def test_a_task_that_finds_no_place_fails_the_deployment_in_the_end():
    world = breaking(1)
    deploy(world, "huge:1")
    for _ in range(2):
        assert world.service().task_definition_arn == HUGE.arn
        world.pass_time(10)
        world.reconcile()
    assert world.service().task_definition_arn == V1.arn


def test_a_rollback_isnt_given_up_however_often_its_tasks_fail():
    world = breaking(1)
    deploy(world)
    fail_launches(world, 3)
    good = world.service().primary
    for _ in range(5):
        world.pass_time(60)
        world.reconcile()
        for task in world.tasks():
            world.report(task, STOPPED)
    assert world.service().primary.id == good.id
    assert world.service().primary.rollout_state != "FAILED"


def test_an_update_overtakes_a_rollback():
    world = breaking(1)
    deploy(world)
    fail_launches(world, 3)
    deploy(world, "web:3")
    settle(world)
    assert [t.task_definition_arn for t in world.tasks()] == [V3.arn]
    assert world.service().primary.rollout_state == "COMPLETED"
    assert len(world.service().deployments) == 1
