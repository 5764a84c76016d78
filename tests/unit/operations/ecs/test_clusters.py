"""Cluster operations."""

import pytest

from builders import (
    NOW_MS,
    SCOPE,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
)
from calls import call, decide
from homeport.api import ecs
from homeport.model.arn import Scope
from homeport.model.record import ResourceTags, Tag

ARN = "arn:aws:ecs:us-east-1:123456789012:cluster"
LOG = {"cloudWatchLogGroupName": "exec"}
COMMAND = {"executeCommandConfiguration": {"logging": "NONE"}}


def names(reply):
    return [arn.rsplit("/", 1)[1] for arn in reply["clusterArns"]]


def test_a_cluster_is_created_active_and_empty():
    store = make_store()
    cluster = call(store, "CreateCluster", clusterName="blue")["cluster"]
    assert cluster == {
        "clusterArn": f"{ARN}/blue",
        "clusterName": "blue",
        "status": "ACTIVE",
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": 0,
        "pendingTasksCount": 0,
        "activeServicesCount": 0,
        "statistics": [],
        "tags": [],
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
    }


def test_a_cluster_without_a_name_is_the_default_one():
    assert call(make_store(), "CreateCluster")["cluster"]["clusterName"] == "default"


def test_creating_an_active_cluster_again_answers_it_and_changes_nothing():
    store = make_store()
    call(store, "CreateCluster", clusterName="blue", tags=[{"key": "a", "value": "1"}])
    decision = decide(store, "CreateCluster", clusterName="blue", tags=[{"key": "b"}])
    assert decision.changes == ()
    assert decision.reply.cluster.tags == [ecs.Tag(key="a", value="1")]


def test_settings_configuration_and_tags_are_described_as_given():
    store = make_store()
    configuration = {
        "executeCommandConfiguration": {"logging": "OVERRIDE", "logConfiguration": LOG},
        "managedStorageConfiguration": {"kmsKeyId": "key"},
    }
    created = call(
        store,
        "CreateCluster",
        clusterName="blue",
        settings=[{"name": "containerInsights", "value": "enhanced"}],
        configuration=configuration,
        tags=[{"key": "team", "value": "x"}],
    )["cluster"]
    include = ["SETTINGS", "CONFIGURATIONS", "TAGS"]
    (described,) = call(store, "DescribeClusters", clusters=["blue"], include=include)["clusters"]
    assert described == created
    assert described["configuration"] == configuration
    assert described["settings"] == [{"name": "containerInsights", "value": "enhanced"}]
    assert described["tags"] == [{"key": "team", "value": "x"}]


def test_without_include_settings_tags_and_statistics_stay_empty():
    store = make_store()
    call(store, "CreateCluster", clusterName="blue", tags=[{"key": "team", "value": "x"}])
    (described,) = call(store, "DescribeClusters", clusters=["blue"])["clusters"]
    assert described["settings"] == described["tags"] == described["statistics"] == []
    assert "configuration" not in described
    assert "attachments" not in described


def test_the_accounts_container_insights_setting_is_the_default_of_a_new_cluster():
    store = make_store()
    call(store, "PutAccountSettingDefault", name="containerInsights", value="enabled")
    created = call(store, "CreateCluster")["cluster"]
    assert created["settings"] == [{"name": "containerInsights", "value": "enabled"}]


def test_describing_nothing_describes_the_default_cluster():
    store = make_store(make_cluster())
    assert [c["clusterName"] for c in call(store, "DescribeClusters")["clusters"]] == ["default"]


def test_unknown_clusters_come_back_as_failures_with_their_full_arn():
    store = make_store(make_cluster("blue"))
    foreign = f"{ARN.replace('us-east-1', 'us-west-2')}/blue"
    reply = call(store, "DescribeClusters", clusters=["blue", "red", foreign, f"{ARN}/blue"])
    assert [c["clusterName"] for c in reply["clusters"]] == ["blue"]
    assert reply["failures"] == [
        {"arn": f"{ARN}/red", "reason": "MISSING"},
        {"arn": foreign, "reason": "MISSING"},
    ]


def test_more_than_a_hundred_clusters_cannot_be_described_at_once():
    with pytest.raises(ecs.InvalidParameterException, match="at most 100"):
        decide(make_store(), "DescribeClusters", clusters=[f"c{n}" for n in range(101)])


