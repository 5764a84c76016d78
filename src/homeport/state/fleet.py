"""A cluster's container instances as rows and columns, for placement to look at all at once.

Kept from the changes that `Store.apply` carries out, never rebuilt for a request. What the tasks of
an instance hold stays in `derived.InstanceLoad`; its columns are brought up to date when they are
read. Nothing here knows a placement rule: what placement wants to keep between requests is in
`memo`, and can be computed again at any time.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.task import RUNNING, Task
from homeport.state.change_log import ChangeLog

if TYPE_CHECKING:
    from homeport.model.resources import HostPort
    from homeport.state.derived import InstanceLoad

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Reader = Callable[[ContainerInstance], Hashable]

MEMO_LIMIT = 128
FIRST_ROWS = 8
COLUMNS = 6


class GroupTasks:
    """Where the tasks of one task group are: on which row how many."""

    __slots__ = ("buckets", "epoch", "stopping", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[int, int] = {}
        self.stopping: dict[int, int] = {}
        self.buckets: dict[str, dict[int, int]] = {}  # attribute → code → wanted tasks
        self.epoch = -1  # the fleet's when the buckets were counted

    @property
    def is_empty(self) -> bool:
        """Whether no task is left."""
        return not self.wanted and not self.stopping


class Codes:
    """One property of all instances as small numbers: the same value has the same number."""

    __slots__ = ("column", "cursor", "read", "values")

    def __init__(self, read: Reader) -> None:
        self.read = read
        self.values: dict[Hashable, int] = {}
        self.column: Ints = np.zeros(0, np.int64)
        self.cursor = -1

    def code(self, instance: ContainerInstance | None) -> int:
        """Return the number of an instance's value."""
        value = None if instance is None else self.read(instance)
        return self.values.setdefault(value, len(self.values))


