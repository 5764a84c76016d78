"""Placement constraints, strategies and filters in requests: checked, and made into records.

What they mean is `core.placement`'s work. Reference: placement §3, §4, §5.
"""

import re
from collections.abc import Sequence

from homeport.api import ecs
from homeport.core.placement.expressions import Expression, ExpressionError, parse_expression
from homeport.model.placement import PlacementConstraint, PlacementStrategy

CONSTRAINTS_PER_TASK = 10
STRATEGIES_PER_REQUEST = 5
DISTINCT_INSTANCE = "distinctInstance"
MEMBER_OF = "memberOf"
INSTANCE_ID_FIELD = "instanceId"

_BINPACK_FIELDS = {"cpu": "cpu", "memory": "memory"}
_SPREAD_FIELDS = {"instanceid": INSTANCE_ID_FIELD, "host": INSTANCE_ID_FIELD}
_is_attribute_field = re.compile(r"attribute:[A-Za-z0-9_./\\-]{1,128}").fullmatch


def check_expression(text: str | None) -> Expression:
    """Compile an expression of the cluster query language, or refuse it and say where it fails."""
    try:
        return parse_expression(text or "")
    except ExpressionError as error:
        raise ecs.InvalidParameterException(f"Invalid expression: {error}.") from None


def check_constraints(
    constraints: Sequence[ecs.PlacementConstraint] | None, *, from_definition: int = 0
) -> tuple[PlacementConstraint, ...]:
    """Return a request's constraints: at most 10 together with the task definition's."""
    if not constraints:
        return ()
    count = len(constraints) + from_definition
    if count > CONSTRAINTS_PER_TASK:
        raise ecs.InvalidParameterException(
            f"A task can have at most {CONSTRAINTS_PER_TASK} placement constraints, those of its "
            f"task definition included; here are {count}."
        )
    return tuple(_check_constraint(constraint) for constraint in constraints)


def check_strategies(
    strategies: Sequence[ecs.PlacementStrategy] | None,
) -> tuple[PlacementStrategy, ...]:
    """Return a request's strategies, fields as AWS writes them: at most 5, in their order."""
    if not strategies:
        return ()
    if len(strategies) > STRATEGIES_PER_REQUEST:
        raise ecs.InvalidParameterException(
            f"At most {STRATEGIES_PER_REQUEST} placement strategies can be given, here are "
            f"{len(strategies)}."
        )
    return tuple(_check_strategy(strategy) for strategy in strategies)


def _check_constraint(constraint: ecs.PlacementConstraint) -> PlacementConstraint:
    if constraint.type == DISTINCT_INSTANCE:
        if constraint.expression:
            raise ecs.InvalidParameterException(
                "A distinctInstance placement constraint must not have an expression."
            )
        return PlacementConstraint(DISTINCT_INSTANCE)
    if constraint.type != MEMBER_OF:
        raise ecs.InvalidParameterException(
            f"Placement constraint type should be one of [{DISTINCT_INSTANCE},{MEMBER_OF}]"
        )
    if not constraint.expression:
        raise ecs.InvalidParameterException(
            "A memberOf placement constraint must have an expression."
        )
    check_expression(constraint.expression)
    return PlacementConstraint(MEMBER_OF, constraint.expression)


def _check_strategy(strategy: ecs.PlacementStrategy) -> PlacementStrategy:
    kind, field = (strategy.type or "").lower(), strategy.field or ""
    if kind == "random":
        return PlacementStrategy(kind)
    if kind == "binpack":
        known = _BINPACK_FIELDS.get(field.lower())
        if known is None:
            raise ecs.InvalidParameterException(
                "The field of binpack should be one of [cpu,memory]"
            )
        return PlacementStrategy(kind, known)
    if kind != "spread":
        raise ecs.InvalidParameterException(
            "Placement strategy type should be one of [random,spread,binpack]"
        )
    if _is_attribute_field(field) is not None:
        return PlacementStrategy(kind, field)
    known = _SPREAD_FIELDS.get(field.lower())
    if known is None:
        raise ecs.InvalidParameterException(
            f"The field of spread should be {INSTANCE_ID_FIELD}, host or attribute:NAME."
        )
    return PlacementStrategy(kind, known)