def test_counts_and_statistics_tell_tasks_services_and_instances_apart_by_launch_type():
    instance = make_container_instance()
    store = make_store(
        make_cluster(),
        instance,
        make_container_instance("gone", status="INACTIVE"),
        make_container_instance("leaving", status="DRAINING"),
        make_task("a", instance=instance, last_status="RUNNING"),
        make_task("b", instance=instance, last_status="RUNNING", launch_type="EXTERNAL"),
        make_task("c", instance=instance),
        make_task("d", instance=instance, last_status="STOPPED"),
        make_service("web"),
        make_service("old", status="DRAINING"),
    )
    (cluster,) = call(store, "DescribeClusters", include=["STATISTICS"])["clusters"]
    assert cluster["registeredContainerInstancesCount"] == 2
    assert (cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (2, 1)
    assert cluster["activeServicesCount"] == 1
    statistics = {pair["name"]: pair["value"] for pair in cluster["statistics"]}
    assert {name: value for name, value in statistics.items() if value != "0"} == {
        "runningEC2TasksCount": "1",
        "pendingEC2TasksCount": "1",
        "runningExternalTasksCount": "1",
        "activeEC2ServiceCount": "1",
        "drainingEC2ServiceCount": "1",
    }
    assert statistics["runningFargateTasksCount"] == "0"


def test_lists_page_by_name_inside_one_account_and_region_without_inactive_clusters():
    clusters = [make_cluster(name) for name in ("c", "a", "b")]
    store = make_store(*clusters, make_cluster("gone", status="INACTIVE"))
    call(store, "CreateCluster", clusterName="elsewhere", scope=Scope("1" * 12, "eu-west-1"))
    first = call(store, "ListClusters", maxResults=2)
    assert names(first) == ["a", "b"]
    last = call(store, "ListClusters", maxResults=2, nextToken=first["nextToken"])
    assert names(last) == ["c"]
    assert "nextToken" not in last


def test_an_update_changes_what_is_given_and_keeps_the_rest():
    store = make_store()
    configuration = {"executeCommandConfiguration": {"logging": "NONE"}}
    call(store, "CreateCluster", clusterName="blue", configuration=configuration)
    settings = [{"name": "containerInsights", "value": "enabled"}]
    updated = call(store, "UpdateCluster", cluster="blue", settings=settings)["cluster"]
    assert (updated["settings"], updated["configuration"]) == (settings, configuration)
    settings = [{"name": "containerInsights", "value": "disabled"}]
    updated = call(store, "UpdateClusterSettings", cluster="blue", settings=settings)["cluster"]
    assert (updated["settings"], updated["configuration"]) == (settings, configuration)


def test_an_update_that_changes_nothing_writes_nothing():
    store = make_store()
    call(store, "CreateCluster", clusterName="blue")
    settings = [{"name": "containerInsights", "value": "disabled"}]
    for operation in ("UpdateCluster", "UpdateClusterSettings"):
        assert decide(store, operation, cluster="blue", settings=settings).changes == ()


@pytest.mark.parametrize(
    ("inhabitant", "error", "words"),
    [
        (
            make_container_instance(),
            ecs.ClusterContainsContainerInstancesException,
            "Container Instances are active or draining.",
        ),
        (make_service(), ecs.ClusterContainsServicesException, "Services are active."),
        (make_task(), ecs.ClusterContainsTasksException, "Tasks are active."),
    ],
)
def test_a_cluster_in_use_cannot_be_deleted(inhabitant, error, words):
    store = make_store(make_cluster(), inhabitant)
    with pytest.raises(error) as refusal:
        decide(store, "DeleteCluster", cluster="default")
    assert refusal.value.message == f"The Cluster cannot be deleted while {words}"


def test_a_deleted_cluster_is_inactive_untagged_and_its_name_is_free_again():
    store = make_store(make_cluster("blue"), ResourceTags(arn=f"{ARN}/blue", tags=(Tag("a"),)))
    assert call(store, "DeleteCluster", cluster=f"{ARN}/blue")["cluster"]["status"] == "INACTIVE"
    assert names(call(store, "ListClusters")) == []
    (described,) = call(store, "DescribeClusters", clusters=["blue"])["clusters"]
    assert described["status"] == "INACTIVE"
    with pytest.raises(ecs.ClusterNotFoundException):
        decide(store, "DeleteCluster", cluster="blue")
    again = call(store, "CreateCluster", clusterName="blue", now_ms=NOW_MS + 1)["cluster"]
    assert (again["status"], again["tags"]) == ("ACTIVE", [])
    assert names(call(store, "ListClusters")) == ["blue"]
    assert store.clusters.get(f"{ARN}/blue").deleted_at_ms is None


def test_the_namespace_of_service_connect_is_kept_changed_and_taken_away():
    store = make_store()
    arn = "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-{}"
    first, second = ({"namespace": arn.format(end)} for end in ("a1", "b2"))
    created = call(store, "CreateCluster", clusterName="blue", serviceConnectDefaults=first)
    assert created["cluster"]["serviceConnectDefaults"] == first
    call(store, "UpdateCluster", cluster="blue", configuration=COMMAND)
    (shown,) = call(store, "DescribeClusters", clusters=["blue"])["clusters"]
    assert shown["serviceConnectDefaults"] == first
    call(store, "UpdateCluster", cluster="blue", serviceConnectDefaults=second)
    (shown,) = call(store, "DescribeClusters", clusters=["blue"], include=["CONFIGURATIONS"])[
        "clusters"
    ]
    assert (shown["serviceConnectDefaults"], shown["configuration"]) == (second, COMMAND)
    gone = call(store, "UpdateCluster", cluster="blue", serviceConnectDefaults={"namespace": ""})
    assert "serviceConnectDefaults" not in gone["cluster"]


@pytest.mark.parametrize(
    ("operation", "members", "error"),
    [
        ("CreateCluster", {"clusterName": "a b"}, ecs.InvalidParameterException),
        ("CreateCluster", {"clusterName": ""}, ecs.InvalidParameterException),
        ("CreateCluster", {"clusterName": "x" * 256}, ecs.InvalidParameterException),
        ("CreateCluster", {"capacityProviders": ["nobody"]}, ecs.InvalidParameterException),
        ("CreateCluster", {"serviceConnectDefaults": {"namespace": "n"}}, ecs.ClientException),
        (
            "CreateCluster",
            {"serviceConnectDefaults": {"namespace": "arn:aws:ecs:us-east-1:1:cluster/n"}},
            ecs.InvalidParameterException,
        ),
        (
            "CreateCluster",
            {"defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
            ecs.InvalidParameterException,
        ),
        (
            "CreateCluster",
            {"settings": [{"name": "containerInsights", "value": "loud"}]},
            ecs.InvalidParameterException,
        ),
        (
            "CreateCluster",
            {"configuration": {"executeCommandConfiguration": {"logging": "OVERRIDE"}}},
            ecs.InvalidParameterException,
        ),
        (
            "CreateCluster",
            {
                "configuration": {
                    "executeCommandConfiguration": {"logging": "NONE", "logConfiguration": LOG}
                }
            },
            ecs.InvalidParameterException,
        ),
        ("UpdateCluster", {"cluster": "red"}, ecs.ClusterNotFoundException),
        (
            "UpdateClusterSettings",
            {"cluster": "default", "settings": []},
            ecs.InvalidParameterException,
        ),
        ("DeleteCluster", {"cluster": ""}, ecs.InvalidParameterException),
        ("ListClusters", {"maxResults": 101}, ecs.InvalidParameterException),
        ("ListClusters", {"nextToken": "?"}, ecs.InvalidParameterException),
    ],
)
def test_unsound_calls_are_refused(operation, members, error):
    with pytest.raises(error):
        decide(make_store(make_cluster()), operation, **members)


def test_a_cluster_belongs_to_the_scope_that_made_it():
    store = make_store(make_cluster("blue"))
    other = Scope(SCOPE.account_id, "eu-west-1")
    reply = call(store, "DescribeClusters", clusters=["blue"], scope=other)
    assert reply["clusters"] == []
    assert reply["failures"][0]["arn"] == f"{ARN.replace('us-east-1', 'eu-west-1')}/blue"
