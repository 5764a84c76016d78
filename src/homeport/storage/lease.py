"""The lease of a journal: only whoever took it last may write to it, or answer from its state.

A server takes it when it opens the journal, with an epoch above every earlier one, and each
transaction is written only while that epoch is the newest: a server that was stopped for a while,
or that lost its folder's lock to another, finds out at its next commit, before anybody is
answered. For what needs no commit there is the `LeaseMark`: looked at before every answer. The lock
of `directory` comes first and keeps two servers apart as long as both live on one machine; this is
what holds when it doesn't.
"""

import contextlib
import mmap
import os
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from homeport.storage.directory import FILE_MODE
from homeport.storage.errors import LeaseLost

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS lease"
    " (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, owner TEXT NOT NULL)"
)
_TAKE = (
    "INSERT INTO lease VALUES (1, 1, ?) ON CONFLICT (id)"
    " DO UPDATE SET epoch = epoch + 1, owner = excluded.owner RETURNING epoch"
)
_FIND = "SELECT epoch, owner FROM lease"
_FIND_EPOCH = "SELECT epoch FROM lease"
_EPOCH_BYTES = 8
MARK_FILE_NAME = "homeport.epoch"
# Behind the rows of an INSERT ... SELECT; its parameter is the writer's epoch.
ONLY_WHILE_HELD = "WHERE (SELECT epoch FROM lease) = ?"


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The right to write to one journal; `owner` is for people, `epoch` decides."""

    owner: str
    epoch: int


class LeaseMark:
    """The newest epoch of a journal, in a file beside it that all who open it map into memory.

    To read it is to read memory. Since SQLite's log needs memory that is shared in the same way,
    a journal that two servers can open at all is one whose mark both of them see.
    """

    def __init__(self, directory: Path, epoch: int) -> None:
        """Map the file, which `mark_newest` has made; `epoch` is what its reader holds."""
        self._path = directory / MARK_FILE_NAME
        self._epoch = epoch
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._file = _identify(os.fstat(descriptor))
            mapped = mmap.mmap(descriptor, _EPOCH_BYTES, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        self._newest = memoryview(mapped).cast("q")

    @property
    def is_held(self) -> bool:
        """Whether nobody has taken the journal since."""
        return self._newest[0] <= self._epoch

    def refuse_moved(self) -> None:
        """Raise LeaseLost when the file isn't there any more, and so the journal beside it."""
        try:
            is_there = _identify(self._path.stat()) == self._file
        except OSError:
            is_there = False
        if not is_there:
            raise LeaseLost(f"{self._path} was moved away or removed while the server ran")


def mark_newest(connection: sqlite3.Connection, directory: Path) -> None:
    """Say in the file who holds the journal now; before anything of it is answered."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(directory / MARK_FILE_NAME, flags, FILE_MODE)
    try:
        # Two that take it at the same time write one after the other, both the newer one.
        connection.execute("BEGIN IMMEDIATE")
        try:
            (newest,) = connection.execute(_FIND_EPOCH).fetchone()
            os.pwrite(descriptor, int(newest).to_bytes(_EPOCH_BYTES, sys.byteorder), 0)
        finally:
            connection.execute("ROLLBACK")
    finally:
        os.close(descriptor)


def _identify(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class LeaseBook:
    """The newest lease of a journal that is kept in memory; shared by all who write to it."""

    def __init__(self) -> None:
        self.newest = Lease("nobody", 0)

    def take(self, owner: str) -> Lease:
        """Give the journal to `owner`; every earlier lease is lost."""
        self.newest = Lease(owner, self.newest.epoch + 1)
        return self.newest

    def is_newest(self, lease: Lease) -> bool:
        """Whether nobody has taken the journal since."""
        return lease.epoch == self.newest.epoch

    def check(self, lease: Lease) -> None:
        """Raise LeaseLost unless this is the newest lease."""
        if not self.is_newest(lease):
            raise lease_lost(lease, self.newest)


def take_lease(connection: sqlite3.Connection, server_pid: int | None = None) -> Lease:
    """Give a database to a server, durably: every earlier lease is lost; None is this process."""
    owner = f"process {server_pid or os.getpid()} on {socket.gethostname()}"
    connection.execute(_SCHEMA)
    (epoch,) = connection.execute(_TAKE, (owner,)).fetchone()
    return Lease(owner, epoch)


@contextlib.contextmanager
def held_transaction(connection: sqlite3.Connection, lease: Lease) -> Iterator[None]:
    """Run a transaction that raises LeaseLost, and writes nothing, unless the lease is the newest.

    Whatever else is raised within also takes everything back.
    """
    connection.execute("BEGIN IMMEDIATE")  # from here on nobody else can take it
    try:
        refuse_lost(connection, lease)
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def refuse_lost(connection: sqlite3.Connection, lease: Lease) -> None:
    """Raise LeaseLost unless this is the newest lease."""
    epoch, owner = connection.execute(_FIND).fetchone()
    if epoch != lease.epoch:
        raise lease_lost(lease, Lease(owner, epoch))


def lease_lost(lost: Lease, newest: Lease) -> LeaseLost:
    """Say in one line who writes now."""
    return LeaseLost(
        f"{newest.owner} has taken this journal over (epoch {newest.epoch}, here {lost.epoch})"
    )
