"""What Terraform does: create, describe, compare; nothing that was sent may differ or be missing.

Task definitions have a property test of their own (tests/property).
"""

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CONTAINERS = [{"name": "c", "image": "busybox", "memory": 16}]

SERVICE = {
    "serviceName": "web",
    "desiredCount": 0,
    "launchType": "EC2",
    "schedulingStrategy": "REPLICA",
    "deploymentController": {"type": "ECS"},
    "deploymentConfiguration": {
        "maximumPercent": 150,
        "minimumHealthyPercent": 50,
        "strategy": "ROLLING",
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    },
    "placementConstraints": [
        {"type": "distinctInstance"},
        {"type": "memberOf", "expression": "attribute:ecs.os-type == linux"},
    ],
    "placementStrategy": [
        {"type": "spread", "field": "attribute:ecs.availability-zone"},
        {"type": "binpack", "field": "memory"},
    ],
    "availabilityZoneRebalancing": "DISABLED",
    "enableECSManagedTags": True,
    "enableExecuteCommand": False,
    "healthCheckGracePeriodSeconds": 30,
    "propagateTags": "SERVICE",
    "tags": [{"key": "Größe", "value": "M"}],
}

SERVICE_UPDATE = {
    "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
    "placementConstraints": [],
    "placementStrategy": [],
    "availabilityZoneRebalancing": "ENABLED",
    "enableECSManagedTags": False,
    "healthCheckGracePeriodSeconds": 0,
    "propagateTags": "NONE",
}

CLUSTER = {
    "clusterName": "full",
    "settings": [{"name": "containerInsights", "value": "enhanced"}],
    "configuration": {
        "executeCommandConfiguration": {
            "kmsKeyId": "k",
            "logging": "OVERRIDE",
            "logConfiguration": {
                "cloudWatchLogGroupName": "g",
                "cloudWatchEncryptionEnabled": True,
                "s3BucketName": "b",
                "s3EncryptionEnabled": False,
                "s3KeyPrefix": "p",
            },
        },
        "managedStorageConfiguration": {"kmsKeyId": "x", "fargateEphemeralStorageKmsKeyId": "y"},
    },
    "serviceConnectDefaults": {
        "namespace": "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-abc123"
    },
    "tags": [{"key": "a", "value": ""}],
}
CLUSTER_INCLUDES = ["CONFIGURATIONS", "SETTINGS", "TAGS"]


def drift(sent: Any, found: Any, path: str = "") -> Iterator[str]:
    """Every member of `sent` that `found` lacks or has otherwise; defaults may be added."""
    if isinstance(sent, dict) and isinstance(found, dict):
        for name, value in sent.items():
            yield from drift(value, found.get(name), f"{path}.{name}")
    elif isinstance(sent, list) and isinstance(found, list) and len(sent) == len(found):
        for place, (one, other) in enumerate(zip(sent, found, strict=True)):
            yield from drift(one, other, f"{path}[{place}]")
    elif sent != found:
        yield f"{path}: sent {sent!r}, found {found!r}"


def test_a_service_is_described_as_created_and_as_updated(ecs: Any):
    ecs.create_cluster()
    ecs.register_task_definition(family="web", containerDefinitions=CONTAINERS)
    created = ecs.create_service(**SERVICE, taskDefinition="web")["service"]
    assert list(drift(SERVICE, created)) == []
    (shown,) = ecs.describe_services(services=["web"], include=["TAGS"])["services"]
    assert list(drift(SERVICE, shown)) == []
    updated = ecs.update_service(service="web", **SERVICE_UPDATE)["service"]
    assert list(drift(SERVICE_UPDATE, updated)) == []
    (shown,) = ecs.describe_services(services=["web"], include=["TAGS"])["services"]
    assert list(drift(SERVICE_UPDATE, shown)) == []
    assert shown["tags"] == SERVICE["tags"]


def test_a_service_made_anew_shows_no_events_of_its_predecessor(ecs: Any):
    ecs.create_cluster()
    ecs.register_task_definition(family="web", containerDefinitions=CONTAINERS)
    ecs.create_service(**SERVICE, taskDefinition="web")
    assert ecs.describe_services(services=["web"])["services"][0]["events"] != []
    ecs.delete_service(service="web")
    ecs.get_waiter("services_inactive").wait(services=["web"], WaiterConfig={"Delay": 1})
    assert ecs.create_service(**SERVICE, taskDefinition="web")["service"]["events"] == []


def test_a_cluster_is_described_as_created_and_is_new_after_its_deletion(ecs: Any):
    created = ecs.create_cluster(**CLUSTER)["cluster"]
    assert list(drift(CLUSTER, created)) == []
    (shown,) = ecs.describe_clusters(clusters=["full"], include=CLUSTER_INCLUDES)["clusters"]
    assert list(drift(CLUSTER, shown)) == []
    ecs.delete_cluster(cluster="full")
    ecs.create_cluster(clusterName="full")
    (shown,) = ecs.describe_clusters(clusters=["full"], include=CLUSTER_INCLUDES)["clusters"]
    assert shown["tags"] == []
    assert "configuration" not in shown


@pytest.mark.parametrize("page", [1, 4])
def test_pages_name_each_cluster_once_though_others_come_and_go(ecs: Any, page: int):
    for number in range(12):
        ecs.create_cluster(clusterName=f"p{number:02}")
    first = ecs.list_clusters(maxResults=page)
    ecs.delete_cluster(cluster="p00")
    ecs.delete_cluster(cluster="p07")
    ecs.create_cluster(clusterName="p05a")
    arns, token = first["clusterArns"], first["nextToken"]
    while token is not None:
        answer = ecs.list_clusters(maxResults=page, nextToken=token)
        assert len(answer["clusterArns"]) <= page
        arns += answer["clusterArns"]
        token = answer.get("nextToken")
    names = [arn.rpartition("/")[2] for arn in arns]
    assert names == sorted({f"p{number:02}" for number in range(12)} - {"p07"} | {"p05a"})


def test_another_regions_and_another_accounts_resources_are_not_there(
    ecs: Any, homeport_server: str
):
    import boto3

    arn = ecs.create_cluster(clusterName="mine")["cluster"]["clusterArn"]
    for region, account in (("eu-west-1", "test"), ("us-east-1", "111122223333")):
        other = boto3.client(
            "ecs",
            endpoint_url=homeport_server,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="any",
        )
        assert other.list_clusters()["clusterArns"] == []
        assert other.describe_clusters(clusters=[arn])["failures"] == [
            {"arn": arn, "reason": "MISSING"}
        ]
