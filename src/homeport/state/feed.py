"""Numbered commits for watchers within the control plane, with a bounded history."""

from collections import deque
from collections.abc import Callable, Iterable

from homeport.state.changes import AnyRecord, Commit

HISTORY_COMMITS = 1_000

Watcher = Callable[[Commit, tuple[AnyRecord | None, ...]], None]


class Feed:
    """Hands every applied commit, with the records that it replaced, to its watchers in order."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []
        self._history: deque[Commit] = deque(maxlen=HISTORY_COMMITS)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` for every commit from now on."""
        self._watchers.append(watcher)

    def publish(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Pass one commit on; for `Store.apply` only."""
        self._history.append(commit)
        for watcher in self._watchers:
            watcher(commit, replaced)

    def since(self, sequence: int) -> Iterable[Commit]:
        """Return the kept commits numbered above `sequence`, oldest first."""
        return tuple(commit for commit in self._history if commit.sequence > sequence)
