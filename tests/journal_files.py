"""Journals on disk for tests: written as a server does, from commits or a simulated world."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from homeport.state.changes import Commit
from homeport.storage.database import DATABASE_FILE_NAME, Database, JournalLimits
from homeport.storage.encoding import decode_changes, decode_entries, encode_entries
from homeport.storage.records import ALL_PARTS, read_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from homeport.sim.world import World

COMMITS_PER_WRITE = 500


def write_journal(folder: Path, commits: Sequence[Commit], *, first: int = 1) -> Path:
    """Write a data directory with these commits; those before `first` are pruned."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder, JournalLimits())
    database.replay()
    for start in range(0, len(commits), COMMITS_PER_WRITE):
        database.write(list(commits[start : start + COMMITS_PER_WRITE]))
    while database.can_fold:
        database.fold()
    database.close()
    if first > 1:
        connection = sqlite3.connect(folder / DATABASE_FILE_NAME, isolation_level=None)
        connection.execute("DELETE FROM journal WHERE sequence < ?", (first,))
        connection.close()
    return folder


def commits_of(world: World) -> list[Commit]:
    """Return every commit that became durable in a simulated world's run."""
    return [
        Commit(row.sequence, row.at_ms, row.cause, decode_changes(row.body))
        for row, _, _ in world._disk.journal
    ]


def make_older(folder: Path, version: int) -> None:
    """Turn a data directory into what version 1, 2 or 3 of the schema made of the same records."""
    connection = sqlite3.connect(folder / DATABASE_FILE_NAME, isolation_level=None)
    rows = list(read_entries(connection.execute(ALL_PARTS)))
    connection.execute("BEGIN")
    connection.execute("DROP TABLE record_parts")
    connection.execute(
        "CREATE TABLE records (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL,"
        " value BLOB NOT NULL)"
        if version == 3
        else "CREATE TABLE records (kind TEXT, key TEXT, value BLOB NOT NULL,"
        " PRIMARY KEY (kind, key)) WITHOUT ROWID"
    )
    connection.executemany("INSERT INTO records (kind, key, value) VALUES (?, ?, ?)", rows)
    if version == 1:
        connection.execute("DELETE FROM meta WHERE name = 'folded_through'")
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(version),))
    connection.execute("COMMIT")
    connection.close()


def alter_records(folder: Path, alter: Callable[[bytes], bytes]) -> None:
    """Put what `alter` makes of it in the place of every record on disk."""
    connection = sqlite3.connect(folder / DATABASE_FILE_NAME, isolation_level=None)
    parts = connection.execute("SELECT id, body FROM record_parts").fetchall()
    for part, body in parts:
        latest = {
            (kind, key): None if value is None else alter(value)
            for kind, key, value in decode_entries(body)
        }
        connection.execute(
            "UPDATE record_parts SET body = ? WHERE id = ?", (encode_entries(latest), part)
        )
    connection.close()
