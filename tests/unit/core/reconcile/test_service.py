"""The service scheduler, one service at a time: starting, replacing, scaling, draining."""

from __future__ import annotations

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.capacity.turns import TURN_AFTER_S
from homeport.core.decision import NOTHING
from homeport.core.reconcile.service import reconcile_service
from homeport.model.arn import short_id
from homeport.model.task import PENDING, RUNNING, STOPPED
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld, awaits_capacity, sent, wakes

WEB = make_task_definition("web", 1)
CHECKED = make_task_definition(
    "web", 1, containers=(ContainerSpec(name="app", image="busybox", has_health_check=True),)
)


def start(world: ServiceWorld, count: int = 2, **members: object) -> None:
    request = ecs.CreateServiceRequest(
        service_name="web", task_definition="web", desired_count=count
    )
    for name, value in members.items():
        setattr(request, name, value)
    world.call("CreateService", request)
    world.reconcile()


def scale(world: ServiceWorld, count: int) -> None:
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=count))
    world.reconcile()


def test_a_new_service_starts_all_its_tasks_in_one_decision():
    world = ServiceWorld(WEB)
    start(world, 50)
    tasks = world.tasks()
    assert len(tasks) == 50
    assert {t.last_status for t in tasks} == {PENDING}
    assert sent(world.effects) == {t.arn for t in tasks}
    assert len(world.effects) == 2  # one for each container instance


def test_the_tasks_of_a_service_carry_its_group_and_its_deployment():
    world = ServiceWorld(WEB)
    start(world, 1)
    (task,) = world.tasks()
    assert task.group == "service:web"
    assert task.started_by == task.deployment_id == world.service().primary.id
    assert task.service_arn == world.service().arn


def test_the_tasks_of_a_service_are_spread_over_zones():
    world = ServiceWorld(WEB)
    start(world, 4)
    assert sorted(t.availability_zone or "" for t in world.tasks()) == [
        "us-east-1a",
        "us-east-1a",
        "us-east-1b",
        "us-east-1b",
    ]


def test_a_started_service_says_so_then_completes_its_deployment_and_is_steady():
    world = ServiceWorld(WEB)
    start(world, 2)
    first, second = (f"(task {short_id(t.arn)})" for t in world.tasks())
    world.run_all()
    started, completed, steady = world.messages()
    assert started in (
        f"(service web) has started 2 tasks: {first} {second}.",
        f"(service web) has started 2 tasks: {second} {first}.",
    )
    primary = world.service().primary
    assert completed == f"(service web) (deployment {primary.id}) deployment completed."
    assert steady == "(service web) has reached a steady state."
    assert primary.rollout_state == "COMPLETED"
    assert primary.rollout_state_reason == f"ECS deployment {primary.id} completed."


def test_a_service_at_rest_needs_nothing():
    world = ServiceWorld(WEB)
    start(world, 3)
    world.run_all()
    decision = reconcile_service(world.view, world.service().arn, world.moment())
    assert decision.changes == ()
    assert wakes(list(decision.effects)) == [world.now_ms + 6 * 3_600_000]


def test_a_steady_state_that_lasts_is_told_again_every_six_hours():
    world = ServiceWorld(WEB)
    start(world, 1)
    world.run_all()
    for hours, times in ((5, 1), (1, 2), (5, 2), (1, 3)):
        world.pass_time(hours * 3_600)
        world.reconcile()
        assert world.messages().count("(service web) has reached a steady state.") == times


def test_a_service_whose_tasks_are_all_on_their_way_needs_nothing():
    world = ServiceWorld(WEB)
    start(world, 3)
    world.report(world.tasks()[0], RUNNING)
    assert reconcile_service(world.view, world.service().arn, world.moment()) == NOTHING


def test_a_task_that_exits_is_replaced_and_the_steady_state_is_told_again():
    world = ServiceWorld(WEB)
    start(world, 2)
    world.run_all()
    gone = world.tasks()[0]
    world.pass_time(10)
    world.report(gone, STOPPED)
    assert len(world.tasks()) == 2
    assert gone.arn not in {t.arn for t in world.tasks()}
    world.run_all()
    assert world.messages().count("(service web) has reached a steady state.") == 2
    assert world.service().primary.failed_tasks == 0


def test_a_task_that_somebody_stops_is_replaced_before_its_agent_has_stopped_it():
    world = ServiceWorld(WEB)
    start(world, 2)
    world.run_all()
    task = world.tasks()[0]
    world.put(type(task)(**{**_members(task), "desired_status": STOPPED}))
    world.reconcile()
    assert len(world.tasks()) == 2
    assert len(world.tasks(desired=STOPPED)) == 1


