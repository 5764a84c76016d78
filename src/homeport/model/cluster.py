"""The cluster's record."""

import msgspec

from homeport.model.capacity_provider import StrategyItem
from homeport.model.record import Record


class KeptInstance(msgspec.Struct, frozen=True, gc=False):
    """A container instance that is kept free for a service's or a waiting task's turn."""

    container_instance_arn: str
    for_arn: str | None  # None: the turn was in vain; the next one is elsewhere
    until_ms: int  # at most; when it ended, if it was in vain


class Cluster(Record, frozen=True, kw_only=True, tag="cluster"):
    """A cluster; `document` is JSON of the members that no decision reads (AWS camelCase)."""

    arn: str
    name: str
    status: str = "ACTIVE"  # ACTIVE | INACTIVE
    settings: tuple[tuple[str, str], ...] = ()
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[StrategyItem, ...] = ()
    kept: KeptInstance | None = None
    document: bytes = b"{}"
    created_at_ms: int = 0
    deleted_at_ms: int | None = None
