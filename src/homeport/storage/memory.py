"""`MemoryStorage`: the engine's Journal for `--ephemeral`, tests and simulation; nothing stays."""

from collections import deque
from collections.abc import Callable

from homeport.state.changes import Commit, Put, key_of
from homeport.storage.database import HistoryEntry

KEPT_COMMITS = 10_000


class MemoryStorage:
    """Every commit counts as durable at once; the newest ones are kept for the history."""

    def __init__(self, kept_commits: int = KEPT_COMMITS) -> None:
        self.commits: deque[Commit] = deque(maxlen=kept_commits)

    def append(self, commit: Commit) -> None:
        """Take a commit."""
        self.commits.append(commit)

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then`: everything appended is as durable as it will ever be."""
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