def test_scaling_out_starts_the_difference():
    world = ServiceWorld(WEB)
    start(world, 4)
    world.run_all()
    scale(world, 6)
    world.run_all()
    assert len(world.tasks()) == 6
    assert len(world.service().deployments) == 1


def test_scaling_in_stops_the_surplus_with_ecs_reason():
    world = ServiceWorld(WEB)
    start(world, 6)
    world.run_all()
    scale(world, 2)
    stopped = world.tasks(desired=STOPPED)
    assert len(stopped) == 4
    deployment = world.service().primary.id
    assert {t.stopped_reason for t in stopped} == {
        f"Scaling activity initiated by (deployment {deployment})"
    }
    assert {t.stop_code for t in stopped} == {"ServiceSchedulerInitiated"}
    assert "(service web) has stopped 4 running tasks: " in world.messages()[-1]
    world.run_all()
    assert world.messages()[-1] == "(service web) has reached a steady state."
    assert sorted(t.availability_zone or "" for t in world.tasks()) == ["us-east-1a", "us-east-1b"]


def test_scaling_to_zero_stops_everything_and_is_steady():
    world = ServiceWorld(WEB)
    start(world, 2)
    world.run_all()
    scale(world, 0)
    world.run_all()
    assert world.tasks() == []
    assert world.service().is_steady


def test_a_service_of_no_tasks_is_steady_at_once():
    world = ServiceWorld(WEB)
    start(world, 0)
    assert world.service().primary.rollout_state == "COMPLETED"
    assert world.messages()[-1] == "(service web) has reached a steady state."


def test_a_deleted_service_drains_and_is_inactive_when_its_last_task_has_stopped():
    world = ServiceWorld(WEB)
    start(world, 2)
    world.run_all()
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web", force=True))
    world.reconcile()
    assert world.service().status == "DRAINING"
    first, second = world.tasks(desired=STOPPED)
    world.report(first, STOPPED)
    assert world.service().status == "DRAINING"
    world.report(second, STOPPED)
    assert world.service().status == "INACTIVE"
    assert world.service().deleted_at_ms == world.now_ms


def test_the_reconciler_lets_an_unknown_and_an_inactive_service_be():
    world = ServiceWorld(WEB)
    start(world, 0)
    assert reconcile_service(world.view, "arn:nobody", world.moment()) == NOTHING
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web"))
    world.reconcile()
    assert reconcile_service(world.view, world.service().arn, world.moment()) == NOTHING


def test_a_service_with_no_room_says_why_and_waits_for_capacity():
    world = ServiceWorld(make_task_definition("web", 1, memory_mib=1_000_000))
    start(world, 1)
    closest = short_id(world.instances()[0].arn)
    assert world.messages() == [
        "(service web) was unable to place a task because no container instance met all of its "
        f"requirements. The closest matching (container-instance {closest}) has insufficient "
        "memory available. For more information, see the Troubleshooting section of the Amazon "
        "ECS Developer Guide."
    ]
    assert awaits_capacity(world.effects)
    turn_ms = world.service().waiting_since_ms + TURN_AFTER_S * 1_000
    assert set(wakes(world.effects)) == {turn_ms}, "nothing but its turn may come without a change"


def test_a_service_without_container_instances_says_that_there_are_none():
    world = ServiceWorld(WEB, instances=0)
    start(world, 1)
    assert "Reason: No Container Instances were found in your cluster." in world.messages()[0]


def test_the_same_complaint_is_kept_back_for_six_hours():
    world = ServiceWorld(WEB, instances=0)
    start(world, 1)
    world.pass_time(5 * 3_600)
    world.reconcile()
    assert len(world.messages()) == 1
    world.pass_time(2 * 3_600)
    world.reconcile()
    assert len(world.messages()) == 2


def test_what_fits_is_started_and_the_rest_waits():
    world = ServiceWorld(make_task_definition("web", 1, host_ports=(80,)))
    start(world, 3)
    assert len(world.tasks()) == 2
    assert "is already using a port required by your task." in world.messages()[-1]
    assert awaits_capacity(world.effects)


def test_pending_tasks_on_a_draining_instance_move_at_once_and_running_ones_start_first():
    world = ServiceWorld(WEB)
    start(world, 4)
    world.run_all()
    leaving, staying = world.instances()
    world.change_instance(leaving, status="DRAINING")
    world.reconcile()
    assert len(world.tasks()) == 6
    assert world.tasks(desired=STOPPED) == []
    world.run_all()
    assert {t.container_instance_arn for t in world.tasks()} == {staying.arn}
    assert len(world.tasks()) == 4


