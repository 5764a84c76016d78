"""The best rows for one shape of task, ready to be taken: a heap for each combination of buckets.

A shelf is filled by looking at all rows at once, but holds only the best few of each heap; behind
its `bound` there may be others. It can be kept between requests: it then follows the rows that
changed. Taking rows off it is `picking`'s business.
"""

import heapq
from typing import Any, NamedTuple, cast

import numpy as np

from homeport.core.placement.expressions import subject_reader
from homeport.core.placement.ranking_rules import (
    CPU,
    LOAD,
    LOAD_BITS,
    LOAD_STEPS,
    MEMORY,
    TASKS,
    TURN,
    TURN_BITS,
    Chance,
    Rules,
    load_permille,
)
from homeport.model.resources import TaskResources
from homeport.state.fleet import Flags, Fleet, Ints

_PACKED_BITS = 62
_FEW_HEAPS = 16
_REPLAY_SHARE = 24  # a shelf is filled anew when one row in so many has changed
_REPLAY_LEAST = 64
_SPARSE_SHARE = 4
_SPARSE_LEAST = 4_096
_STALE_SHARE = 8  # and when its heaps hold so many times the entries that it was filled with


class Shape(NamedTuple):
    """What all tasks that share a shelf have in common."""

    rules: Rules
    needs: TaskResources


