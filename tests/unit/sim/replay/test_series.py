"""Gauges over time, from lives whose figures can be reckoned by hand."""

import pytest

from homeport.sim.replay.lives import Chronicle, InstanceLife, ServiceLife, TaskLife
from homeport.sim.replay.series import Span, measure

SPAN = Span(begins_ms=1_000, ends_ms=11_000, points=10)


def make_chronicle(*lives: TaskLife, instances: int = 2) -> Chronicle:
    """Instances of 100 units and 100 MiB, each in a zone of its own, there all the time."""
    chronicle = Chronicle("cluster")
    chronicle.tasks = {life.arn: life for life in lives}
    for number in range(instances):
        chronicle.instances[str(number)] = InstanceLife(
            arn=str(number), cpu_units=100, memory_mib=100, zone=f"z{number}", joined_ms=0
        )
    return chronicle


def make_life(name: str, **members) -> TaskLife:
    fields = {
        "arn": name,
        "service_arn": None,
        "definition_arn": "web:1",
        "images": "web",
        "cpu_units": 50,
        "memory_mib": 20,
        "created_ms": 1_000,
        "placed_ms": 1_000,
        "instance_arn": "0",
        "zone": "z0",
    }
    return TaskLife(**{**fields, **members})


def test_a_task_runs_from_its_start_until_it_is_to_stop_and_holds_its_resources_longer():
    life = make_life("one", started_ms=3_000, stopping_ms=6_000, stopped_ms=8_000)
    found = measure(make_chronicle(life), SPAN, [])
    assert found["running"].points == (0, 0, 1, 1, 1, 0, 0, 0, 0, 0)
    assert found["cpu_percent"].points == (25, 25, 25, 25, 25, 25, 25, 0, 0, 0)
    assert found["memory_percent"].mean == pytest.approx(7.0)
    assert found["instances_used"].mean == pytest.approx(0.7)
    assert (found["running"].mean, found["running"].peak, found["running"].last) == (0.3, 1, 0)


def test_a_bucket_holds_the_mean_of_its_time_and_the_peak_counts_moments():
    life = make_life("one", started_ms=2_250, stopping_ms=2_500, stopped_ms=2_500)
    found = measure(make_chronicle(life), SPAN, [])
    assert found["running"].points[1] == 0.25
    assert found["running"].peak == 1


def test_what_is_over_in_no_time_is_not_seen():
    life = make_life("one", started_ms=2_000, stopping_ms=2_000, stopped_ms=2_000)
    assert measure(make_chronicle(life), SPAN, [])["running"].peak == 0


def test_zone_imbalance_is_between_the_zones_that_have_instances():
    lives = [make_life("one"), make_life("two"), make_life("three", zone="z1", instance_arn="1")]
    found = measure(make_chronicle(*lives), SPAN, [])
    assert found["zone_imbalance"].mean == 1
    assert found["instances_used"].last == 2
    empty = measure(make_chronicle(*lives[:2], instances=3), SPAN, [])
    assert empty["zone_imbalance"].last == 2


def test_tasks_are_without_a_place_while_a_service_has_fewer_than_it_wants():
    life = make_life("one", service_arn="web", placed_ms=4_000, started_ms=5_000)
    chronicle = make_chronicle(life)
    chronicle.services["web"] = ServiceLife(name="web", wishes=[(1_000, 2), (8_000, 1)])
    found = measure(chronicle, SPAN, [])
    assert found["unplaced"].points == (2, 2, 2, 1, 1, 1, 1, 0, 0, 0)


def test_a_task_more_than_wanted_makes_up_for_nobody_elses():
    chronicle = make_chronicle(make_life("a", service_arn="a"), make_life("b", service_arn="a"))
    chronicle.services["a"] = ServiceLife(name="a", wishes=[(1_000, 1)])
    chronicle.services["b"] = ServiceLife(name="b", wishes=[(1_000, 1)])
    assert measure(chronicle, SPAN, [])["unplaced"].mean == 1


def test_a_task_that_waits_for_capacity_and_one_that_was_refused_are_without_a_place():
    waiting = make_life("one", placed_ms=3_000)
    found = measure(make_chronicle(waiting), SPAN, [(6_000, 9_000)])
    assert found["unplaced"].points == (1, 1, 0, 0, 0, 1, 1, 1, 0, 0)


def test_what_happened_before_and_after_is_cut_off():
    life = make_life("one", created_ms=0, placed_ms=0, started_ms=500, stopping_ms=99_000)
    chronicle = make_chronicle(life)
    found = measure(chronicle, SPAN, [(0, 500), (20_000, 30_000)])
    assert found["running"].points == (1,) * 10
    assert found["unplaced"].peak == 0


def test_a_cluster_without_instances_uses_nothing():
    found = measure(make_chronicle(instances=0), SPAN, [])
    assert {name: series.peak for name, series in found.items()} == dict.fromkeys(found, 0)
