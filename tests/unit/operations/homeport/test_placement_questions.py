"""ExplainPlacement and PlanPlacement: which rule refuses, what is short, where tasks would go."""

from typing import Any

import msgspec
import pytest

from builders import (
    NOW_MS,
    SCOPE,
    at,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.api import ecs, homeport
from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    StrategyItem,
)
from homeport.model.cluster import KeptInstance
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.resources import TaskResources
from homeport.model.task import PlacementWish
from homeport.operations.context import CallContext
from homeport.operations.homeport.placement_questions import OPERATIONS
from homeport.state.changes import AnyRecord
from homeport.state.view import View
from homeport.wire.json11 import parse_request, render_reply

DEFINITION = make_task_definition(cpu_units=512, memory_mib=1_024, host_ports=(80,))
SERVICE = make_service(definition=DEFINITION, desired_count=3)
FREE = make_container_instance("free")
SMALL = make_container_instance("small", memory_mib=1_000, zone="us-east-1b")
SLOW = make_container_instance("slow", cpu_units=100, zone="us-east-1c")
AWAY = make_container_instance("away", agent_connected=False)
DRAINING = make_container_instance("draining", status="DRAINING")
TAKEN = make_container_instance("taken")
HOLDER = make_task("holder", definition=DEFINITION, instance=TAKEN)
ALL = (make_cluster(), DEFINITION, SERVICE, FREE, SMALL, SLOW, AWAY, DRAINING, TAKEN, HOLDER)


def ask(operation: str, *records: AnyRecord, **members: Any) -> dict[str, Any]:
    request = parse_request(homeport.OPERATIONS[operation], msgspec.json.encode(members))
    context = CallContext(scope=SCOPE, moment=at(), endpoint="http://127.0.0.1:4566")
    decision = OPERATIONS[operation](View(make_store(*records)), request, context)
    assert not decision.changes
    assert not decision.effects
    reply: dict[str, Any] = msgspec.json.decode(render_reply(decision.reply))
    return reply


def test_why_counts_the_rules_and_says_what_is_short_and_what_would_help():
    found = ask("ExplainPlacement", *ALL, resource="web")
    assert found["fittingInstances"] == 1
    assert [(rule["reason"], rule["count"]) for rule in found["rules"]] == [
        ("RESOURCE:PORTS", 1),
        ("RESOURCE:MEMORY", 1),
        ("RESOURCE:CPU", 1),
        ("AGENT", 1),
        ("STATUS", 1),
    ]
    by_arn = {each["containerInstanceArn"]: each for each in found["instances"]}
    assert by_arn[SMALL.arn]["detail"] == "needs 1024 MiB, 1000 are left"
    assert by_arn[SMALL.arn]["remedy"].startswith("ask for at most 1000 MiB")
    assert by_arn[SLOW.arn]["remainingCpu"] == 100
    assert "which holds port 80/tcp" in by_arn[TAKEN.arn]["remedy"]
    assert by_arn[DRAINING.arn]["detail"] == "is DRAINING, not ACTIVE"
    assert found["summary"].endswith("1 of 6 container instances could take one more")
    assert found["needs"]["hostPorts"] == ["80/tcp"]


def test_why_of_a_task_says_where_it_is_and_judges_another_one_like_it():
    found = ask("ExplainPlacement", *ALL, resource=HOLDER.arn)
    assert found["containerInstanceArn"] == TAKEN.arn
    assert "is PENDING on container instance" in found["summary"]


def test_why_names_missing_attributes_and_unmatched_expressions():
    rules = (PlacementConstraint("memberOf", "attribute:disk == ssd"),)
    needy = make_task_definition(requires_attributes=("gpu",))
    picky = make_service(definition=needy, placement_constraints=rules)
    ssd = make_container_instance("ssd", attributes={"gpu": None, "disk": "hdd"})
    found = ask("ExplainPlacement", make_cluster(), needy, picky, FREE, ssd, resource="web")
    details = {each["containerInstanceArn"]: each["detail"] for each in found["instances"]}
    assert details == {
        FREE.arn: "has no attribute gpu",
        ssd.arn: "doesn't match attribute:disk == ssd",
    }
    assert found["instances"][0]["containerInstanceArn"] == ssd.arn, "it came closest"


