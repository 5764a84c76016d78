"""Placement constraints and strategies in requests."""

import pytest

from homeport.api import ecs
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.operations.ecs.placement_members import check_constraints, check_strategies


def constraint(kind, expression=None):
    return ecs.PlacementConstraint(type=kind, expression=expression)


def strategy(kind, field=None):
    return ecs.PlacementStrategy(type=kind, field=field)


def test_nothing_given_is_nothing():
    assert check_constraints(None) == check_strategies(None) == ()
    assert check_constraints([]) == check_strategies([]) == ()


def test_constraints_become_records():
    assert check_constraints(
        [constraint("distinctInstance"), constraint("memberOf", "attribute:a exists")]
    ) == (
        PlacementConstraint("distinctInstance"),
        PlacementConstraint("memberOf", "attribute:a exists"),
    )


@pytest.mark.parametrize(
    "given",
    [
        constraint("distinctInstance", "attribute:a exists"),
        constraint("memberOf"),
        constraint("memberOf", ""),
        constraint("memberOf", "attribute:a =="),
        constraint("memberOf", "attribute:a == " + "x" * 2_000),
        constraint("near", "x"),
        constraint(None),
    ],
)
def test_constraints_beyond_the_rules_are_refused(given):
    with pytest.raises(ecs.InvalidParameterException):
        check_constraints([given])


def test_a_task_has_10_constraints_at_most_with_those_of_its_definition():
    assert len(check_constraints([constraint("distinctInstance")] * 7, from_definition=3)) == 7
    with pytest.raises(ecs.InvalidParameterException):
        check_constraints([constraint("distinctInstance")] * 8, from_definition=3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (strategy("random"), PlacementStrategy("random")),
        (strategy("random", "ignored"), PlacementStrategy("random")),
        (strategy("binpack", "MEMORY"), PlacementStrategy("binpack", "memory")),
        (strategy("spread", "host"), PlacementStrategy("spread", "instanceId")),
        (strategy("spread", "instanceId"), PlacementStrategy("spread", "instanceId")),
        (strategy("spread", "attribute:rack"), PlacementStrategy("spread", "attribute:rack")),
    ],
)
def test_strategies_become_records(given, expected):
    assert check_strategies([given]) == (expected,)


@pytest.mark.parametrize(
    "given",
    [
        strategy("binpack"),
        strategy("binpack", "disk"),
        strategy("spread"),
        strategy("spread", "x"),
        strategy("spread", "attribute:"),
        strategy("pile"),
        strategy(None),
    ],
)
def test_strategies_beyond_the_rules_are_refused(given):
    with pytest.raises(ecs.InvalidParameterException):
        check_strategies([given])


def test_5_strategies_can_be_given_at_most():
    assert len(check_strategies([strategy("random")] * 5)) == 5
    with pytest.raises(ecs.InvalidParameterException):
        check_strategies([strategy("random")] * 6)
