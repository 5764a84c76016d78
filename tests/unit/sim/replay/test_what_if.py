"""What is to be different in a replay: options read, and a workload changed by them."""

import pytest

from builders import NOW_MS, make_cluster, make_container_instance, make_service
from homeport.api import ecs
from homeport.model.capacity_provider import ATTRIBUTE_FARGATE
from homeport.sim.replay.deeds import (
    AgentCame,
    AgentWent,
    InstanceJoined,
    InstanceLeft,
    ServiceCreated,
    Written,
)
from homeport.sim.replay.lives import Chronicle
from homeport.sim.replay.what_if import (
    ServiceWish,
    WhatIf,
    WhatIfError,
    change_workload,
    parse_breaker,
    parse_count,
    parse_for_services,
    parse_maximum_percent,
    parse_minimum_healthy_percent,
    parse_strategy,
    parse_zones,
)
from homeport.sim.replay.workload import Workload
from homeport.state.changes import Put

FIRST, SECOND = make_container_instance("first"), make_container_instance("second", zone="zone-z")
POOL = make_container_instance("pool", attributes={ATTRIBUTE_FARGATE: None})
WEB = make_service("web")


def make_workload() -> Workload:
    """Two instances and a service; the second instance joins later, loses its agent and leaves."""
    later_ms = NOW_MS + 9_000
    return Workload(
        cluster=make_cluster(),
        begins_ms=NOW_MS,
        ends_ms=NOW_MS + 60_000,
        first_commit=1,
        last_commit=9,
        base=[
            Written(at_ms=NOW_MS, changes=(Put(make_cluster()),)),
            InstanceJoined(at_ms=NOW_MS, instance=FIRST),
            AgentCame(at_ms=NOW_MS, arn=FIRST.arn),
            ServiceCreated(at_ms=NOW_MS, service=WEB),
        ],
        deeds=[
            InstanceJoined(at_ms=later_ms, instance=SECOND),
            AgentWent(at_ms=later_ms, arn=SECOND.arn),
            InstanceLeft(at_ms=later_ms, arn=SECOND.arn),
        ],
        past=Chronicle(make_cluster().arn),
        loss_window_s=300,
        left_out={},
    )


def instances_of(workload: Workload) -> list:
    deeds = (*workload.base, *workload.deeds)
    return [deed.instance for deed in deeds if isinstance(deed, InstanceJoined)]


