"""Task protection: who may have it, how long, and what scale-in and deployments then do."""

from typing import Any

import pytest
from msgspec.structs import replace

from builders import make_task, make_task_definition
from calls import call
from homeport.api import ecs
from homeport.model.task import RUNNING, STOPPED
from service_world import ServiceWorld, wakes

MINUTE_MS = 60_000


def make_world(desired: int = 3) -> ServiceWorld:
    world = ServiceWorld(make_task_definition(), make_task_definition(revision=2))
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(
            service_name="web", task_definition="web:1", desired_count=desired
        ),
    )
    world.reconcile()
    world.run_all()
    return world


def protect(world: ServiceWorld, *arns: str, enabled: bool = True, **members: Any) -> Any:
    request = ecs.UpdateTaskProtectionRequest(
        tasks=list(arns), protection_enabled=enabled, **members
    )
    return world.call("UpdateTaskProtection", request)


def scale(world: ServiceWorld, desired: int) -> None:
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=desired))
    world.reconcile()


def test_protection_lasts_two_hours_unless_asked_otherwise() -> None:
    world = make_world(1)
    (task,) = world.tasks()
    reply = call(
        world.store,
        "UpdateTaskProtection",
        now_ms=world.now_ms,
        cluster="default",
        tasks=[task.arn],
        protectionEnabled=True,
    )
    assert reply["failures"] == []
    assert reply["protectedTasks"] == [
        {
            "taskArn": task.arn,
            "protectionEnabled": True,
            "expirationDate": (world.now_ms + 120 * MINUTE_MS) / 1_000,
        }
    ]


def test_scale_in_stops_the_tasks_that_are_not_protected() -> None:
    world = make_world(3)
    protected = world.tasks()[0]
    protect(world, protected.arn)
    scale(world, 1)
    assert [task.arn for task in world.tasks()] == [protected.arn]


def test_protected_tasks_beyond_the_desired_count_stay_and_the_service_says_so_once() -> None:
    world = make_world(2)
    protect(world, *(task.arn for task in world.tasks()))
    scale(world, 0)
    world.reconcile()
    assert len(world.tasks()) == 2
    told = [m for m in world.messages() if "protected tasks are more than the desired" in m]
    assert told == [
        "(service web) was unable to reach steady state because task set "
        f"({world.service().primary.id}) was unable to scale in. Reason: The number of protected "
        "tasks are more than the desired count of tasks"
    ]


def test_scale_in_goes_on_by_itself_when_protection_expires() -> None:
    world = make_world(1)
    protect(world, world.tasks()[0].arn, expires_in_minutes=5)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", desired_count=0))
    assert world.now_ms + 5 * MINUTE_MS in wakes(world.reconcile())
    world.pass_time(5 * 60)
    world.reconcile()
    assert world.tasks() == []


def test_a_deployment_waits_for_the_protected_tasks_of_the_older_revision() -> None:
    world = make_world(1)
    (old,) = world.tasks()
    protect(world, old.arn)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    world.run_all()
    assert old.arn in [task.arn for task in world.tasks()]
    assert world.service().primary.rollout_state == "IN_PROGRESS"
    protect(world, old.arn, enabled=False)
    world.reconcile()
    world.run_all()
    assert old.arn not in [task.arn for task in world.tasks()]
    assert world.service().primary.rollout_state == "COMPLETED"


def test_no_further_task_is_protected_while_protected_ones_hold_up_a_deployment() -> None:
    world = make_world(1)
    (old,) = world.tasks()
    protect(world, old.arn)
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    world.run_all()
    (new,) = [task for task in world.tasks() if task.arn != old.arn]
    reply = protect(world, new.arn, old.arn)
    assert [(f.arn, f.reason) for f in reply.failures] == [(new.arn, "DEPLOYMENT_BLOCKED")]
    assert [t.task_arn for t in reply.protected_tasks] == [old.arn]


def test_an_unhealthy_task_is_replaced_although_it_is_protected() -> None:
    definition = make_task_definition()
    checked = tuple(replace(spec, has_health_check=True) for spec in definition.containers)
    world = ServiceWorld(replace(definition, containers=checked))
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(service_name="web", task_definition="web:1", desired_count=1),
    )
    world.reconcile()
    world.run_all()
    (sick,) = world.tasks()
    world.report_health(sick, "HEALTHY")
    protect(world, sick.arn)
    world.report_health(sick, "UNHEALTHY")
    world.run_all()
    (fresh,) = [task for task in world.tasks() if task.arn != sick.arn]
    world.report_health(fresh, "HEALTHY")
    assert [task.arn for task in world.tasks()] == [fresh.arn]


def test_deleting_the_service_stops_protected_tasks_too() -> None:
    world = make_world(1)
    protect(world, world.tasks()[0].arn)
    world.call("DeleteService", ecs.DeleteServiceRequest(service="web", force=True))
    world.reconcile()
    assert world.tasks() == []


def test_tasks_that_cannot_be_protected_come_back_as_failures() -> None:
    world = make_world(1)
    (stopping,) = world.tasks()
    world.put(replace(stopping, desired_status=STOPPED))
    standalone = make_task("alone", instance=world.instances()[0], last_status=RUNNING)
    world.put(standalone)
    unknown = standalone.arn[:-4] + "0000"
    reply = protect(world, standalone.arn, unknown, stopping.arn)
    assert {f.arn: f.reason for f in reply.failures} == {
        standalone.arn: "TASK_NOT_VALID",
        unknown: "MISSING",
        stopping.arn: "TASK_NOT_VALID",
    }
    assert reply.protected_tasks == []


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"tasks": []}, "Tasks cannot be empty"),
        ({"tasks": [f"{n:032x}" for n in range(11)]}, "at most 10 tasks"),
        ({"tasks": ["a" * 32], "expires_in_minutes": 0}, "between 1 and 2880"),
        ({"tasks": ["a" * 32], "expires_in_minutes": 2_881}, "between 1 and 2880"),
        ({"tasks": ["arn:aws:ecs:us-east-1:1:cluster/x"]}, "is not a task's id or ARN"),
        ({"tasks": ["a" * 32], "protection_enabled": None}, "protectionEnabled"),
    ],
)
def test_bad_requests_are_refused(members: dict[str, Any], message: str) -> None:
    world = ServiceWorld()
    asked = ecs.UpdateTaskProtectionRequest(**{"protection_enabled": True, **members})
    with pytest.raises(ecs.InvalidParameterException, match=message):
        world.call("UpdateTaskProtection", asked)


def test_get_task_protection_tells_of_named_tasks_or_of_all_protected_ones() -> None:
    world = make_world(2)
    first, second = world.tasks()
    protect(world, first.arn, expires_in_minutes=1)
    named = world.call(
        "GetTaskProtection", ecs.GetTaskProtectionRequest(tasks=[first.arn, second.arn])
    )
    assert [t.protection_enabled for t in named.protected_tasks] == [True, False]
    every = world.call("GetTaskProtection", ecs.GetTaskProtectionRequest())
    assert [t.task_arn for t in every.protected_tasks] == [first.arn]
    world.pass_time(60)
    assert world.call("GetTaskProtection", ecs.GetTaskProtectionRequest()).protected_tasks == []