def test_why_lists_as_many_instances_as_asked_for_and_counts_all():
    found = ask("ExplainPlacement", *ALL, resource="web", limit=2)
    assert len(found["instances"]) == 2
    assert sum(rule["count"] for rule in found["rules"]) == 5


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"resource": "web", "limit": 0}, "limit must be between 1 and 1000, it is 0."),
        ({"resource": FREE.arn}, "is a container instance: name a service or a task."),
        ({"resource": "nothing"}, "is called nothing."),
        ({}, "resource must be the name"),
    ],
)
def test_why_refuses_what_has_no_answer(members: dict[str, Any], message: str):
    with pytest.raises((ecs.ClientException, ecs.InvalidParameterException), match=message):
        ask("ExplainPlacement", *ALL, **members)


def test_plan_says_where_the_next_tasks_of_a_service_would_go_and_why_not_more():
    found = ask("PlanPlacement", *ALL, service="web", count=2)
    assert found["containerInstanceArns"] == [FREE.arn]
    assert found["instances"] == [
        {
            "containerInstanceArn": FREE.arn,
            "name": None,
            "availabilityZone": "us-east-1a",
            "tasks": 1,
        }
    ]
    assert found["unplaced"] == 1
    assert {rule["reason"] for rule in found["rules"]} >= {"RESOURCE:PORTS", "RESOURCE:MEMORY"}


def test_plan_of_a_task_definition_takes_constraints_and_strategies():
    other = make_task_definition("job")
    found = ask(
        "PlanPlacement",
        *ALL,
        other,
        taskDefinition="job",
        count=4,
        placementConstraints=[{"type": "distinctInstance"}],
        placementStrategy=[{"type": "spread", "field": "instanceId"}],
    )
    assert len(set(found["containerInstanceArns"])) == 3
    assert found["unplaced"] == 1


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"count": 1}, ecs.InvalidParameterException),
        ({"service": "web", "count": 0}, ecs.InvalidParameterException),
        ({"service": "web", "count": 1_001}, ecs.InvalidParameterException),
        ({"service": "gone"}, ecs.ServiceNotFoundException),
        ({"taskDefinition": "gone"}, ecs.ClientException),
        ({"taskDefinition": "web", "launchType": "MOON"}, ecs.InvalidParameterException),
        (
            {
                "taskDefinition": "web",
                "placementConstraints": [{"type": "memberOf", "expression": "x ="}],
            },
            ecs.InvalidParameterException,
        ),
    ],
)
def test_plan_refuses_what_has_no_answer(members: dict[str, Any], error: type[Exception]):
    with pytest.raises(error):
        ask("PlanPlacement", *ALL, **members)


def test_why_of_a_standalone_task_judges_with_what_its_call_asked():
    asked = PlacementWish(
        constraints=(PlacementConstraint("memberOf", "attribute:disk == ssd"),),
        strategies=(PlacementStrategy("binpack", "memory"),),
    )
    task = msgspec.structs.replace(HOLDER, wish=asked)
    records = [record for record in ALL if record is not HOLDER]
    found = ask("ExplainPlacement", *records, task, resource=task.arn)
    assert found["needs"]["constraints"] == ["memberOf attribute:disk == ssd"]
    assert found["fittingInstances"] == 0
    remedies = [rule["remedy"] for rule in found["rules"]]
    assert any("attributes (disk isn't there), or the expression" in each for each in remedies)
    assert "MemberOf placement constraint unsatisfied." in [r["reason"] for r in found["rules"]]


def test_why_of_a_providers_task_counts_its_instances_only():
    task = msgspec.structs.replace(HOLDER, capacity_provider="big")
    records = [record for record in ALL if record is not HOLDER]
    found = ask("ExplainPlacement", *records, task, resource=task.arn)
    expected = "memberOf attribute:homeport.capacity-provider == big"
    assert found["needs"]["constraints"] == [expected]


