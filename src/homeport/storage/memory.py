"""`MemoryStorage`: the engine's Journal for `--ephemeral`, tests and simulation; nothing stays."""

import copy
from collections import deque
from collections.abc import Callable

from homeport.state.changes import Commit, Put, key_of
from homeport.storage.lease import LeaseBook
from homeport.storage.reading import HistoryEntry

KEPT_COMMITS = 10_000


class MemoryStorage:
    """Every commit counts as durable at once; the newest ones are kept for the history."""

    def __init__(self, kept_commits: int = KEPT_COMMITS) -> None:
        self.commits: deque[Commit] = deque(maxlen=kept_commits)
        self._leases = LeaseBook()
        self._lease = self._leases.take("the first writer")

    def take_over(self, owner: str) -> "MemoryStorage":
        """Return another writer to the same commits; this one may append nothing any more."""
        successor = copy.copy(self)
        successor._lease = self._leases.take(owner)
        return successor

    @property
    def is_held(self) -> bool:
        """Whether no other writer has taken over."""
        return self._leases.is_newest(self._lease)

    def append(self, commit: Commit) -> None:
        """Take a commit; raises LeaseLost, and takes nothing, when another writer took over."""
        self._leases.check(self._lease)
        self.commits.append(commit)

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then`: everything appended is as durable as it will ever be.

        Raises LeaseLost when another writer took over.
        """
        self._leases.check(self._lease)
        then()

    def history(self, key: str, limit: int = KEPT_COMMITS) -> list[HistoryEntry]:
        """Return a record's newest changes among the kept commits, newest first."""
        entries: list[HistoryEntry] = []
        for commit in reversed(tuple(self.commits)):  # the loop may append meanwhile
            for change in reversed(commit.changes):
                changed = key_of(change.record) if isinstance(change, Put) else change.key
                if changed == key:
                    entry = HistoryEntry(commit.sequence, commit.at_ms, commit.cause, change)
                    entries.append(entry)
        return entries[:limit]
