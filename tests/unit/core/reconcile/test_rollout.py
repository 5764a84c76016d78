"""The arithmetic of rolling: AWS's worked examples, and the steps of whole deployments."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.rollout import (
    NO_STOPS,
    Counts,
    Stops,
    bounds_of,
    missing_tasks,
    plan_stops,
    startable_tasks,
)
from homeport.model.task import PENDING, RUNNING, STOPPED
from service_world import ServiceWorld, wakes

V1, V2, V3 = (make_task_definition("web", revision) for revision in (1, 2, 3))


def rolling(count: int, least: int, most: int, *, instances: int = 2) -> ServiceWorld:
    world = ServiceWorld(V1, V2, V3, instances=instances)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(
            service_name="web",
            task_definition="web:1",
            desired_count=count,
            deployment_configuration=ecs.DeploymentConfiguration(
                minimum_healthy_percent=least, maximum_percent=most
            ),
        ),
    )
    world.reconcile()
    world.run_all()
    return world


def deploy(world: ServiceWorld, definition: str) -> None:
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition=definition))
    world.reconcile()


def revisions(world: ServiceWorld, desired: str = RUNNING) -> dict[str, int]:
    found: dict[str, int] = {}
    for task in world.tasks(desired=desired):
        revision = task.task_definition_arn.rsplit(":", 1)[-1]
        found[revision] = found.get(revision, 0) + 1
    return found


@pytest.mark.parametrize(
    ("desired", "least", "most", "lower", "upper"),
    [(4, 50, 200, 2, 8), (2, 75, 200, 2, 4), (3, 100, 125, 3, 3), (4, 100, 200, 4, 8)],
)
def test_the_lower_bound_rounds_up_and_the_upper_bound_down(
    desired: int, least: int, most: int, lower: int, upper: int
):
    bounds = bounds_of(desired, least, most)
    assert (bounds.lower, bounds.upper) == (lower, upper)


def test_stopping_tasks_take_room_under_the_upper_bound():
    bounds = bounds_of(4, 50, 100)
    assert startable_tasks(bounds, Counts(healthy=2, stopping=2)) == 0
    assert startable_tasks(bounds, Counts(healthy=2, stopping=1)) == 1


def test_an_unhealthy_task_counts_as_missing_but_takes_room():
    bounds = bounds_of(4, 100, 150)
    counts = Counts(healthy=1, unhealthy=3)
    assert missing_tasks(bounds, counts) == 3
    assert startable_tasks(bounds, counts) == 2


def test_healthy_tasks_are_kept_at_the_desired_count_while_replacements_can_start():
    counts = Counts(unsettled=4, outgoing_healthy=4)
    stops = plan_stops(bounds_of(4, 50, 200), counts, launches=0, is_blocked=False)
    assert stops == NO_STOPS


def test_healthy_tasks_go_down_to_the_minimum_when_replacements_have_no_room():
    counts = Counts(outgoing_healthy=4)
    stops = plan_stops(bounds_of(4, 50, 100), counts, launches=0, is_blocked=True)
    assert stops == Stops(outgoing_healthy=2)


def test_unhealthy_outgoing_tasks_are_stopped_before_healthy_ones():
    counts = Counts(healthy=2, unsettled=2, outgoing_healthy=2, outgoing_unhealthy=2)
    stops = plan_stops(bounds_of(4, 100, 200), counts, launches=0, is_blocked=False)
    assert stops == Stops(outgoing_unhealthy=2)


def test_scaling_in_stops_unsettled_tasks_before_healthy_ones():
    counts = Counts(healthy=3, unsettled=2)
    stops = plan_stops(bounds_of(2, 100, 200), counts, launches=0, is_blocked=False)
    assert stops == Stops(unsettled=2, healthy=1)


def test_with_no_room_unhealthy_tasks_go_one_at_a_time():
    counts = Counts(healthy=2, unhealthy=2)
    stops = plan_stops(bounds_of(4, 100, 100), counts, launches=0, is_blocked=True)
    assert stops == Stops(unhealthy=1)
    meanwhile = Counts(healthy=2, unhealthy=1, stopping=1)
    assert plan_stops(bounds_of(4, 100, 100), meanwhile, launches=0, is_blocked=True) == NO_STOPS


def test_a_deployment_starts_all_new_tasks_when_the_maximum_has_room():
    world = rolling(4, 100, 200)
    deploy(world, "web:2")
    assert revisions(world) == {"1": 4, "2": 4}
    assert [d.status for d in world.service().deployments] == ["PRIMARY", "ACTIVE"]


def test_each_new_task_that_runs_lets_one_old_task_go():
    world = rolling(4, 100, 200)
    deploy(world, "web:2")
    for number in range(1, 5):
        new = next(t for t in world.tasks() if t.last_status == PENDING)
        world.report(new, RUNNING)
        assert revisions(world, STOPPED) == {"1": number}


def test_a_deployment_ends_with_one_deployment_and_a_steady_state():
    world = rolling(4, 100, 200)
    deploy(world, "web:2")
    world.run_all()
    service = world.service()
    assert revisions(world) == {"2": 4}
    assert len(service.deployments) == 1
    assert service.primary.rollout_state == "COMPLETED"
    assert world.messages()[-2:] == [
        f"(service web) (deployment {service.primary.id}) deployment completed.",
        "(service web) has reached a steady state.",
    ]


def test_without_room_above_the_desired_count_old_tasks_stop_first():
    world = rolling(4, 50, 100)
    deploy(world, "web:2")
    assert revisions(world) == {"1": 2}
    assert revisions(world, STOPPED) == {"1": 2}
    world.report(world.tasks(desired=STOPPED)[0], STOPPED)
    assert revisions(world) == {"1": 2, "2": 1}
    world.run_all()
    assert revisions(world) == {"2": 4}


def test_old_tasks_that_are_still_pending_are_stopped_at_once():
    world = rolling(2, 100, 200)
    deploy(world, "web:2")
    deploy(world, "web:3")
    assert revisions(world, STOPPED) == {"2": 2}
    assert revisions(world) == {"1": 2}
    world.run_all()
    assert revisions(world) == {"3": 2}
    assert len(world.service().deployments) == 1


def test_percents_that_leave_no_step_are_complained_about():
    world = rolling(2, 75, 125)
    deploy(world, "web:2")
    assert revisions(world) == {"1": 2}
    assert world.messages()[-1] == (
        "(service web) was unable to stop or start tasks during a deployment because of the "
        "service deployment configuration. Update the minimumHealthyPercent or maximumPercent "
        "value and try again."
    )


def test_a_deployment_that_never_runs_leaves_the_old_tasks_alone():
    world = rolling(2, 100, 200)
    deploy(world, "web:2")
    for _ in range(10):
        for task in [t for t in world.tasks() if t.last_status == PENDING]:
            world.report(task, STOPPED, reason="CannotPullContainerError: no such image")
        world.pass_time(30 * 60)
        world.reconcile()
    assert revisions(world).get("1") == 2
    assert world.service().primary.failed_tasks > 10
    assert world.service().primary.rollout_state == "IN_PROGRESS"


def test_tasks_that_never_run_are_launched_ever_later_and_an_event_says_so():
    world = ServiceWorld(V1)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=1),
    )
    world.reconcile()
    waits = []
    for _ in range(16):
        (task,) = world.tasks()
        world.effects.clear()
        world.pass_time(1)
        world.report(task, STOPPED, reason="CannotPullContainerError: no such image")
        due = wakes(world.effects)
        waits.append((due[0] - world.now_ms) // 1_000 if due else 0)
        world.pass_time(waits[-1])
        world.reconcile()
    assert waits[:6] == [0, 0, 1, 2, 4, 8]
    assert waits[-1] == 27 * 60
    impaired = "(service web) is unable to consistently start tasks successfully."
    assert world.messages().count(impaired) == 1


def test_many_tasks_that_fail_together_are_one_failure_for_the_throttle():
    world = ServiceWorld(V1)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=20),
    )
    world.reconcile()
    world.pass_time(1)
    for task in world.tasks():
        world.report(task, STOPPED)
    assert world.service().failed_launches == 1
    assert world.service().primary.failed_tasks == 20


@pytest.mark.parametrize(
    ("members", "revision"),
    [({"task_definition": "web:2"}, "2"), ({"force_new_deployment": True}, "1")],
)
def test_a_new_deployment_is_not_held_back_by_the_failures_of_the_last(
    members: dict[str, Any], revision: str
):
    world = ServiceWorld(V1, V2)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(service_name="web", task_definition="web:1", desired_count=1),
    )
    world.reconcile()
    for _ in range(6):
        world.pass_time(3_600)
        world.reconcile()
        world.report(world.tasks()[0], STOPPED)
    assert world.tasks() == []
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", **members))
    world.reconcile()
    assert revisions(world) == {revision: 1}
    assert world.service().failed_launches == 0


def test_a_task_that_runs_ends_the_throttle():
    world = ServiceWorld(V1)
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=1),
    )
    world.reconcile()
    for _ in range(4):
        world.pass_time(3_600)
        world.reconcile()
        world.report(world.tasks()[0], STOPPED)
    world.pass_time(3_600)
    world.reconcile()
    world.run_all()
    assert world.service().failed_launches == 0
    assert world.service().is_steady


def test_what_runs_on_a_draining_instance_waits_for_a_replacement_that_is_up():
    bounds = bounds_of(1, 1, 200)
    starting = Counts(outgoing_unsettled=1, outgoing_starting=1)
    assert plan_stops(bounds, starting, launches=0, is_blocked=False) == NO_STOPS
    up = Counts(outgoing_unsettled=1, outgoing_healthy=1)
    assert plan_stops(bounds, up, launches=0, is_blocked=False) == Stops(outgoing_unsettled=1)
