"""The journal's writer on a thread of the test's own process, and an event loop run by hand.

The socket between them and everything on its both ends is the real thing; `start_process`, which
this stands for, is for the tests of whole processes.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from homeport.storage.journal_writer import serve
from homeport.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from homeport.storage.database import JournalLimits

    Then = Callable[[], None]

LIMIT_S = 5.0


class WriterThread:
    """Runs a writer until its server closes, goes away, or is refused."""

    def __init__(self, theirs: socket.socket, directory: Path, limits: JournalLimits) -> None:
        self._socket = theirs.dup()
        self._thread = threading.Thread(target=self._serve, args=(directory, limits), daemon=True)
        self._thread.start()

    def wait(self) -> int:
        self._thread.join()
        return 0

    def _serve(self, directory: Path, limits: JournalLimits) -> None:
        with self._socket as server:
            serve(server, directory, limits, os.getpid())


def opened_storage(path: Path, limits: JournalLimits | None = None) -> SqliteStorage:
    """Open a storage whose writer is a thread."""
    return SqliteStorage(path, limits, launch=WriterThread)


class ManualLoop:
    """Stands for the event loop: runs what is ready, and hears of the writer, when told to."""

    def __init__(self) -> None:
        self.ready: list[Then] = []
        self._called = threading.Event()  # from another thread
        self._watched: dict[tuple[int, int], Then] = {}

    def call_soon(self, callback: Then, /) -> None:
        self.ready.append(callback)

    def call_soon_threadsafe(self, callback: Then, /) -> None:
        self.ready.append(callback)
        self._called.set()

    def add_reader(self, fd: int, callback: Then, /) -> None:
        self._watched[fd, select.POLLIN] = callback

    def add_writer(self, fd: int, callback: Then, /) -> None:
        self._watched[fd, select.POLLOUT] = callback

    def remove_reader(self, fd: int, /) -> bool:
        return self._watched.pop((fd, select.POLLIN), None) is not None

    def remove_writer(self, fd: int, /) -> bool:
        return self._watched.pop((fd, select.POLLOUT), None) is not None

    def end_turn(self) -> None:
        """Run what was to be run soon, when that was said."""
        ready, self.ready[:] = list(self.ready), []
        for each in ready:
            each()

    def run_until(self, is_so: Callable[[], object]) -> None:
        """Take turns until it is so."""
        deadline = time.monotonic() + LIMIT_S
        self.end_turn()
        while not is_so():
            assert time.monotonic() < deadline, "it hasn't come about"
            self._wait(deadline - time.monotonic())
            self.end_turn()

    def wait_for_writer(self, limit_s: float = LIMIT_S) -> None:
        """Wait until there is something to be heard, without hearing it."""
        self._polled(limit_s)

    def hear(self, limit_s: float = 0.0) -> None:
        """Hear what there is; wait for it if need be."""
        for fd, event in self._polled(limit_s):
            for wanted in (select.POLLIN, select.POLLOUT):
                then = self._watched.get((fd, wanted))
                if then is not None and event & (wanted | select.POLLHUP | select.POLLERR):
                    then()

    def _wait(self, limit_s: float) -> None:
        if self.ready:
            return
        if self._watched:
            self.hear(limit_s)
        else:
            self._called.wait(limit_s)
            self._called.clear()

    def _polled(self, limit_s: float) -> list[tuple[int, int]]:
        poll = select.poll()
        for fd in {fd for fd, _ in self._watched}:
            wanted = sum(event for watched, event in self._watched if watched == fd)
            poll.register(fd, wanted)
        return poll.poll(limit_s * 1_000)
