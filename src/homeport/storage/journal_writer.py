"""The journal's writer: a process of its own, that writes what a server appends.

It has an interpreter to itself: the server's event loop decides and answers while commits are
encoded for SQLite, written and folded here. Whatever was appended while the last transaction was
under way is one transaction. It ends when the server does: at once and with every commit that it
was given when the server is killed, and in order, the records brought up to date, when the server
closes. A signal doesn't end it: Ctrl-C is for the server. The file is `database`'s business.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import sqlite3
import sys
from pathlib import Path

from homeport.storage.database import Database, JournalLimits
from homeport.storage.encoding import Written
from homeport.storage.errors import LeaseLost, StorageError, StorageRefused
from homeport.storage.frames import TURNS, Durable, FrameReader, Held, Refused, Report, frame

COMMITS_PER_TRANSACTION = 1_024  # or a turn's more
CALM_S = 0.5  # without a commit: then records are brought up to date
LEASE_WATCH_S = 0.5  # a server that nobody calls finds out so late that another took its journal
TRANSACTIONS_BEFORE_LONG_LOG = 256  # a server under load from its first second gets it, too
MS_PER_S = 1_000
COMMAND_NAME = "homeport-writer"  # as `ps` shows it


class JournalWriter:
    """Writes what comes from the server until it closes, is gone, or the disk refuses."""

    def __init__(self, database: Database, server: socket.socket, directory: Path) -> None:
        self._database = database
        self._server = server
        self._directory = directory
        self._turns = FrameReader(server, TURNS)
        self._poll = select.poll()
        self._poll.register(server, select.POLLIN)
        self._transactions = 0
        self._is_log_long = False
        self._is_calm = False
        self._is_last_batch = False
        self.is_closed_in_order = False

    def run(self) -> None:
        """Write until the end; what goes wrong is reported."""
        database = self._database
        try:
            database.replay()
            while (batch := self._next_batch()) is not None:
                if not batch:
                    database.refuse_lost()
                else:
                    database.append(batch)
                    report(self._server, Durable(batch[-1][0].sequence))
                    database.gather(batch)
                self._tidy()
            if self.is_closed_in_order:
                database.fold_to_close()
        except (sqlite3.Error, OSError) as error:
            self._refuse(StorageRefused, f"the disk refused a commit: {error}")
        except LeaseLost as error:
            self._refuse(LeaseLost, str(error))
        except StorageError as error:
            report(self._server, Refused(type(error).__name__, str(error)))
        except BaseException as error:
            self._refuse(StorageRefused, f"a commit couldn't be written: {error!r}")
            raise

    def _tidy(self) -> None:
        """Do what isn't urgent when no commit waits, and under load what can't wait for ever."""
        database = self._database
        if database.must_fold or (self._is_calm and database.can_fold):
            database.fold()
        elif self._is_calm and database.can_prune:
            database.prune()
        elif not self._is_log_long:
            self._transactions += 1
            if self._is_calm or self._transactions >= TRANSACTIONS_BEFORE_LONG_LOG:
                database.lengthen_log()
                self._is_log_long = True

    def _next_batch(self) -> list[Written] | None:
        """Wait for commits, take up to a transaction's worth; None is the end.

        An empty list says that nothing has come for a while: the time to fold, and to look around.
        """
        has_chores = self._database.can_fold or self._database.can_prune or not self._is_log_long
        # Once it is calm what isn't urgent is done in one go, a piece at a time.
        is_busy = self._database.must_fold or (self._is_calm and has_chores)
        wait_s = 0.0 if is_busy else CALM_S if has_chores else LEASE_WATCH_S
        batch: list[Written] = []
        while not self._is_last_batch and len(batch) < COMMITS_PER_TRANSACTION:
            turn = self._turns.take()
            if turn is None:
                if self._turns.is_at_end:  # the server was killed
                    self._is_last_batch = True
                elif not self._receive(0.0 if batch else wait_s):
                    break
            elif turn:
                batch += turn
            else:
                self._is_last_batch = self.is_closed_in_order = True
        self._is_calm = not batch and (self._is_calm or wait_s > 0)
        return batch or (None if self._is_last_batch else [])

    def _receive(self, wait_s: float) -> bool:
        """Take what has come; False when that is nothing, though it was waited for."""
        if self._turns.receive():
            return True
        return wait_s > 0 and bool(self._poll.poll(wait_s * MS_PER_S)) and self._turns.receive()

    def _refuse(self, kind: type[StorageRefused], message: str) -> None:
        """Have the server end: its memory is ahead of the disk, and nothing may be answered."""
        whole = (
            f"{message}; its data directory is {self._directory}; "
            "nothing unwritten was acknowledged, stopping"
        )
        report(self._server, Refused(kind.__name__, whole))


def report(server: socket.socket, said: Report) -> None:
    """Tell the server; when it is gone nobody is left to be told, but what it sent is written."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        server.sendall(frame(said))


def serve(server: socket.socket, directory: Path, limits: JournalLimits, server_pid: int) -> None:
    """Open the journal for a server, and write what it sends."""
    try:
        database = Database(directory, limits, server_pid=server_pid)
    except StorageError as error:
        report(server, Refused(type(error).__name__, str(error)))
        return
    report(server, Held(database.epoch))
    writer = JournalWriter(database, server, directory)
    writer.run()
    if writer.is_closed_in_order:  # or else the next server is waiting: SQLite tidies up for long
        database.close()


def main() -> None:
    """Serve the server that has started this process: its socket is the standard input."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where there is no /proc, `ps` shows Python
        Path("/proc/self/comm").write_text(COMMAND_NAME, encoding="ascii")
    directory, retention_s, size_bytes = sys.argv[1:]
    gc.disable()  # nothing here refers to itself
    serve(
        socket.socket(fileno=sys.stdin.fileno()),
        Path(directory),
        JournalLimits(retention_s=int(retention_s), size_bytes=int(size_bytes)),
        os.getppid(),
    )
    os._exit(0)  # without SQLite's tidying up


if __name__ == "__main__":
    main()
