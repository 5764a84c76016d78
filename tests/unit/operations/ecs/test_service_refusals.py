"""What ECS has for services and Homeport hasn't yet is refused by its name; nothing is stored."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_task_definition
from calls import call
from homeport.api import ecs
from service_world import ServiceWorld

BALANCER = {"targetGroupArn": "arn:tg", "containerName": "app", "containerPort": 80}
LAMBDA = {"hookTargetArn": "arn:f", "roleArn": "arn:r", "lifecycleStages": ["PRE_SCALE_UP"]}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"loadBalancers": [BALANCER]}, "loadBalancers"),
    ({"serviceRegistries": [{"registryArn": "arn:r"}]}, "serviceRegistries"),
    ({"serviceConnectConfiguration": {"enabled": True}}, "serviceConnectConfiguration"),
    (
        {"volumeConfigurations": [{"name": "v", "managedEBSVolume": {"roleArn": "arn:r"}}]},
        "volumeConfigurations",
    ),
    (
        {"vpcLatticeConfigurations": [{"roleArn": "r", "targetGroupArn": "t", "portName": "p"}]},
        "vpcLatticeConfigurations",
    ),
    (
        {
            "deploymentConfiguration": {
                "alarms": {"alarmNames": ["a"], "enable": True, "rollback": True}
            }
        },
        "deployment alarms",
    ),
    (
        {
            "deploymentConfiguration": {
                "strategy": "BLUE_GREEN",
                "bakeTimeInMinutes": 5,
                "lifecycleHooks": [LAMBDA],
            }
        },
        "AWS_LAMBDA",
    ),
    ({"deploymentConfiguration": {"lifecycleHooks": [LAMBDA]}}, "AWS_LAMBDA"),
]


def world_with_a_service() -> ServiceWorld:
    world = ServiceWorld(make_task_definition())
    call(world.store, "CreateService", serviceName="known", taskDefinition="web", desiredCount=0)
    return world


@pytest.mark.parametrize(("members", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_creating_such_a_service_is_refused_by_name(members: dict[str, Any], name: str) -> None:
    world = world_with_a_service()
    before = world.view.sequence
    with pytest.raises(ecs.UnsupportedFeatureException, match=name):
        call(
            world.store,
            "CreateService",
            serviceName="web",
            taskDefinition="web",
            desiredCount=1,
            **members,
        )
    assert world.view.sequence == before


@pytest.mark.parametrize(("members", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_updating_to_such_a_service_is_refused_by_name(members: dict[str, Any], name: str) -> None:
    world = world_with_a_service()
    before = world.view.sequence
    with pytest.raises(ecs.UnsupportedFeatureException, match=name):
        call(world.store, "UpdateService", service="known", **members)
    assert world.view.sequence == before


def test_code_deploy_is_refused_by_name() -> None:
    with pytest.raises(ecs.UnsupportedFeatureException, match="CODE_DEPLOY"):
        call(
            world_with_a_service().store,
            "CreateService",
            serviceName="web",
            taskDefinition="web",
            desiredCount=1,
            deploymentController={"type": "CODE_DEPLOY"},
        )


def test_alarms_that_are_switched_off_are_kept_and_described() -> None:
    alarms = {"alarmNames": ["latency"], "enable": False, "rollback": True}
    reply = call(
        world_with_a_service().store,
        "CreateService",
        serviceName="web",
        taskDefinition="web",
        desiredCount=1,
        deploymentConfiguration={"alarms": alarms},
    )
    assert reply["service"]["deploymentConfiguration"]["alarms"] == alarms


def test_no_namespace_is_known_by_name_or_arn_and_wrong_pages_are_refused_first() -> None:
    world = world_with_a_service()
    arn = "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-abcdefghijklmnop"
    for namespace in ("inner", arn):
        with pytest.raises(ecs.NamespaceNotFoundException, match="namespace was not found"):
            call(world.store, "ListServicesByNamespace", namespace=namespace)
    for members in ({"maxResults": 101}, {"maxResults": 0}, {"nextToken": "?"}):
        with pytest.raises(ecs.InvalidParameterException):
            call(world.store, "ListServicesByNamespace", namespace="inner", **members)
    with pytest.raises(ecs.InvalidParameterException):
        call(world.store, "ListServicesByNamespace", namespace="")
