"""`SqliteStorage`: the engine's Journal on SQLite, with group commit off the event loop.

A writer thread takes whatever was appended while its last transaction was under way, writes it as
one transaction, and hands the callbacks back to the loop in order. It hears of commits at the end
of the loop's turn: whoever called in the same turn shares a transaction, and the two threads change
places once a turn, not once a commit. While many call, their calls trickle in over a few turns: so
many are waited for as bring more. The file is `database`'s business.
"""

import contextlib
import os
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from homeport.state.changes import AnyRecord, Commit
from homeport.storage.database import Database, HistoryEntry, JournalLimits, read_history
from homeport.storage.directory import DataDirectory
from homeport.storage.encoding import Changed, EncodedCommit, encode_commit
from homeport.storage.errors import LeaseLost, StorageRefused

COMMITS_PER_TRANSACTION = 1_024  # or a turn's more
TURNS_WAITED = 3  # for more commits to share the transaction, while there have been several
COMMITS_WAITED = 64  # so many are worth a transaction of their own
PENDING_COMMITS = 65_536  # more than this wait for the disk, and the event loop with them
CALM_S = 0.5  # without a commit: then records are brought up to date
LEASE_WATCH_S = 0.5  # a server that nobody calls finds out so late that another took its journal
TRANSACTIONS_BEFORE_LONG_LOG = 256  # a server under load from its first second gets it, too
FAILURE_GRACE_S = 5.0  # from a refused commit to the process' end, however it is blocked
FAILURE_EXIT_CODE = 74  # EX_IOERR
HISTORY_LIMIT = 1_000

Then = Callable[[], None]
Written = tuple[EncodedCommit, Changed]
CallSoon = Callable[[Then], object]  # e.g. loop.call_soon_threadsafe
OnFailure = Callable[[StorageRefused], None]


