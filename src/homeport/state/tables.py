"""A table of records with its secondary indexes; what the tables are is `store`'s business."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sortedcontainers import SortedList

R = TypeVar("R")
Group = Callable[[R], Hashable | None]
Sort = Callable[[R], Any]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Table(Generic[R]):
    """Records by primary key, grouped by `indexes`, and in order by `ordered` ones.

    An index maps a record to its group (None: in no group); groups keep insertion order, so that
    iterating one is the same in every process. An ordered index also maps it to a sort value.
    """

    def __init__(
        self,
        key: Callable[[R], str],
        *,
        indexes: Mapping[str, Group[R]] | None = None,
        ordered: Mapping[str, tuple[Group[R], Sort[R]]] | None = None,
    ) -> None:
        self._key = key
        self._rows: dict[str, R] = {}
        self._groupings = dict(indexes or {})
        self._groups: dict[str, dict[Hashable, dict[str, R]]] = {n: {} for n in self._groupings}
        self._orderings = dict(ordered or {})
        self._orders: dict[str, dict[Hashable, SortedList[tuple[Any, str]]]] = {
            n: {} for n in self._orderings
        }

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def get(self, key: str) -> R | None:
        """Return the record with this key."""
        return self._rows.get(key)

    def group(self, index: str, value: Hashable) -> Mapping[str, R]:
        """Return the records of one group by key, in insertion order. Not to be kept or altered."""
        return self._groups[index].get(value, _EMPTY)

    def after(self, index: str, value: Hashable, cursor: tuple[Any, str] | None) -> Iterator[R]:
        """Iterate one group in order, from just behind `cursor` (a sort value and a key)."""
        entries = self._orders[index].get(value)
        if entries is None:
            return
        for _, key in entries.irange(minimum=cursor, inclusive=(False, False)):
            yield self._rows[key]

    def before(self, index: str, value: Hashable, cursor: tuple[Any, str] | None) -> Iterator[R]:
        """Iterate one group backwards, from just before `cursor`; None starts at the end."""
        entries = self._orders[index].get(value)
        if entries is None:
            return
        for _, key in entries.irange(maximum=cursor, inclusive=(False, False), reverse=True):
            yield self._rows[key]

    def count(self, index: str, value: Hashable) -> int:
        """Return how many records one group of an ordered index has."""
        return len(self._orders[index].get(value, ()))

    def put(self, record: R) -> R | None:
        """Insert or replace; return what was there. For `Store.apply` only."""
        key = self._key(record)
        old = self._rows.get(key)
        self._rows[key] = record
        for name, grouping in self._groupings.items():
            value = grouping(record)
            if old is not None:
                self._regroup(name, key, grouping(old), value)
            if value is not None:
                self._groups[name].setdefault(value, {})[key] = record
        for name, (grouping, sorting) in self._orderings.items():
            value = grouping(record)
            sort = None if value is None else sorting(record)
            if old is not None:
                was = grouping(old)
                was_sort = None if was is None else sorting(old)
                if was == value and was_sort == sort:
                    continue
                self._leave_order(name, key, was, was_sort)
            if value is not None:
                order = self._orders[name].get(value)
                if order is None:
                    order = self._orders[name][value] = SortedList()
                order.add((sort, key))
        return old

    def delete(self, key: str) -> R | None:
        """Forget a record; return what was there. For `Store.apply` only."""
        old = self._rows.pop(key, None)
        if old is None:
            return None
        for name, grouping in self._groupings.items():
            self._regroup(name, key, grouping(old), None)
        for name, (grouping, sorting) in self._orderings.items():
            was = grouping(old)
            self._leave_order(name, key, was, None if was is None else sorting(old))
        return old

    def _regroup(self, name: str, key: str, was: Hashable | None, becomes: Hashable | None) -> None:
        if was is None or was == becomes:
            return
        members = self._groups[name][was]
        del members[key]
        if not members:
            del self._groups[name][was]

    def _leave_order(self, name: str, key: str, was: Hashable | None, was_sort: Any) -> None:
        if was is None:
            return
        order = self._orders[name][was]
        order.remove((was_sort, key))
        if not order:
            del self._orders[name][was]
