"""Which tasks go first: `core.placement.scale_in`."""

from typing import Any

from builders import at, make_cluster, make_container_instance, make_service, make_store, make_task
from homeport.core.placement.scale_in import pick_tasks_to_stop
from homeport.model.container_instance import ContainerInstance
from homeport.model.placement import PlacementStrategy
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.view import View

A1 = make_container_instance("a1", zone="a")
A2 = make_container_instance("a2", zone="a")
B1 = make_container_instance("b1", zone="b")
SERVICE = make_service()


def tasks_on(*instances: ContainerInstance, prefix: str = "t", **members: Any) -> list[Task]:
    fields = {"service": SERVICE, "last_status": "RUNNING", **members}
    return [make_task(f"{prefix}{n}", instance=i, **fields) for n, i in enumerate(instances)]


def pick(tasks: list[Task], count: int, service: Service = SERVICE) -> list[Task]:
    view = View(make_store(make_cluster(), A1, A2, B1, service, *tasks))
    return list(pick_tasks_to_stop(view, service, tasks, count=count, moment=at()))


def instances_of(tasks: list[Task]) -> list[str | None]:
    return [task.container_instance_arn for task in tasks]


def test_the_zone_with_most_tasks_gives_first_and_then_its_fullest_instance():
    tasks = tasks_on(A1, A1, A2, B1)
    assert instances_of(pick(tasks, 1)) == [A1.arn]
    assert sorted(filter(None, instances_of(pick(tasks, 2)))) != [A1.arn, A1.arn]


def test_scaling_in_keeps_zones_within_one():
    tasks = tasks_on(A1, A1, A2, A2, B1, B1)
    left = [t for t in tasks if t not in pick(tasks, 3)]
    in_b = sum(task.container_instance_arn == B1.arn for task in left)
    assert in_b in (1, 2)


def test_unhealthy_tasks_go_before_pending_ones_and_those_before_running_ones():
    running = tasks_on(A1, A1, prefix="r")
    pending = tasks_on(B1, prefix="p", last_status="PENDING")
    unhealthy = tasks_on(A2, prefix="u", health_status="UNHEALTHY")
    assert pick(running + pending + unhealthy, 2) == unhealthy + pending


def test_a_pending_task_goes_even_from_the_thin_zone():
    running = tasks_on(A1, A1, A2)
    pending = tasks_on(B1, prefix="p", last_status="PENDING")
    assert pick(running + pending, 1) == pending


def test_balance_is_judged_by_all_wanted_tasks_of_the_service():
    fixed = tasks_on(A1, A1, prefix="other")
    candidates = tasks_on(A2, B1)
    view = View(make_store(make_cluster(), A1, A2, B1, SERVICE, *fixed, *candidates))
    picked = pick_tasks_to_stop(view, SERVICE, candidates, count=1, moment=at())
    assert instances_of(list(picked)) == [A2.arn]


def test_binpack_frees_the_emptiest_instance_first():
    service = make_service(placement_strategy=(PlacementStrategy("binpack", "memory"),))
    tasks = tasks_on(A1, A1, B1)
    assert instances_of(pick(tasks, 1, service)) == [B1.arn]


def test_spread_over_instances_takes_from_the_fullest():
    service = make_service(placement_strategy=(PlacementStrategy("spread", "instanceId"),))
    tasks = tasks_on(A1, B1, B1)
    assert instances_of(pick(tasks, 1, service)) == [B1.arn]


def test_ties_go_by_arn_whatever_the_order_of_the_tasks():
    tasks = tasks_on(B1, B1, B1)
    assert pick(tasks, 2) == sorted(tasks, key=lambda task: task.arn)[:2]
    assert pick(tasks[::-1], 2) == pick(tasks, 2)


def test_more_than_there_are_means_all_and_none_means_none():
    tasks = tasks_on(A1, B1)
    assert len(pick(tasks, 5)) == 2
    assert pick(tasks, 0) == []


def test_a_task_whose_container_instance_is_gone_can_be_picked():
    tasks = tasks_on(make_container_instance("gone"), A1)
    assert len(pick(tasks, 2)) == 2
