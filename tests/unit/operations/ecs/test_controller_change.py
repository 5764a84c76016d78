"""UpdateService with another deploymentController: what runs stays, and goes on under the other."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_task_definition
from calls import call
from homeport.api import ecs
from homeport.model.task import STOPPED
from service_world import ServiceWorld

V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)
ECS, EXTERNAL = {"type": "ECS"}, {"type": "EXTERNAL"}


def ask(world: ServiceWorld, operation: str, **members: Any) -> dict[str, Any]:
    reply = call(world.store, operation, now_ms=world.now_ms, **members)
    world.reconcile()
    world.pass_time(1)
    return reply


def make_world(**members: Any) -> ServiceWorld:
    """A steady service of two tasks of web:1."""
    world = ServiceWorld(V1, V2)
    asked = {"serviceName": "web", "taskDefinition": "web:1", "desiredCount": 2, **members}
    ask(world, "CreateService", **asked)
    world.run_all()
    assert world.service().is_steady
    return world


def update(world: ServiceWorld, **members: Any) -> dict[str, Any]:
    return dict(ask(world, "UpdateService", service="web", **members)["service"])


def arns(world: ServiceWorld) -> set[str]:
    return {task.arn for task in world.tasks()}


def test_the_deployment_becomes_the_primary_task_set_with_the_tasks_that_run() -> None:
    world = make_world()
    before, deployment = arns(world), world.service().primary.id
    shown = update(world, deploymentController=EXTERNAL)
    assert shown["deploymentController"] == EXTERNAL
    assert shown["deployments"] == []
    (task_set,) = shown["taskSets"]
    assert (task_set["id"], task_set["status"]) == (deployment, "PRIMARY")
    assert task_set["scale"] == {"value": 100.0, "unit": "PERCENT"}
    assert task_set["stabilityStatus"] == "STEADY_STATE"
    assert (task_set["runningCount"], task_set["computedDesiredCount"]) == (2, 2)
    assert arns(world) == before
    world.report(world.tasks()[0], STOPPED)
    world.run_all()
    assert len(world.tasks()) == 2


def test_the_primary_task_set_becomes_the_deployment_that_is_complete() -> None:
    world = make_world()
    update(world, deploymentController=EXTERNAL)
    before = arns(world)
    shown = update(world, deploymentController=ECS, desiredCount=3)
    (deployment,) = shown["deployments"]
    assert (deployment["rolloutState"], deployment["runningCount"]) == ("COMPLETED", 2)
    assert "taskSets" not in shown
    world.run_all()
    assert len(world.tasks()) == 3
    assert before < arns(world)
    assert world.service().is_steady


def test_a_deployment_behind_the_change_can_be_rolled_back_to_what_the_task_set_ran() -> None:
    world = make_world()
    update(world, deploymentController=EXTERNAL)
    arn = update(world, deploymentController=ECS, taskDefinition="web:2")[
        "currentServiceDeployment"
    ]
    ask(world, "StopServiceDeployment", serviceDeploymentArn=arn)
    world.run_all()
    assert {task.task_definition_arn for task in world.tasks()} == {V1.arn}
    revision = world.service().primary.revision_arn
    found = call(world.store, "DescribeServiceRevisions", serviceRevisionArns=[revision])
    assert found["serviceRevisions"][0]["taskDefinition"] == V1.arn


def test_the_controller_stays_while_a_deployment_is_in_progress() -> None:
    world = make_world()
    update(world, taskDefinition="web:2")
    with pytest.raises(ecs.InvalidParameterException, match="a deployment is in progress"):
        update(world, deploymentController=EXTERNAL)


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        (
            {"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
            "deployment circuit breaker",
        ),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1}, "a strategy but ROLLING"),
    ],
)
def test_what_external_has_not_keeps_the_controller(
    configuration: dict[str, Any], words: str
) -> None:
    world = ServiceWorld(V1)
    ask(
        world,
        "CreateService",
        serviceName="web",
        taskDefinition="web:1",
        desiredCount=0,
        deploymentConfiguration=configuration,
    )
    with pytest.raises(ecs.InvalidParameterException, match=words):
        update(world, deploymentController=EXTERNAL)


def test_other_task_sets_have_to_go_first() -> None:
    world = make_world()
    update(world, deploymentController=EXTERNAL)
    ask(world, "CreateTaskSet", service="web", cluster="default", taskDefinition="web:2")
    with pytest.raises(ecs.InvalidParameterException, match="and no other"):
        update(world, deploymentController=ECS)


def test_a_daemon_keeps_its_controller() -> None:
    world = ServiceWorld(V1)
    ask(
        world,
        "CreateService",
        serviceName="web",
        taskDefinition="web:1",
        schedulingStrategy="DAEMON",
    )
    with pytest.raises(ecs.InvalidParameterException, match="DAEMON"):
        update(world, deploymentController=EXTERNAL)


def test_code_deploy_is_refused_by_name() -> None:
    with pytest.raises(ecs.UnsupportedFeatureException, match="CODE_DEPLOY"):
        update(make_world(), deploymentController={"type": "CODE_DEPLOY"})
