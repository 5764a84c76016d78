"""The SQLite file as its one writer has it open.

What becomes of the records is `records`' work, the tables and their versions `schema`'s, reading
the state `reading`'s. Everything here blocks: it is called by `journal_writer`.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from homeport.state.changes import AnyRecord, Commit
from homeport.storage.directory import FILE_MODE
from homeport.storage.encoding import (
    EncodedCommit,
    RecordId,
    Written,
    changed_by,
    encode_written,
    split_changes,
)
from homeport.storage.errors import StorageCorrupt, StorageUnavailable
from homeport.storage.lease import (
    ONLY_WHILE_HELD,
    LeaseMark,
    held_transaction,
    mark_newest,
    refuse_lost,
    take_lease,
)
from homeport.storage.records import (
    ROWS_PER_STATEMENT,
    UNFOLDED_LIMIT_BYTES,
    RecordParts,
    execute_wide,
)
from homeport.storage.schema import prepare_schema

DATABASE_FILE_NAME = "homeport.sqlite3"
PRUNED_COMMITS_PER_TRANSACTION = 512
UNFOLDED_SHARE = 2  # of the journal's size: what records lack can't be pruned
PRUNE_SLACK_PARTS = 32  # it begins 1/32 beyond the limit of age, goes 1/32 below that of size
LATE_PRUNE_PARTS = 4  # of the limit of size beyond which pruning doesn't wait for the calm
WAL_LIMIT_BYTES = 64 * 1024 * 1024
# Changed records are all over the file, and a checkpoint writes each of their pages: seldom ones
# cost far less in all (four times the commits a second of SQLite's own 1,000 pages, measured), at
# 32 MiB each.
CHECKPOINT_PAGES = 8_192
# The log is made this long ahead of time: a write within a file costs the disk a tenth of one that
# makes it longer (0.4 ms against 4 ms a commit on ext4, measured), which also changes the folder.
WAL_AHEAD_BYTES = CHECKPOINT_PAGES * 4_096
SPILL_CACHE_KIB = 512
CACHE_KIB = 4_096
STATEMENT_CACHE = 4 * ROWS_PER_STATEMENT  # one for each number of rows, and some
LOCK_WAIT_S = 10.0  # a reader of the same file may hold it for a moment

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit returns after its fsync
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA cache_size = -{CACHE_KIB}",
)
_APPEND = f"INSERT INTO journal SELECT * FROM (VALUES {{}}) {ONLY_WHILE_HELD}"
_FIND_TAIL = "SELECT sequence, body FROM journal WHERE sequence > ? ORDER BY sequence"
_FIND_OLDEST = "SELECT at_ms FROM journal ORDER BY sequence LIMIT 1"
_FIND_SURPLUS = """
    SELECT MAX(sequence), SUM(size) FROM (
        SELECT sequence, at_ms, size, SUM(size) OVER (ORDER BY sequence) AS size_until FROM (
            SELECT sequence, at_ms, LENGTH(body) AS size FROM journal
            WHERE sequence <= :last ORDER BY sequence LIMIT :rows
        )
    ) WHERE size_until - size < :excess_bytes OR at_ms < :cutoff_ms
"""

Replayed = tuple[RecordId, AnyRecord | None, bytes | None]  # its bytes, too; None: deleted


class JournalLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much history is kept; the newest commit always is."""

    retention_s: int = 7 * 24 * 60 * 60
    size_bytes: int = 256 * 1024 * 1024


