"""Capacity providers as clients see them: made, described, changed, deleted, given to clusters."""

from typing import Any

import pytest

from builders import make_cluster, make_container_instance, make_service, make_store, make_task
from calls import call
from homeport.api import ecs
from homeport.model.capacity_provider import StrategyItem
from homeport.state.store import Store

GROUP = (
    "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:"
    "a1b2c3d4-0000-0000-0000-000000000000:autoScalingGroupName/{}"
)


def create(store: Store, name: str = "big", **group: Any) -> dict[str, Any]:
    members = {"autoScalingGroupArn": GROUP.format(name), **group}
    reply = call(store, "CreateCapacityProvider", name=name, autoScalingGroupProvider=members)
    provider: dict[str, Any] = reply["capacityProvider"]
    return provider


def describe(store: Store, *names: str, **members: Any) -> dict[str, Any]:
    return call(store, "DescribeCapacityProviders", capacityProviders=list(names), **members)


def associate(store: Store, names: list[str], strategy: list[dict[str, Any]]) -> dict[str, Any]:
    reply = call(
        store,
        "PutClusterCapacityProviders",
        cluster="default",
        capacityProviders=names,
        defaultCapacityProviderStrategy=strategy,
    )
    cluster: dict[str, Any] = reply["cluster"]
    return cluster


def test_a_provider_is_described_with_the_defaults_of_managed_scaling() -> None:
    store = make_store()
    provider = create(store, managedScaling={"status": "ENABLED", "targetCapacity": 80})
    assert provider["capacityProviderArn"].endswith(":123456789012:capacity-provider/big")
    assert (provider["status"], provider["updateStatus"]) == ("ACTIVE", "CREATE_COMPLETE")
    assert provider["autoScalingGroupProvider"] == {
        "autoScalingGroupArn": GROUP.format("big"),
        "managedScaling": {
            "status": "ENABLED",
            "targetCapacity": 80,
            "minimumScalingStepSize": 1,
            "maximumScalingStepSize": 10_000,
            "instanceWarmupPeriod": 300,
        },
        "managedTerminationProtection": "DISABLED",
        "managedDraining": "ENABLED",
    }
    assert describe(store, "big")["capacityProviders"] == [provider]
    by_arn = describe(store, provider["capacityProviderArn"])
    assert by_arn["capacityProviders"] == [provider]


def test_fargate_and_fargate_spot_are_always_there() -> None:
    found = call(make_store(), "DescribeCapacityProviders")["capacityProviders"]
    assert [(p["name"], p["type"], p["status"]) for p in found] == [
        ("FARGATE", "FARGATE", "ACTIVE"),
        ("FARGATE_SPOT", "FARGATE_SPOT", "ACTIVE"),
    ]


def test_unknown_providers_are_missing() -> None:
    assert describe(make_store(), "nobody")["failures"] == [
        {
            "arn": "arn:aws:ecs:us-east-1:123456789012:capacity-provider/nobody",
            "reason": "MISSING",
        }
    ]


def test_all_providers_come_in_pages() -> None:
    store = make_store()
    for name in "abc":
        create(store, name)
    names, token = [], None
    for _ in range(5):
        more = {} if token is None else {"nextToken": token}
        page = call(store, "DescribeCapacityProviders", maxResults=1, **more)
        names += [p["name"] for p in page["capacityProviders"]]
        token = page.get("nextToken")
    assert names == ["FARGATE", "FARGATE_SPOT", "a", "b", "c"]
    assert token is None


def test_an_update_changes_what_it_names_and_leaves_the_rest() -> None:
    store = make_store()
    create(store, managedScaling={"status": "ENABLED", "targetCapacity": 80})
    reply = call(
        store,
        "UpdateCapacityProvider",
        name="big",
        autoScalingGroupProvider={"managedScaling": {"instanceWarmupPeriod": 10}},
    )
    provider = reply["capacityProvider"]
    assert provider["updateStatus"] == "UPDATE_COMPLETE"
    scaling = provider["autoScalingGroupProvider"]["managedScaling"]
    assert scaling["targetCapacity"] == 80
    assert scaling["instanceWarmupPeriod"] == 10


def test_a_deleted_provider_is_gone_with_its_tags() -> None:
    store = make_store()
    group = {"autoScalingGroupArn": GROUP.format("big")}
    tags = [{"key": "team", "value": "a"}]
    call(store, "CreateCapacityProvider", name="big", autoScalingGroupProvider=group, tags=tags)
    assert describe(store, "big", include=["TAGS"])["capacityProviders"][0]["tags"] == tags
    reply = call(store, "DeleteCapacityProvider", capacityProvider="big")
    assert reply["capacityProvider"]["status"] == "INACTIVE"
    assert reply["capacityProvider"]["updateStatus"] == "DELETE_COMPLETE"
    assert describe(store, "big")["capacityProviders"] == []
    assert list(store.tags) == []


