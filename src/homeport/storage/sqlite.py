"""`SqliteStorage`: the engine's Journal on SQLite, with group commit in a process of its own.

The loop's side: commits are encoded here and sent to the writer (`journal_writer`), which writes
whatever was sent while its last transaction was under way as one, and reports; then callbacks are
called in order. Commits are sent at the end of the loop's turn: whoever called in the same turn
shares a transaction.
"""

import contextlib
import os
import signal
import sys
import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from homeport.state.changes import AnyRecord, Commit
from homeport.storage.database import JournalLimits
from homeport.storage.directory import DataDirectory
from homeport.storage.encoding import Written, encode_written
from homeport.storage.errors import StorageError, StorageRefused, StorageUnavailable
from homeport.storage.frames import Durable, Held, Refused, Report, frame
from homeport.storage.lease import LeaseMark
from homeport.storage.reading import HistoryEntry, read_history, read_state
from homeport.storage.writer_process import Launch, WriterSocket, start_process

PENDING_COMMITS = 65_536  # more than this wait for the disk, and the event loop with them
FAILURE_GRACE_S = 5.0  # from a refused commit to the process' end, however it is blocked
FAILURE_EXIT_CODE = 74  # EX_IOERR
HISTORY_LIMIT = 1_000

Then = Callable[[], None]
OnFailure = Callable[[StorageError], None]


