"""The lease of a journal: whoever took it last is the only one who may write to it.

A server takes it when it opens the journal, with an epoch above every earlier one, and each
transaction is written only while that epoch is the newest: a server that was stopped for a while,
or that lost its folder's lock to another, finds out at its next commit, before anybody is
answered. The lock of `directory` comes first and keeps two servers apart as long as both live on
one machine; this is what holds when it doesn't.
"""

import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator

import msgspec

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
# Behind the rows of an INSERT ... SELECT; its parameter is the writer's epoch.
ONLY_WHILE_HELD = "WHERE (SELECT epoch FROM lease) = ?"


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The right to write to one journal; `owner` is for people, `epoch` decides."""

    owner: str
    epoch: int


class LeaseBook:
    """The newest lease of a journal that is kept in memory; shared by all who write to it."""

    def __init__(self) -> None:
        self.newest = Lease("nobody", 0)

    def take(self, owner: str) -> Lease:
        """Give the journal to `owner`; every earlier lease is lost."""
        self.newest = Lease(owner, self.newest.epoch + 1)
        return self.newest

    def check(self, lease: Lease) -> None:
        """Raise LeaseLost unless this is the newest lease."""
        if lease.epoch != self.newest.epoch:
            raise lease_lost(lease, self.newest)


def take_lease(connection: sqlite3.Connection) -> Lease:
    """Give a database to this process, durably; every earlier lease is lost."""
    owner = f"process {os.getpid()} on {socket.gethostname()}"
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
