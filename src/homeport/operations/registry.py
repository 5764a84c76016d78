"""The operations that are built, by AWS's name; each lives in the module of its resource."""

from collections.abc import Callable
from typing import Any, NoReturn

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.operations.context import CallContext
from homeport.state.view import View

Operation = Callable[[View, Any, CallContext], Decision]


def refuse_unbuilt(name: str) -> NoReturn:
    """Say that an operation of ECS isn't built; AWS has no word for it, so the text does it."""
    raise ecs.ClientException(
        f"Homeport does not implement {name} yet. See docs/operations.md for what it does."
    )
