"""The tables of the SQLite file, their versions, and how a file of an earlier one is taken over."""

import sqlite3
from pathlib import Path

from homeport.storage import records
from homeport.storage.errors import StorageCorrupt, StorageVersionUnknown

SCHEMA_VERSION = 4
FIRST_VERSION_IN_PARTS = 4  # before, each record had a row of its own in the table `records`
RECORD_ROWS = "SELECT kind, key, value FROM records"

_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    *records.SCHEMA,
    "CREATE TABLE journal (sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,"
    " cause TEXT NOT NULL, body BLOB NOT NULL)",
    f"INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}')",
)
_FIND_VERSION = "SELECT value FROM meta WHERE name = 'schema_version'"
_NOTE_VERSION = f"UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE name = 'schema_version'"
_FIND_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
# Version 1 wrote records in the transaction of their commit: they are up to date.
_NOTE_FOLDED = "INSERT INTO meta SELECT 'folded_through', COALESCE(MAX(sequence), 0) FROM journal"
_TABLES = frozenset({"meta", "journal"})
_ADVICE = "start the Homeport that wrote it, or choose another directory with --data-dir"


def prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; take over what an earlier Homeport wrote, as a whole.

    Raises StorageCorrupt for another program's file, StorageVersionUnknown for a later Homeport's.
    """
    tables = {name for (name,) in connection.execute(_FIND_TABLES)}
    if not tables:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
        return
    version = read_version(connection, path, advice=_ADVICE)
    if version < SCHEMA_VERSION:
        _upgrade(connection, version)


def read_version(connection: sqlite3.Connection, path: Path, *, advice: str) -> int:
    """Return the version of a file's schema, when this Homeport can read it.

    Raises StorageCorrupt for another program's file, StorageVersionUnknown for a later Homeport's;
    `advice` ends that line.
    """
    tables = {name for (name,) in connection.execute(_FIND_TABLES)}
    if not tables >= _TABLES:
        raise StorageCorrupt(f"{path} isn't a Homeport database: choose another directory")
    row = connection.execute(_FIND_VERSION).fetchone()
    version = "none" if row is None else str(row[0])
    if not version.isdigit() or not 1 <= int(version) <= SCHEMA_VERSION:
        raise StorageVersionUnknown(
            f"{path} has schema version {version}, this Homeport knows {SCHEMA_VERSION}; {advice}"
        )
    has_rows = int(version) < FIRST_VERSION_IN_PARTS
    if ("records" if has_rows else "record_parts") not in tables:
        raise StorageCorrupt(f"{path} isn't a Homeport database: choose another directory")
    return int(version)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if version == 1:
        connection.execute(_NOTE_FOLDED)
    for statement in records.SCHEMA:
        connection.execute(statement)
    records.write_entries(connection, connection.execute(RECORD_ROWS))
    connection.execute("DROP TABLE records")
    connection.execute(_NOTE_VERSION)
    connection.execute("COMMIT")
