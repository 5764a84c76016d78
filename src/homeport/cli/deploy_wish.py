"""What `homeport deploy` is asked for, wherever it comes from: a file or the command line."""

from collections.abc import Mapping
from typing import Any

import msgspec


class WantedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it should be; None of `desired_count` leaves it, or is 1 for a new service."""

    name: str
    definition: Mapping[str, Any]  # as RegisterTaskDefinition takes it
    desired_count: int | None = None
    after: tuple[str, ...] = ()  # services that must be steady before this one is deployed
