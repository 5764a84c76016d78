"""What an agent keeps on its machine's disk: its tasks and the reports not yet accepted.

Like `agent.state_file`: a killed agent loses nothing, a machine that loses its power loses what
wasn't synced since the last promise.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from homeport.agent.task_state import TaskState


class KeptReport(NamedTuple):
    """A report waiting for its acceptance."""

    number: int
    task_arn: str
    operation: str
    body: bytes


class _Content:
    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.tasks: dict[str, TaskState] = {}
        self.reports: dict[int, KeptReport] = {}


Write = Callable[[_Content], None]


class AgentDisk:
    """The state file of one machine."""

    def __init__(self) -> None:
        self._seen = _Content()  # what a process reads
        self._synced = _Content()  # what a loss of power leaves
        self._unsynced: list[Write] = []
        self._last_number = 0

    @property
    def facts(self) -> dict[str, str]:
        """What the agent knows of itself."""
        return dict(self._seen.facts)

    @property
    def tasks(self) -> list[TaskState]:
        """All tasks as last saved, in the order of their ARNs."""
        return [state for _, state in sorted(self._seen.tasks.items())]

    @property
    def reports(self) -> list[KeptReport]:
        """All reports that weren't accepted yet, oldest first."""
        return [report for _, report in sorted(self._seen.reports.items())]

    def lose_power(self) -> None:
        """Forget what wasn't synced."""
        self._unsynced.clear()
        self._seen = _Content()
        self._seen.facts.update(self._synced.facts)
        self._seen.tasks.update(self._synced.tasks)
        self._seen.reports.update(self._synced.reports)

    def write_facts(self, facts: dict[str, str]) -> None:
        """Add or replace facts, synced."""
        self._write(lambda content: content.facts.update(facts))
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
            self._write(lambda content, state=state: content.tasks.update({state.arn: state}))
        for arn in forgotten:
            self._write(lambda content, arn=arn: _drop(content.tasks, arn))
        kept = []
        for task_arn, operation, body in reports:
            self._last_number += 1
            report = KeptReport(self._last_number, task_arn, operation, body)
            kept.append(report)
            self._write(lambda content, r=report: content.reports.update({r.number: r}))
        if is_promise:
            self._sync()
        return kept

    def drop_report(self, number: int) -> None:
        """A report was accepted, or finally refused."""
        self._write(lambda content: _drop(content.reports, number))

    def _write(self, write: Write) -> None:
        write(self._seen)
        self._unsynced.append(write)

    def _sync(self) -> None:
        for write in self._unsynced:
            write(self._synced)
        self._unsynced.clear()


def _drop(items: dict[object, object] | dict[str, TaskState] | dict[int, KeptReport], key: object) -> None:
    items.pop(key, None)  # type: ignore[arg-type,call-overload]
