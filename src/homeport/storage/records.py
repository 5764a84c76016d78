"""The records on disk: what every record was at one commit, brought up to date behind the journal.

A commit is durable once the journal has it; writing each record to a place of its own would cost
several times as much, and nobody reads one: only recovery does, and then all of them. So changes
are gathered, only the last one of each record, and appended later in bounded parts. A part holds
records of one bucket, which a record's key decides; a bucket's parts are merged into one once what
was appended weighs as much as what was there: in the calm, and under load, when much is to be
merged, at a pace that what comes in sets. What a change costs doesn't depend on how many records
there are: it is appended once, and merging rewrites it once or twice.

Recovery is the last value of each record in these parts, and a replay of the journal behind
`folded_through`: parts that are ahead of that number do no harm, since the replay ends at the same
last values.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence

from homeport.storage.encoding import Changed, Entry, decode_entries, encode_entries
from homeport.storage.lease import Lease, held_transaction

ROWS_PER_STATEMENT = 64
# So many that one of a million tasks' is merged in some 20 ms, while commits wait.
BUCKETS = 256
PART_BYTES = 512 * 1024  # commits wait while one part is written: a few milliseconds
MERGED_LEAST_BYTES = 16 * 1024  # less isn't worth a merge
MERGED_PER_INCOMING = 2  # bytes, while commits come in: more than it takes to keep up with them
MERGED_IN_A_ROW_BYTES = 8 * 1024 * 1024  # at most, when none had to be merged for long
# Of parts that are due to be merged: fewer wait for the calm. A start reads them in a third of a
# second.
UNMERGED_LIMIT_BYTES = 64 * 1024 * 1024
# Of journal that a start has to replay, or a bit more: a second of it.
UNFOLDED_LIMIT_BYTES = 128 * 1024 * 1024
_ENTRY_OVERHEAD_BYTES = 16  # in a part: the kind, and what says how long the rest is

SCHEMA = (
    "CREATE TABLE record_parts (id INTEGER PRIMARY KEY, bucket INTEGER NOT NULL,"
    " body BLOB NOT NULL)",
    "CREATE INDEX record_parts_by_bucket ON record_parts (bucket)",
)
ALL_PARTS = "SELECT bucket, body FROM record_parts ORDER BY bucket, id"
_ADD = "INSERT INTO record_parts (bucket, body) VALUES {}"
_SIZES = "SELECT bucket, LENGTH(body) FROM record_parts ORDER BY bucket, id"
_BUCKET = "SELECT body FROM record_parts WHERE bucket = ? ORDER BY id"
_DROP = "DELETE FROM record_parts WHERE bucket = ?"
_NOTE = "INSERT OR REPLACE INTO meta VALUES ('folded_through', ?)"
_FIND = "SELECT value FROM meta WHERE name = 'folded_through'"


class RecordParts:
    """Gathers what changed and writes it, part by part; one transaction a part."""

    def __init__(self, connection: sqlite3.Connection, lease: Lease, limit_bytes: int) -> None:
        self._connection = connection
        self._lease = lease
        self._limit_bytes = limit_bytes
        self.folded_through = find_folded_through(connection)
        # Changes behind the parts being written, by bucket, the number of the last commit among
        # them, and how much of the journal they stand for.
        self._gathered = _no_changes()
        self._gathered_through = self.folded_through
        self._gathered_bytes = 0
        self._bytes_since_part = 0
        # What is being written: the rest of an earlier `_gathered`, and its last commit.
        self._rest: dict[int, Changed] = {}
        self._rest_through = self.folded_through
        # What each bucket's first part weighs, and all others, which are due to be merged into it.
        self._first_bytes = [0] * BUCKETS
        self._later_bytes = [0] * BUCKETS
        self._to_merge: dict[int, None] = {}
        self._unmerged_bytes = 0  # of the others in `_to_merge`
        self._mergeable_bytes = 0  # while commits come in
        for bucket, size_bytes in connection.execute(_SIZES):
            self._weigh(bucket, size_bytes)

    @property
    def is_behind(self) -> bool:
        """Whether the journal is ahead of these parts."""
        return self.folded_through < self._gathered_through

    @property
    def has_work(self) -> bool:
        """Whether there is anything to write or to merge."""
        return self.is_behind or bool(self._to_merge)

    @property
    def is_due(self) -> bool:
        """Whether a part should be written now, though commits may be waiting."""
        is_full = self._gathered_bytes >= self._limit_bytes
        return bool(self._rest) or is_full or self._is_merge_due

    def gather(self, latest: Changed, *, through: int, size_bytes: int) -> None:
        """Take what durable commits up to `through` changed; `size_bytes` long in the journal."""
        gathered = self._gathered
        for name, value in latest.items():
            gathered[bucket_of(name[1])][name] = value
        self._gathered_through = through
        self._gathered_bytes += size_bytes
        self._bytes_since_part += size_bytes
        more_bytes = self._mergeable_bytes + MERGED_PER_INCOMING * size_bytes
        self._mergeable_bytes = min(more_bytes, MERGED_IN_A_ROW_BYTES)

    def write_part(self) -> None:
        """Write some of what was gathered, or merge one bucket's parts.

        It isn't waited for: should it be lost, the journal still has what was gathered, and the
        parts are as they were.
        """
        execute = self._connection.execute
        execute("PRAGMA synchronous = NORMAL")
        can_merge = self._to_merge and not self._rest
        if can_merge and (self._is_merge_due or not self.is_behind):
            self._merge(next(iter(self._to_merge)))
        else:
            self._write_changes()
        execute("PRAGMA synchronous = FULL")

    def write_changes(self) -> None:
        """Write all that was gathered, and merge nothing: what a start needs to replay nothing."""
        while self.is_behind:
            self._write_changes()

    @property
    def _is_merge_due(self) -> bool:
        """Whether so much is to be merged, and has come in since the last merges, that the next
        shouldn't wait for the calm.
        """
        return self._unmerged_bytes > UNMERGED_LIMIT_BYTES and self._mergeable_bytes > 0

    def _write_changes(self) -> None:
        """Write the changes of some buckets, and note how far the parts are with the last one."""
        if not self._rest:
            self._rest = {n: changed for n, changed in enumerate(self._gathered) if changed}
            self._rest_through = self._gathered_through
            self._gathered, self._gathered_bytes = _no_changes(), 0
            self._bytes_since_part = 0
        # More than came in meanwhile, or the journal would run away under load.
        wanted_bytes = max(PART_BYTES, 2 * self._bytes_since_part)
        rows: list[tuple[int, bytes]] = []
        for bucket, changed in self._rest.items():
            rows.append((bucket, encode_entries(changed)))
            wanted_bytes -= len(rows[-1][1])
            if wanted_bytes <= 0:
                break
        with held_transaction(self._connection, self._lease):
            execute_wide(self._connection, _ADD, 2, rows)
            if len(rows) == len(self._rest):
                self._connection.execute(_NOTE, (str(self._rest_through),))
        self._bytes_since_part = 0
        for bucket, body in rows:
            del self._rest[bucket]
            self._weigh(bucket, len(body))
        if not self._rest:
            self.folded_through = self._rest_through

    def _merge(self, bucket: int) -> None:
        """Make one part of a bucket's, without what was changed later or deleted."""
        rows = self._connection.execute(_BUCKET, (bucket,)).fetchall()
        live = last_values(body for (body,) in rows)
        body = encode_entries(live) if live else None
        with held_transaction(self._connection, self._lease):
            self._connection.execute(_DROP, (bucket,))
            if body is not None:
                execute_wide(self._connection, _ADD, 2, [(bucket, body)])
        del self._to_merge[bucket]
        merged_bytes = self._first_bytes[bucket] + self._later_bytes[bucket]
        self._mergeable_bytes = max(0, self._mergeable_bytes) - merged_bytes
        self._unmerged_bytes -= self._later_bytes[bucket]
        self._first_bytes[bucket] = 0 if body is None else len(body)
        self._later_bytes[bucket] = 0

    def _weigh(self, bucket: int, size_bytes: int) -> None:
        """Count a new part of a bucket, and see whether its parts should be merged.

        Buckets differ in when they are, from once to twice the first part's weight: what grows
        together isn't to be merged all at the same time.
        """
        if not self._first_bytes[bucket]:
            self._first_bytes[bucket] = size_bytes
            return
        self._later_bytes[bucket] += size_bytes
        if bucket in self._to_merge:
            self._unmerged_bytes += size_bytes
            return
        allowed_bytes = max(self._first_bytes[bucket], MERGED_LEAST_BYTES)
        if self._later_bytes[bucket] * BUCKETS > allowed_bytes * (BUCKETS + bucket):
            self._to_merge[bucket] = None
            self._unmerged_bytes += self._later_bytes[bucket]