class SqliteStorage:
    """Owns a data directory; everything but `history` belongs to the loop's thread."""

    def __init__(
        self, path: Path, limits: JournalLimits | None = None, *, launch: Launch = start_process
    ) -> None:
        self._path = path
        self._refusal: StorageError | None = None
        self._directory = DataDirectory(path)
        try:
            self._writer = WriterSocket(launch, path, limits or JournalLimits())
            try:
                self._mark = self._wait_until_held()
            except BaseException:
                self._writer.close()
                self._writer.wait()
                raise
        except BaseException:
            self._directory.release()
            raise
        # What was appended, what is known to be written, and durable; who waits for it.
        self._appended = 0
        self._written = 0
        self._durable = 0
        self._newest_at_ms = 0
        self._waiting: deque[tuple[int, Then]] = deque()
        self._this_turn: list[Written] = []
        self._is_draining = False
        self._is_failing = False
        self._process_ends = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Whether no other server has taken the journal over."""
        return self._mark.is_held

    def load(self) -> tuple[list[AnyRecord], int]:
        """Return all current records, and the number of the last commit; before `start`."""
        kept = read_state(self._path)
        self._appended = self._written = self._durable = kept.sequence
        self._newest_at_ms = kept.at_ms
        return kept.records, kept.sequence

    def newest_at_ms(self) -> int:
        """Return when the newest commit was made, in epoch milliseconds; after `load`."""
        return self._newest_at_ms

    def start(self, loop: AbstractEventLoop, on_failure: OnFailure) -> None:
        """Begin to write.

        `on_failure` is called on the loop if the disk refuses a commit, or the writer is killed: it
        must end the process, and if it doesn't within seconds, storage does.
        """
        assert self._watch is None, "started twice"
        self._loop = loop
        self._on_failure = on_failure
        loop.add_reader(self._writer.fileno(), self._hear)
        self._watch = threading.Thread(target=self._wait_for_writer, name="journal", daemon=True)
        self._watch.start()

    def append(self, commit: Commit) -> None:
        """Take a commit to be made durable; returns at once.

        It is encoded here, where its records have just been made: they are near in memory.
        """
        self._appended = commit.sequence
        self._this_turn.append(encode_written(commit))
        if len(self._this_turn) == 1:
            self._loop.call_soon(self._hand_over)

    def when_durable(self, then: Then) -> None:
        """Call `then` once everything appended so far is durable: at once if it already is.

        Never calls it when another server has taken the journal over: what is known here may be
        of the past. The writer finds out, too, and the process ends.
        """
        if self._durable == self._appended and not self._waiting and self._mark.is_held:
            then()
        else:
            self._waiting.append((self._appended, then))

    def close(self) -> None:
        """Write what is left, let its callbacks go, and give the directory back.

        Raises StorageRefused if the disk has refused a commit, now or before.
        """
        self._process_ends.set()
        if self._watch is not None:
            self._hand_over()
            self._writer.send(frame(()))  # the end
            self._loop.remove_reader(self._writer.fileno())
            self._loop.remove_writer(self._writer.fileno())
            while not self._writer.is_gone:
                self._note(self._writer.exchange())
        self._writer.close()
        status = self._writer.wait()
        self._directory.release()
        if self._watch is None:
            return
        self._watch.join()
        if self._refusal is None and self._written < self._appended:
            self._refusal = self._refuse_ended(status)
        if self._refusal is not None:
            raise self._refusal
        self._became_durable(self._appended)

    def history(self, key: str, limit: int = HISTORY_LIMIT) -> list[HistoryEntry]:
        """Return a record's newest changes in the kept journal, newest first; blocks."""
        return read_history(self._path, key, min(limit, HISTORY_LIMIT))

    # what is sent

    def _hand_over(self) -> None:
        """Send a turn's commits; waits, and the loop with it, while the writer is far behind."""
        if not self._this_turn:
            return
        self._writer.send(frame(self._this_turn))
        self._this_turn = []
        if self._appended - self._written > PENDING_COMMITS:
            while self._appended - self._written > PENDING_COMMITS and not self._writer.is_gone:
                self._note(self._writer.exchange())
            self._loop.call_soon(self._hear)
        if self._writer.has_unsent and not self._is_draining:
            self._is_draining = True
            self._loop.add_writer(self._writer.fileno(), self._drain)

    def _drain(self) -> None:
        """Go on to send: the socket was too full, and has room again."""
        self._writer.flush()
        if not self._writer.has_unsent:
            self._is_draining = False
            self._loop.remove_writer(self._writer.fileno())

    # what is heard

    def _wait_until_held(self) -> LeaseMark:
        """Wait for the writer to open the journal; raises what keeps it from that."""
        while not self._writer.is_gone:
            for said in self._writer.exchange():
                if isinstance(said, Held):
                    return LeaseMark(self._path, said.epoch)
                if isinstance(said, Refused):
                    raise said.error()
        raise StorageUnavailable(f"cannot open {self._path}: {_how_it_ended(self._writer.wait())}")

    def _hear(self) -> None:
        """Call those whose commits are durable; have the process end when the writer says so."""
        self._note(self._writer.receive())
        if self._writer.is_gone:
            self._loop.remove_reader(self._writer.fileno())
        if self._written > self._durable:
            self._became_durable(self._written)
        if self._refusal is not None and not self._is_failing:
            self._is_failing = True
            self._on_failure(self._refusal)

    def _note(self, reports: list[Report]) -> None:
        for said in reports:
            if isinstance(said, Durable):
                self._written = said.through
            elif isinstance(said, Refused) and self._refusal is None:
                self._refusal = said.error()

    def _became_durable(self, sequence: int) -> None:
        self._durable = max(self._durable, sequence)
        if not self._mark.is_held:  # some of those who wait may have called since
            return
        try:
            while self._waiting and self._waiting[0][0] <= self._durable:
                self._waiting.popleft()[1]()
        finally:
            if self._waiting and self._waiting[0][0] <= self._durable:  # one of them raised
                self._loop.call_soon(partial(self._became_durable, self._durable))

    # the writer's end, which is the server's

    def _wait_for_writer(self) -> None:
        """On a thread of its own: notice the writer's end, whatever the loop is doing."""
        status = self._writer.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(partial(self._lose_writer, status))
        if not self._process_ends.wait(FAILURE_GRACE_S):
            self._note(self._writer.receive())
            sys.stderr.write(f"homeport: {self._refusal or self._refuse_ended(status)}\n")
            sys.stderr.flush()
            os._exit(FAILURE_EXIT_CODE)

    def _lose_writer(self, status: int) -> None:
        if self._process_ends.is_set():
            return
        self._note(self._writer.receive())
        self._refusal = self._refusal or self._refuse_ended(status)
        self._hear()

    def _refuse_ended(self, status: int) -> StorageRefused:
        return StorageRefused(
            f"{_how_it_ended(status)}; its data directory is {self._path}; "
            "nothing unwritten was acknowledged, stopping"
        )


def _how_it_ended(status: int) -> str:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended: {status}"
    return f"the journal's writer {how}"
