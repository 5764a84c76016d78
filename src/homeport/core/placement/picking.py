"""Takes rows off a shelf, the best one for each task, and leaves the shelf as it was.

What the tasks of this call take away is known here only; the state doesn't change before the
decision is committed.
"""

import heapq
from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

from homeport.core.placement.daemon_room import KeptRoom
from homeport.core.placement.ranking_rules import TURN, Chance, Rules
from homeport.core.placement.shelf import Shelf
from homeport.model.resources import TaskResources

SKIPPED_LIMIT = 256  # rows of the same group, or with a port taken, before looking at all anew

_Key = tuple[int, ...]


class ShelfExhausted(Exception):
    """The shelf's few best rows don't suffice: the caller fills a bigger one."""


class Terms(NamedTuple):
    """What one request adds to the shape of its tasks."""

    rules: Rules
    needs: TaskResources
    counts: Mapping[str, Mapping[int, int]]  # attribute → code → wanted tasks of the group
    tasks: Mapping[int, int]  # row → wanted tasks of the group
    is_once: bool  # a row can take one of these tasks at most
    is_match_again: Callable[[int], bool] | None  # whether a row matches once it hosts the group
    vetoed: tuple[Container[int], ...]  # rows of the shelf that are to be passed over
    is_partial: bool  # rows passed over can take a task, but are worse than all others
    entropy: bytes
    rooms: Mapping[int, KeptRoom]  # row → what is kept there for daemons


class _Row:
    """A row that has taken a task in this call."""

    __slots__ = (
        "free_cpu_units",
        "free_gpu_count",
        "free_interface_count",
        "free_memory_mib",
        "placed",
        "tasks",
        "turn",
    )

    def __init__(self, shelf: Shelf, row: int, terms: Terms, turn: int) -> None:
        instance, load = shelf.fleet.instances[row], shelf.fleet.loads[row]
        assert instance is not None
        has = instance.resources
        self.free_cpu_units = has.cpu_units - load.cpu_units
        self.free_memory_mib = has.memory_mib - load.memory_mib
        self.free_gpu_count = len(has.gpu_ids) - load.gpu_count
        self.free_interface_count = has.interface_slots - load.interface_count
        room = terms.rooms.get(row)
        if room is not None:
            self.free_cpu_units -= room.resources.cpu_units
            self.free_memory_mib -= room.resources.memory_mib
            self.free_gpu_count -= room.resources.gpu_count
            self.free_interface_count -= room.resources.interface_count
        self.tasks = terms.tasks.get(row, 0)
        self.placed = 0
        self.turn = turn

    def take(self, needs: TaskResources) -> bool:
        """Count one task in; say whether there is room for another."""
        self.free_cpu_units -= needs.cpu_units
        self.free_memory_mib -= needs.memory_mib
        self.free_gpu_count -= needs.gpu_count
        self.free_interface_count -= needs.interface_count
        self.tasks += 1
        self.placed += 1
        return (
            self.free_cpu_units >= needs.cpu_units
            and self.free_memory_mib >= needs.memory_mib
            and self.free_gpu_count >= needs.gpu_count
            and self.free_interface_count >= needs.interface_count
        )


