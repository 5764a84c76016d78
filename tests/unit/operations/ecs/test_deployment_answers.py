"""Answers about deployments and task sets fit AWS's published model, member for member."""

from __future__ import annotations

import functools
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.validate import ParamValidator

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.circuit_breaker import SETTLING_TIME_S
from service_world import ServiceWorld


@functools.cache
def output_shape(operation: str) -> Any:
    model = botocore.session.get_session().get_service_model("ecs")
    return model.operation_model(operation).output_shape


def unknown_members(shape: Any, answer: Any, path: str = "") -> list[str]:
    """List the members that the model doesn't know, which botocore's validator lets pass."""
    if shape.type_name == "structure":
        found = []
        for name, value in answer.items():
            if name not in shape.members:
                found.append(f"{path}.{name}")
            else:
                found += unknown_members(shape.members[name], value, f"{path}.{name}")
        return found
    if shape.type_name == "list":
        return [m for item in answer for m in unknown_members(shape.member, item, f"{path}[]")]
    return []


@pytest.fixture(scope="module")
def world() -> ServiceWorld:
    """A service that a stop is rolling back from a paused CANARY, and one of task sets."""
    world = ServiceWorld(make_task_definition("web", 1), make_task_definition("web", 2))
    pause = ecs.DeploymentLifecycleHook(target_type="PAUSE", lifecycle_stages=["POST_SCALE_UP"])
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(
            service_name="web",
            task_definition="web:1",
            desired_count=2,
            deployment_configuration=ecs.DeploymentConfiguration(
                strategy="CANARY", lifecycle_hooks=[pause]
            ),
        ),
    )
    world.reconcile()
    world.run_all()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    world.run_all()
    world.pass_time(SETTLING_TIME_S)
    world.reconcile()
    controller = ecs.DeploymentController(type="EXTERNAL")
    world.call(
        "CreateService",
        ecs.CreateServiceRequest(
            service_name="sets", desired_count=1, deployment_controller=controller
        ),
    )
    request = ecs.CreateTaskSetRequest(service="sets", cluster="default", task_definition="web:1")
    world.call("CreateTaskSet", request)
    return world


def arns(world: ServiceWorld) -> tuple[str, str, str]:
    service = world.service()
    assert service.service_deployment_arn is not None
    record = world.view.service_deployment(service.service_deployment_arn)
    assert record is not None
    return record.arn, record.target_revision_arn, record.hooks[0].id if record.hooks else ""


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeServices",
        "DescribeServiceDeployments",
        "DescribeServiceRevisions",
        "ListServiceDeployments",
        "DescribeTaskSets",
        "UpdateServicePrimaryTaskSet",
        "UpdateTaskSet",
        "DeleteTaskSet",
        "ContinueServiceDeployment",
        "StopServiceDeployment",
    ],
)
def test_the_answer_has_only_members_of_the_model_with_the_models_types(
    world: ServiceWorld, operation: str
):
    deployment, revision, hook = arns(world)
    sets = world.service("sets").task_sets
    task_set = sets[0].id if sets else ""
    requests: dict[str, Any] = {
        "DescribeServices": ecs.DescribeServicesRequest(services=["web", "sets", "none"]),
        "DescribeServiceDeployments": ecs.DescribeServiceDeploymentsRequest(
            service_deployment_arns=[deployment, f"{deployment}x"]
        ),
        "DescribeServiceRevisions": ecs.DescribeServiceRevisionsRequest(
            service_revision_arns=[revision]
        ),
        "ListServiceDeployments": ecs.ListServiceDeploymentsRequest(service="web", max_results=1),
        "DescribeTaskSets": ecs.DescribeTaskSetsRequest(service="sets"),
        "UpdateServicePrimaryTaskSet": ecs.UpdateServicePrimaryTaskSetRequest(
            service="sets", primary_task_set=task_set
        ),
        "UpdateTaskSet": ecs.UpdateTaskSetRequest(
            service="sets", task_set=task_set, scale=ecs.Scale(value=0.0, unit="PERCENT")
        ),
        "DeleteTaskSet": ecs.DeleteTaskSetRequest(service="sets", task_set=task_set),
        "ContinueServiceDeployment": ecs.ContinueServiceDeploymentRequest(
            service_deployment_arn=deployment, hook_id=hook
        ),
        "StopServiceDeployment": ecs.StopServiceDeploymentRequest(
            service_deployment_arn=deployment
        ),
    }
    answer = msgspec.to_builtins(world.call(operation, requests[operation]))
    shape = output_shape(operation)
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()
    assert unknown_members(shape, answer) == []
    assert answer
