"""Many identical tasks at once: what picking one after the other would give, found by sorting.

Rows with the same bucket of the spread attribute are a lane. The order in which the rows of a lane
take tasks doesn't depend on other lanes, and the lanes' turns only on how many tasks each has: so
the n-th task of a lane is compared by the lane's count plus n, then by its row's numbers at that
time. Chains with more than one spread attribute, or lots, are `picking`'s.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    Rules,
)
from homeport.model.resources import TaskResources
from homeport.state.fleet import Flags, Fleet, Ints

LEAST_TASKS = 12  # fewer are picked one after the other
NOWHERE = 2**63 - 1
TASKS_BITS = 18
_PACKED_BITS = 62
_FEW_LANES = 16
_FRONT_SHARE = 4  # rows looked for in each lane are at most so many times those needed
_REPLAY_SHARE = 4  # all rows are looked at anew when one in so many has changed


class BulkTerms(NamedTuple):
    """What one request adds to the shape of its tasks."""

    number: int
    lane_counts: dict[int, int]  # code of the spread attribute → wanted tasks of the group
    tasks: dict[int, int]  # row → wanted tasks of the group
    mask: Flags | None  # rows that can take one, as far as that isn't the shape's business
    is_once: bool
    most: Mapping[int, int]  # row → tasks that fit beside what is kept there for daemons


def is_bulk(fleet: Fleet, rules: Rules, count: int) -> bool:
    """Whether sorting can tell, and is worth it."""
    if len(rules.attributes) > 1 or not rules.has_attributes_first or TURN in rules.numbers:
        return False
    if count < LEAST_TASKS or len(fleet) * _FEW_LANES < count:
        return False
    fleet.refresh()
    return sum(_widths(fleet, rules.numbers).values()) <= _PACKED_BITS



class Standing:
    """The packed numbers of every row for one shape of task, NOWHERE where it has no place."""

    __slots__ = ("_bounds", "_cursor", "_epoch", "_fleet", "_needs", "_rules", "_widths", "packed")

    def __init__(self, fleet: Fleet, rules: Rules, needs: TaskResources, mask: Flags) -> None:
        fleet.refresh()
        self._fleet = fleet
        self._rules = rules
        self._needs = needs
        self._widths = _widths(fleet, rules.numbers)
        self._epoch = fleet.epoch
        self._cursor = fleet.load_log.end
        self._bounds: dict[int, int] = {}
        self.packed = self._stand(np.arange(len(fleet)), mask)

    def follow(self, mask: Flags) -> bool:
        """Take in the rows that changed since; False if looking at all of them is less work."""
        fleet = self._fleet
        changed = fleet.load_log.since(self._cursor)
        if changed is None or self._epoch != fleet.epoch:
            return False
        if len(changed) * _REPLAY_SHARE > len(fleet):
            return False
        if changed:
            fleet.refresh()
            rows = np.array(changed, np.int64)
            self.packed[rows] = self._stand(rows, mask)
        self._cursor = fleet.load_log.end
        return True

    def place(self, terms: BulkTerms) -> list[int]:
        """Return a row for each task, in order; fewer if there is no more room."""
        lanes, codes = self._lanes()
        rows = self._front(lanes, codes, terms)
        if not len(rows):
            return []
        tasks = np.zeros(len(rows), np.int64)
        if TASKS in self._rules.numbers and terms.tasks:
            tasks = np.fromiter((terms.tasks.get(row, 0) for row in rows.tolist()), np.int64)
        lane_of = np.zeros(len(rows), np.int64) if lanes is None else lanes[rows]
        plan = self._fill if self._is_filling() else self._climb
        index, packed = plan(
            rows, lane_of, tasks=tasks, room=self._room(rows, terms), count=terms.number
        )
        return self._interleave(rows[index], lane_of[index], packed, terms)

    def _is_filling(self) -> bool:
        """Whether a row that has just taken a task is the best of its lane until it is full."""
        for number in self._rules.numbers:
            if number == TASKS:
                return False
            if number == CPU and self._needs.cpu_units:
                return True
            if number == MEMORY and self._needs.memory_mib:
                return True
        return False

    def _lanes(self) -> tuple[Ints | None, list[int]]:
        if not self._rules.attributes:
            return None, [0]
        (attribute,) = self._rules.attributes
        codes = self._fleet.codes(attribute, subject_reader(attribute))
        return codes.column, list(codes.values.values())

    def _stand(self, rows: Ints, mask: Flags) -> Ints:
        fleet, needs = self._fleet, self._needs
        room: Flags = fleet.free_cpu_units[rows] >= needs.cpu_units
        room &= fleet.free_memory_mib[rows] >= needs.memory_mib
        if needs.gpu_count:
            room &= fleet.free_gpu_count[rows] >= needs.gpu_count
        if needs.interface_count:
            room &= fleet.free_interface_count[rows] >= needs.interface_count
        room &= mask[rows]
        packed = self._pack(rows, 0, 0)
        packed[~room] = NOWHERE
        return packed

    def _pack(self, rows: Ints, tasks: Ints | int, placed: Ints | int) -> Ints:
        """Pack the numbers of rows that have taken `placed` tasks of this call."""
        fleet, needs = self._fleet, self._needs
        packed: Any = np.zeros(len(rows), np.int64)
        for number, width in self._widths.items():
            value: Any
            if number == TASKS:
                value = tasks + placed
            elif number == CPU:
                value = fleet.free_cpu_units[rows] - needs.cpu_units * placed
            elif number == MEMORY:
                value = fleet.free_memory_mib[rows] - needs.memory_mib * placed
            elif number == LOAD:
                value = self._load(rows, placed)
            else:
                value = fleet.ranks()[0][rows]
            packed = (packed << width) | value
        result: Ints = packed
        return result

    def _load(self, rows: Ints, placed: Ints | int) -> Ints:
        fleet, needs = self._fleet, self._needs
        cpu_units, memory_mib = fleet.cpu_units[rows], fleet.memory_mib[rows]
        used_cpu_units = cpu_units - fleet.free_cpu_units[rows] + needs.cpu_units * placed
        used_memory_mib = memory_mib - fleet.free_memory_mib[rows] + needs.memory_mib * placed
        load: Ints = np.maximum(
            used_cpu_units * LOAD_STEPS // np.maximum(cpu_units, 1),
            used_memory_mib * LOAD_STEPS // np.maximum(memory_mib, 1),
        )
        return load

    def _front(self, lanes: Ints | None, codes: list[int], terms: BulkTerms) -> Ints:
        """Return the rows among which the tasks go: of each lane the best, and some more."""
        needed = terms.number + (len(terms.tasks) if TASKS in self._rules.numbers else 0)
        if terms.mask is not None:
            packed = np.where(terms.mask, self.packed, NOWHERE)
        else:
            packed = self.packed
        if len(codes) > _FEW_LANES or needed * 2 > len(packed):
            return np.flatnonzero(packed != NOWHERE)
        fronts = []
        for code in codes:
            bound = self._bounds.get(code, 0) if terms.mask is None else 0
            front = _up_to(packed, lanes, code, bound)
            if len(front) < needed:
                mine = packed if lanes is None else packed[lanes == code]
                wanted = min(_FRONT_SHARE * needed, len(mine))
                bound = int(np.partition(mine, wanted - 1)[wanted - 1]) if wanted else 0
                bound = min(bound, NOWHERE - 1)
                front = _up_to(packed, lanes, code, bound)
                if terms.mask is None:
                    self._bounds[code] = bound
            fronts.append(front)
        return np.concatenate(fronts)

    def _room(self, rows: Ints, terms: BulkTerms) -> Ints:
        """Return how many of these tasks each row can take."""
        fleet, needs = self._fleet, self._needs
        room = np.full(len(rows), 1 if terms.is_once else terms.number, np.int64)
        for free, need in (
            (fleet.free_cpu_units, needs.cpu_units),
            (fleet.free_memory_mib, needs.memory_mib),
            (fleet.free_gpu_count, needs.gpu_count),
            (fleet.free_interface_count, needs.interface_count),
        ):
            if need:
                np.minimum(room, free[rows] // need, out=room)
        if terms.most:
            most = (terms.most.get(row, terms.number) for row in rows.tolist())
            np.minimum(room, np.fromiter(most, np.int64, len(rows)), out=room)
        return room

    def _fill(
        self, rows: Ints, lane_of: Ints, *, tasks: Ints, room: Ints, count: int
    ) -> tuple[Ints, Ints]:
        """One row after the other until it is full: which of `rows`, and its numbers then."""
        first = self._pack(rows, tasks, 0)
        order = np.lexsort((first, lane_of))
        room = room[order]
        before = np.cumsum(room) - room  # tasks on the rows that come earlier, all lanes together
        starts = np.flatnonzero(np.diff(lane_of[order], prepend=-1))
        lane_start = np.repeat(before[starts], np.diff(starts, append=len(order)))
        room = np.clip(count - (before - lane_start), 0, room)
        index = np.repeat(order, room)
        placed = np.arange(len(index)) - np.repeat(np.cumsum(room) - room, room)
        return index, self._pack(rows[index], tasks[index], placed)

    def _climb(
        self, rows: Ints, lane_of: Ints, *, tasks: Ints, room: Ints, count: int
    ) -> tuple[Ints, Ints]:
        """Each row is worse after each task: which of `rows` are ever best, and their numbers."""
        index: Ints = np.arange(len(rows))
        packed = self._pack(rows, tasks, 0)
        found_index: list[Ints] = []
        found_packed: list[Ints] = []
        limits = _limits(lane_of, packed, count)
        placed = fresh = 0
        while len(index):
            good = packed <= limits[lane_of[index]]
            index, packed = index[good], packed[good]
            found_index.append(index)
            found_packed.append(packed)
            placed += 1
            fresh += len(index)
            if fresh >= count:  # enough may have been found for some lanes
                found = np.concatenate(found_index)
                limits = _limits(lane_of[found], np.concatenate(found_packed), count, len(limits))
                fresh = 0
            index = index[room[index] > placed]
            packed = self._pack(rows[index], tasks[index], placed)
        return np.concatenate(found_index), np.concatenate(found_packed)

    def _interleave(
        self, rows: Ints, lane_of: Ints, packed: Ints, terms: BulkTerms
    ) -> list[int]:
        """Give the lanes their turns."""
        if not self._rules.attributes:
            order = np.argsort(packed, kind="stable") if not self._is_filling() else slice(None)
            found: list[int] = rows[order][: terms.number].tolist()
            return found
        if self._is_filling():
            order = np.argsort(lane_of, kind="stable")
        else:
            order = np.lexsort((packed, lane_of))
        lane_of, packed, rows = lane_of[order], packed[order], rows[order]
        starts = np.flatnonzero(np.diff(lane_of, prepend=-1))
        sizes = np.diff(starts, append=len(lane_of))
        counts = [terms.lane_counts.get(code, 0) for code in lane_of[starts].tolist()]
        turn = np.arange(len(lane_of)) - np.repeat(starts - np.array(counts), sizes)
        chosen: list[int] = rows[np.lexsort((packed, turn))][: terms.number].tolist()
        return chosen


def _up_to(packed: Ints, lanes: Ints | None, code: int, bound: int) -> Ints:
    front = packed <= bound
    if lanes is not None:
        front &= lanes == code
    return np.flatnonzero(front)


def _limits(lane_of: Ints, packed: Ints, count: int, lanes: int = 0) -> Ints:
    """Return for each lane what the `count`-th best of its rows has, NOWHERE if it has fewer."""
    order = np.lexsort((packed, lane_of))
    starts = np.flatnonzero(np.diff(lane_of[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    last = np.minimum(starts + count - 1, len(order) - 1)
    limits = np.full(max(lanes, int(lane_of.max()) + 1), NOWHERE, np.int64)
    limits[lane_of[order[starts]]] = np.where(sizes >= count, packed[order][last], NOWHERE)
    return limits


def _widths(fleet: Fleet, numbers: tuple[str, ...]) -> dict[str, int]:
    """Return the bits of each number, in their order, with the rank last."""
    bits = {
        TASKS: TASKS_BITS,
        CPU: int(fleet.cpu_units.max(initial=0)).bit_length(),
        MEMORY: int(fleet.memory_mib.max(initial=0)).bit_length(),
        LOAD: LOAD_BITS,
    }
    return {**{number: bits[number] for number in numbers}, "rank": len(fleet).bit_length()}