BIG = make_container_instance("big", attributes={ATTRIBUTE_CAPACITY_PROVIDER: "big"})
LATE = make_container_instance(
    "late", memory_mib=1, attributes={ATTRIBUTE_CAPACITY_PROVIDER: "late"}
)
SHARED = msgspec.structs.replace(
    SERVICE,
    launch_type=None,
    capacity_provider_strategy=(StrategyItem("big", 1), StrategyItem("late", 1)),
)


def test_why_of_a_service_on_providers_judges_the_one_whose_turn_it_is():
    first = ask("ExplainPlacement", *ALL[:2], SHARED, FREE, BIG, LATE, resource="web")
    assert first["summary"].endswith(
        "1 of 1 container instances of capacity provider big could take one more"
    )
    deployment = SHARED.primary.id
    task = make_task(
        "s", definition=DEFINITION, instance=BIG, service=SHARED, capacity_provider="big"
    )
    task = msgspec.structs.replace(task, deployment_id=deployment)
    then = ask("ExplainPlacement", *ALL[:2], SHARED, FREE, BIG, LATE, task, resource="web")
    assert then["summary"].endswith(
        "0 of 1 container instances of capacity provider late could take one more"
    )
    assert [rule["reason"] for rule in then["rules"]] == ["RESOURCE:MEMORY"]
    none = ask("ExplainPlacement", *ALL[:2], SHARED, FREE, resource="web")
    assert none["summary"].endswith("; capacity provider big has no container instances")


def test_plan_divides_a_services_tasks_among_its_providers():
    found = ask("PlanPlacement", *ALL[:2], SHARED, FREE, BIG, LATE, service="web", count=2)
    assert found["containerInstanceArns"] == [BIG.arn]
    assert found["unplaced"] == 1
    assert [rule["reason"] for rule in found["rules"]] == ["RESOURCE:MEMORY"]


def test_why_doesnt_count_fargates_pool_for_other_tasks():
    pool = make_container_instance("pool", attributes={ATTRIBUTE_FARGATE: "true"})
    found = ask("ExplainPlacement", *ALL[:3], FREE, pool, resource="web")
    assert found["summary"].endswith("1 of 1 container instances could take one more")


def test_plan_counts_what_it_placed_when_it_says_how_much_is_short():
    half = make_task_definition("half", cpu_units=1_500, memory_mib=1)
    found = ask("PlanPlacement", make_cluster(), half, FREE, taskDefinition="half", count=2)
    (rule,) = found["rules"]
    assert rule["detail"] == "needs 1500 CPU units, 548 are left"
    assert rule["remedy"] == "free 952 CPU units, or ask for 548 at most"


def test_why_says_how_long_a_service_has_waited_and_what_is_kept_for_it():
    since_ms = NOW_MS - 75_000
    waiting = msgspec.structs.replace(SERVICE, waiting_since_ms=since_ms)
    kept = KeptInstance(FREE.arn, SERVICE.arn, NOW_MS + 90_000)
    cluster = msgspec.structs.replace(make_cluster(), kept=kept)
    found = ask("ExplainPlacement", cluster, DEFINITION, waiting, FREE, resource="web")
    assert "; it has waited for room for 75 s; container instance " in found["summary"]
    assert found["summary"].endswith("is kept free for it, for 90 s at most")


def test_why_of_a_daemon_counts_instances_that_have_its_task():
    daemon = msgspec.structs.replace(SERVICE, scheduling_strategy="DAEMON")
    task = make_task("d", definition=DEFINITION, instance=FREE, service=daemon)
    plain = msgspec.structs.replace(task, resources=TaskResources())
    found = ask("ExplainPlacement", make_cluster(), DEFINITION, daemon, FREE, plain, resource="web")
    assert [each["reason"] for each in found["rules"]] == [
        "DistinctInstance placement constraint unsatisfied."
    ]