class SqliteStorage:
    """Owns a data directory; `append`, `when_durable` and `close` belong to the loop's thread."""

    def __init__(self, path: Path, limits: JournalLimits | None = None) -> None:
        self._directory = DataDirectory(path)
        try:
            self._database = Database(path, limits or JournalLimits())
        except BaseException:
            self._directory.release()
            raise
        self._path = path
        # The loop's side: what was appended, what is known to be durable, who waits for it.
        self._appended = 0
        self._durable = 0
        self._waiting: deque[tuple[int, Then]] = deque()
        self._this_turn: list[Written] = []  # or these few turns
        self._had_company = False  # the last commit that the writer was given
        self._turns_waited = 0
        self._commits_seen = 0
        # The writer's side:
        self._transactions = 0
        self._is_log_long = False
        self._is_last_batch = False
        self._written = 0
        # Shared: turns of commits, of which an empty one is the end; the loop waits under `_room`.
        self._turns: SimpleQueue[list[Written]] = SimpleQueue()
        self._room = threading.Condition()
        self._refusal: StorageRefused | None = None
        self._process_ends = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Whether no other server has taken the journal over."""
        return self._database.is_held

    def load(self) -> tuple[list[AnyRecord], int]:
        """Return all current records, and the number of the last commit; before `start`."""
        records, sequence = self._database.load()
        self._appended = self._durable = self._written = sequence
        return records, sequence

    def newest_at_ms(self) -> int:
        """Return when the newest commit was made, in epoch milliseconds; before `start`."""
        return self._database.newest_at_ms()

    def start(
        self, call_soon: CallSoon, on_failure: OnFailure, *, after_turn: CallSoon | None = None
    ) -> None:
        """Begin to write; `call_soon` brings a callable to the loop's thread.

        `after_turn`, called there, runs one when the loop's present turn is over; without it each
        commit is a turn of its own.

        `on_failure` is called there if the disk refuses a commit: it must end the process, and
        if it doesn't within seconds, storage does.
        """
        assert self._thread is None, "started twice"
        self._call_soon = call_soon
        self._after_turn = after_turn or (lambda then: then())
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._write_until_closed, name="journal")
        self._thread.daemon = True  # a crash of the main thread must not hang here
        self._thread.start()

    def append(self, commit: Commit) -> None:
        """Take a commit to be made durable; returns at once.

        It is encoded here, where its records have just been made: a third of what it costs the
        writer, for whom they lie far away in memory.
        """
        encoded = encode_commit(commit)
        self._appended = commit.sequence
        self._this_turn.append(encoded)
        if len(self._this_turn) == 1:
            self._after_turn(self._end_turn)

    def when_durable(self, then: Then) -> None:
        """Call `then` once everything appended so far is durable: at once if it already is.

        Never calls it when another server has taken the journal over: what is known here may be
        of the past. The writer finds out, too, and ends the process.
        """
        if self._durable == self._appended and not self._waiting and self._database.is_held:
            then()
        else:
            self._waiting.append((self._appended, then))

    def close(self) -> None:
        """Write what is left, let its callbacks go, and give the directory back.

        Raises StorageRefused if the disk has refused a commit, now or before.
        """
        self._hand_over()
        self._turns.put([])
        self._process_ends.set()
        if self._thread is not None:
            self._thread.join()
        self._database.close()
        self._directory.release()
        if self._refusal is not None:
            raise self._refusal
        self._became_durable(self._appended)

    def history(self, key: str, limit: int = HISTORY_LIMIT) -> list[HistoryEntry]:
        """Return a record's newest changes in the kept journal, newest first; blocks."""
        return read_history(self._path, key, min(limit, HISTORY_LIMIT))

    # the loop's side

    def _end_turn(self) -> None:
        """Hand over, or wait for the next turn's: a lone caller waits for nobody."""
        commits = len(self._this_turn)
        if (
            self._had_company
            and self._commits_seen < commits < COMMITS_WAITED
            and self._turns_waited < TURNS_WAITED
        ):
            self._commits_seen = commits
            self._turns_waited += 1
            self._after_turn(self._end_turn)
            return
        self._had_company = commits > 1
        self._commits_seen = self._turns_waited = 0
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the writer a turn's commits; waits, and the loop with it, while it is far behind."""
        if not self._this_turn:
            return
        if self._appended - self._written > PENDING_COMMITS:
            with self._room:
                while self._appended - self._written > PENDING_COMMITS and self._refusal is None:
                    self._room.wait()
        self._turns.put(self._this_turn)
        self._this_turn = []

    def _became_durable(self, sequence: int) -> None:
        self._durable = max(self._durable, sequence)
        if not self._database.is_held:  # some of those who wait may have called since
            return
        try:
            while self._waiting and self._waiting[0][0] <= self._durable:
                self._waiting.popleft()[1]()
        finally:
            if self._waiting and self._waiting[0][0] <= self._durable:  # one of them raised
                self._call_soon(partial(self._became_durable, self._durable))

    # the writer's side

    def _write_until_closed(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                if not batch:
                    self._database.refuse_lost()
                else:
                    self._database.append(batch)
                    newest = batch[-1][0].sequence
                    self._make_room(newest)
                    self._bring_back(partial(self._became_durable, newest))
                    self._database.gather(batch)
                self._tidy(is_calm=not batch)
            self._database.fold_to_close()
        except (sqlite3.Error, OSError) as error:
            self._fail(StorageRefused, f"the disk refused a commit: {error}")
        except LeaseLost as error:
            self._fail(LeaseLost, str(error))
        except BaseException as error:
            self._fail(StorageRefused, f"a commit couldn't be written: {error!r}")
            raise

    def _tidy(self, *, is_calm: bool) -> None:
        """Do what isn't urgent when no commit waits, and under load what can't wait for ever."""
        if self._database.must_fold or (is_calm and self._database.can_fold):
            self._database.fold()
        elif not self._is_log_long:
            self._transactions += 1
            if is_calm or self._transactions >= TRANSACTIONS_BEFORE_LONG_LOG:
                self._database.lengthen_log()
                self._is_log_long = True

    def _next_batch(self) -> list[Written] | None:
        """Wait for commits, take up to a transaction's worth; None is the end.

        An empty list says that nothing has come for a while: the time to fold, and to look around.
        """
        if self._is_last_batch:
            return None
        has_work = self._database.can_fold or not self._is_log_long
        wait_s = 0.0 if self._database.must_fold else CALM_S
        batch: list[Written] = []
        with contextlib.suppress(Empty):
            turn = self._turns.get(timeout=wait_s if has_work else LEASE_WATCH_S)
            while turn:
                batch += turn
                if len(batch) >= COMMITS_PER_TRANSACTION:
                    return batch
                turn = self._turns.get_nowait()
            self._is_last_batch = True
        return None if self._is_last_batch and not batch else batch

    def _make_room(self, written: int) -> None:
        """Let the loop go on that may be waiting in `_hand_over`.

        Always under the lock: a loop that has looked and is about to wait would never hear of it.
        """
        with self._room:
            self._written = written
            self._room.notify()

    def _bring_back(self, then: Then) -> None:
        try:
            self._call_soon(then)
        except RuntimeError:
            # The loop is closed: nobody is left to be answered, but what is queued is written.
            return

    def _fail(self, kind: type[StorageRefused], message: str) -> None:
        """End the process: memory is ahead of the disk, nothing may be answered any more."""
        error = kind(
            f"{message}; its data directory is {self._path}; "
            "nothing unwritten was acknowledged, stopping"
        )
        with self._room:
            self._refusal = error
            self._room.notify()
        self._bring_back(partial(self._on_failure, error))
        if not self._process_ends.wait(FAILURE_GRACE_S):
            sys.stderr.write(f"homeport: {error}\n")
            sys.stderr.flush()
            os._exit(FAILURE_EXIT_CODE)
