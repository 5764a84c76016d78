"""What a journal's file holds, for whoever doesn't write it: the state, and a record's history.

Everything here blocks. Who writes the file, and how, is `database`'s business.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from homeport.state.changes import AnyRecord, Change, Put, key_of, table_of
from homeport.storage.database import DATABASE_FILE_NAME, replay_tail, unreadable
from homeport.storage.encoding import Entry, RecordId, decode_changes, decode_record
from homeport.storage.errors import StorageCorrupt
from homeport.storage.records import ALL_PARTS, find_folded_through, read_entries

_FIND_NEWEST = "SELECT at_ms FROM journal ORDER BY sequence DESC LIMIT 1"


class HistoryEntry(msgspec.Struct, frozen=True):
    """One change of one record, and the commit that brought it."""

    sequence: int
    at_ms: int
    cause: str
    change: Change


class KeptState(NamedTuple):
    """All current records, and the last commit's number and time in epoch ms (0: none yet)."""

    records: list[AnyRecord]
    sequence: int
    at_ms: int


def read_state(directory: Path) -> KeptState:
    """Read the state as it is at one moment, though it may be written to meanwhile.

    Raises StorageCorrupt when it isn't what a Homeport wrote.
    """
    path = directory / DATABASE_FILE_NAME
    with _opened(path) as connection:
        connection.execute("BEGIN")  # everything below is of one commit
        newest = find_folded_through(connection)
        replayed: dict[RecordId, AnyRecord | None] = {}
        for sequence, _, changes in replay_tail(connection, path, newest):
            replayed.update((name, record) for name, record, _ in changes)
            newest = sequence
        records = [
            _decode(path, kind, key, value)
            for kind, key, value in _entries(connection, path)
            if (kind, key) not in replayed
        ]
        records += [record for record in replayed.values() if record is not None]
        row = connection.execute(_FIND_NEWEST).fetchone()
        return KeptState(records, newest, 0 if row is None else int(row[0]))


def read_history(directory: Path, key: str, limit: int) -> list[HistoryEntry]:
    """Return a record's newest changes in the kept journal, newest first, for any process to ask.

    `key` is the record's primary key: for most resources its ARN.
    """
    with _opened(directory / DATABASE_FILE_NAME) as connection:
        rows = connection.execute(
            "SELECT sequence, at_ms, cause, body FROM journal"
            " WHERE INSTR(body, CAST(? AS BLOB)) ORDER BY sequence DESC",
            (key,),
        )
        return _pick(rows, key, limit)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from error


def _pick(rows: Iterable[tuple[int, int, str, bytes]], key: str, limit: int) -> list[HistoryEntry]:
    entries: list[HistoryEntry] = []
    for sequence, at_ms, cause, body in rows:
        for change in reversed(decode_changes(body)):
            changed = key_of(change.record) if isinstance(change, Put) else change.key
            if changed == key:
                entries.append(HistoryEntry(sequence, at_ms, cause, change))
        if len(entries) >= limit:
            break
    return entries[:limit]


def _entries(connection: sqlite3.Connection, path: Path) -> Iterator[Entry]:
    try:
        yield from read_entries(connection.execute(ALL_PARTS))
    except (msgspec.MsgspecError, ValueError) as error:
        raise StorageCorrupt(f"{path}: the records are unreadable: {error}") from error


def _decode(path: Path, kind: str, key: str, value: bytes) -> AnyRecord:
    try:
        record = decode_record(value)
    except msgspec.MsgspecError as error:
        raise StorageCorrupt(f"{path}: {kind} {key} is unreadable: {error}") from error
    if table_of(record) != kind or key_of(record) != key:
        raise StorageCorrupt(f"{path}: {kind} {key} holds another record")
    return record
