"""Why no container instance takes a further task: one refusal each, by the first rule that refuses.

The rules are those of `filters`. In a large fleet only the instances that come closest are judged
by them, one by one: how far each came is found out for all at once.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from homeport.core.placement.candidate import Candidate
from homeport.core.placement.daemon_room import KeptRoom, rooms_for_daemons, tasks_beside
from homeport.core.placement.eligible import matching_now, rows_that, rows_with_ports
from homeport.core.placement.expressions import Expression, InstanceFacts
from homeport.core.placement.filters import REASON_RESERVED, Filters, is_asked_for, is_suitable
from homeport.core.placement.kept_instance import kept_from
from homeport.core.placement.request import Refusal
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.resources import TaskResources
from homeport.state.fleet import Flags, Fleet, Ints
from homeport.state.view import View

RESERVED_DETAIL = "is kept free for a task that has waited for room"


def find_refusals(
    view: View, filters: Filters, placed_on: Mapping[int, int], *, limit: int | None = None
) -> tuple[Refusal, ...]:
    """Judge the ACTIVE container instances, of more than `limit` those that come closest.

    `placed_on` are the tasks that the present call has placed on each row of the fleet. Refusals
    are in the order of ARNs.
    """
    request = filters.request
    fleet = view.fleet(request.cluster_arn)
    group = fleet.group(request.group)
    hosts = frozenset(fleet.arns[row] for row in (group.wanted if group is not None else ()))
    judged = rows_that(
        fleet,
        ("judged", request.launch_type, request.capacity_provider),
        lambda instance: instance.status == ACTIVE and is_asked_for(instance, request),
        [expression for expression in filters.expressions if expression.is_static],
    )
    kept_arn = kept_from(view, request)
    kept = rooms_for_daemons(view, fleet, request.cluster_arn, request.service_arn)
    rooms = {} if kept is None else kept.rooms
    ranks, _ = fleet.ranks()
    rows: Ints = np.flatnonzero(judged)
    if limit is not None and len(rows) > limit:
        passed = _count_passed(view, fleet, filters, placed_on)[rows]
        rows = rows[np.lexsort((ranks[rows], -passed))[:limit]]
    refusals = []
    for row in rows[np.argsort(ranks[rows])].tolist():
        instance = fleet.instances[row]
        assert instance is not None
        groups: tuple[str, ...] = ()
        if filters.needs_task_groups:
            tasks = view.tasks_of_instance(instance.arn).values()
            groups = tuple(dict.fromkeys(task.group for task in tasks))
        candidate = Candidate(instance, fleet.loads[row], groups)
        for _ in range(placed_on.get(row, 0)):
            candidate.add(request.resources, request.group)
        refusal = filters.refuse(candidate, hosts)
        if refusal is None and candidate.arn == kept_arn:
            refusal = Refusal(candidate.arn, REASON_RESERVED, RESERVED_DETAIL)
        if refusal is None and row in rooms:
            placed = placed_on.get(row, 0)
            refusal = _refuse_beside(fleet, row, rooms[row], request.resources, placed=placed)
        if refusal is not None:
            refusals.append(refusal)
    return tuple(refusals)


def refuse_for_daemons(
    view: View, instance: ContainerInstance, needs: TaskResources, placed: int
) -> Refusal | None:
    """Return why an instance takes no further task though there is room: it is kept for a daemon.

    `placed` such tasks are on the instance already that the state doesn't know yet.
    """
    fleet = view.fleet(instance.cluster_arn)
    kept = rooms_for_daemons(view, fleet, instance.cluster_arn, None)
    row = fleet.row_of[instance.arn]
    if kept is None or row not in kept.rooms:
        return None
    return _refuse_beside(fleet, row, kept.rooms[row], needs, placed=placed)


def _refuse_beside(
    fleet: Fleet, row: int, room: KeptRoom, needs: TaskResources, *, placed: int
) -> Refusal | None:
    if tasks_beside(fleet, row, room, needs) > placed:
        return None
    detail = f"is kept free for DAEMON service {room.service_name}"
    return Refusal(fleet.arns[row], REASON_RESERVED, detail)


def _rows_matching(fleet: Fleet, static: Sequence[Expression]) -> Flags:
    """Return the rows that match expressions about the instance itself. Not to alter."""

    def is_match(instance: ContainerInstance) -> bool:
        return all(each.is_match(InstanceFacts(instance, 0)) for each in static)

    return rows_that(fleet, ("matching", tuple(each.text for each in static)), is_match, static)


def _matches_again(view: View, fleet: Fleet, filters: Filters, row: int) -> bool:
    """Whether a row still matches when it hosts a task of this group."""
    instance = fleet.instances[row]
    assert instance is not None
    groups = [task.group for task in view.tasks_of_instance(instance.arn).values()]
    facts = InstanceFacts(instance, fleet.loads[row].running, [*groups, filters.request.group])
    return all(expression.is_match(facts) for expression in filters.expressions)


def _count_passed(
    view: View, fleet: Fleet, filters: Filters, placed_on: Mapping[int, int]
) -> Ints:
    """Return how many rules each row passes before the first that refuses, in their order."""
    request, needs = filters.request, filters.request.resources
    fleet.refresh()
    placed = np.zeros(len(fleet), np.int64)
    placed[list(placed_on)] = list(placed_on.values())
    takes_once = placed == 0
    static = [each for each in filters.expressions if each.is_static]
    group = fleet.group(request.group)
    distinct: Flags = np.ones(len(fleet), np.bool_)
    if filters.needs_distinct_instance:
        distinct &= takes_once
        distinct[list(group.wanted if group is not None else ())] = False
    matching = _rows_matching(fleet, static)
    now = matching_now(view, fleet, filters)
    if now is not None:
        matching = matching & now
        for row in placed_on:
            matching[row] &= _matches_again(view, fleet, filters, row)
    passing = rows_that(fleet, "connected", lambda instance: instance.agent_connected)
    total = passing.astype(np.int64)
    masks = [
        fleet.free_cpu_units - placed * needs.cpu_units >= needs.cpu_units,
        fleet.free_memory_mib - placed * needs.memory_mib >= needs.memory_mib,
        rows_with_ports(fleet, needs) & (takes_once | (not needs.host_ports)),
        fleet.free_gpu_count - placed * needs.gpu_count >= needs.gpu_count,
        rows_that(
            fleet,
            ("suitable", request.launch_type, request.requires_attributes),
            lambda instance: is_suitable(instance, request),
        ),
        matching,
        distinct,
    ]
    if needs.interface_count:
        short = fleet.free_interface_count - placed * needs.interface_count < needs.interface_count
        masks.insert(4, ~short)
    for expression in filters.expressions[: filters.own_expressions]:
        masks.insert(-2, _rows_matching(fleet, [expression]))
    for mask in masks:
        passing = passing & mask
        total += passing
    return total