def test_strategies_are_read_in_their_order():
    assert parse_strategy("spread:attribute:ecs.availability-zone, binpack:memory") == (
        ecs.PlacementStrategy(type="spread", field="attribute:ecs.availability-zone"),
        ecs.PlacementStrategy(type="binpack", field="memory"),
    )
    assert parse_strategy("random") == (ecs.PlacementStrategy(type="random"),)
    assert parse_strategy("none") == ()


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_strategy, "pack:cpu", "isn't a placement strategy"),
        (parse_strategy, "spread", "isn't a placement strategy"),
        (parse_strategy, "random:cpu", "isn't a placement strategy"),
        (parse_strategy, "", "isn't a placement strategy"),
        (parse_breaker, "true", "isn't on, off or rollback"),
        (parse_count, "-1", "isn't a whole number"),
        (parse_count, "many", "isn't a whole number"),
        (parse_minimum_healthy_percent, "101", "isn't a whole number from 0 to 100"),
        (parse_maximum_percent, "99", "isn't a whole number from 100 to 1000"),
        (parse_zones, "0", "at least one zone"),
        (parse_zones, "99", "isn't a whole number from 0 to 26"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused(parse, text, words):
    with pytest.raises(WhatIfError, match=words):
        parse(text)


def test_zones_are_counted_or_named():
    assert parse_zones("2") == ("zone-a", "zone-b")
    assert parse_zones("here, there") == ("here", "there")


def test_an_option_is_for_every_service_or_for_one():
    every, named = parse_for_services(["3", "web=5", "api=7"], "desired_count", parse_count)
    assert every == ServiceWish(desired_count=3)
    assert named == {"web": ServiceWish(desired_count=5), "api": ServiceWish(desired_count=7)}
    what_if = WhatIf(
        every_service=ServiceWish(desired_count=3, maximum_percent=150),
        services={"web": ServiceWish(desired_count=5)},
    )
    assert what_if.wish_for(WEB) == ServiceWish(desired_count=5, maximum_percent=150)
    assert what_if.wish_for(make_service("other")) == what_if.every_service


def test_strategies_for_every_service_leave_those_alone_that_can_have_none():
    what_if = WhatIf(every_service=ServiceWish(strategy=parse_strategy("random")))
    daemon = make_service("agent", scheduling_strategy="DAEMON")
    fargate = make_service("site", launch_type="FARGATE")
    assert what_if.wish_for(daemon).strategy is None
    assert what_if.wish_for(fargate).strategy is None
    assert what_if.wish_for(WEB).strategy == parse_strategy("random")


def test_a_service_that_the_journal_does_not_know_is_refused():
    what_if = WhatIf(services={"wbe": ServiceWish(desired_count=1)})
    with pytest.raises(WhatIfError, match="knows no service 'wbe'; there are: web"):
        change_workload(make_workload(), what_if)


def test_another_fleet_takes_the_place_of_the_journals_for_all_the_time():
    changed = change_workload(make_workload(), WhatIf(instances=3, zones=("a", "b")))
    made = instances_of(changed)
    assert [each.availability_zone for each in made] == ["a", "b", "a"]
    assert {each.resources for each in made} == {FIRST.resources}
    assert len({each.arn for each in made} - {FIRST.arn, SECOND.arn}) == 3
    assert changed.deeds == []
    assert [type(deed).__name__ for deed in changed.base] == [
        *("Written", *("InstanceJoined", "AgentCame") * 3, "ServiceCreated")
    ]


def test_another_fleet_goes_round_over_the_journals_zones_and_leaves_the_pool_alone():
    workload = make_workload()
    workload.base.append(InstanceJoined(at_ms=NOW_MS, instance=POOL))
    changed = change_workload(workload, WhatIf(instances=2))
    assert POOL in instances_of(changed)
    zones = [each.availability_zone for each in instances_of(changed) if not each.is_fargate]
    assert zones == ["us-east-1a", "zone-z"]


def test_another_type_changes_the_size_and_not_when_instances_come_and_go():
    workload = make_workload()
    changed = change_workload(workload, WhatIf(instance_type="m5.large"))
    for made in instances_of(changed):
        assert (made.resources.cpu_units, made.resources.memory_mib) == (2_048, 8_192)
        assert made.attributes["ecs.instance-type"] == made.instance_type == "m5.large"
    assert [deed.at_ms for deed in changed.deeds] == [deed.at_ms for deed in workload.deeds]


def test_a_type_that_nobody_knows_is_refused():
    with pytest.raises(WhatIfError, match=r"'m5.tiny' isn't known"):
        change_workload(make_workload(), WhatIf(instance_type="m5.tiny"))


def test_an_instance_is_left_out_with_all_that_happened_to_it():
    short = SECOND.arn.rsplit("/", 1)[-1][:8]
    changed = change_workload(make_workload(), WhatIf(removed_instances=(short,)))
    assert instances_of(changed) == [FIRST]
    assert changed.deeds == []


def test_an_instance_that_is_not_there_or_ambiguous_is_refused():
    with pytest.raises(WhatIfError, match="no container instance 'zz'; there are"):
        change_workload(make_workload(), WhatIf(removed_instances=("zz",)))
    with pytest.raises(WhatIfError, match="several container instances"):
        change_workload(make_workload(), WhatIf(removed_instances=("",)))


def test_a_fleet_needs_an_instance_to_take_after():
    workload = make_workload()
    workload.base, workload.deeds = workload.base[:1], []
    with pytest.raises(WhatIfError, match="no container instance to take the new ones after"):
        change_workload(workload, WhatIf(instances=3))