def test_a_provider_of_a_cluster_is_not_deleted() -> None:
    store = make_store(make_cluster())
    create(store)
    associate(store, ["big"], [])
    with pytest.raises(ecs.InvalidParameterException, match="associated with cluster: default"):
        call(store, "DeleteCapacityProvider", capacityProvider="big")


@pytest.mark.parametrize(
    ("name", "group", "message"),
    [
        ("", {}, "cannot be empty"),
        ("fargate-like", {}, "reserved"),
        ("AWS1", {}, "reserved"),
        ("a b", {}, "is invalid"),
        ("x", {"autoScalingGroupArn": "arn:aws:ecs:us-east-1:1:cluster/x"}, "Auto Scaling group"),
        ("x", {"managedScaling": {"targetCapacity": 101}}, "between 1 and 100"),
        ("x", {"managedScaling": {"status": "on"}}, "ENABLED,DISABLED"),
        ("x", {"managedTerminationProtection": "ENABLED"}, "enable managed scaling"),
        ("taken", {}, "already exists"),
        ("other", {"autoScalingGroupArn": GROUP.format("taken")}, "already being used"),
    ],
)
def test_bad_providers_are_refused(name: str, group: dict[str, Any], message: str) -> None:
    store = make_store()
    create(store, "taken")
    with pytest.raises(ecs.InvalidParameterException, match=message):
        create(store, name, **group)


def test_fargate_is_neither_changed_nor_deleted() -> None:
    with pytest.raises(ecs.InvalidParameterException, match="reserved"):
        call(make_store(), "DeleteCapacityProvider", capacityProvider="FARGATE")


def test_a_cluster_gets_providers_and_a_default_strategy() -> None:
    store = make_store(make_cluster())
    create(store)
    strategy = [{"capacityProvider": "big", "weight": 1, "base": 2}]
    cluster = associate(store, ["big", "FARGATE"], strategy)
    assert cluster["capacityProviders"] == ["big", "FARGATE"]
    assert cluster["defaultCapacityProviderStrategy"] == strategy
    assert associate(store, [], [])["capacityProviders"] == []


def test_a_cluster_is_created_with_providers_and_a_default_strategy() -> None:
    cluster = call(
        make_store(),
        "CreateCluster",
        clusterName="new",
        capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
    )["cluster"]
    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert cluster["defaultCapacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE", "weight": 1, "base": 0}
    ]


def item(name: str, weight: int = 1, base: int = 0) -> dict[str, Any]:
    return {"capacityProvider": name, "weight": weight, "base": base}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ([item("nobody")], "was not found"),
        ([item("spare")], "not associated"),
        ([item("FARGATE", 0)], "weight greater than 0"),
        ([item("FARGATE", 1_001)], "between 0 and 1000"),
        ([item("FARGATE", 1, 100_001)], "between 0 and 100000"),
        ([item("FARGATE", 1, 1), item("FARGATE_SPOT", 1, 1)], "Only one capacity provider"),
        ([item("FARGATE"), item("FARGATE")], "only once"),
        ([item("FARGATE"), item("big")], "mix of capacity providers"),
        ([item("FARGATE")] * 21, "at most 20 items"),
    ],
)
def test_bad_strategies_are_refused(strategy: list[dict[str, Any]], message: str) -> None:
    store = make_store(make_cluster())
    create(store)
    create(store, "spare")
    with pytest.raises(ecs.InvalidParameterException, match=message):
        associate(store, ["FARGATE", "FARGATE_SPOT", "big"], strategy)


def test_a_provider_that_services_or_tasks_use_is_not_dropped() -> None:
    instance = make_container_instance()
    task = make_task(instance=instance, capacity_provider="FARGATE")
    service = make_service(capacity_provider_strategy=(StrategyItem("FARGATE_SPOT", 1),))
    store = make_store(make_cluster(), instance, task, service)
    associate(store, ["FARGATE", "FARGATE_SPOT"], [])
    for kept in ("FARGATE", "FARGATE_SPOT"):
        with pytest.raises(ecs.ResourceInUseException, match="is in use"):
            associate(store, [kept], [])


def test_a_provider_is_tagged_like_other_resources() -> None:
    store = make_store()
    arn = create(store)["capacityProviderArn"]
    call(store, "TagResource", resourceArn=arn, tags=[{"key": "a", "value": "b"}])
    listed = call(store, "ListTagsForResource", resourceArn=arn)
    assert listed["tags"] == [{"key": "a", "value": "b"}]