class Database:
    """One open file; `append` is one durable transaction, once `replay` has read what is there."""

    def __init__(
        self, directory: Path, limits: JournalLimits, *, server_pid: int | None = None
    ) -> None:
        self._path = directory / DATABASE_FILE_NAME
        self._limits = limits
        self._journal_bytes = 0
        self._oldest_at_ms = 0
        self._newest: EncodedCommit | None = None  # of those appended here
        self._is_prunable = False  # as far as is known since it was appended
        try:
            self._path.touch(FILE_MODE)  # before SQLite makes it, for everybody to read
            self._connection = sqlite3.connect(
                self._path,
                timeout=LOCK_WAIT_S,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENT_CACHE,
            )
            for pragma in _PRAGMAS:
                self._connection.execute(pragma)
            prepare_schema(self._connection, self._path)
            # Before anything is read: whoever had it till now writes nothing any more.
            self._lease = take_lease(self._connection, server_pid)
            mark_newest(self._connection, directory)
            self._mark = LeaseMark(directory, self._lease.epoch)
            self._measure_journal()
            limit_bytes = min(UNFOLDED_LIMIT_BYTES, limits.size_bytes // UNFOLDED_SHARE)
            self._records = RecordParts(self._connection, self._lease, limit_bytes)
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error
        except OSError as error:
            raise StorageUnavailable(
                f"cannot write to {directory}: {error.strerror}; make room or choose another "
                "directory with --data-dir"
            ) from error

    @property
    def epoch(self) -> int:
        """The lease's: higher than that of everybody who has opened the file before."""
        return self._lease.epoch

    def refuse_lost(self) -> None:
        """Raise LeaseLost when somebody has, or when the file isn't where it was."""
        if not self._mark.is_held:
            refuse_lost(self._connection, self._lease)
        self._mark.refuse_moved()

    def close(self) -> None:
        """Close the file; what was written stays."""
        self._connection.close()

    def replay(self) -> None:
        """Gather what the journal has behind the records, for `fold`; before anything is appended.

        Raises StorageCorrupt when it has a gap or can't be read.
        """
        behind = self._records.folded_through
        try:
            for sequence, size_bytes, changes in replay_tail(self._connection, self._path, behind):
                latest = {name: value for name, _, value in changes}
                self._records.gather(latest, through=sequence, size_bytes=size_bytes)
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error

    def write(self, commits: list[Commit]) -> None:
        """Make these commits durable in one transaction, and gather what they changed."""
        encoded = list(map(encode_written, commits))
        self.append(encoded)
        self.gather(encoded)

    def append(self, commits: list[Written]) -> None:
        """Make commits durable in one transaction; what they changed must be gathered next.

        Raises sqlite3.Error if the disk won't, LeaseLost if another server took the file over:
        either way nothing is written.
        """
        journal = [row for row, _ in commits]
        size_bytes = sum(len(row.body) for row in journal)
        self._journal_bytes += size_bytes
        if len(journal) <= ROWS_PER_STATEMENT and not self._must_prune(journal[-1]):
            # One statement is a transaction of its own: a single call, and its fsync.
            if self._append(journal) != len(journal):
                refuse_lost(self._connection, self._lease)
        else:
            with held_transaction(self._connection, self._lease):
                self._append(journal)
                if self._must_prune(journal[-1]):
                    # More than come in, or the journal would outgrow its limit under load.
                    self._prune(journal[-1], max(PRUNED_COMMITS_PER_TRANSACTION, 2 * len(journal)))
        self._newest, self._is_prunable = journal[-1], True

    def gather(self, commits: list[Written]) -> None:
        """Note what durable commits changed, for `fold`; nobody who was promised them waits."""
        for each in commits:
            row, _ = each
            self._records.gather(changed_by(each), through=row.sequence, size_bytes=len(row.body))

    def _append(self, journal: list[EncodedCommit]) -> int:
        return execute_wide(self._connection, _APPEND, 4, journal, self._lease.epoch)

    @property
    def must_fold(self) -> bool:
        """Whether so much is written to the journal only that `fold` shouldn't wait for calm."""
        return self._records.is_due

    @property
    def can_fold(self) -> bool:
        """Whether anything is written to the journal only, or in more parts than need be."""
        return self._records.has_work

    def fold(self) -> None:
        """Bring a bounded part of the records up to date; raises sqlite3.Error as `write` does."""
        self._records.write_part()

    @property
    def can_prune(self) -> bool:
        """Whether the journal is beyond its limit of size, and may lose some of what is older."""
        return self._is_prunable and self._journal_bytes > self._limits.size_bytes

    def prune(self) -> None:
        """Drop a bounded number of commits; raises sqlite3.Error as `append` does."""
        assert self._newest is not None
        with held_transaction(self._connection, self._lease):
            self._prune(self._newest, PRUNED_COMMITS_PER_TRANSACTION)

    def fold_to_close(self) -> None:
        """Bring all records up to date, so that the next start has nothing to replay."""
        self._records.write_changes()

    def lengthen_log(self) -> None:
        """Make the write-ahead log as long as it will become, by writing what is then taken back.

        It lasts until the file is closed. A disk that has no room for it has some for commits.
        """
        execute = self._connection.execute
        execute(f"PRAGMA cache_size = -{SPILL_CACHE_KIB}")  # spill early, rather than take memory
        execute("BEGIN IMMEDIATE")
        try:
            execute("INSERT INTO journal VALUES (NULL, 0, '', zeroblob(?))", (WAL_AHEAD_BYTES,))
        except sqlite3.Error:
            pass
        finally:
            if self._connection.in_transaction:
                execute("ROLLBACK")
        execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def _must_prune(self, newest: EncodedCommit) -> bool:
        """Whether commits are so old, or so many, that some should go though others wait."""
        limits = self._limits
        retention_ms = limits.retention_s * 1_000
        slack_ms = retention_ms // PRUNE_SLACK_PARTS
        is_too_old = self._oldest_at_ms < newest.at_ms - retention_ms - slack_ms
        late_bytes = limits.size_bytes + limits.size_bytes // LATE_PRUNE_PARTS
        return is_too_old or self._journal_bytes > late_bytes

    def _prune(self, newest: EncodedCommit, rows: int) -> None:
        """Drop at most so many commits that are too old or too many, within a transaction."""
        limits = self._limits
        kept_bytes = limits.size_bytes - limits.size_bytes // PRUNE_SLACK_PARTS
        is_too_large = self._journal_bytes > limits.size_bytes
        excess_bytes = self._journal_bytes - kept_bytes if is_too_large else 0
        last, size_bytes = self._connection.execute(
            _FIND_SURPLUS,
            {
                # Neither the newest nor what the records don't have yet.
                "last": min(newest.sequence - 1, self._records.folded_through),
                "rows": rows,
                "excess_bytes": excess_bytes,
                "cutoff_ms": newest.at_ms - limits.retention_s * 1_000,
            },
        ).fetchone()
        self._is_prunable = last is not None
        if last is not None:
            self._connection.execute("DELETE FROM journal WHERE sequence <= ?", (last,))
            self._journal_bytes -= size_bytes
        (self._oldest_at_ms,) = self._connection.execute(_FIND_OLDEST).fetchone()

    def _measure_journal(self) -> None:
        size_bytes, oldest_at_ms = self._connection.execute(
            f"SELECT COALESCE(SUM(LENGTH(body)), 0), ({_FIND_OLDEST}) FROM journal"
        ).fetchone()
        self._journal_bytes = size_bytes
        self._oldest_at_ms = oldest_at_ms or 0


def replay_tail(
    connection: sqlite3.Connection, path: Path, behind: int
) -> Iterator[tuple[int, int, list[Replayed]]]:
    """Iterate the commits behind that number: each one's number, size in bytes and changes.

    Raises StorageCorrupt when one is missing or unreadable.
    """
    for sequence, body in connection.execute(_FIND_TAIL, (behind,)):
        if sequence != behind + 1:
            raise StorageCorrupt(f"{path}: the journal lacks commit {behind + 1}")
        try:
            yield sequence, len(body), list(split_changes(body))
        except (msgspec.MsgspecError, ValueError) as error:
            raise StorageCorrupt(f"{path}: commit {sequence} is unreadable: {error}") from error
        behind = sequence


def unreadable(path: Path, error: sqlite3.DatabaseError) -> StorageCorrupt | StorageUnavailable:
    """Say what it means that SQLite can't open or read a file."""
    if isinstance(error, sqlite3.OperationalError):
        return StorageUnavailable(f"cannot open {path}: {error}")
    return StorageCorrupt(f"{path} is damaged or isn't a database ({error}); move it away")