class Fleet:
    """One cluster's rows; a row belongs to one container instance until it and its tasks are gone.

    `epoch` grows when a row's place in the order, its sizes, status or attributes change; agents
    that connect or disconnect only show in `instance_log`, tasks that come and go in `load_log`.
    """

    def __init__(self, load_of: "Callable[[str], InstanceLoad]") -> None:
        self._load_of = load_of
        self.row_of: dict[str, int] = {}
        self.arns: list[str] = []
        self.instances: list[ContainerInstance | None] = []
        self.loads: list[InstanceLoad] = []
        self._live: list[int] = []  # tasks that aren't STOPPED, for when the instance is gone
        self._free_rows: list[int] = []
        self.epoch = 0
        self.load_log = ChangeLog()
        self.instance_log = ChangeLog()
        self.groups: dict[str, GroupTasks] = {}
        self.ports: dict[HostPort, dict[int, int]] = {}
        self.memo: dict[Hashable, Any] = {}
        self._codes: dict[str, Codes] = {}
        self._columns = np.zeros((COLUMNS, FIRST_ROWS), np.int64)
        self._columns_cursor = -1
        self._columns_epoch = -1
        self._ordered: list[str] = []
        self._ranks: Ints = np.zeros(0, np.int64)
        self._by_rank: Ints = np.zeros(0, np.int64)
        self._ranks_epoch = -1

    def __len__(self) -> int:
        return len(self.arns)

    # changes, for `Derived` only
    def replace_instance(self, new: ContainerInstance) -> None:
        """Follow one change of one container instance."""
        row = self._row(new.arn)
        was = self.instances[row]
        self.instances[row] = new
        if was is not None and _describes_the_same(was, new):
            return
        if (
            was is None
            or was.status != new.status
            or was.attributes != new.attributes
            or was.resources != new.resources
        ):
            self.epoch += 1
        self.instance_log.add(row)
        self.load_log.add(row)

    def forget_instance(self, old: ContainerInstance) -> None:
        """Follow the end of a container instance's record."""
        row = self._row(old.arn)
        self.instances[row] = None
        self.epoch += 1
        self.instance_log.add(row)
        self.load_log.add(row)
        self._release(row)

    def replace_task(self, old: Task | None, new: Task | None) -> None:
        """Follow one change of one task: `old` and `new` are None or not STOPPED."""
        if (
            old is not None
            and new is not None
            and old.desired_status == new.desired_status
            and old.container_instance_arn == new.container_instance_arn
            and old.resources == new.resources
        ):
            return
        if old is not None and old.container_instance_arn is not None:
            self._count(old, self._row(old.container_instance_arn), -1)
        if new is not None and new.container_instance_arn is not None:
            self._count(new, self._row(new.container_instance_arn), 1)
        if old is not None and old.container_instance_arn is not None:
            self._release(self._row(old.container_instance_arn))

    def _count(self, task: Task, row: int, sign: int) -> None:
        self._live[row] += sign
        self.load_log.add(row)
        group = self.groups.get(task.group)
        if group is None:
            group = self.groups[task.group] = GroupTasks()
        if task.desired_status == RUNNING:
            _add(group.wanted, row, sign)
            if group.epoch == self.epoch and self.is_active(row):
                for name, buckets in group.buckets.items():
                    _add(buckets, int(self._codes[name].column[row]), sign)
        else:
            _add(group.stopping, row, sign)
        if group.is_empty:
            del self.groups[task.group]
        for port in task.resources.host_ports:
            holders = self.ports.setdefault(port, {})
            _add(holders, row, sign)
            if not holders:
                del self.ports[port]

    def _row(self, arn: str) -> int:
        row = self.row_of.get(arn)
        if row is not None:
            return row
        if self._free_rows:
            row = self._free_rows.pop()
            self.arns[row], self.loads[row] = arn, self._load_of(arn)
        else:
            row = len(self.arns)
            self.arns.append(arn)
            self.instances.append(None)
            self.loads.append(self._load_of(arn))
            self._live.append(0)
        self.row_of[arn] = row
        self.epoch += 1
        return row

    def _release(self, row: int) -> None:
        if self.instances[row] is None and not self._live[row]:
            del self.row_of[self.arns[row]]
            self._free_rows.append(row)
            self.arns[row] = ""
            self.epoch += 1

    # questions
    def is_active(self, row: int) -> bool:
        """Whether the row is an ACTIVE container instance."""
        instance = self.instances[row]
        return instance is not None and instance.status == ACTIVE

    def group(self, name: str) -> GroupTasks | None:
        """Return where a task group's tasks are; None when it has none."""
        return self.groups.get(name)

    def bucket_counts(self, group_name: str, attribute: str, read: Reader) -> dict[int, int]:
        """Count a group's wanted tasks on ACTIVE instances by the code of an attribute."""
        codes = self.codes(attribute, read)
        group = self.groups.get(group_name)
        if group is None:
            return {}
        if group.epoch != self.epoch:
            group.buckets.clear()
            group.epoch = self.epoch
        counts = group.buckets.get(attribute)
        if counts is None:
            counts = group.buckets[attribute] = {}
            for row, tasks in group.wanted.items():
                if self.is_active(row):
                    _add(counts, int(codes.column[row]), tasks)
        return counts

    def values(self) -> tuple[object, ...]:
        """All counts by names and ARNs, to compare with those computed from scratch."""
        return (
            {
                name: (self._by_arn(group.wanted), self._by_arn(group.stopping))
                for name, group in self.groups.items()
            },
            {port: self._by_arn(holders) for port, holders in self.ports.items()},
        )

    def _by_arn(self, counts: dict[int, int]) -> dict[str, int]:
        return {self.arns[row]: count for row, count in counts.items()}

    def codes(self, name: str, read: Reader) -> Codes:
        """Return a property of all rows as codes, up to date."""
        codes = self._codes.get(name)
        rows = len(self.arns)
        if codes is not None and (codes.cursor, len(codes.column)) == (
            self.instance_log.end,
            rows,
        ):
            return codes
        if codes is not None and len(codes.values) > 4 * rows + MEMO_LIMIT:
            self._forget_codes(name)  # most of its values are gone
            codes = None
        if codes is None:
            if len(self._codes) >= MEMO_LIMIT:
                self._forget_codes(next(iter(self._codes)))
            codes = self._codes[name] = Codes(read)
        changed = self.instance_log.since(codes.cursor) if codes.cursor >= 0 else None
        if changed is None or len(codes.column) > rows:
            codes.column = np.fromiter(map(codes.code, self.instances), np.int64, rows)
        elif changed or len(codes.column) < rows:
            known = len(codes.column)
            codes.column = np.append(codes.column, np.zeros(rows - known, np.int64))
            for row in (*changed, *range(known, rows)):
                codes.column[row] = codes.code(self.instances[row])
        codes.cursor = self.instance_log.end
        return codes

    def _forget_codes(self, name: str) -> None:
        del self._codes[name]
        for group in self.groups.values():
            group.buckets.pop(name, None)

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep something for later requests; the oldest is forgotten beyond the limit."""
        self.memo.pop(key, None)
        self.memo[key] = value
        if len(self.memo) > MEMO_LIMIT:
            del self.memo[next(iter(self.memo))]

    # columns
    @property
    def cpu_units(self) -> Ints:
        """What each row registered; `refresh` first."""
        return self._columns[0, : len(self.arns)]

    @property
    def memory_mib(self) -> Ints:
        """What each row registered; `refresh` first."""
        return self._columns[1, : len(self.arns)]

    @property
    def free_cpu_units(self) -> Ints:
        """What each row has left; `refresh` first."""
        return self._columns[2, : len(self.arns)]

    @property
    def free_memory_mib(self) -> Ints:
        """What each row has left; `refresh` first."""
        return self._columns[3, : len(self.arns)]

    @property
    def free_gpu_count(self) -> Ints:
        """What each row has left; `refresh` first."""
        return self._columns[4, : len(self.arns)]

    @property
    def free_interface_count(self) -> Ints:
        """What each row has left; `refresh` first."""
        return self._columns[5, : len(self.arns)]

    def refresh(self) -> None:
        """Bring the columns of numbers up to date with the rows that changed."""
        rows = len(self.arns)
        if self._columns.shape[1] < rows:
            grown = np.zeros((COLUMNS, max(rows, 2 * self._columns.shape[1])), np.int64)
            grown[:, : self._columns.shape[1]] = self._columns
            self._columns = grown
        changed = self.load_log.since(self._columns_cursor) if self._columns_cursor >= 0 else None
        if changed is None:
            changed = list(range(rows))
        if changed:
            self._columns[:, changed] = np.array([self._numbers(row) for row in changed]).T
        self._columns_cursor = self.load_log.end

    def _numbers(self, row: int) -> tuple[int, ...]:
        instance, load = self.instances[row], self.loads[row]
        if instance is None:
            return (0,) * COLUMNS
        has = instance.resources
        return (
            has.cpu_units,
            has.memory_mib,
            has.cpu_units - load.cpu_units,
            has.memory_mib - load.memory_mib,
            len(has.gpu_ids) - load.gpu_count,
            has.interface_slots - load.interface_count,
        )

    def running_counts(self) -> Ints:
        """Return how many wanted tasks are RUNNING on each row."""
        return np.fromiter((load.running for load in self.loads), np.int64, len(self.loads))

    def ranks(self) -> tuple[Ints, Ints]:
        """Return each row's place in the order of ARNs, and the rows in that order."""
        if self._ranks_epoch != self.epoch:
            self._order()
            self._ranks_epoch = self.epoch
        return self._ranks, self._by_rank

    def _order(self) -> None:
        known = set(self._ordered)
        ordered = [arn for arn in self._ordered if arn in self.row_of]
        fresh = [arn for arn in self.row_of if arn not in known]
        if len(ordered) == len(self._ordered) and not fresh and len(self._ranks) == len(self.arns):
            return
        ordered += fresh
        ordered.sort()  # nearly sorted already
        rows = len(self.arns)
        self._ordered = ordered
        # Rows that belong to nobody come last; nothing is ever placed on them.
        by_rank = [self.row_of[arn] for arn in ordered] + self._free_rows
        self._by_rank = np.array(by_rank, np.int64)
        self._ranks = np.empty(rows, np.int64)
        self._ranks[self._by_rank] = np.arange(rows)


def _describes_the_same(was: ContainerInstance, new: ContainerInstance) -> bool:
    """Whether nothing changed that a placement rule can ask."""
    return (
        was.agent_connected == new.agent_connected
        and was.status == new.status
        and was.agent_version == new.agent_version
        and was.ec2_instance_id == new.ec2_instance_id
        and was.registered_at_ms == new.registered_at_ms
        and (was.attributes is new.attributes or was.attributes == new.attributes)
        and (was.resources is new.resources or was.resources == new.resources)
    )


def _add(counts: dict[int, int], key: int, number: int) -> None:
    count = counts.get(key, 0) + number
    if count:
        counts[key] = count
    else:
        del counts[key]
