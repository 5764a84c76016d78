"""Operations on task definitions; what a sound definition is has tests of its own."""

import pytest

from builders import (
    NOW_MS,
    apply,
    at,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    put,
)
from calls import call, decide
from homeport.api import ecs
from homeport.core.lifecycle.expiry import RetentionLimits, expire_records
from homeport.model.arn import Scope
from homeport.model.resources import HostPort, TaskResources
from homeport.state.invariants import find_violations
from homeport.state.view import View

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition"
APP = {"name": "app", "image": "busybox", "memory": 64}
HOUR_MS = 3_600_000


def register(store, family="web", **members):
    members.setdefault("containerDefinitions", [APP])
    return call(store, "RegisterTaskDefinition", family=family, **members)["taskDefinition"]


def list_arns(store, **members):
    reply = call(store, "ListTaskDefinitions", **members)
    return [arn.rsplit("/", 1)[1] for arn in reply["taskDefinitionArns"]]


def test_a_registered_definition_is_described_with_awss_defaults():
    store = make_store()
    registered = register(store)
    assert registered == {
        "taskDefinitionArn": f"{ARN}/web:1",
        "family": "web",
        "revision": 1,
        "status": "ACTIVE",
        "containerDefinitions": [
            {
                **APP,
                "cpu": 0,
                "essential": True,
                "portMappings": [],
                "environment": [],
                "mountPoints": [],
                "volumesFrom": [],
                "systemControls": [],
            }
        ],
        "volumes": [],
        "placementConstraints": [],
        "requiresAttributes": [],
        "compatibilities": ["EXTERNAL", "EC2"],
        "registeredAt": NOW_MS / 1000,
        "registeredBy": "arn:aws:iam::123456789012:root",
    }
    for identifier in ("web", "web:1", f"{ARN}/web:1", f"{ARN}/web"):
        described = call(store, "DescribeTaskDefinition", taskDefinition=identifier)
        assert described == {"taskDefinition": registered, "tags": []}


def test_ports_and_health_checks_get_their_defaults_by_network_mode():
    container = {
        **APP,
        "portMappings": [{"containerPort": 80}, {"containerPortRange": "90-91"}],
        "healthCheck": {"command": ["CMD", "true"]},
    }
    expected = {None: 0, "bridge": 0, "awsvpc": 80}
    for mode, host_port in expected.items():
        members = {} if mode is None else {"networkMode": mode}
        described = register(make_store(), containerDefinitions=[container], **members)
        (found,) = described["containerDefinitions"]
        assert found["portMappings"] == [
            {"containerPort": 80, "hostPort": host_port, "protocol": "tcp"},
            {"containerPortRange": "90-91", "protocol": "tcp"},
        ]
        assert found["healthCheck"] == {
            "command": ["CMD", "true"],
            "interval": 30,
            "timeout": 5,
            "retries": 3,
        }
        assert described.get("networkMode") == mode


def test_revisions_count_up_and_are_never_used_again():
    store = make_store()
    assert [register(store)["revision"] for _ in range(2)] == [1, 2]
    for revision in ("web:1", "web:2"):
        call(store, "DeregisterTaskDefinition", taskDefinition=revision)
    call(store, "DeleteTaskDefinitions", taskDefinitions=["web:1", "web:2"])
    assert len(store.task_definitions) == 0
    assert register(store)["revision"] == 3


def test_families_of_other_regions_count_on_their_own():
    store = make_store()
    register(store)
    assert register(store, scope=Scope("123456789012", "eu-west-1"))["revision"] == 1
    assert list_arns(store) == ["web:1"]


def test_a_family_names_its_latest_active_revision():
    store = make_store()
    for _ in range(3):
        register(store)
    call(store, "DeregisterTaskDefinition", taskDefinition="web:3")
    described = call(store, "DescribeTaskDefinition", taskDefinition="web")["taskDefinition"]
    assert described["revision"] == 2


