"""The container instance that is kept free for somebody: `core.placement.kept_instance`."""

from typing import Any

import pytest
from msgspec.structs import replace

from builders import (
    at,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.core.placement.kept_instance import choose_instance_to_keep
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import PlacementRequest
from homeport.model.cluster import KeptInstance
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.resources import TaskResources
from homeport.state.changes import AnyRecord
from homeport.state.view import View

ONE = make_container_instance("one", cpu_units=1_000, attributes={"disk": "ssd"})
TWO = make_container_instance("two", cpu_units=1_000)
KEPT = replace(make_cluster(), kept=KeptInstance(ONE.arn, "arn:big", 0))
SMALL = make_task_definition("small", cpu_units=100, memory_mib=1)
LONG = make_service("long", definition=SMALL)


def ask(**members: Any) -> PlacementRequest:
    fields = {"group": "family:x", "resources": TaskResources(100, 1), **members}
    return PlacementRequest(cluster_arn=KEPT.arn, **fields)


def hosts(request: PlacementRequest) -> set[str]:
    view = View(make_store(KEPT, ONE, TWO))
    return set(place_tasks(view, request, at()).container_instance_arns)


@pytest.mark.parametrize("count", [1, 3, 20])  # off a shared shelf, off its own, and in bulk
@pytest.mark.parametrize("strategy", [(), (PlacementStrategy("random"),)])
def test_others_tasks_go_elsewhere_and_the_claimants_everywhere(
    count: int, strategy: tuple[PlacementStrategy, ...]
):
    assert hosts(ask(count=count, strategies=strategy)) == {TWO.arn}
    spread = (PlacementStrategy("spread", "instanceId"),)
    mine = hosts(ask(count=max(count, 2), strategies=spread, claimant="arn:big"))
    assert mine == {ONE.arn, TWO.arn}


def test_whoever_would_fit_there_only_is_told_that_it_is_reserved():
    on_disk = (PlacementConstraint("memberOf", "attribute:disk == ssd"),)
    view = View(make_store(KEPT, ONE, TWO))
    placement = place_tasks(view, ask(constraints=on_disk), at())
    assert placement.container_instance_arns == ()
    reasons = {refusal.container_instance_arn: refusal.reason for refusal in placement.refusals}
    assert reasons[ONE.arn] == "RESOURCE:RESERVED"
    closest = place_tasks(view, ask(constraints=on_disk, refusals_wanted=1), at()).refusals
    assert [refusal.container_instance_arn for refusal in closest] == [ONE.arn]


def choose(*records: AnyRecord, in_vain: str | None = None, **members: Any) -> str | None:
    view = View(make_store(make_cluster(), SMALL, LONG, *records))
    request = ask(**{"resources": TaskResources(1_000, 1), **members})
    return choose_instance_to_keep(view, request, in_vain)


def test_an_instance_is_kept_where_tasks_end_by_themselves():
    staying = make_task("s", definition=SMALL, instance=ONE, service=LONG)
    passing = [make_task(n, definition=SMALL, instance=TWO) for n in range(3)]
    assert choose(ONE, TWO, staying, *passing) == TWO.arn


def test_after_a_turn_in_vain_it_is_the_next_ones():
    three = make_container_instance("three", cpu_units=1_000)
    arns = sorted(each.arn for each in (ONE, TWO, three))
    chosen = [choose(ONE, TWO, three, in_vain=arn) for arn in arns]
    assert chosen == [arns[1], arns[2], arns[0]]


@pytest.mark.parametrize(
    "members",
    [
        {"resources": TaskResources(1_001, 1)},
        {"requires_attributes": ("ecs.capability.nothing",)},
        {"constraints": (PlacementConstraint("memberOf", "attribute:disk == tape"),)},
        {"launch_type": "EXTERNAL"},
    ],
)
def test_nothing_is_kept_for_what_would_fit_nowhere(members: dict[str, Any]):
    assert choose(ONE, TWO, **members) is None


def test_nothing_is_kept_where_no_other_instance_is_left_for_others():
    away = make_container_instance("away", agent_connected=False)
    assert choose(ONE) is None
    assert choose(ONE, away) is None
    assert choose(ONE, TWO) is not None


def test_an_instance_isnt_kept_where_a_daemon_has_yet_to_take_its_room():
    first, second = sorted((ONE, TWO), key=lambda instance: instance.arn)
    first = replace(first, attributes={**first.attributes, "watched": None})
    both = (first, second)
    passing = [make_task(str(n), definition=SMALL, instance=i) for n, i in enumerate(both)]
    big = TaskResources(950, 1)
    assert choose(first, second, *passing, resources=big) == first.arn
    daemon = replace(
        make_service("watch", definition=SMALL),
        scheduling_strategy="DAEMON",
        placement_constraints=(PlacementConstraint("memberOf", "attribute:watched exists"),),
    )
    assert choose(first, second, daemon, *passing, resources=big) == second.arn
