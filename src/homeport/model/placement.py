"""Placement constraints and strategies as services, task definitions and calls state them."""

import msgspec


class PlacementConstraint(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`distinctInstance`, or `memberOf` with a cluster query language expression."""

    kind: str
    expression: str | None = None


class PlacementStrategy(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`random`, `spread` or `binpack`, the latter two over a field."""

    kind: str
    field: str | None = None


class Requirement(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An attribute that a container instance either lacks or has with this value, in any case."""

    name: str
    value: str