def test_draining_with_no_other_instance_keeps_the_tasks_that_must_stay_healthy():
    world = ServiceWorld(WEB, instances=1)
    start(world, 4, deployment_configuration=_percents(50, 200))
    world.run_all()
    world.change_instance(world.instances()[0], status="DRAINING")
    world.reconcile()
    assert len(world.tasks()) == 2
    assert len(world.tasks(desired=STOPPED)) == 2


def test_an_unhealthy_task_is_stopped_only_when_its_replacement_is_healthy():
    world = ServiceWorld(CHECKED)
    start(world, 2)
    world.run_all()
    for task in world.tasks():
        world.report_health(task, "HEALTHY")
    sick = world.tasks()[0]
    world.report_health(sick, "UNHEALTHY")
    assert len(world.tasks()) == 3
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(new, RUNNING)
    assert world.tasks(desired=STOPPED) == []
    world.report_health(new, "HEALTHY")
    (stopped,) = world.tasks(desired=STOPPED)
    assert stopped.arn == sick.arn
    assert stopped.stopped_reason == "Task failed container health checks"
    assert f"(service web) (task {short_id(sick.arn)}) failed container health checks." in (
        world.messages()
    )
    world.run_all()
    assert world.service().is_steady


def test_an_unhealthy_replacement_makes_way_for_another():
    world = ServiceWorld(CHECKED)
    start(world, 1)
    world.run_all()
    world.report_health(world.tasks()[0], "UNHEALTHY")
    (new,) = [t for t in world.tasks() if t.last_status == PENDING]
    world.report(new, RUNNING)
    world.report_health(new, "UNHEALTHY")
    assert len(world.tasks(desired=STOPPED)) == 1
    # Two still count with the one that is stopping: that is all maximumPercent allows.
    assert len(world.tasks()) == 1
    world.report(world.tasks(desired=STOPPED)[0], STOPPED)
    assert len(world.tasks()) == 2


def test_an_unhealthy_task_is_left_alone_during_its_grace_period():
    world = ServiceWorld(CHECKED)
    start(world, 1, health_check_grace_period_seconds=60)
    world.run_all()
    (task,) = world.tasks()
    world.effects.clear()
    world.report_health(task, "UNHEALTHY")
    assert len(world.tasks()) == 1
    assert world.now_ms + 60_000 in wakes(world.effects)
    world.pass_time(60)
    world.reconcile()
    assert len(world.tasks()) == 2


def test_when_nothing_else_has_room_an_unhealthy_task_is_stopped_first():
    world = ServiceWorld(
        make_task_definition("web", 1, host_ports=(80,), containers=CHECKED.containers),
        instances=1,
    )
    start(world, 1)
    world.run_all()
    (sick,) = world.tasks()
    world.report_health(sick, "UNHEALTHY")
    assert [t.arn for t in world.tasks(desired=STOPPED)] == [sick.arn]
    world.run_all()
    (new,) = world.tasks()
    assert new.arn != sick.arn


def test_a_service_with_a_health_check_is_steady_only_when_its_tasks_are_healthy():
    world = ServiceWorld(CHECKED)
    start(world, 1)
    world.run_all()
    assert not world.service().is_steady
    world.report_health(world.tasks()[0], "HEALTHY")
    assert world.service().is_steady


def test_tasks_get_the_services_tags_and_ecs_own():
    world = ServiceWorld(WEB)
    start(
        world,
        1,
        tags=[ecs.Tag(key="team", value="blue")],
        propagate_tags="SERVICE",
        enable_ecs_managed_tags=True,
    )
    (task,) = world.tasks()
    assert [(t.key, t.value) for t in world.view.tags(task.arn)] == [
        ("team", "blue"),
        ("aws:ecs:clusterName", "default"),
        ("aws:ecs:serviceName", "web"),
    ]


def test_only_the_newest_hundred_events_are_kept():
    world = ServiceWorld(WEB)
    start(world, 1)
    world.run_all()
    for _ in range(60):
        world.pass_time(10)
        world.report(world.tasks()[0], STOPPED)
        world.run_all()
    assert len(world.messages()) == 100
    assert world.messages()[-1] == "(service web) has reached a steady state."


def _percents(least: int, most: int) -> ecs.DeploymentConfiguration:
    return ecs.DeploymentConfiguration(minimum_healthy_percent=least, maximum_percent=most)


def _members(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]
