"""The agent's own state on disk: who it is, its tasks, and reports not yet accepted.

One SQLite file in the data directory. A payload's tasks are synced to disk before they are
acknowledged, a task's end before it is reported; the rest survives a killed agent without a sync.
Not here: what the state means.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

import msgspec

from homeport.agent.settings import AgentStartError
from homeport.agent.task_state import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STATE_FILE_NAME: Final = "agent.db"
STATE_VERSION: Final = 1
LOCK_TIMEOUT_S: Final = 0.2
"""Long enough for an agent that is just closing the file, short for one that won't."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (arn TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task_arn TEXT NOT NULL, operation TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS images (
    name TEXT PRIMARY KEY, used_at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""


class StoredReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report waiting for the control plane's acceptance, in order of its number."""

    number: int
    task_arn: str
    operation: str
    body: bytes


class NewReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report to keep until it is accepted."""

    task_arn: str
    operation: str
    body: bytes


class StateFile:
    """The open state file; held by one agent at a time."""

    def __init__(self, data_dir: Path) -> None:
        """Open or create it; raises AgentStartError with what to do when that fails."""
        self.path = data_dir / STATE_FILE_NAME
        try:
            # Payloads hold environment variables of containers.
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(0o600)
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=LOCK_TIMEOUT_S)
            # Held for the life of the agent: a second agent on the same directory is refused.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
            self._check_version()
        except (OSError, sqlite3.Error) as error:
            raise AgentStartError(
                f"can't use the agent's data directory {data_dir} ({error}): is another agent"
                " running with it? Give each agent a --data-dir of its own that it may write to"
            ) from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def read_facts(self) -> dict[str, str]:
        """What the agent knows of itself: instance ARN, cluster, instance id, ..."""
        return dict(self._db.execute("SELECT name, value FROM facts"))

    def write_facts(self, facts: dict[str, str]) -> None:
        """Add or replace facts, on disk before this returns."""
        self._sync_fully(True)
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def read_tasks(self) -> list[TaskState]:
        """All tasks as last saved."""
        decode = msgspec.json.Decoder(TaskState).decode
        return [decode(row[0]) for row in self._db.execute("SELECT state FROM tasks ORDER BY arn")]

    def write_changes(
        self,
        *,
        saved: Iterable[TaskState] = (),
        forgotten: Iterable[str] = (),
        reports: Iterable[NewReport] = (),
        is_promise: bool,
    ) -> list[StoredReport]:
        """Keep what one stimulus changed, all or nothing; `is_promise` syncs to disk first."""
        stored = []
        self._sync_fully(is_promise)
        with self._transaction():
            encode = msgspec.json.encode
            self._db.executemany(
                "INSERT OR REPLACE INTO tasks VALUES (?, ?)",
                [(state.arn, encode(state)) for state in saved],
            )
            self._db.executemany("DELETE FROM tasks WHERE arn = ?", [(arn,) for arn in forgotten])
            for report in reports:
                cursor = self._db.execute(
                    "INSERT INTO reports (task_arn, operation, body) VALUES (?, ?, ?)",
                    (report.task_arn, report.operation, report.body),
                )
                stored.append(
                    StoredReport(
                        number=cursor.lastrowid or 0,
                        task_arn=report.task_arn,
                        operation=report.operation,
                        body=report.body,
                    )
                )
        return stored

    def read_reports(self) -> list[StoredReport]:
        """All reports that weren't accepted yet, oldest first."""
        rows = self._db.execute(
            "SELECT number, task_arn, operation, body FROM reports ORDER BY number"
        )
        return [
            StoredReport(number=number, task_arn=arn, operation=operation, body=body)
            for number, arn, operation, body in rows
        ]

    def drop_report(self, number: int) -> None:
        """The control plane has accepted (or finally refused) a report."""
        self._sync_fully(False)
        self._db.execute("DELETE FROM reports WHERE number = ?", (number,))

    def read_images(self) -> dict[str, int]:
        """The images that the agent pulled, and when each was last used in epoch milliseconds."""
        return dict(self._db.execute("SELECT name, used_at_ms FROM images"))

    def write_image(self, name: str, used_at_ms: int) -> None:
        """Note that an image was pulled, or used."""
        self._sync_fully(False)
        self._db.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (name, used_at_ms))

    def drop_image(self, name: str) -> None:
        """Forget an image that was removed."""
        self._sync_fully(False)
        self._db.execute("DELETE FROM images WHERE name = ?", (name,))

    def _check_version(self) -> None:
        found = self.read_facts().get("stateVersion")
        if found is None:
            self.write_facts({"stateVersion": str(STATE_VERSION)})
        elif found != str(STATE_VERSION):
            raise AgentStartError(
                f"{self.path} was written by another version of the agent (format {found}, this"
                f" one reads {STATE_VERSION}): use that version, or give --data-dir a new directory"
            )

    def _sync_fully(self, is_wanted: bool) -> None:
        self._db.execute(f"PRAGMA synchronous = {'FULL' if is_wanted else 'NORMAL'}")

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """BEGIN IMMEDIATE, then COMMIT or ROLLBACK."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, error_type: type[BaseException] | None, *_rest: object) -> None:
        self._db.execute("COMMIT" if error_type is None else "ROLLBACK")