def bucket_of(key: str) -> int:
    """Return the bucket of a record: the same one in every process, as it is kept on disk."""
    return zlib.crc32(key.encode()) % BUCKETS


def find_folded_through(connection: sqlite3.Connection) -> int:
    """Return the number of the commit at which the parts on disk are, or ahead of which."""
    row = connection.execute(_FIND).fetchone()
    return 0 if row is None else int(row[0])


def read_entries(rows: Iterable[tuple[int, bytes]]) -> Iterator[Entry]:
    """Iterate kind, key and value of the records in parts, which come in `ALL_PARTS`' order."""
    current, bodies = -1, list[bytes]()
    for bucket, body in rows:
        if bucket != current:
            yield from _entries(bodies)
            current, bodies = bucket, []
        bodies.append(body)
    yield from _entries(bodies)


def write_entries(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Write records as parts within the caller's transaction, with little in memory at a time."""
    gathered, size_bytes = _no_changes(), 0
    for kind, key, value in entries:
        gathered[bucket_of(key)][kind, key] = value
        size_bytes += len(key) + len(value) + _ENTRY_OVERHEAD_BYTES
        if size_bytes > UNFOLDED_LIMIT_BYTES:
            _write_all(connection, gathered)
            gathered, size_bytes = _no_changes(), 0
    _write_all(connection, gathered)


def last_values(bodies: Iterable[bytes]) -> Changed:
    """Return what one bucket's parts, oldest first, say of each record that isn't deleted."""
    found: Changed = {}
    for body in bodies:
        for kind, key, value in decode_entries(body):
            found[kind, key] = value
    return {name: value for name, value in found.items() if value is not None}


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


def _no_changes() -> list[Changed]:
    return [{} for _ in range(BUCKETS)]


def _write_all(connection: sqlite3.Connection, gathered: list[Changed]) -> None:
    rows = [(n, encode_entries(changed)) for n, changed in enumerate(gathered) if changed]
    execute_wide(connection, _ADD, 2, rows)


def _entries(bodies: list[bytes]) -> Iterator[Entry]:
    for (kind, key), value in last_values(bodies).items():
        assert value is not None
        yield kind, key, value