class Picker:
    """Places the tasks of one request, one after the other."""

    def __init__(self, shelf: Shelf, terms: Terms) -> None:
        self._shelf = shelf
        self._terms = terms
        self._counts = {name: dict(counts) for name, counts in terms.counts.items()}
        self._bucket_counts = [self._counts[name] for name in terms.rules.attributes]
        self._rank_mask = (1 << shelf.rank_bits) - 1
        self._touched: dict[int, _Row] = {}
        self._own: dict[int, list[int]] = {}  # rows that have taken a task in this call, by group
        self._taken_off: list[tuple[int, int]] = []
        self._skipped = 0
        self._has_attributes_first = terms.rules.has_attributes_first
        self._draws_lots = TURN in terms.rules.numbers

    def pick(self, count: int) -> list[int]:
        """Return a row for each task, in order; fewer if there is no more room.

        Raises ShelfExhausted if the shelf can't tell. The shelf is as before in any case.
        """
        try:
            return self._pick(count)
        finally:
            for group, entry in self._taken_off:
                heapq.heappush(self._shelf.heaps[group], entry)
            self._taken_off.clear()

    def placed_on(self) -> dict[int, int]:
        """Return how many tasks each row has taken."""
        return {row: state.placed for row, state in self._touched.items()}

    def _pick(self, count: int) -> list[int]:
        ranking: list[tuple[_Key, int, int]] = []
        for group in self._shelf.heaps:
            entry = self._top(group)
            if entry is not None:
                ranking.append((self._key(group, entry), group, entry))
        if count == 1:  # nothing comes after it, so nothing has to be counted
            best_entries = [min(ranking)[2]] if ranking else []
            return [self._shelf.by_rank[entry & self._rank_mask] for entry in best_entries]
        heapq.heapify(ranking)
        picked: list[int] = []
        while ranking:
            key, group, entry = ranking[0]
            now = self._key(group, entry)
            if now != key:  # tasks placed elsewhere count into its buckets, too
                heapq.heapreplace(ranking, (now, group, entry))
                continue
            picked.append(self._take(group, entry))
            if len(picked) == count:
                break
            best = self._top(group)
            if best is None:
                heapq.heappop(ranking)
            else:
                heapq.heapreplace(ranking, (self._key(group, best), group, best))
        return picked

    def _top(self, group: int) -> int | None:
        """Return the best entry of a group; None when it has no room left."""
        shelf, touched, vetoed = self._shelf, self._touched, self._terms.vetoed
        heap = shelf.heaps[group]
        own = self._own.get(group)
        while heap:
            entry = heap[0]
            row = shelf.by_rank[entry & self._rank_mask]
            if shelf.entry_of.get(row) != entry:
                heapq.heappop(heap)  # the row has changed since
            elif row in touched:
                self._take_off(group)
            elif vetoed and any(row in rows for rows in vetoed):
                self._take_off(group)
                self._skipped += 1
                if self._skipped > SKIPPED_LIMIT:
                    raise ShelfExhausted
            else:
                return min(entry, own[0]) if own else entry
        bound = shelf.bounds[group]
        if self._terms.is_partial:
            raise ShelfExhausted
        if bound is not None and not (own and own[0] <= bound):
            raise ShelfExhausted
        return own[0] if own else None

    def _take_off(self, group: int) -> None:
        self._taken_off.append((group, heapq.heappop(self._shelf.heaps[group])))

    def _key(self, group: int, entry: int) -> _Key:
        """Return what a group is compared by, with its best entry, in the order of the chain."""
        rules = self._terms.rules
        parts = self._shelf.parts[group]
        if self._has_attributes_first:
            if len(parts) == 1:
                return self._bucket_counts[0].get(parts[0], 0), entry
            each = zip(self._bucket_counts, parts, strict=True)
            return (*(counts.get(part, 0) for counts, part in each), entry)
        rest = entry >> self._shelf.rank_bits
        numbers: dict[str, int] = {}
        for name in reversed(rules.numbers):
            width = self._shelf.width(name)
            is_first = name == rules.numbers[0]
            numbers[name] = rest if is_first else rest & ((1 << width) - 1)
            rest >>= width
        buckets = dict(zip(rules.attributes, parts, strict=True))
        key = [
            numbers[rule] if rule in numbers else self._counts[rule].get(buckets[rule], 0)
            for rule in rules.sequence
        ]
        return (*key, entry & self._rank_mask)

    def _take(self, group: int, entry: int) -> int:
        """Place a task on the row of an entry, and rank the row again if it has room for more."""
        shelf, terms = self._shelf, self._terms
        row = shelf.by_rank[entry & self._rank_mask]
        state = self._touched.get(row)
        if state is None:
            turn = self._turn_of(entry) if self._draws_lots else 0
            state = self._touched[row] = _Row(shelf, row, terms, turn)
            self._take_off(group)
        else:
            heapq.heappop(self._own[group])
        for counts, part in zip(self._bucket_counts, shelf.parts[group], strict=True):
            counts[part] = counts.get(part, 0) + 1
        if state.take(terms.needs) and not terms.is_once and self._matches_again(row, state):
            if self._draws_lots:
                chance = Chance(terms.entropy)
                state.turn = chance.turn_after(state.turn, shelf.rank(row), state.placed)
            free = (state.free_cpu_units, state.free_memory_mib)
            again = shelf.entry(row, free, state.tasks, state.turn)
            heapq.heappush(self._own.setdefault(group, []), again)
        return row

    def _matches_again(self, row: int, state: _Row) -> bool:
        is_match = self._terms.is_match_again
        return is_match is None or state.placed > 1 or is_match(row)

    def _turn_of(self, entry: int) -> int:
        """Read the lot, which is always the last number."""
        return (entry >> self._shelf.rank_bits) & ((1 << self._shelf.width(TURN)) - 1)
