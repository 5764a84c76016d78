"""Clusters, task definitions, tags and settings through boto3, against a real server."""

from typing import Any

import pytest

pytestmark = pytest.mark.slow

APP = {
    "name": "app",
    "image": "busybox",
    "memory": 64,
    "portMappings": [{"containerPort": 80, "protocol": "tcp", "name": "http"}],
    "healthCheck": {"command": ["CMD-SHELL", "exit 0"], "retries": 5},
    "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}},
}


def test_a_cluster_lives_from_creation_to_deletion(ecs: Any) -> None:
    created = ecs.create_cluster(clusterName="blue", tags=[{"key": "team", "value": "x"}])
    arn = created["cluster"]["clusterArn"]
    assert ecs.list_clusters()["clusterArns"] == [arn]
    settings = [{"name": "containerInsights", "value": "enabled"}]
    ecs.update_cluster_settings(cluster=arn, settings=settings)
    described = ecs.describe_clusters(clusters=["blue", "red"], include=["SETTINGS", "TAGS"])
    assert described["clusters"][0]["settings"] == settings
    assert described["clusters"][0]["tags"] == [{"key": "team", "value": "x"}]
    assert [failure["reason"] for failure in described["failures"]] == ["MISSING"]
    assert ecs.delete_cluster(cluster="blue")["cluster"]["status"] == "INACTIVE"
    with pytest.raises(ecs.exceptions.ClusterNotFoundException):
        ecs.delete_cluster(cluster="blue")


def test_a_task_definition_lives_from_registration_to_deletion(ecs: Any) -> None:
    for _ in range(3):
        registered = ecs.register_task_definition(family="web", containerDefinitions=[APP])
    definition = registered["taskDefinition"]
    assert definition["revision"] == 3
    described = ecs.describe_task_definition(taskDefinition="web")["taskDefinition"]
    assert described == definition
    pages = ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix="web", sort="DESC", PaginationConfig={"PageSize": 2}
    )
    arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
    assert [int(arn.rsplit(":", 1)[1]) for arn in arns] == [3, 2, 1]
    for arn in arns:
        ecs.deregister_task_definition(taskDefinition=arn)
    deleted = ecs.delete_task_definitions(taskDefinitions=arns)
    assert [d["status"] for d in deleted["taskDefinitions"]] == ["DELETE_IN_PROGRESS"] * 3
    assert deleted["failures"] == []
    with pytest.raises(ecs.exceptions.ClientException, match="Unable to describe"):
        ecs.describe_task_definition(taskDefinition="web:3")
    again = ecs.register_task_definition(family="web", containerDefinitions=[APP])
    assert again["taskDefinition"]["revision"] == 4


def test_what_was_described_can_be_registered_again_without_a_difference(ecs: Any) -> None:
    """The way deploy scripts work: describe, drop the service's own members, register."""
    first = ecs.register_task_definition(
        family="web", networkMode="bridge", cpu="256", memory="512", containerDefinitions=[APP]
    )["taskDefinition"]
    own = {"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"}
    own |= {"registeredAt", "registeredBy"}
    again = ecs.register_task_definition(**{k: v for k, v in first.items() if k not in own})
    second = again["taskDefinition"]
    changing = {"taskDefinitionArn", "revision", "registeredAt"}
    assert {k: v for k, v in second.items() if k not in changing} == {
        k: v for k, v in first.items() if k not in changing
    }


def test_tags_and_settings_are_kept(ecs: Any) -> None:
    arn = ecs.create_cluster()["cluster"]["clusterArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    ecs.put_account_setting_default(name="containerInsights", value="enhanced")
    paginator = ecs.get_paginator("list_account_settings")
    pages = list(paginator.paginate(effectiveSettings=True))
    values = {s["name"]: s["value"] for page in pages for s in page["settings"]}
    assert values["containerInsights"] == "enhanced"
    assert len(values) > len(pages[0]["settings"])
