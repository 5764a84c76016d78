"""Describe, list and drain container instances."""

import pytest

from builders import (
    NOW_MS,
    hex_id,
    make_cluster,
    make_container_instance,
    make_task,
    make_task_definition,
)
from desk import Desk
from homeport.api import ecs
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER
from homeport.model.record import ResourceTags, Tag
from homeport.operations.ecs.container_instances import (
    describe_container_instances,
    list_container_instances,
    update_container_agent,
    update_container_instances_state,
)

CLUSTER, OTHER = make_cluster(), make_cluster("other")


def describe(desk, *instances, **members):
    members = {"container_instances": list(instances), **members}
    return desk.ask(describe_container_instances, ecs.DescribeContainerInstancesRequest(**members))


def listed(desk, **members):
    answer = desk.ask(list_container_instances, ecs.ListContainerInstancesRequest(**members))
    return answer["containerInstanceArns"]


def update(desk, status, *instances):
    request = ecs.UpdateContainerInstancesStateRequest(
        container_instances=list(instances), status=status
    )
    return desk.ask(update_container_instances_state, request)


def amounts(resources):
    return {r["name"]: r.get("stringSetValue", r["integerValue"]) for r in resources}


def test_instances_are_described_by_id_or_arn_and_each_once():
    one, two = make_container_instance("one"), make_container_instance("two")
    answer = describe(Desk(CLUSTER, one, two), two.arn, hex_id("one"), one.arn)
    arns = [instance["containerInstanceArn"] for instance in answer["containerInstances"]]
    assert arns == [two.arn, one.arn]
    assert answer["failures"] == []


def test_an_instance_shows_whose_capacity_it_is():
    own = make_container_instance("own", attributes={ATTRIBUTE_CAPACITY_PROVIDER: "spot"})
    nobodys = make_container_instance("nobody's")
    desk = Desk(CLUSTER, own, nobodys)
    found = describe(desk, own.arn, nobodys.arn)["containerInstances"]
    assert found[0]["capacityProviderName"] == "spot"
    assert "capacityProviderName" not in found[1]


def test_unknown_instances_and_those_of_other_clusters_are_missing():
    foreign = make_container_instance(cluster="other")
    answer = describe(Desk(CLUSTER, OTHER, foreign), foreign.arn, hex_id("nobody"))
    assert answer["containerInstances"] == []
    arn = f"arn:aws:ecs:us-east-1:123456789012:container-instance/default/{hex_id('nobody')}"
    assert answer["failures"] == [
        {"arn": foreign.arn, "reason": "MISSING"},
        {"arn": arn, "reason": "MISSING"},
    ]


def test_remaining_resources_are_what_the_tasks_leave_and_ports_are_the_used_ones():
    instance = make_container_instance(cpu_units=1_000, memory_mib=1_000)
    web = make_task_definition("web", cpu_units=100, memory_mib=200, host_ports=(80, 8_080))
    running = make_task("r", definition=web, instance=instance, last_status="RUNNING")
    api = make_task_definition("api", cpu_units=50, memory_mib=50)
    pending = make_task("p", definition=api, instance=instance)
    gone = make_task("g", definition=api, instance=instance, last_status="STOPPED")
    desk = Desk(CLUSTER, web, api, instance, running, pending, gone)
    (described,) = describe(desk, instance.arn)["containerInstances"]
    assert amounts(described["remainingResources"]) == {
        "CPU": 850,
        "MEMORY": 750,
        "PORTS": ["22", "80", "8080"],
        "PORTS_UDP": [],
    }
    assert amounts(described["registeredResources"]) == {
        "CPU": 1_000,
        "MEMORY": 1_000,
        "PORTS": ["22"],
        "PORTS_UDP": [],
    }
    assert (described["runningTasksCount"], described["pendingTasksCount"]) == (1, 1)


def test_tags_and_health_are_shown_when_they_are_asked_for():
    instance = make_container_instance(
        runtime_status="IMPAIRED",
        runtime_status_changed_at_ms=NOW_MS,
        runtime_status_reported_at_ms=NOW_MS,
    )
    desk = Desk(CLUSTER, instance, ResourceTags(arn=instance.arn, tags=(Tag("a", "b"),)))
    (plain,) = describe(desk, instance.arn)["containerInstances"]
    assert plain["tags"] == []
    assert "healthStatus" not in plain
    include = ["TAGS", "CONTAINER_INSTANCE_HEALTH"]
    (full,) = describe(desk, instance.arn, include=include)["containerInstances"]
    assert full["tags"] == [{"key": "a", "value": "b"}]
    assert full["healthStatus"]["overallStatus"] == "IMPAIRED"
    assert full["healthStatus"]["details"][0]["type"] == "CONTAINER_RUNTIME"


def test_health_that_was_never_reported_is_insufficient_data():
    instance = make_container_instance()
    answer = describe(Desk(CLUSTER, instance), instance.arn, include=["CONTAINER_INSTANCE_HEALTH"])
    health = answer["containerInstances"][0]["healthStatus"]
    assert health == {"overallStatus": "INSUFFICIENT_DATA", "details": []}


