"""A table of records with its secondary indexes; what the tables are is `store`'s business."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from sortedcontainers import SortedList

# Most groups stay small: a service's deployments, a family's revisions. A list of so many entries
# is made in a tenth of a SortedList's time and memory.
SMALL_GROUP = 256

R = TypeVar("R")
Group = Callable[[R], Hashable | None]
Sort = Callable[[R], Any]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class _Index(NamedTuple, Generic[R]):
    """Which group a record is in, and the groups: their records by key."""

    group_of: Group[R]
    groups: dict[Hashable, dict[str, R]]

    def fill(self, rows: Mapping[str, R]) -> None:
        """Let in the records of a table that had none."""
        group_of, groups = self.group_of, self.groups
        for key, record in rows.items():
            group = group_of(record)
            if group is not None:
                members = groups.get(group)
                if members is None:
                    groups[group] = {key: record}
                else:
                    members[key] = record


class _Order(NamedTuple, Generic[R]):
    """Which group a record is in and where, and the groups: sort values with keys, or keys."""

    group_of: Group[R]
    sort_of: Sort[R] | None
    groups: dict[Hashable, list[Any] | SortedList[Any]]  # a list up to SMALL_GROUP entries

    def entry(self, record: R, key: str) -> Any:
        """Return what stands for a record in its group."""
        return key if self.sort_of is None else (self.sort_of(record), key)

    def bound(self, cursor: tuple[Any, str] | None) -> Any:
        """Return the entry that a cursor means."""
        return cursor if cursor is None or self.sort_of is not None else cursor[1]

    def add(self, group: Hashable, entry: Any) -> None:
        """Let an entry in."""
        entries = self.groups.get(group)
        if entries is None:
            self.groups[group] = [entry]
        elif isinstance(entries, list):  # SortedList is an ABC, whose instances are told slowly
            insort(entries, entry)
            if len(entries) > SMALL_GROUP:
                self.groups[group] = SortedList(entries)
        else:
            entries.add(entry)

    def fill(self, rows: Mapping[str, R]) -> None:
        """Let in the records of a table that had none: sorted at once, not one by one."""
        found: dict[Hashable, list[Any]] = {}
        for key, record in rows.items():
            group = self.group_of(record)
            if group is not None:
                found.setdefault(group, []).append(self.entry(record, key))
        for group, entries in found.items():
            entries.sort()
            self.groups[group] = SortedList(entries) if len(entries) > SMALL_GROUP else entries

    def remove(self, group: Hashable, entry: Any) -> None:
        """Let an entry go, and its group with the last one."""
        entries = self.groups[group]
        if isinstance(entries, list):
            del entries[bisect_left(entries, entry)]
        else:
            entries.remove(entry)
        if not entries:
            del self.groups[group]


class Table(Generic[R]):
    """Records by primary key, grouped by `indexes`, and in order by `ordered` ones.

    An index maps a record to its group (None: in no group); groups keep insertion order, so that
    iterating one is the same in every process. An ordered index also maps it to a sort value, or is
    in the order of keys (None): a million keys take half the time and memory of pairs with them.
    """

    def __init__(
        self,
        key: Callable[[R], str],
        *,
        indexes: Mapping[str, Group[R]] | None = None,
        ordered: Mapping[str, tuple[Group[R], Sort[R] | None]] | None = None,
    ) -> None:
        self._key = key
        self._rows: dict[str, R] = {}
        # The record with this key, or None: as an attribute it costs nobody a call in Python.
        self.get: Callable[[str], R | None] = self._rows.get
        self._indexes = {name: _Index(group, {}) for name, group in (indexes or {}).items()}
        self._orders = {name: _Order(*given, {}) for name, given in (ordered or {}).items()}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def group(self, index: str, value: Hashable) -> Mapping[str, R]:
        """Return the records of one group by key, in insertion order. Not to be kept or altered."""
        return self._indexes[index].groups.get(value, _EMPTY)

    def after(self, index: str, value: Hashable, cursor: tuple[Any, str] | None) -> Iterator[R]:
        """Iterate one group in order, from just behind `cursor` (a sort value and a key)."""
        return self._walk(self._orders[index], value, cursor, is_backwards=False)

    def before(self, index: str, value: Hashable, cursor: tuple[Any, str] | None) -> Iterator[R]:
        """Iterate one group backwards, from just before `cursor`; None starts at the end."""
        return self._walk(self._orders[index], value, cursor, is_backwards=True)

    def last(self, index: str, value: Hashable) -> R | None:
        """Return the last record of one group of an ordered index."""
        order = self._orders[index]
        entries = order.groups.get(value)
        if entries is None:
            return None
        return self._rows[entries[-1] if order.sort_of is None else entries[-1][1]]

    def count(self, index: str, value: Hashable) -> int:
        """Return how many records one group of an ordered index has."""
        return len(self._orders[index].groups.get(value, ()))

    def put(self, record: R) -> R | None:
        """Insert or replace; return what was there. For `Store.apply` only."""
        key = self._key(record)
        old = self._rows.get(key)
        self._rows[key] = record
        if old is None:
            self._insert(key, record)
        else:
            self._replace(key, old, record)
        return old

    def _insert(self, key: str, record: R) -> None:
        for group_of, groups in self._indexes.values():
            group = group_of(record)
            if group is not None:
                members = groups.get(group)
                if members is None:
                    groups[group] = {key: record}
                else:
                    members[key] = record
        for order in self._orders.values():
            group_of, sort_of, entries = order
            group = group_of(record)
            if group is not None:
                entry = key if sort_of is None else (sort_of(record), key)
                if group in entries:
                    order.add(group, entry)
                else:
                    entries[group] = [entry]

    def _replace(self, key: str, old: R, record: R) -> None:
        for group_of, groups in self._indexes.values():
            group = group_of(record)
            _leave(groups, group_of(old), group, key)
            if group is not None:
                members = groups.get(group)
                if members is None:
                    groups[group] = {key: record}
                else:
                    members[key] = record
        for order in self._orders.values():
            _reorder(order, old, record, key)

    def fill(self, records: Iterable[R]) -> None:
        """Take all records of a table that has none; each key once. For `Store.restore` only."""
        assert not self._rows, "filled twice"
        key = self._key
        self._rows.update((key(record), record) for record in records)
        for index in self._indexes.values():
            index.fill(self._rows)
        for order in self._orders.values():
            order.fill(self._rows)

    def delete(self, key: str) -> R | None:
        """Forget a record; return what was there. For `Store.apply` only."""
        old = self._rows.pop(key, None)
        if old is None:
            return None
        for index in self._indexes.values():
            _leave(index.groups, index.group_of(old), None, key)
        for order in self._orders.values():
            group = order.group_of(old)
            if group is not None:
                order.remove(group, order.entry(old, key))
        return old

    def _walk(
        self,
        order: _Order[R],
        group: Hashable,
        cursor: tuple[Any, str] | None,
        *,
        is_backwards: bool,
    ) -> Iterator[R]:
        entries = order.groups.get(group)
        if entries is None:
            return
        bound = order.bound(cursor)
        for entry in _irange(entries, bound, is_backwards=is_backwards):
            yield self._rows[entry if order.sort_of is None else entry[1]]


def _irange(
    entries: "list[Any] | SortedList[Any]", bound: Any, *, is_backwards: bool
) -> Iterable[Any]:
    """Iterate entries from just behind a bound, or backwards from just before it; None: all."""
    found: Iterable[Any]
    if isinstance(entries, SortedList):
        low, high = (None, bound) if is_backwards else (bound, None)
        found = entries.irange(low, high, (False, False), reverse=is_backwards)
    elif is_backwards:
        found = reversed(entries if bound is None else entries[: bisect_left(entries, bound)])
    else:
        found = entries if bound is None else entries[bisect_right(entries, bound) :]
    return found


def _leave(
    groups: dict[Hashable, dict[str, R]], was: Hashable | None, becomes: Hashable | None, key: str
) -> None:
    if was is None or was == becomes:
        return
    members = groups[was]
    del members[key]
    if not members:
        del groups[was]


def _reorder(order: _Order[R], old: R, record: R, key: str) -> None:
    """Bring one order up to date with a record in place of another."""
    group = order.group_of(record)
    was = order.group_of(old)
    if was is None:
        if group is not None:
            order.add(group, order.entry(record, key))
        return
    if group == was and order.sort_of is None:
        return
    before = order.entry(old, key)
    after = None if group is None else order.entry(record, key)
    if group == was and before == after:
        return
    order.remove(was, before)
    if group is not None:
        order.add(group, after)