@pytest.mark.parametrize(
    "identifier",
    [
        "unknown",
        "web:2",
        "web:x",
        "web:",
        ":1",
        "",
        "arn:aws:ecs:us-west-2:123456789012:task-definition/web:1",
        "arn:aws:ecs:us-east-1:123456789012:cluster/web",
        "arn:nonsense",
    ],
)
def test_what_is_unknown_cannot_be_described(identifier):
    store = make_store()
    register(store)
    with pytest.raises(ecs.ClientException, match=r"^Unable to describe task definition\.$"):
        decide(store, "DescribeTaskDefinition", taskDefinition=identifier)


def test_tags_are_kept_beside_the_definition_and_shown_when_asked_for():
    store = make_store()
    tags = [{"key": "team", "value": "x"}]
    reply = call(
        store, "RegisterTaskDefinition", family="web", containerDefinitions=[APP], tags=tags
    )
    assert reply["tags"] == tags
    assert "tags" not in reply["taskDefinition"]
    shown = call(store, "DescribeTaskDefinition", taskDefinition="web", include=["TAGS"])
    hidden = call(store, "DescribeTaskDefinition", taskDefinition="web")
    assert (shown["tags"], hidden["tags"]) == (tags, [])


def test_the_record_holds_what_one_task_needs():
    store = make_store()
    containers = [
        {**APP, "cpu": 10, "memory": 128, "memoryReservation": 64},
        {
            **APP,
            "name": "side",
            "cpu": 5,
            "portMappings": [
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
                {"containerPort": 81},
            ],
        },
    ]
    register(store, containerDefinitions=containers)
    ports = (HostPort(8080, "tcp"), HostPort(53, "udp"))
    assert store.task_definitions.get(f"{ARN}/web:1").resources == TaskResources(15, 128, ports)
    register(store, containerDefinitions=containers, cpu="1 vCPU", memory="1 GB")
    record = store.task_definitions.get(f"{ARN}/web:2")
    assert record.resources == TaskResources(1024, 1024, ports)
    assert (record.cpu, record.memory) == ("1024", "1024")


def test_lists_sort_by_family_and_revision_and_page_both_ways():
    store = make_store()
    for family in ("b", "a", "a-2"):
        for _ in range(11 if family == "a" else 1):
            register(store, family)
    expected = [f"a:{n}" for n in range(1, 12)] + ["a-2:1", "b:1"]
    for members, wanted in (
        ({}, expected),
        ({"sort": "DESC"}, expected[::-1]),
        ({"familyPrefix": "a"}, expected[:11]),
        ({"familyPrefix": "a", "sort": "DESC"}, expected[10::-1]),
        ({"familyPrefix": "nothing"}, []),
    ):
        assert list_arns(store, **members) == wanted
        paged, token = [], {}
        while True:
            reply = call(store, "ListTaskDefinitions", maxResults=4, **members, **token)
            paged += [arn.rsplit("/", 1)[1] for arn in reply["taskDefinitionArns"]]
            if "nextToken" not in reply:
                break
            token = {"nextToken": reply["nextToken"]}
        assert paged == wanted


def test_lists_show_one_status():
    store = make_store()
    for _ in range(2):
        register(store)
    call(store, "DeregisterTaskDefinition", taskDefinition="web:1")
    assert list_arns(store) == list_arns(store, status="ACTIVE") == ["web:2"]
    assert list_arns(store, status="INACTIVE") == ["web:1"]


def test_families_are_listed_by_prefix_and_by_whether_a_revision_is_active():
    store = make_store()
    for family in ("app", "apple", "apply", "zoo"):
        register(store, family)
    call(store, "DeregisterTaskDefinition", taskDefinition="apple:1")
    call(store, "DeregisterTaskDefinition", taskDefinition="apply:1")
    call(store, "DeleteTaskDefinitions", taskDefinitions=["apply:1"])

    def families(**members):
        return call(store, "ListTaskDefinitionFamilies", **members)["families"]

    assert families() == families(status="ALL") == ["app", "apple", "zoo"]
    assert families(familyPrefix="app") == ["app", "apple"]
    assert families(familyPrefix="appl", status="ACTIVE") == []
    assert families(status="ACTIVE") == ["app", "zoo"]
    assert families(status="INACTIVE") == ["apple"]
    first = call(store, "ListTaskDefinitionFamilies", familyPrefix="app", maxResults=1)
    rest = families(familyPrefix="app", nextToken=first["nextToken"])
    assert (first["families"], rest) == (["app"], ["apple"])


