"""The cluster's record."""

from homeport.model.capacity_provider import StrategyItem
from homeport.model.record import Record


class Cluster(Record, frozen=True, kw_only=True, tag="cluster"):
    """A cluster; `document` is JSON of the members that no decision reads (AWS camelCase)."""

    arn: str
    name: str
    status: str = "ACTIVE"  # ACTIVE | INACTIVE
    settings: tuple[tuple[str, str], ...] = ()
    capacity_providers: tuple[str, ...] = ()
    default_strategy: tuple[StrategyItem, ...] = ()
    document: bytes = b"{}"
    created_at_ms: int = 0
    deleted_at_ms: int | None = None
