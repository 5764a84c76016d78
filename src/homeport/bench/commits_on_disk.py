"""What it costs to write one change to disk beside very many others: the journal and the records.

On a real file, in this process and on its processor time, as the journal's writer does it:
commits that came together in one transaction, and their records brought up to date behind them.
"""

import contextlib
import itertools
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from homeport.model.task import Task
from homeport.state.changes import Commit, Put
from homeport.storage.database import Database, JournalLimits

COMMITS = 20_000  # at least: about what is gathered before records are brought up to date
COMMITS_PER_TRANSACTION = 16
TASKS_PER_COMMIT = 1_000
NS_PER_US = 1_000


class TasksOnDisk:
    """A database that holds the tasks of a world, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._database = Database(folder, JournalLimits())
        self._database.replay()
        self._sequence = 0
        self._known: set[str] = set()

    def add(self, tasks: Iterable[Task]) -> None:
        """Write those tasks that aren't there yet, a service's worth a commit."""
        new = iter([task for task in tasks if task.arn not in self._known])
        while part := list(itertools.islice(new, TASKS_PER_COMMIT)):
            self._known.update(task.arn for task in part)
            self._database.write([self._commit(part)])
            while self._database.must_fold:
                self._database.fold()
        self._fold_all()

    def measure(self, tasks: Sequence[Task], *, commits: int = COMMITS) -> float:
        """Change single tasks all over the file; returns microseconds a commit."""
        chosen = iter(random.Random(0).choices(tasks, k=commits))
        started_ns = time.process_time_ns()
        while each := list(itertools.islice(chosen, COMMITS_PER_TRANSACTION)):
            self._database.write([self._commit([task]) for task in each])
            while self._database.must_fold:
                self._database.fold()
        self._fold_all()
        return (time.process_time_ns() - started_ns) / NS_PER_US / commits

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _commit(self, tasks: Sequence[Task]) -> Commit:
        self._sequence += 1
        changes = tuple(Put(replace(task, version=self._sequence)) for task in tasks)
        return Commit(self._sequence, 0, "SubmitTaskStateChange", changes)

    def _fold_all(self) -> None:
        while self._database.can_fold:
            self._database.fold()


@contextlib.contextmanager
def tasks_on_disk() -> Iterator[TasksOnDisk]:
    """Open an empty database in a folder of its own, which is gone with the block."""
    with tempfile.TemporaryDirectory(prefix="homeport-commits-") as folder:
        found = TasksOnDisk(Path(folder))
        try:
            yield found
        finally:
            found.close()