class Shelf:
    """Heaps of packed numbers by combination of buckets; see `ranking_rules`."""

    __slots__ = (
        "_entries",
        "_filled",
        "_group_column",
        "_ranks",
        "_shape",
        "_widths",
        "bounds",
        "by_rank",
        "cursor",
        "entry_of",
        "epoch",
        "fleet",
        "heaps",
        "parts",
        "rank_bits",
    )

    def __init__(
        self,
        fleet: Fleet,
        shape: Shape,
        mask: Flags,
        *,
        chunk: int,
        tasks: Ints | None = None,
        count: int = 0,
        chance: Chance | None = None,
    ) -> None:
        """Fill a shelf with the rows of `mask` that have room: the best `chunk` of each heap.

        `tasks` are the group's wanted tasks on each row, if they matter, and at most `count` more
        are going to be placed.
        """
        fleet.refresh()
        ranks, by_rank = fleet.ranks()
        self.fleet = fleet
        self._shape = shape
        self._ranks = ranks.data
        self.by_rank = by_rank.data
        self.rank_bits = max(len(fleet), 1).bit_length()
        self._widths = _widths(fleet, tasks, count)
        self.epoch = fleet.epoch
        self.cursor = fleet.load_log.end
        rows = np.flatnonzero(mask & self._has_room())
        packed = self._pack(rows, ranks, tasks, chance)
        self.heaps: dict[int, list[int]] = {}
        self.bounds: dict[int, int | None] = {}
        self.entry_of: dict[int, int] = {}
        self.parts: dict[int, tuple[int, ...]] = {}
        groups = self._group(rows)
        self._fill(groups, packed, chunk)
        self._filled = sum(map(len, self.heaps.values()))
        self._entries = self._filled

    def _has_room(self) -> Flags:
        fleet, needs = self.fleet, self._shape.needs
        room: Flags = fleet.free_cpu_units >= needs.cpu_units
        room &= fleet.free_memory_mib >= needs.memory_mib
        room &= fleet.free_gpu_count >= needs.gpu_count
        if needs.interface_count:
            room &= fleet.free_interface_count >= needs.interface_count
        return room

    def _pack(self, rows: Ints, ranks: Ints, tasks: Ints | None, chance: Chance | None) -> Ints:
        numbers = self._shape.rules.numbers
        bits = sum(self._widths[number] for number in numbers) + self.rank_bits
        packed: Any = np.zeros(len(rows), np.int64 if bits <= _PACKED_BITS else np.object_)
        for number in numbers:
            if number == TASKS and tasks is None:
                continue  # none anywhere, and nothing is compared before
            packed = packed * (1 << self._widths[number]) + self._column(
                number, rows, ranks, tasks=tasks, chance=chance
            )
        packed = packed * (1 << self.rank_bits) + ranks[rows]
        return cast("Ints", packed)

    def _column(
        self,
        number: str,
        rows: Ints,
        ranks: Ints,
        *,
        tasks: Ints | None,
        chance: Chance | None,
    ) -> Ints:
        fleet = self.fleet
        if number == CPU:
            return fleet.free_cpu_units[rows]
        if number == MEMORY:
            return fleet.free_memory_mib[rows]
        if number == TASKS:
            assert tasks is not None
            return tasks[rows]
        if number == TURN:
            assert chance is not None
            return chance.first_turns(ranks[rows])
        cpu_units, memory_mib = fleet.cpu_units[rows], fleet.memory_mib[rows]
        used_cpu_units = cpu_units - fleet.free_cpu_units[rows]
        used_memory_mib = memory_mib - fleet.free_memory_mib[rows]
        load: Ints = np.maximum(
            used_cpu_units * LOAD_STEPS // np.maximum(cpu_units, 1),
            used_memory_mib * LOAD_STEPS // np.maximum(memory_mib, 1),
        )
        return load

    def _group(self, rows: Ints) -> Ints:
        """Number the combinations of buckets; `parts` says which codes make up each."""
        fleet = self.fleet
        combined: Ints = np.zeros(len(fleet), np.int64)
        columns: list[Ints] = []
        numbers = 1
        for attribute in self._shape.rules.attributes:
            codes = fleet.codes(attribute, subject_reader(attribute))
            columns.append(codes.column)
            combined = combined * len(codes.values) + codes.column
            numbers *= len(codes.values)
        self._group_column = combined.data
        groups: Ints = combined[rows]
        if not columns:
            self.parts[0] = ()
            return groups
        found, members = _one_of_each(groups, rows, numbers)
        codes_of = [column[members].tolist() for column in columns]
        self.parts.update(zip(found.tolist(), zip(*codes_of, strict=True), strict=True))
        return groups

    def _fill(self, groups: Ints, packed: Ints, chunk: int) -> None:
        if len(self.parts) <= _FEW_HEAPS:
            for group in self.parts:
                mine = packed if len(self.parts) == 1 else packed[groups == group]
                self._fill_heap(group, mine, chunk)
            return
        order = np.argsort(packed, kind="stable")
        order = order[np.argsort(groups[order], kind="stable")]
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1)).tolist()
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            self._fill_heap(int(groups[order[start]]), packed[order[start:end]], chunk)

    def _fill_heap(self, group: int, packed: Ints, chunk: int) -> None:
        is_cut = len(packed) > chunk
        if is_cut:
            packed = np.partition(packed, chunk - 1)[:chunk]
        entries: list[int] = np.sort(packed).tolist()
        self.heaps[group] = entries  # sorted, so it is a heap
        self.bounds[group] = entries[-1] if is_cut else None
        by_rank, rank_mask = self.by_rank, (1 << self.rank_bits) - 1
        self.entry_of.update((by_rank[entry & rank_mask], entry) for entry in entries)

    # one row at a time
    def rank(self, row: int) -> int:
        """Return a row's place in the order of ARNs."""
        return self._ranks[row]

    def group_of(self, row: int) -> int:
        """Return the number of a row's combination of buckets."""
        return self._group_column[row]

    def width(self, number: str) -> int:
        """Return how many bits a number takes in an entry."""
        return self._widths[number]

    def entry(self, row: int, free: tuple[int, int], tasks: int, turn: int) -> int:
        """Pack the numbers of one row; `free` are CPU units and MiB left."""
        instance = self.fleet.instances[row]
        assert instance is not None
        free_cpu_units, free_memory_mib = free
        packed = 0
        for number in self._shape.rules.numbers:
            if number == LOAD:
                has = instance.resources
                value = load_permille(
                    has.cpu_units, free_cpu_units, has.memory_mib, free_memory_mib
                )
            elif number == TASKS:
                value = tasks
            elif number == CPU:
                value = free_cpu_units
            elif number == MEMORY:
                value = free_memory_mib
            else:
                value = turn
            packed = (packed << self._widths[number]) | value
        return (packed << self.rank_bits) | self._ranks[row]

    def follow(self, mask: Flags) -> bool:
        """Take in the rows that changed since; False if filling a new shelf is less work."""
        fleet, needs = self.fleet, self._shape.needs
        changed = fleet.load_log.since(self.cursor)
        if changed is None or self.epoch != fleet.epoch:
            return False
        if len(changed) > max(len(fleet) // _REPLAY_SHARE, _REPLAY_LEAST):
            return False
        for row in changed:
            instance, load = fleet.instances[row], fleet.loads[row]
            self.entry_of.pop(row, None)
            if instance is None or not mask.item(row):
                continue
            has = instance.resources
            free_cpu_units = has.cpu_units - load.cpu_units
            free_memory_mib = has.memory_mib - load.memory_mib
            if (
                free_cpu_units < needs.cpu_units
                or free_memory_mib < needs.memory_mib
                or len(has.gpu_ids) - load.gpu_count < needs.gpu_count
                or has.interface_slots - load.interface_count < needs.interface_count
            ):
                continue
            group = self._group_column[row]
            if group not in self.heaps:
                return False
            entry = self.entry(row, (free_cpu_units, free_memory_mib), 0, 0)
            bound = self.bounds[group]
            if bound is None or entry <= bound:
                heapq.heappush(self.heaps[group], entry)
                self.entry_of[row] = entry
                self._entries += 1
        self.cursor = fleet.load_log.end
        return self._entries <= _STALE_SHARE * (self._filled + _REPLAY_LEAST)


def _one_of_each(groups: Ints, rows: Ints, numbers: int) -> tuple[Ints, Ints]:
    """Return the different groups, of `numbers` possible ones, and a row of each."""
    if numbers > _SPARSE_SHARE * len(rows) + _SPARSE_LEAST:
        found, first = np.unique(groups, return_index=True)
        return found, rows[first]
    one_of = np.full(numbers, -1, np.int64)
    one_of[groups] = rows
    found = np.flatnonzero(one_of >= 0)
    return found, one_of[found]


def _widths(fleet: Fleet, tasks: Ints | None, count: int) -> dict[str, int]:
    most_tasks = count + (0 if tasks is None else int(tasks.max(initial=0)))
    return {
        TASKS: most_tasks.bit_length(),
        CPU: int(fleet.cpu_units.max(initial=0)).bit_length(),
        MEMORY: int(fleet.memory_mib.max(initial=0)).bit_length(),
        LOAD: LOAD_BITS,
        TURN: TURN_BITS,
    }
