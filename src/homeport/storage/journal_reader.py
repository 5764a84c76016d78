"""Reading another process' journal: nothing is locked, nothing changed, also while it is written.

For `homeport replay`. What a server writes and recovers is `database`'s business; what a journal
means is its reader's.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from homeport.state.changes import AnyRecord, Commit
from homeport.storage.database import DATABASE_FILE_NAME
from homeport.storage.encoding import Entry, decode_changes, decode_record
from homeport.storage.errors import (
    StorageCorrupt,
    StorageError,
    StorageUnavailable,
)
from homeport.storage.records import ALL_PARTS, read_entries
from homeport.storage.schema import FIRST_VERSION_IN_PARTS, RECORD_ROWS, read_version

_ADVICE = "replay it with the Homeport that wrote it"
_LOG_SUFFIX, _INDEX_SUFFIX = "-wal", "-shm"
_BUSY_WAIT_S = 10.0  # a server that has just started may have the file for itself for a moment


class JournalReader:
    """One look at a journal, which stays as it was when it was opened; `with` closes it.

    `path` is a data directory or a database file; a copy of either will do. Raises StorageError
    with a line that says what is wrong: nothing there, not a journal, damaged, too new.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / DATABASE_FILE_NAME if path.is_dir() else path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        if not self.path.is_file():
            raise StorageUnavailable(
                f"there is no journal at {path}: name a server's data directory or a copy of its "
                f"{DATABASE_FILE_NAME}"
            )
        self._is_quiet = False  # nobody has the file open: it is read without its log
        self._stamp = _stamp(self.path)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "JournalReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and drop the copy if there had to be one."""
        self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    def records(self, kind: str | None = None) -> Iterator[AnyRecord]:
        """Iterate records as the table has them: those that the journal doesn't mention are true.

        `kind` is a table's name, as `changes.table_of` has it; None means all.
        """
        try:
            for found, _, value in self._entries():
                if kind in (None, found):
                    yield decode_record(value)
        except (msgspec.MsgspecError, ValueError) as error:
            raise StorageCorrupt(f"{self.path}: a record is unreadable: {error}") from error

    def commits(self, cause: str | None = None) -> Iterator[Commit]:
        """Iterate the journal's commits in order; with a cause, only those of that cause."""
        where, values = ("", ()) if cause is None else (" WHERE cause = ?", (cause,))
        statement = f"SELECT sequence, at_ms, cause, body FROM journal{where} ORDER BY sequence"
        expected: int | None = None
        for sequence, at_ms, name, body in self._rows(statement, values):
            if cause is None and expected is not None and sequence != expected:
                raise StorageCorrupt(f"{self.path}: the journal lacks commit {expected}")
            expected = sequence + 1
            try:
                changes = decode_changes(body)
            except msgspec.MsgspecError as error:
                raise StorageCorrupt(
                    f"{self.path}: commit {sequence} is unreadable: {error}"
                ) from error
            yield Commit(sequence, at_ms, name, changes)
        if self._is_quiet and _stamp(self.path) != self._stamp:
            raise StorageUnavailable(f"{self.path} was changed while it was read; try again")

    def _entries(self) -> Iterator[Entry]:
        if self._version < FIRST_VERSION_IN_PARTS:
            return self._rows(RECORD_ROWS)
        return read_entries(self._rows(ALL_PARTS))

    def _rows(self, statement: str, values: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error

    def _open(self) -> sqlite3.Connection:
        """Open the file so that nothing beside it is made or altered.

        A file without a log is nobody's: it is read as it stands. One whose log has its index is a
        running server's, and SQLite shares it among readers and the writer. A log without an index
        is what a crash or a copy left: SQLite would have to write, so it gets a copy of its own.
        """
        log, index = _beside(self.path, _LOG_SUFFIX), _beside(self.path, _INDEX_SUFFIX)
        if not log.exists():
            self._is_quiet = True
            return _connect(self.path, "mode=ro&immutable=1")
        if index.exists():
            return _connect(self.path, "mode=ro")
        self._copy = tempfile.TemporaryDirectory(prefix="homeport-replay-")
        copied = Path(self._copy.name) / self.path.name
        try:
            shutil.copyfile(self.path, copied)
            shutil.copyfile(log, _beside(copied, _LOG_SUFFIX))
        except OSError as error:
            self._copy.cleanup()
            raise StorageUnavailable(f"cannot read {self.path}: {error.strerror}") from error
        return _connect(copied, "mode=rw")

    def _begin(self) -> None:
        """Take the look, and check that it shows what a Homeport wrote."""
        try:
            self._connection.execute("BEGIN")
            self._version = read_version(self._connection, self.path, advice=_ADVICE)
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.DatabaseError) -> StorageError:
        if isinstance(error, sqlite3.OperationalError):
            return StorageUnavailable(f"cannot read {self.path}: {error}")
        return StorageCorrupt(f"{self.path} is damaged or isn't a database ({error})")


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=_BUSY_WAIT_S,
        isolation_level=None,
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
