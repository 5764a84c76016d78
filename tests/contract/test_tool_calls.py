"""Calls as tools on top of ECS make them, where they differ from what AWS's pages say.

Each was found by running the tool itself against a server with real agents: see docs/tools.md.
"""

from typing import Any

import pytest

pytestmark = pytest.mark.slow

CONTAINERS = [{"name": "c", "image": "busybox", "memory": 16}]
SUBNETS = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}}


def test_ansibles_empty_role_of_a_service_is_none(ecs: Any):
    ecs.create_cluster()
    ecs.register_task_definition(family="web", containerDefinitions=CONTAINERS)
    service = ecs.create_service(
        cluster="default",
        serviceName="web",
        taskDefinition="web:1",
        loadBalancers=[],
        clientToken="",
        role="",
        deploymentConfiguration={},
        placementStrategy=[],
        placementConstraints=[],
        desiredCount=0,
        launchType="EC2",
        schedulingStrategy="REPLICA",
    )["service"]
    assert service["roleArn"].endswith("/AWSServiceRoleForECS")


def test_terraform_finds_the_platform_version_that_it_asked_for(ecs: Any):
    ecs.create_cluster()
    ecs.register_task_definition(
        family="job",
        containerDefinitions=CONTAINERS,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
    )
    asked = {"launchType": "FARGATE", "platformVersion": "LATEST"}
    service = ecs.create_service(
        serviceName="job",
        taskDefinition="job",
        desiredCount=0,
        networkConfiguration=SUBNETS,
        **asked,
    )["service"]
    (shown,) = ecs.describe_services(services=["job"])["services"]
    assert service["platformVersion"] == shown["platformVersion"] == "LATEST"
    assert [d["platformVersion"] for d in shown["deployments"]] == ["1.4.0"]
