"""What an agent keeps on its machine's disk: its tasks and the reports not yet accepted.

Like `agent.state_file`: a killed agent loses nothing, a machine that loses its power loses what
wasn't synced since the last promise.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from homeport.agent.task_state import TaskState

Key = tuple[str, Any]
"""A table's name and a key in it."""


class KeptReport(NamedTuple):
    """A report waiting for its acceptance."""

    number: int
    task_arn: str
    operation: str
    body: bytes


class AgentDisk:
    """The state file of one machine."""

    def __init__(self) -> None:
        self._seen: dict[Key, Any] = {}  # what a process reads
        self._synced: dict[Key, Any] = {}  # what a loss of power leaves
        self._unsynced: list[tuple[Key, Any]] = []
        self._last_number = 0

    @property
    def facts(self) -> dict[str, str]:
        """What the agent knows of itself."""
        return {name: value for (table, name), value in self._seen.items() if table == "fact"}

    @property
    def tasks(self) -> list[TaskState]:
        """All tasks as last saved, in the order of their ARNs."""
        return self._table("task")

    @property
    def reports(self) -> list[KeptReport]:
        """All reports that weren't accepted yet, oldest first."""
        return self._table("report")

    def lose_power(self) -> None:
        """Forget what wasn't synced."""
        self._unsynced.clear()
        self._seen = dict(self._synced)

    def write_facts(self, facts: dict[str, str]) -> None:
        """Add or replace facts, synced."""
        for name, value in facts.items():
            self._write(("fact", name), value)
        self._sync()

    def write_changes(
        self,
        *,
        saved: Iterable[TaskState],
        forgotten: Iterable[str],
        reports: Iterable[tuple[str, str, bytes]],
        is_promise: bool,
    ) -> list[KeptReport]:
        """Keep what one stimulus changed; reports are (task ARN, operation, body)."""
        for state in saved:
            self._write(("task", state.arn), state)
        for arn in forgotten:
            self._write(("task", arn), None)
        kept = []
        for task_arn, operation, body in reports:
            self._last_number += 1
            report = KeptReport(self._last_number, task_arn, operation, body)
            kept.append(report)
            self._write(("report", report.number), report)
        if is_promise:
            self._sync()
        return kept

    def drop_report(self, number: int) -> None:
        """A report was accepted, or finally refused."""
        self._write(("report", number), None)

    def _table(self, name: str) -> list[Any]:
        return [value for key, value in sorted(self._seen.items(), key=_order) if key[0] == name]

    def _write(self, key: Key, value: object) -> None:
        _put(self._seen, key, value)
        self._unsynced.append((key, value))

    def _sync(self) -> None:
        for key, value in self._unsynced:
            _put(self._synced, key, value)
        self._unsynced.clear()


def _put(rows: dict[Key, Any], key: Key, value: object) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value


def _order(row: tuple[Key, Any]) -> tuple[str, Any]:
    return row[0]