@pytest.mark.parametrize(
    ("members", "overall", "agent"),
    [
        ({"connected_at_ms": 5_000}, "OK", {"status": "OK", "lastUpdated": 5.0}),
        (
            {"agent_connected": False, "disconnected_at_ms": 9_000, "connected_at_ms": 5_000},
            "IMPAIRED",
            {"status": "IMPAIRED", "lastUpdated": 9.0},
        ),
    ],
)
def test_an_instance_is_as_healthy_as_its_agent_is_connected(members, overall, agent):
    instance = make_container_instance(
        runtime_status="OK", runtime_status_changed_at_ms=NOW_MS, **members
    )
    answer = describe(Desk(CLUSTER, instance), instance.arn, include=["CONTAINER_INSTANCE_HEALTH"])
    health = answer["containerInstances"][0]["healthStatus"]
    assert health["overallStatus"] == overall
    runtime, connectivity = health["details"]
    assert runtime["type"] == "CONTAINER_RUNTIME"
    assert connectivity == {
        "type": "AGENT_CONNECTIVITY",
        "lastStatusChange": agent["lastUpdated"],
        **agent,
    }


@pytest.mark.parametrize(
    ("error", "instances"),
    [(ecs.ClientException, []), (ecs.InvalidParameterException, ["x"] * 101)],
)
def test_lists_that_are_empty_or_too_long_are_refused(error, instances):
    with pytest.raises(error):
        describe(Desk(CLUSTER), *instances)


def test_all_but_inactive_instances_are_listed_by_default():
    active = make_container_instance("a")
    draining = make_container_instance("d", status="DRAINING")
    gone = make_container_instance("g", status="INACTIVE", deregistered_at_ms=NOW_MS)
    desk = Desk(CLUSTER, OTHER, active, draining, gone)
    assert listed(desk) == sorted((active.arn, draining.arn))
    assert listed(desk, status="DRAINING") == [draining.arn]
    assert listed(desk, status="REGISTERING") == []
    assert listed(desk, cluster="other") == []


def test_a_filter_is_an_expression_of_the_query_language():
    east, west = make_container_instance("e", zone="a"), make_container_instance("w", zone="b")
    busy = make_task(instance=west, last_status="RUNNING")
    desk = Desk(CLUSTER, make_task_definition(), east, west, busy)
    assert listed(desk, filter="attribute:ecs.availability-zone == a") == [east.arn]
    assert listed(desk, filter="runningTasksCount >= 1") == [west.arn]
    assert listed(desk, filter="task:group == family:web") == [west.arn]


def test_a_bad_filter_is_refused_with_its_position():
    with pytest.raises(ecs.InvalidParameterException, match=r"Invalid expression: .*character"):
        listed(Desk(CLUSTER), filter="attribute:a ==")


def test_pages_cover_every_instance_once():
    instances = [make_container_instance(number) for number in range(5)]
    desk = Desk(CLUSTER, *instances)
    found, token = [], None
    for _ in range(3):
        request = ecs.ListContainerInstancesRequest(max_results=2, next_token=token)
        page = desk.ask(list_container_instances, request)
        found += page["containerInstanceArns"]
        token = page.get("nextToken")
    assert token is None
    assert found == sorted(instance.arn for instance in instances)


def test_instances_are_drained_and_made_active_again():
    instance = make_container_instance()
    desk = Desk(CLUSTER, instance)
    (drained,) = update(desk, "DRAINING", hex_id("one"))["containerInstances"]
    assert (drained["status"], drained["version"]) == ("DRAINING", 2)
    (active,) = update(desk, "ACTIVE", instance.arn)["containerInstances"]
    assert (active["status"], active["version"]) == ("ACTIVE", 3)


def test_a_status_that_an_instance_has_already_changes_nothing():
    instance = make_container_instance()
    desk = Desk(CLUSTER, instance)
    assert update(desk, "ACTIVE", instance.arn)["containerInstances"][0]["version"] == 1


def test_unknown_and_inactive_instances_are_failures():
    gone = make_container_instance("g", status="INACTIVE", deregistered_at_ms=NOW_MS)
    answer = update(Desk(CLUSTER, gone), "DRAINING", gone.arn, hex_id("nobody"))
    reasons = {failure["arn"].split("/")[-1]: failure["reason"] for failure in answer["failures"]}
    assert reasons == {hex_id("g"): "INACTIVE", hex_id("nobody"): "MISSING"}
    assert answer["containerInstances"] == []


@pytest.mark.parametrize(
    ("status", "count"), [("INACTIVE", 1), (None, 1), ("DRAINING", 0), ("DRAINING", 11)]
)
def test_updates_that_cannot_be_are_refused(status, count):
    with pytest.raises(ecs.InvalidParameterException):
        update(Desk(CLUSTER), status, *(["x"] * count))


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"agent_version": "1.105.1"}, ecs.NoUpdateAvailableException),
        ({"agent_version": None}, ecs.MissingVersionException),
        ({"status": "INACTIVE"}, ecs.InvalidParameterException),
    ],
)
def test_an_agent_is_never_updated_from_here(members, error):
    instance = make_container_instance(**members)
    desk = Desk(CLUSTER, instance)
    request = ecs.UpdateContainerAgentRequest(container_instance=instance.arn)
    with pytest.raises(error):
        desk.ask(update_container_agent, request)
