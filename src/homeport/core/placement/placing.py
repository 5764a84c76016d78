"""`place_tasks`: identical tasks onto a cluster's container instances, as one batch.

Which rows are eligible is found out for all of them at once (`eligible`), the best of them with
room stand on a `shelf`, and `picking` takes one for each task. Shelves that depend on nothing but
the tasks' shape are kept between requests, so that a single task costs little more than one of
many. Refusals are judged by `filters`, one instance after the other.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.placement.bulk import BulkTerms, Standing, is_bulk
from homeport.core.placement.daemon_room import KeptRoom, rooms_for_daemons, tasks_beside
from homeport.core.placement.eligible import (
    eligible_key,
    eligible_rows,
    matching_now,
    rows_with_ports,
)
from homeport.core.placement.expressions import InstanceFacts, subject_reader
from homeport.core.placement.filters import Filters, compile_filters, is_reserved
from homeport.core.placement.kept_instance import kept_from
from homeport.core.placement.picking import Picker, ShelfExhausted, Terms
from homeport.core.placement.ranking_rules import TASKS, TURN, Chance, rules_of
from homeport.core.placement.refusing import find_refusals
from homeport.core.placement.request import Placement, PlacementRequest
from homeport.core.placement.shelf import Shape, Shelf
from homeport.core.placement.strategies import LEAST_LOADED, SPREAD_INSTANCES, SPREAD_ZONES
from homeport.model.placement import PlacementStrategy
from homeport.model.resources import TaskResources
from homeport.state.fleet import Flags, Fleet, GroupTasks, Ints
from homeport.state.view import View

SHELF_LEAST = 128  # entries of each heap, beside those for the tasks that are placed now
SHELF_GROWTH = 8  # when they don't suffice

_NO_TASKS = GroupTasks()


def place_tasks(view: View, request: PlacementRequest, moment: Moment) -> Placement:
    """Choose a container instance for each task, as far as there is room.

    Only ACTIVE container instances are considered; of these every one that can't take a further
    task has a refusal if not all tasks were placed. Raises ExpressionError for a constraint that
    operations should have refused.
    """
    filters = compile_filters(request)
    fleet = view.fleet(request.cluster_arn)
    if not len(fleet):
        return Placement()
    picked, placed_on = _Placer(view, fleet, filters, moment).place(request.count)
    arns = tuple(fleet.arns[row] for row in picked)
    if len(picked) == request.count:
        return Placement(container_instance_arns=arns)
    refusals = find_refusals(view, filters, placed_on, limit=request.refusals_wanted)
    return Placement(container_instance_arns=arns, refusals=refusals)


def placement_chain(
    strategies: Sequence[PlacementStrategy], *, is_service: bool
) -> tuple[PlacementStrategy, ...]:
    """Return the strategies in force, with the defaults where none is given.

    Services: spread over zones, then fewest tasks of the service on the instance. Others: spread
    over zones (AWS chooses at random: docs/differences.md). The least loaded one breaks ties.
    """
    if strategies:
        return (*strategies, LEAST_LOADED)
    if is_service:
        return (SPREAD_ZONES, SPREAD_INSTANCES, LEAST_LOADED)
    return (SPREAD_ZONES, LEAST_LOADED)


class _Placer:
    """One request on one fleet."""

    def __init__(self, view: View, fleet: Fleet, filters: Filters, moment: Moment) -> None:
        request = filters.request
        self._fleet = fleet
        self._filters = filters
        self._rules = rules_of(
            placement_chain(request.strategies, is_service=request.service_arn is not None)
        )
        self._group = fleet.group(request.group) or _NO_TASKS
        self._key = eligible_key(filters)
        self._eligible = eligible_rows(fleet, filters, self._key)
        self._matching = matching_now(view, fleet, filters)
        kept_arn = kept_from(view, request)
        self._kept_row = None if kept_arn is None else fleet.row_of.get(kept_arn)
        rooms = rooms_for_daemons(view, fleet, request.cluster_arn, request.service_arn)
        self._rooms: Mapping[int, KeptRoom] = {} if rooms is None else rooms.rooms
        self._closed = {} if rooms is None else rooms.closed_to(fleet, request.resources)
        self._view = view
        self._entropy = moment.entropy

    def place(self, count: int) -> tuple[list[int], dict[int, int]]:
        """Return a row for each task, and how many each row has got."""
        if self._match_again() is None and is_bulk(self._fleet, self._rules, count):
            rows = self._standing().place(self._bulk_terms(count))
            return rows, Counter(rows)
        if self._can_share():
            for is_new in (False, True):
                shelf = self._shared_shelf(count, is_new=is_new)
                try:
                    return self._pick(shelf, count, self._shared_vetoes())
                except ShelfExhausted:
                    continue
        if not self._has_room_anywhere():
            return [], {}
        chunk = SHELF_LEAST + count
        while True:
            try:
                return self._pick(self._own_shelf(chunk, count), count, ())
            except ShelfExhausted:
                chunk *= SHELF_GROWTH

    def _has_room_anywhere(self) -> bool:
        """Whether a task fits on any eligible row; a service that waits asks again and again."""
        fleet, needs = self._fleet, self._filters.request.resources
        fleet.refresh()
        room = fleet.free_cpu_units >= needs.cpu_units
        room &= fleet.free_memory_mib >= needs.memory_mib
        room &= self._eligible
        return bool(room.any())

    def _standing(self) -> Standing:
        fleet = self._fleet
        shape = self._shape()
        key = ("standing", shape, self._key)
        standing: Standing | None = fleet.memo.get(key)
        if standing is None or not standing.follow(self._eligible):
            standing = Standing(fleet, shape.rules, shape.needs, self._eligible)
            fleet.remember(key, standing)
        return standing

    def _bulk_terms(self, count: int) -> BulkTerms:
        counts: dict[int, int] = {}
        for attribute in self._rules.attributes:
            counts = self._bucket_counts(attribute)
        return BulkTerms(
            number=count,
            lane_counts=counts,
            tasks=self._group.wanted,
            mask=self._own_mask(),
            is_once=self._is_once(),
            most={row: self._tasks_beside(row) for row in self._rooms},
        )

    def _tasks_beside(self, row: int) -> int:
        needs = self._filters.request.resources
        return tasks_beside(self._fleet, row, self._rooms[row], needs)

    def _bucket_counts(self, attribute: str) -> dict[int, int]:
        group = self._filters.request.group
        return self._fleet.bucket_counts(group, attribute, subject_reader(attribute))

    def _can_share(self) -> bool:
        """Whether the group's own tasks rule out or push back few rows, if any."""
        numbers = self._rules.numbers
        if self._matching is not None or TURN in numbers:
            return False
        if TASKS in numbers and numbers[0] != TASKS:
            return False
        if self._rules.has_attributes_first or TASKS not in numbers:
            return len(self._group.wanted) * 2 <= len(self._fleet) or not self._looks_at_tasks()
        return False

    def _looks_at_tasks(self) -> bool:
        return self._is_distinct() or TASKS in self._rules.numbers

    def _passes_over_hosts(self) -> bool:
        """Whether rows that host the group could take another task of it."""
        hosts = self._group.wanted
        return bool(hosts) and TASKS in self._rules.numbers and not self._is_distinct()

    def _is_distinct(self) -> bool:
        return self._filters.needs_distinct_instance

    def _shared_vetoes(self) -> tuple[Container[int], ...]:
        """Rows that host the group may be anywhere in a shared shelf: they are passed over."""
        vetoes: list[Container[int]] = [self._group.wanted] if self._looks_at_tasks() else []
        if self._filters.request.resources.host_ports:
            vetoes.append(_Held(self._fleet, self._filters.request.resources))
        if self._kept_row is not None:
            vetoes.append((self._kept_row,))
        if self._closed:
            vetoes.append(self._closed)
        return tuple(vetoes)

    def _shared_shelf(self, count: int, *, is_new: bool) -> Shelf:
        fleet = self._fleet
        shape = self._shape()
        key = ("shelf", shape, self._key)
        shelf: Shelf | None = None if is_new else fleet.memo.get(key)
        if shelf is None or not shelf.follow(self._eligible):
            shelf = Shelf(fleet, shape, self._eligible, chunk=SHELF_LEAST + count)
            fleet.remember(key, shelf)
        return shelf

    def _shape(self) -> Shape:
        needs = self._filters.request.resources
        if not needs.host_ports:
            return Shape(self._rules, needs)
        return Shape(self._rules, replace(needs, host_ports=()))

    def _own_shelf(self, chunk: int, count: int) -> Shelf:
        fleet = self._fleet
        own_mask = self._own_mask()
        mask = self._eligible if own_mask is None else self._eligible & own_mask
        tasks: Ints | None = None
        if TASKS in self._rules.numbers:
            tasks = np.zeros(len(fleet), np.int64)
            tasks[list(self._group.wanted)] = list(self._group.wanted.values())
        return Shelf(
            fleet,
            self._shape(),
            mask,
            chunk=chunk,
            tasks=tasks,
            count=count,
            chance=Chance(self._entropy) if TURN in self._rules.numbers else None,
        )

    def _own_mask(self) -> Flags | None:
        """Return the rows that pass the rules about tasks; None when there are no such rules."""
        is_closed = self._kept_row is not None or bool(self._closed)
        if self._matching is None and not self._is_once() and not is_closed:
            return None
        fleet = self._fleet
        mask = rows_with_ports(fleet, self._filters.request.resources)
        if self._matching is not None:
            mask &= self._matching
        if self._is_distinct():
            mask[list(self._group.wanted)] = False
        if self._kept_row is not None:
            mask[self._kept_row] = False
        mask[list(self._closed)] = False
        return mask

    def _pick(
        self, shelf: Shelf, count: int, vetoed: tuple[Container[int], ...]
    ) -> tuple[list[int], dict[int, int]]:
        request = self._filters.request
        counts = {attribute: self._bucket_counts(attribute) for attribute in self._rules.attributes}
        terms = Terms(
            rules=self._rules,
            needs=request.resources,
            counts=counts,
            tasks=self._group.wanted,
            is_once=self._is_once(),
            is_match_again=self._match_again(),
            vetoed=vetoed,
            is_partial=bool(vetoed) and self._passes_over_hosts(),
            rooms=self._rooms,
            entropy=self._entropy,
        )
        picker = Picker(shelf, terms)
        return picker.pick(count), picker.placed_on()

    def _is_once(self) -> bool:
        """Whether a row that has taken a task can't take another of these."""
        filters = self._filters
        return filters.needs_distinct_instance or bool(filters.request.resources.host_ports)


    def _match_again(self) -> Callable[[int], bool] | None:
        """Return what says whether a row still matches when it hosts a task of this group."""
        asking = [each for each in self._filters.expressions if each.needs_task_groups]
        if not asking:
            return None
        view, fleet, group = self._view, self._fleet, self._filters.request.group

        def is_match(row: int) -> bool:
            instance = fleet.instances[row]
            assert instance is not None
            tasks = view.tasks_of_instance(instance.arn).values()
            groups = (*(task.group for task in tasks), group)
            facts = InstanceFacts(instance, fleet.loads[row].running, groups)
            return all(expression.is_match(facts) for expression in asking)

        return is_match


class _Held:
    """The rows on which a port that is needed is taken."""

    def __init__(self, fleet: Fleet, needs: TaskResources) -> None:
        self._fleet = fleet
        self._ports = needs.host_ports

    def __contains__(self, row: object) -> bool:
        assert isinstance(row, int)
        held = self._fleet.loads[row].ports
        instance = self._fleet.instances[row]
        assert instance is not None
        return any(port in held or is_reserved(instance, port) for port in self._ports)
