"""The SQLite file: its journal, and how the state is read from it.

What becomes of the records is `records`' work, the tables and their versions `schema`'s. Everything
here blocks; which thread calls it is `sqlite`'s business.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from homeport.state.changes import AnyRecord, Change, Commit, Put, key_of, table_of
from homeport.storage.directory import FILE_MODE
from homeport.storage.encoding import (
    Changed,
    EncodedCommit,
    Entry,
    RecordId,
    decode_changes,
    decode_record,
    encode_commit,
    split_changes,
)
from homeport.storage.errors import StorageCorrupt, StorageUnavailable
from homeport.storage.lease import (
    ONLY_WHILE_HELD,
    LeaseMark,
    held_transaction,
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
UNFOLDED_SHARE = 4  # of the journal's size: what records lack can't be pruned
PRUNE_SLACK_PARTS = 32  # pruning begins at the limit, or 1/32 beyond it, and goes 1/32 below
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


class JournalLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much history is kept; the newest commit always is."""

    retention_s: int = 7 * 24 * 60 * 60
    size_bytes: int = 256 * 1024 * 1024


class HistoryEntry(msgspec.Struct, frozen=True):
    """One change of one record, and the commit that brought it."""

    sequence: int
    at_ms: int
    cause: str
    change: Change


class Database:
    """One open file; `write` is one durable transaction, after `load` has read what is there."""

    def __init__(self, directory: Path, limits: JournalLimits) -> None:
        self._path = directory / DATABASE_FILE_NAME
        self._limits = limits
        self._journal_bytes = 0
        self._oldest_at_ms = 0
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
            self._lease = take_lease(self._connection)  # before anything is read: nothing follows
            self._mark = LeaseMark(self._connection, directory, self._lease)
            self._measure_journal()
            limit_bytes = min(UNFOLDED_LIMIT_BYTES, limits.size_bytes // UNFOLDED_SHARE)
            self._records = RecordParts(self._connection, self._lease, limit_bytes)
            self._newest = self._records.folded_through
        except sqlite3.DatabaseError as error:
            raise _unreadable(self._path, error) from error
        except OSError as error:
            raise StorageUnavailable(
                f"cannot write to {directory}: {error.strerror}; make room or choose another "
                "directory with --data-dir"
            ) from error

    @property
    def is_held(self) -> bool:
        """Whether nobody else has opened the file since; quick, for every answer to ask."""
        return self._mark.is_held

    def refuse_lost(self) -> None:
        """Raise LeaseLost when somebody has, or when the file isn't where it was."""
        if not self._mark.is_held:
            refuse_lost(self._connection, self._lease)
        self._mark.refuse_moved()

    def close(self) -> None:
        """Close the file; what was written stays."""
        self._connection.close()

    def load(self) -> tuple[list[AnyRecord], int]:
        """Return all current records, and the number of the last commit (0: none yet)."""
        try:
            replayed = self._replay()
            records = [
                self._decode(kind, key, value)
                for kind, key, value in self._read_records()
                if (kind, key) not in replayed
            ]
            records += [record for record in replayed.values() if record is not None]
            return records, self._newest
        except sqlite3.DatabaseError as error:
            raise _unreadable(self._path, error) from error

    def newest_at_ms(self) -> int:
        """Return when the newest commit was made, in epoch milliseconds (0: none yet)."""
        row = self._connection.execute("SELECT at_ms FROM journal ORDER BY sequence DESC LIMIT 1")
        found = row.fetchone()
        return 0 if found is None else int(found[0])

    def write(self, commits: list[Commit]) -> None:
        """Make these commits durable in one transaction, and gather what they changed."""
        encoded = [encode_commit(commit) for commit in commits]
        self.append(encoded)
        self.gather(encoded)

    def append(self, commits: list[tuple[EncodedCommit, Changed]]) -> None:
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
                    self._prune(journal)
        self._newest = journal[-1].sequence

    def gather(self, commits: list[tuple[EncodedCommit, Changed]]) -> None:
        """Note what durable commits changed, for `fold`; nobody who was promised them waits."""
        for row, latest in commits:
            self._records.gather(latest, through=row.sequence, size_bytes=len(row.body))

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

    def _read_records(self) -> Iterator[Entry]:
        try:
            yield from self._records.read()
        except (msgspec.MsgspecError, ValueError) as error:
            raise StorageCorrupt(f"{self._path}: the records are unreadable: {error}") from error

    def _decode(self, kind: str, key: str, value: bytes) -> AnyRecord:
        try:
            record = decode_record(value)
        except msgspec.MsgspecError as error:
            raise StorageCorrupt(f"{self._path}: {kind} {key} is unreadable: {error}") from error
        if table_of(record) != kind or key_of(record) != key:
            raise StorageCorrupt(f"{self._path}: {kind} {key} holds another record")
        return record

    def _replay(self) -> dict[RecordId, AnyRecord | None]:
        """Return what the journal has behind the records (None: deleted), gathered for `fold`."""
        records: dict[RecordId, AnyRecord | None] = {}
        rows = self._connection.execute(_FIND_TAIL, (self._records.folded_through,))
        for sequence, body in rows:
            if sequence != self._newest + 1:
                raise StorageCorrupt(f"{self._path}: the journal lacks commit {self._newest + 1}")
            latest: Changed = {}
            try:
                for name, record, value in split_changes(body):
                    latest[name] = value
                    records[name] = record
            except (msgspec.MsgspecError, ValueError) as error:
                raise StorageCorrupt(
                    f"{self._path}: commit {sequence} is unreadable: {error}"
                ) from error
            self._records.gather(latest, through=sequence, size_bytes=len(body))
            self._newest = sequence
        return records

    def _must_prune(self, newest: EncodedCommit) -> bool:
        """Whether commits are too old or too many, with some slack: not in every transaction."""
        retention_ms = self._limits.retention_s * 1_000
        slack_ms = retention_ms // PRUNE_SLACK_PARTS
        is_too_old = self._oldest_at_ms < newest.at_ms - retention_ms - slack_ms
        return is_too_old or self._journal_bytes > self._limits.size_bytes

    def _prune(self, journal: list[EncodedCommit]) -> None:
        """Drop a bounded number of commits that are too old or too many."""
        newest, limits = journal[-1], self._limits
        kept_bytes = limits.size_bytes - limits.size_bytes // PRUNE_SLACK_PARTS
        is_too_large = self._journal_bytes > limits.size_bytes
        excess_bytes = self._journal_bytes - kept_bytes if is_too_large else 0
        last, size_bytes = self._connection.execute(
            _FIND_SURPLUS,
            {
                # Neither the newest nor what the records don't have yet.
                "last": min(newest.sequence - 1, self._records.folded_through),
                # More than come in, or the journal would outgrow its limit under load.
                "rows": max(PRUNED_COMMITS_PER_TRANSACTION, 2 * len(journal)),
                "excess_bytes": excess_bytes,
                "cutoff_ms": newest.at_ms - limits.retention_s * 1_000,
            },
        ).fetchone()
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


def read_history(directory: Path, key: str, limit: int) -> list[HistoryEntry]:
    """Return a record's newest changes in the kept journal, newest first, for any process to ask.

    `key` is the record's primary key: for most resources its ARN.
    """
    path = directory / DATABASE_FILE_NAME
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute(
                "SELECT sequence, at_ms, cause, body FROM journal"
                " WHERE INSTR(body, CAST(? AS BLOB)) ORDER BY sequence DESC",
                (key,),
            )
            return _pick(rows, key, limit)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise _unreadable(path, error) from error


def _pick(rows: sqlite3.Cursor, key: str, limit: int) -> list[HistoryEntry]:
    entries: list[HistoryEntry] = []
    for sequence, at_ms, cause, body in rows:
        for change in reversed(decode_changes(body)):
            changed = key_of(change.record) if isinstance(change, Put) else change.key
            if changed == key:
                entries.append(HistoryEntry(sequence, at_ms, cause, change))
        if len(entries) >= limit:
            break
    return entries[:limit]


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> StorageCorrupt | StorageUnavailable:
    if isinstance(error, sqlite3.OperationalError):
        return StorageUnavailable(f"cannot open {path}: {error}")
    return StorageCorrupt(f"{path} is damaged or isn't a database ({error}); move it away")
