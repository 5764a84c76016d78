"""The `records` table: what every record was at one commit, brought up to date behind the journal.

A commit is durable once the journal has it; writing each record to its own place as well would
cost several times as much. So changes are gathered, only the last one of each record, and written
later in bounded parts. Recovery is this table and a replay of the journal behind `folded_through`:
a part that is ahead of that number does no harm, since the replay ends at the same last value.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from homeport.storage.encoding import RecordId
from homeport.storage.lease import Lease, held_transaction

ROWS_PER_STATEMENT = 64
ROWS_PER_PART = 256  # commits wait while one part is written: a few milliseconds
# Of journal that a start has to replay, or a bit more: half a second of it. To bring the records up
# to date costs as much as the commits did: a burst of calls shouldn't have to pay for it.
UNFOLDED_LIMIT_BYTES = 64 * 1024 * 1024

_PUT = (
    "INSERT INTO records (kind, key, value) VALUES {}"
    " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)
_DELETE = "DELETE FROM records WHERE (kind, key) IN (VALUES {})"
_NOTE = "INSERT OR REPLACE INTO meta VALUES ('folded_through', ?)"
_FIND = "SELECT value FROM meta WHERE name = 'folded_through'"


class RecordTable:
    """Gathers what changed and writes it, part by part; one transaction a part."""

    def __init__(self, connection: sqlite3.Connection, lease: Lease, limit_bytes: int) -> None:
        self._connection = connection
        self._lease = lease
        self._limit_bytes = limit_bytes
        row = connection.execute(_FIND).fetchone()
        self.folded_through = 0 if row is None else int(row[0])
        # Changes behind the parts being written, the number of the last commit among them, and
        # how much of the journal they stand for.
        self._gathered: dict[RecordId, bytes | None] = {}
        self._gathered_through = self.folded_through
        self._gathered_bytes = 0
        # What is being written: the rest of an earlier `_gathered`, and its last commit.
        self._rest: list[tuple[RecordId, bytes | None]] = []
        self._rest_through = self.folded_through

    @property
    def is_behind(self) -> bool:
        """Whether the journal is ahead of this table."""
        return self.folded_through < self._gathered_through

    @property
    def is_due(self) -> bool:
        """Whether a part should be written now, though commits may be waiting."""
        return bool(self._rest) or self._gathered_bytes >= self._limit_bytes

    def gather(
        self, latest: Mapping[RecordId, bytes | None], *, through: int, size_bytes: int
    ) -> None:
        """Take what durable commits up to `through` changed; `size_bytes` long in the journal."""
        self._gathered.update(latest)
        self._gathered_through = through
        self._gathered_bytes += size_bytes

    def write_part(self) -> None:
        """Write some of what was gathered, and note how far the table is when it was the last.

        It isn't waited for: should the part be lost, the journal still has it.
        """
        if not self._rest:
            self._rest = sorted(self._gathered.items(), reverse=True)
            self._rest_through = self._gathered_through
            self._gathered, self._gathered_bytes = {}, 0
        part = self._rest[-ROWS_PER_PART:]
        puts = [(*name, value) for name, value in reversed(part) if value is not None]
        deletes = [name for name, value in reversed(part) if value is None]
        execute = self._connection.execute
        execute("PRAGMA synchronous = NORMAL")
        with held_transaction(self._connection, self._lease):
            execute_wide(self._connection, _PUT, 3, puts)
            execute_wide(self._connection, _DELETE, 2, deletes)
            if len(part) == len(self._rest):
                execute(_NOTE, (str(self._rest_through),))
        execute("PRAGMA synchronous = FULL")
        del self._rest[-ROWS_PER_PART:]
        if not self._rest:
            self.folded_through = self._rest_through

    def read(self) -> Iterator[tuple[str, str, bytes]]:
        """Iterate kind, key and value of every record that the table holds."""
        yield from self._connection.execute("SELECT kind, key, value FROM records")


def execute_wide(
    connection: sqlite3.Connection,
    statement: str,
    width: int,
    rows: Sequence[tuple[object, ...]],
    *behind: object,
) -> int:
    """Run a statement for many rows at once: up to `ROWS_PER_STATEMENT` make one statement.

    `behind` are parameters that follow those of the rows. Returns how many rows were changed.
    Each call into SQLite gives the interpreter's lock away and must win it back from the event
    loop, so one wide statement answers sooner than many narrow ones.
    """
    slot = f"({','.join('?' * width)})"
    changed = 0
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        part = rows[start : start + ROWS_PER_STATEMENT]
        values = [*(value for row in part for value in row), *behind]
        changed += connection.execute(
            statement.format(",".join([slot] * len(part))), values
        ).rowcount
    return changed
