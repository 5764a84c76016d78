"""Where tasks go, and why the rest don't: `core.placement.placing`."""

from typing import Any

import pytest

from builders import (
    at,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import Placement, PlacementRequest
from homeport.model.arn import ClusterArn, short_id
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.resources import HostPort, InstanceResources, TaskResources
from homeport.state.changes import AnyRecord
from homeport.state.view import View

CLUSTER = make_cluster()
DISTINCT = PlacementConstraint("distinctInstance")


def place(*records: AnyRecord, seed: str = "", **members: Any) -> Placement:
    """Ask for tasks of 100 CPU units and 100 MiB unless `members` say otherwise."""
    fields: dict[str, Any] = {
        "cluster_arn": CLUSTER.arn,
        "group": "family:web",
        "resources": TaskResources(100, 100),
        **members,
    }
    view = View(make_store(CLUSTER, *records))
    return place_tasks(view, PlacementRequest(**fields), at(seed=seed))


def reasons(placement: Placement) -> list[str]:
    return [refusal.reason for refusal in placement.refusals]


def zones(placement: Placement, *instances: Any) -> list[str]:
    by_arn = {instance.arn: instance.availability_zone for instance in instances}
    return [by_arn[arn] for arn in placement.container_instance_arns]


def member_of(expression: str) -> PlacementConstraint:
    return PlacementConstraint("memberOf", expression)


def test_a_cluster_without_container_instances_places_nothing_and_refuses_nothing():
    assert place() == Placement()


def test_when_all_tasks_are_placed_there_are_no_refusals():
    placement = place(make_container_instance("a"), make_container_instance("b", cpu_units=1))
    assert len(placement.container_instance_arns) == 1
    assert placement.refusals == ()


def test_a_disconnected_agent_is_refused_as_agent():
    assert reasons(place(make_container_instance(agent_connected=False))) == ["AGENT"]


def test_a_draining_container_instance_is_not_even_considered():
    assert place(make_container_instance(status="DRAINING")) == Placement()


def test_a_container_instance_of_another_cluster_is_not_considered():
    assert place(make_cluster("other"), make_container_instance(cluster="other")) == Placement()


def test_the_first_short_resource_is_named_with_what_is_left():
    placement = place(
        make_container_instance("a", cpu_units=99),
        make_container_instance("b", memory_mib=99),
        make_container_instance("c"),
        resources=TaskResources(100, 100, gpu_count=1),
    )
    details = {r.reason: r.detail for r in placement.refusals}
    assert details == {
        "RESOURCE:CPU": "needs 100 CPU units, 99 are left",
        "RESOURCE:MEMORY": "needs 100 MiB, 99 are left",
        "RESOURCE:GPU": "needs 1 GPUs, 0 are left",
    }


def test_a_task_holds_its_resources_until_it_is_reported_stopped():
    instance = make_container_instance(memory_mib=256)
    definition = make_task_definition(memory_mib=200)
    leaving = make_task(definition=definition, instance=instance, desired_status="STOPPED")
    gone = make_task(definition=definition, instance=instance, last_status="STOPPED")
    assert reasons(place(instance, definition, leaving)) == ["RESOURCE:MEMORY"]
    assert place(instance, definition, gone).container_instance_arns == (instance.arn,)


def test_a_host_port_goes_to_one_task_an_instance_also_within_one_call():
    instance = make_container_instance()
    placement = place(instance, resources=TaskResources(1, 1, (HostPort(80),)), count=2)
    assert placement.container_instance_arns == (instance.arn,)
    assert placement.refusals[0].reason == "RESOURCE:PORTS"
    assert placement.refusals[0].detail == "needs port 80/tcp, which is taken"


def test_reserved_ports_and_ports_of_other_tasks_are_taken_but_udp_is_another_pool():
    definition = make_task_definition(host_ports=(80,))
    instance = make_container_instance(reserved_tcp_ports=(22,))
    task = make_task(definition=definition, instance=instance)
    for port, is_taken in (
        (HostPort(22), True),
        (HostPort(80), True),
        (HostPort(80, "udp"), False),
        (HostPort(81), False),
    ):
        placement = place(instance, definition, task, resources=TaskResources(1, 1, (port,)))
        assert reasons(placement) == (["RESOURCE:PORTS"] if is_taken else []), port


def test_a_reserved_udp_port_is_taken():
    instance = make_container_instance(
        resources=InstanceResources(cpu_units=9, memory_mib=9, reserved_udp_ports=(53,))
    )
    needs = TaskResources(1, 1, (HostPort(53, "udp"),))
    assert reasons(place(instance, resources=needs)) == ["RESOURCE:PORTS"]


def test_a_missing_required_attribute_is_refused_as_attribute():
    plain = make_container_instance("plain")
    able = make_container_instance("able", attributes={"com.amazonaws.ecs.capability.x": None})
    wanted = ("com.amazonaws.ecs.capability.x",)
    assert place(plain, able, requires_attributes=wanted).container_instance_arns == (able.arn,)
    refused = place(plain, requires_attributes=wanted).refusals
    assert refused[0].reason == "ATTRIBUTE"
    assert refused[0].detail == "has no attribute com.amazonaws.ecs.capability.x"


def test_external_instances_take_external_tasks_only():
    external = make_container_instance(attributes={"ecs.capability.external": None})
    assert reasons(place(external)) == ["ATTRIBUTE"]
    assert place(external, launch_type="EXTERNAL").container_instance_arns == (external.arn,)
    assert reasons(place(make_container_instance(), launch_type="EXTERNAL")) == ["ATTRIBUTE"]


def test_member_of_binds_and_its_refusal_quotes_the_expression():
    gold = make_container_instance("gold", attributes={"tier": "gold"})
    iron = make_container_instance("iron", attributes={"tier": "iron"})
    constraints = (member_of("attribute:tier == gold"),)
    assert set(place(gold, iron, constraints=constraints, count=5).container_instance_arns) == {
        gold.arn
    }
    (refusal,) = place(iron, constraints=constraints).refusals
    assert refusal.reason == "MemberOf placement constraint unsatisfied."
    assert refusal.detail == "doesn't match attribute:tier == gold"


def test_anti_affinity_to_the_own_group_counts_tasks_of_the_same_call():
    one, two = make_container_instance("1"), make_container_instance("2")
    constraints = (member_of("not(task:group == family:web)"),)
    placement = place(one, two, constraints=constraints, count=3)
    assert sorted(placement.container_instance_arns) == sorted((one.arn, two.arn))
    assert set(reasons(placement)) == {"MemberOf placement constraint unsatisfied."}


def test_affinity_to_another_group_follows_its_tasks():
    one, two = make_container_instance("1"), make_container_instance("2")
    definition = make_task_definition()
    cache = make_task(definition=definition, instance=two, group="family:cache")
    constraints = (member_of("task:group == family:cache"),)
    placement = place(one, two, definition, cache, constraints=constraints, count=2)
    assert placement.container_instance_arns == (two.arn, two.arn)


def test_distinct_instance_puts_one_task_of_the_group_on_an_instance():
    one, two = make_container_instance("1"), make_container_instance("2")
    placement = place(one, two, constraints=(DISTINCT,), count=3)
    assert sorted(placement.container_instance_arns) == sorted((one.arn, two.arn))
    assert set(reasons(placement)) == {"DistinctInstance placement constraint unsatisfied."}


def test_distinct_instance_looks_at_the_desired_status_and_at_the_group():
    instance, definition = make_container_instance(), make_task_definition()
    wanted = make_task("a", definition=definition, instance=instance, last_status="RUNNING")
    leaving = make_task(
        "b",
        definition=definition,
        instance=instance,
        last_status="RUNNING",
        desired_status="STOPPED",
    )
    other = make_task("c", definition=definition, instance=instance, group="family:other")
    assert reasons(place(instance, definition, wanted, constraints=(DISTINCT,))) == [
        "DistinctInstance placement constraint unsatisfied."
    ]
    for task in (leaving, other):
        assert place(instance, definition, task, constraints=(DISTINCT,)).refusals == ()


def test_several_refusals_come_in_the_order_of_arns():
    instances = [make_container_instance(n, cpu_units=1) for n in range(5)]
    arns = [refusal.container_instance_arn for refusal in place(*instances).refusals]
    assert arns == sorted(instance.arn for instance in instances)


def test_by_default_tasks_spread_over_zones_and_then_go_to_the_least_loaded():
    a1 = make_container_instance("a1", zone="a", cpu_units=1_000)
    a2 = make_container_instance("a2", zone="a", cpu_units=4_000)
    b1 = make_container_instance("b1", zone="b", cpu_units=1_000)
    placement = place(a1, a2, b1, count=6)
    assert sorted(zones(placement, a1, a2, b1)) == ["a"] * 3 + ["b"] * 3
    assert placement.container_instance_arns.count(a2.arn) == 2


def test_a_service_spreads_its_tasks_over_the_instances_of_a_zone():
    definition = make_task_definition()
    service = make_service(definition=definition)
    small = make_container_instance("small", cpu_units=1_000)
    large = make_container_instance("large", cpu_units=64_000, memory_mib=64_000)
    has_one = make_task(definition=definition, instance=large, service=service)
    placement = place(
        small,
        large,
        definition,
        service,
        has_one,
        group="service:web",
        service_arn=service.arn,
        count=3,
    )
    assert placement.container_instance_arns.count(small.arn) == 2
    assert placement.container_instance_arns[0] == small.arn


def test_a_full_zone_does_not_stop_the_others():
    a = make_container_instance("a", zone="a", cpu_units=100)
    b = make_container_instance("b", zone="b")
    placement = place(a, b, count=5)
    assert sorted(zones(placement, a, b)) == ["a", "b", "b", "b", "b"]


def test_tasks_that_are_leaving_do_not_count_for_spreading():
    definition = make_task_definition()
    a, b = make_container_instance("a", zone="a"), make_container_instance("b", zone="b")
    gone = make_task(definition=definition, instance=a, desired_status="STOPPED")
    stays = make_task("s", definition=definition, instance=b)
    placement = place(a, b, definition, gone, stays)
    assert placement.container_instance_arns == (a.arn,)


def test_binpack_fills_the_instance_with_the_least_left_first():
    tight = make_container_instance("tight", memory_mib=350)
    roomy = make_container_instance("roomy", memory_mib=4_000)
    strategies = (PlacementStrategy("binpack", "memory"),)
    placement = place(tight, roomy, strategies=strategies, count=5)
    assert placement.container_instance_arns == (tight.arn,) * 3 + (roomy.arn,) * 2


def test_binpack_by_cpu_looks_at_cpu():
    tight = make_container_instance("tight", cpu_units=200, memory_mib=9_000)
    roomy = make_container_instance("roomy", cpu_units=900, memory_mib=900)
    placement = place(tight, roomy, strategies=(PlacementStrategy("binpack", "cpu"),), count=3)
    assert placement.container_instance_arns == (tight.arn, tight.arn, roomy.arn)


def test_a_later_strategy_only_breaks_ties_of_the_earlier_ones():
    a1 = make_container_instance("a1", zone="a", memory_mib=1_000)
    a2 = make_container_instance("a2", zone="a", memory_mib=2_000)
    b1 = make_container_instance("b1", zone="b", memory_mib=3_000)
    strategies = (
        PlacementStrategy("spread", "attribute:ecs.availability-zone"),
        PlacementStrategy("binpack", "memory"),
    )
    placement = place(a1, a2, b1, strategies=strategies, count=4)
    arns = placement.container_instance_arns
    assert (arns.count(a1.arn), arns.count(a2.arn), arns.count(b1.arn)) == (2, 0, 2)


def test_an_instance_strategy_before_a_zone_strategy_dominates_it():
    a1 = make_container_instance("a1", zone="a")
    a2 = make_container_instance("a2", zone="a")
    b1 = make_container_instance("b1", zone="b")
    strategies = (
        PlacementStrategy("spread", "host"),
        PlacementStrategy("spread", "attribute:ecs.availability-zone"),
    )
    placement = place(a1, a2, b1, strategies=strategies, count=6)
    assert {placement.container_instance_arns.count(i.arn) for i in (a1, a2, b1)} == {2}


def test_instances_without_the_spread_attribute_share_a_bucket():
    rack = make_container_instance("rack", attributes={"rack": "1"})
    bare = [make_container_instance(n) for n in ("x", "y")]
    strategies = (PlacementStrategy("spread", "attribute:rack"),)
    placement = place(rack, *bare, strategies=strategies, count=4)
    assert placement.container_instance_arns.count(rack.arn) == 2


def test_random_is_the_same_for_the_same_moment_and_fair_over_many():
    instances = [make_container_instance(n) for n in range(4)]
    strategies = (PlacementStrategy("random"),)
    first = place(*instances, strategies=strategies, count=10)
    assert first == place(*instances, strategies=strategies, count=10)
    hits = dict.fromkeys((i.arn for i in instances), 0)
    for seed in range(100):
        for arn in place(
            *instances, strategies=strategies, count=4, seed=str(seed)
        ).container_instance_arns:
            hits[arn] += 1
    assert all(70 < count < 130 for count in hits.values()), hits


def test_ties_go_by_arn_whatever_the_order_of_registration():
    instances = [make_container_instance(n) for n in range(4)]
    forward = place(*instances, count=4)
    assert forward == place(*reversed(instances), count=4)
    assert list(forward.container_instance_arns) == sorted(i.arn for i in instances)


def test_a_thousand_tasks_on_a_thousand_instances_are_one_batch():
    instances = [make_container_instance(n, zone=f"z{n % 3}") for n in range(1_000)]
    service_arn = "arn:aws:ecs:us-east-1:123456789012:service/default/web"
    placement = place(*instances, group="service:web", service_arn=service_arn, count=1_000)
    per_zone = [zones(placement, *instances).count(f"z{z}") for z in range(3)]
    assert sorted(per_zone) == [333, 333, 334]
    assert len({short_id(arn) for arn in placement.container_instance_arns}) >= 998


def test_a_cluster_arn_is_all_that_names_the_fleet():
    placement = place(make_container_instance(), cluster_arn=ClusterArn("arn:nothing"))
    assert placement == Placement()


@pytest.mark.parametrize(
    "texts",
    [
        ("attribute:rack == 1", "attribute:rack != 1"),
        ("attribute:nobody-has-this exists",),
        ("task:group == service:gone",),
        ("agentVersion > 99999999999999999999.0",),
        ("runningTasksCount > 99999999999999999999",),
        ("not(not(not(attribute:ecs.availability-zone exists)))",),
    ],
)
def test_constraints_that_nothing_can_meet_place_nothing_and_say_so(texts: tuple[str, ...]):
    hosts = [make_container_instance(n, attributes={"rack": str(n % 2)}) for n in range(3)]
    constraints = tuple(PlacementConstraint("memberOf", text) for text in texts)
    placement = place(*hosts, constraints=constraints, count=20)
    assert placement.container_instance_arns == ()
    assert {refusal.reason for refusal in placement.refusals} == {
        "MemberOf placement constraint unsatisfied."
    }
    assert len(placement.refusals) == 3


def test_of_more_instances_than_an_answer_holds_the_closest_are_named():
    hosts = [make_container_instance(n, memory_mib=64 if n % 2 else 4_096) for n in range(40)]
    rules = (PlacementConstraint("memberOf", "attribute:gold exists"),)
    placement = place(*hosts, constraints=rules, refusals_wanted=15)
    assert len(placement.refusals) == 15
    assert {refusal.reason for refusal in placement.refusals} == {
        "MemberOf placement constraint unsatisfied."
    }
