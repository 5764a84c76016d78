"""Events on their way to webhooks, on disk until every endpoint has taken them, or given up.

Nothing here is flushed to the disk by itself: what was written outlives the process, whatever ends
it, and a failing machine may take the newest of it. The journal, which is flushed, still has it.

Like the journal it belongs to whoever opened it last: of a server that was taken over from it takes
nothing more, since the numbers of its events, and the events, are the newer server's now.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from homeport.storage.directory import FILE_MODE
from homeport.storage.errors import LeaseLost, StorageUnavailable

OUTBOX_FILE_NAME = "outbox.sqlite"
EVENTS_KEPT = 10_000  # beyond, the oldest are given up
LOG_PAGES = 1_000  # of the write-ahead log, before it is folded into the file

log = logging.getLogger(__name__)

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS endpoints (url TEXT PRIMARY KEY, taken INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS owner"
    " (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL)",
)
_TAKE = (
    "INSERT INTO owner VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1"
    " RETURNING epoch"
)


class Outbox:
    """Numbered events, and for each URL the number that it has taken last.

    Without a directory it is in memory. Events beyond `known_through` are of commits that a crash
    took back: they never happened. `holds_journal` says whether the journal is still this server's.
    Raises StorageUnavailable when the file can't be used, LeaseLost when it belongs to another.
    """

    def __init__(
        self,
        directory: Path | None,
        urls: Sequence[str],
        *,
        known_through: int,
        holds_journal: Callable[[], bool] = lambda: True,
    ) -> None:
        path = ":memory:" if directory is None else str(directory / OUTBOX_FILE_NAME)
        try:
            if directory is not None:
                (directory / OUTBOX_FILE_NAME).touch(FILE_MODE)
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._begin(urls, known_through, holds_journal)
            self._count = int(self._connection.execute("SELECT COUNT(*) FROM events").fetchone()[0])
        except (OSError, sqlite3.DatabaseError) as error:
            raise StorageUnavailable(
                f"cannot use {path} for the webhooks' events: {error}; move it away, and what "
                "waits in it is lost"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def is_ours(self) -> bool:
        """Whether no other server has opened it since; raises OSError as `read` does."""
        with _readable():
            return self._is_newest()

    def add(self, events: Iterable[tuple[int, bytes]]) -> int:
        """Keep numbered events; returns how many are lost: the oldest, for want of room.

        All of these are, when the disk refuses them. Those of a server that was taken over from
        aren't lost: their commits will never be durable.
        """
        rows = list(events)
        given_up = max(0, self._count + len(rows) - EVENTS_KEPT)
        try:
            with self._transaction():
                if not self._is_newest():
                    return 0
                self._connection.executemany("INSERT INTO events VALUES (?, ?)", rows)
                if given_up:
                    self._connection.execute(
                        "DELETE FROM events WHERE sequence IN"
                        " (SELECT sequence FROM events ORDER BY sequence LIMIT ?)",
                        (given_up,),
                    )
        except sqlite3.DatabaseError as error:
            log.warning("the webhooks' events are lost, the disk refuses them: %s", error)
            return len(rows)
        self._count += len(rows) - given_up
        return given_up

    def taken(self, url: str) -> int:
        """Return the number of the last event that an endpoint needs no more."""
        row = self._connection.execute("SELECT taken FROM endpoints WHERE url = ?", (url,))
        return int(row.fetchone()[0])

    def read(self, after: int, through: int, limit: int) -> list[tuple[int, bytes]]:
        """Return events behind one number, up to another, oldest first.

        Raises OSError when the disk doesn't give them.
        """
        with _readable():
            rows = self._connection.execute(
                "SELECT sequence, body FROM events WHERE sequence > ? AND sequence <= ?"
                " ORDER BY sequence LIMIT ?",
                (after, through, limit),
            )
            return [(int(sequence), bytes(body)) for sequence, body in rows]

    def note_taken(self, url: str, sequence: int) -> None:
        """Note that an endpoint needs nothing up to a number any more.

        When the disk refuses that, it gets those events once more after a restart.
        """
        try:
            with self._transaction():
                if not self._is_newest():
                    return
                self._connection.execute(
                    "UPDATE endpoints SET taken = ? WHERE url = ?", (sequence, url)
                )
                gone = self._connection.execute(
                    "DELETE FROM events WHERE sequence <= (SELECT MIN(taken) FROM endpoints)"
                )
        except sqlite3.DatabaseError as error:
            log.warning("the disk refuses to note what a webhook has taken: %s", error)
            return
        self._count -= gone.rowcount

    def count_behind(self, sequence: int) -> int:
        """Return how many events there are behind a number."""
        statement = "SELECT COUNT(*) FROM events WHERE sequence > ?"
        return int(self._connection.execute(statement, (sequence,)).fetchone()[0])

    def _begin(
        self, urls: Sequence[str], known_through: int, holds_journal: Callable[[], bool]
    ) -> None:
        """Forget endpoints that aren't configured any more; new ones get events from now on."""
        with self._transaction():
            # Whoever takes the journal now comes here later, and finds this done.
            if not holds_journal():
                raise LeaseLost("another server has taken the journal over")
            (self._epoch,) = self._connection.execute(_TAKE).fetchone()
            self._connection.execute("DELETE FROM events WHERE sequence > ?", (known_through,))
            known = {row[0] for row in self._connection.execute("SELECT url FROM endpoints")}
            for url in sorted(known - set(urls)):
                self._connection.execute("DELETE FROM endpoints WHERE url = ?", (url,))
            for url in urls:
                self._connection.execute(
                    "INSERT OR IGNORE INTO endpoints VALUES (?, ?)", (url, known_through)
                )
            self._connection.execute(
                "DELETE FROM events WHERE sequence <= (SELECT MIN(taken) FROM endpoints)"
            )

    def _is_newest(self) -> bool:
        (epoch,) = self._connection.execute("SELECT epoch FROM owner").fetchone()
        return bool(epoch == self._epoch)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise OSError(f"cannot read the webhooks' events: {error}") from error
