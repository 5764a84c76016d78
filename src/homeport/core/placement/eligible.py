"""Which rows of a fleet pass the rules that don't ask about room: as a mask over all of them.

Rows that look alike to the rules are judged once, by the same functions that judge a single
container instance in `filters`. What only the instance's own record decides is kept until it
changes. Room is `shelf`'s business, tasks of the same group are `picking`'s.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from homeport.core.placement.expressions import (
    RUNNING_TASKS_COUNT,
    Expression,
    InstanceFacts,
    StringTest,
    subject_reader,
)
from homeport.core.placement.filters import Filters, is_suitable
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import TaskResources
from homeport.state.fleet import Flags, Fleet, Ints
from homeport.state.view import View

_CLASSES_PER_ROW = 4  # more possible classes than that are numbered anew
_CLASSES_LEAST = 4_096
_AVAILABLE = "available"
_RESERVED_PORTS = "reserved ports"
_ATTRIBUTE_NAMES = "attribute names"


class EligibleRows:
    """The mask of one set of rules, and how far it has followed the fleet."""

    __slots__ = ("cursor", "mask")

    def __init__(self, mask: Flags, cursor: int) -> None:
        self.mask = mask
        self.cursor = cursor


def eligible_key(filters: Filters) -> Hashable:
    """Return what tells one set of rules from another, as far as instances' records decide."""
    request = filters.request
    texts: tuple[str, ...] = ()
    if filters.expressions:
        texts = tuple(sorted(each.text for each in filters.expressions if each.is_static))
    return request.launch_type, request.requires_attributes, texts


def eligible_rows(fleet: Fleet, filters: Filters, key: Hashable) -> Flags:
    """Return the available instances with the attributes, and whose records match. Not to alter.

    `key` is the filters' `eligible_key`.
    """
    static = [expression for expression in filters.expressions if expression.is_static]

    def judge(instance: ContainerInstance) -> bool:
        return (
            instance.is_available
            and is_suitable(instance, filters.request)
            and all(each.is_match(InstanceFacts(instance, 0)) for each in static)
        )

    return rows_that(fleet, ("eligible", key), judge, static)


def rows_that(
    fleet: Fleet,
    key: Hashable,
    judge: Callable[[ContainerInstance], bool],
    expressions: Sequence[Expression] = (),
) -> Flags:
    """Return a mask of the instances that pass; kept by `key`, and not to be altered.

    `judge` may ask for the status, the agent, which attributes there are, and what the (static)
    expressions ask.
    """
    known: EligibleRows | None = fleet.memo.get(key)
    if known is not None and (known.cursor, len(known.mask)) == (
        fleet.instance_log.end,
        len(fleet),
    ):
        return known.mask

    def judge_row(row: int) -> bool:
        instance = fleet.instances[row]
        return instance is not None and judge(instance)

    changed = None if known is None else fleet.instance_log.since(known.cursor)
    if known is None or changed is None or len(changed) * _CLASSES_PER_ROW > len(fleet):
        mask = _judge_alike(fleet, expressions, judge_row)
    else:
        mask = np.zeros(len(fleet), np.bool_)
        mask[: len(known.mask)] = known.mask
        for row in changed:
            mask[row] = judge_row(row)
    fleet.remember(key, EligibleRows(mask, fleet.instance_log.end))
    return mask


def _judge_alike(
    fleet: Fleet, static: Sequence[Expression], judge: Callable[[int], bool]
) -> Flags:
    columns = [
        _codes(fleet, _AVAILABLE, _availability),
        _codes(fleet, _ATTRIBUTE_NAMES, lambda instance: tuple(instance.attributes)),
        *_subject_columns(fleet, static),
    ]
    return judge_classes(columns, len(fleet), judge)


def _availability(instance: ContainerInstance) -> Hashable:
    return instance.status, instance.agent_connected


def _codes(
    fleet: Fleet, name: str, read: Callable[[ContainerInstance], Hashable]
) -> tuple[Ints, int]:
    codes = fleet.codes(name, read)
    return codes.column, len(codes.values)


def _subject_columns(fleet: Fleet, expressions: Iterable[Expression]) -> list[tuple[Ints, int]]:
    subjects = dict.fromkeys(subject for each in expressions for subject in each.subjects)
    return [
        _codes(fleet, subject, subject_reader(subject))
        for subject in subjects
        if subject != RUNNING_TASKS_COUNT
    ]


def matching_now(view: View, fleet: Fleet, filters: Filters) -> Flags | None:
    """Return the rows that match the expressions about tasks; None when there are none such."""
    asking = [expression for expression in filters.expressions if not expression.is_static]
    if not asking:
        return None
    available = _codes(fleet, _AVAILABLE, _availability)
    columns = [available, *_subject_columns(fleet, asking)]
    running = fleet.running_counts()
    if any(RUNNING_TASKS_COUNT in each.subjects for each in asking):
        columns.append((running, int(running.max(initial=0)) + 1))
    for expression in asking:
        columns.extend((_hosts(fleet, test), 2) for test in expression.group_tests)

    def judge(row: int) -> bool:
        instance = fleet.instances[row]
        if instance is None:
            return False
        groups = [task.group for task in view.tasks_of_instance(instance.arn).values()]
        facts = InstanceFacts(instance, fleet.loads[row].running, groups)
        return all(expression.is_match(facts) for expression in asking)

    return judge_classes(columns, len(fleet), judge)


def _hosts(fleet: Fleet, test: StringTest) -> Ints:
    """Mark the rows that host a task of a group which passes."""
    column = np.zeros(len(fleet), np.int64)
    for name, group in fleet.groups.items():
        if test(name):
            column[list(group.wanted)] = 1
            column[list(group.stopping)] = 1
    return column


def rows_with_ports(fleet: Fleet, needs: TaskResources) -> Flags:
    """Return the rows on which no port that is needed is taken or reserved; a fresh mask."""
    mask: Flags = np.ones(len(fleet), np.bool_)
    if not needs.host_ports:
        return mask
    for port in needs.host_ports:
        mask[list(fleet.ports.get(port, ()))] = False
    reserved = fleet.codes(_RESERVED_PORTS, _reserved_ports)
    for value, code in reserved.values.items():
        if isinstance(value, tuple) and any(
            port.port in value[1 if port.protocol == "udp" else 0] for port in needs.host_ports
        ):
            mask[reserved.column == code] = False
    return mask


def _reserved_ports(instance: ContainerInstance) -> Hashable:
    return instance.resources.reserved_tcp_ports, instance.resources.reserved_udp_ports


def judge_classes(
    columns: Sequence[tuple[Ints, int]], rows: int, judge: Callable[[int], bool]
) -> Flags:
    """Judge one row of each class that the columns make, for all rows of the class.

    A column comes with the number of its possible values, which start from 0.
    """
    classes: Ints = np.zeros(rows, np.int64)
    count = 1
    limit = max(_CLASSES_PER_ROW * rows, _CLASSES_LEAST)
    for column, values in columns:
        classes = classes * values + column
        count *= values
        if count > limit:
            found, classes = np.unique(classes, return_inverse=True)
            count = len(found)
    one_of = np.full(count, -1, np.int64)
    one_of[classes] = np.arange(rows)
    verdicts = np.zeros(count, np.bool_)
    for number in np.flatnonzero(one_of >= 0).tolist():
        verdicts[number] = judge(int(one_of[number]))
    mask: Flags = verdicts[classes]
    return mask
