"""Early success: a rolling deployment that is complete before all of it is done."""

from __future__ import annotations

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.model.task import PENDING, RUNNING
from service_world import ServiceWorld


def rolling(percent: int, cleanup: str) -> ServiceWorld:
    world = ServiceWorld(*(make_task_definition("web", n) for n in (1, 2)))
    configuration = ecs.DeploymentConfiguration(
        minimum_healthy_percent=50,
        early_success_criteria=ecs.DeploymentEarlySuccessCriteria(
            enable=True, healthy_percent=percent, source_service_revision_cleanup=cleanup
        ),
    )
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web:1",
        desired_count=4,
        deployment_configuration=configuration,
    )
    world.call("CreateService", request)
    world.reconcile()
    world.run_all()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    return world


def run_new(world: ServiceWorld, count: int) -> None:
    for task in [t for t in world.tasks() if t.last_status == PENDING][:count]:
        world.report(task, RUNNING)


def test_with_deferred_cleanup_it_is_complete_at_its_share_of_healthy_tasks():
    world = rolling(50, "DEFERRED")
    run_new(world, 1)
    assert world.service().primary.rollout_state == "IN_PROGRESS"
    run_new(world, 1)
    service = world.service()
    assert service.primary.rollout_state == "COMPLETED"
    assert len(service.deployments) == 2  # the rest goes on in the background
    assert service.last_completed is not None
    assert service.last_completed.id == service.primary.id
    world.run_all()
    assert {t.task_definition_arn[-1] for t in world.tasks()} == {"2"}
    assert sum("deployment completed" in m for m in world.messages()) == 2


def test_with_blocking_cleanup_the_older_tasks_have_to_be_gone():
    world = rolling(50, "BLOCKING")
    run_new(world, 3)
    assert world.service().primary.rollout_state == "IN_PROGRESS"
    world.run_all()
    assert world.service().primary.rollout_state == "COMPLETED"


@pytest.mark.parametrize(
    ("percent", "cleanup", "words"),
    [(40, "DEFERRED", "healthyPercent"), (None, "BLOCKING", "healthyPercent"), (60, None, "Clean")],
)
def test_incomplete_criteria_are_refused(percent: int, cleanup: str, words: str):
    with pytest.raises(ecs.InvalidParameterException, match=words):
        rolling(percent, cleanup)
