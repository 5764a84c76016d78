"""The members that AWS's model has for a shape, and those that one of them holds."""

from typing import Any

from homeport.api.shapes import Shape
from task_definition_requests import types_of


def member_names(shape: type[Shape]) -> set[str]:
    """Name every member of a shape and of the shapes below."""
    names = set()
    for name, kind in types_of(shape).items():
        names.add(f"{shape.__name__}.{name}")
        for below in (kind, *getattr(kind, "__args__", ())):
            if isinstance(below, type) and issubclass(below, Shape):
                names |= member_names(below)
    return names


def given_names(value: Any) -> set[str]:
    """Name every member that a shape and the shapes below hold."""
    if isinstance(value, list):
        return {name for item in value for name in given_names(item)}
    if not isinstance(value, Shape):
        return set()
    names = set()
    for name in value.__struct_fields__:
        held = getattr(value, name)
        if held is not None:
            names |= {f"{type(value).__name__}.{name}"} | given_names(held)
    return names