def test_a_deregistered_revision_is_inactive_and_still_described():
    store = make_store()
    register(store)
    reply = call(store, "DeregisterTaskDefinition", taskDefinition="web:1", now_ms=NOW_MS + 5_000)[
        "taskDefinition"
    ]
    assert reply["status"] == "INACTIVE"
    assert reply["deregisteredAt"] == NOW_MS / 1000 + 5
    described = call(store, "DescribeTaskDefinition", taskDefinition="web:1")["taskDefinition"]
    assert described == reply
    again = decide(store, "DeregisterTaskDefinition", taskDefinition="web:1")
    assert again.changes == ()


@pytest.mark.parametrize(
    ("operation", "identifier", "words"),
    [
        ("DeregisterTaskDefinition", "web", "Missing revision"),
        ("DeregisterTaskDefinition", "web:2", "does not exist"),
        ("DeleteTaskDefinitions", "web", "Missing revision"),
    ],
)
def test_a_revision_must_be_stated_and_exist(operation, identifier, words):
    store = make_store()
    register(store)
    member = "taskDefinition" if operation.startswith("Dereg") else "taskDefinitions"
    value = identifier if member == "taskDefinition" else [identifier]
    with pytest.raises(ecs.ClientException, match=words):
        decide(store, operation, **{member: value})


def test_only_inactive_revisions_are_deleted_the_others_are_failures():
    store = make_store()
    for _ in range(2):
        register(store, tags=[{"key": "a"}])
    call(store, "DeregisterTaskDefinition", taskDefinition="web:1")
    reply = call(store, "DeleteTaskDefinitions", taskDefinitions=["web:1", "web:2", "web:9"])
    (deleted,) = reply["taskDefinitions"]
    assert (deleted["revision"], deleted["status"]) == (1, "DELETE_IN_PROGRESS")
    assert deleted["deleteRequestedAt"] == NOW_MS / 1000
    assert [failure["arn"] for failure in reply["failures"]] == [f"{ARN}/web:2", f"{ARN}/web:9"]
    assert "still in ACTIVE status" in reply["failures"][0]["reason"]
    assert len(store.task_definitions) == len(store.tags) == 1


@pytest.mark.parametrize("count", [0, 11])
def test_one_to_ten_revisions_are_deleted_at_once(count):
    with pytest.raises(ecs.InvalidParameterException, match="1 to 10"):
        decide(
            make_store(), "DeleteTaskDefinitions", taskDefinitions=[f"w:{n}" for n in range(count)]
        )


def test_a_deleted_revision_stays_until_its_last_task_is_forgotten():
    store = make_store(make_cluster(), make_container_instance())
    register(store)
    definition = store.task_definitions.get(f"{ARN}/web:1")
    task = make_task(definition=definition, last_status="STOPPED", stopped_at_ms=NOW_MS)
    put(store, task)
    call(store, "DeregisterTaskDefinition", taskDefinition="web:1")
    call(store, "DeleteTaskDefinitions", taskDefinitions=["web:1"])
    assert list_arns(store, status="DELETE_IN_PROGRESS") == ["web:1"]
    described = call(store, "DescribeTaskDefinition", taskDefinition="web:1")["taskDefinition"]
    assert described["status"] == "DELETE_IN_PROGRESS"
    later = at(NOW_MS + HOUR_MS)
    apply(store, expire_records(View(store), RetentionLimits(), later))
    assert len(store.tasks) == len(store.task_definitions) == 0


def test_a_deleted_revision_stays_while_a_service_refers_to_it():
    store = make_store(make_cluster())
    register(store)
    definition = store.task_definitions.get(f"{ARN}/web:1")
    put(store, make_service(definition=definition))
    call(store, "DeregisterTaskDefinition", taskDefinition="web:1")
    call(store, "DeleteTaskDefinitions", taskDefinitions=["web:1"])
    assert list_arns(store, status="DELETE_IN_PROGRESS") == ["web:1"]
    assert find_violations(store) == []
