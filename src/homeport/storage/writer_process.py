"""Starts the journal's writer, and is the server's end of the socket to it.

What is sent is queued when the socket is full, and goes on as it drains. Not here: which commits
are sent together, and who waits for them (`sqlite`); what the writer does (`journal_writer`).
"""

import os
import select
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from homeport.storage.database import JournalLimits
from homeport.storage.errors import StorageUnavailable
from homeport.storage.frames import REPORTS, FrameReader, Report

SOCKET_BUFFER_BYTES = 1024 * 1024  # asked for; the kernel may give less
_INHERITED = ("PYTHON", "LC_", "LD_")  # environment variables that begin so, and
_INHERITED_WHOLE = frozenset({"LANG", "TZ", "HOME", "TMPDIR", "SQLITE_TMPDIR"})


class Writer(Protocol):
    """Whatever runs `journal_writer.serve` on the other end of a socket."""

    def wait(self) -> int:
        """Wait for its end; returns 0, or why it ended, as `subprocess` has it."""


Launch = Callable[[socket.socket, Path, JournalLimits], Writer]


def start_process(theirs: socket.socket, directory: Path, limits: JournalLimits) -> Writer:
    """Start the writer as a process: it gets its end of the socket, and no signal of a terminal."""
    arguments = (str(directory), str(limits.retention_s), str(limits.size_bytes))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "homeport.storage.journal_writer", *arguments],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        env={
            name: value
            for name, value in os.environ.items()
            if name.startswith(_INHERITED) or name in _INHERITED_WHOLE
        },
        start_new_session=True,
    )


class WriterSocket:
    """The server's end; never blocks but in `exchange`."""

    def __init__(self, launch: Launch, directory: Path, limits: JournalLimits) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            self._socket.setblocking(False)
            try:
                self._writer = launch(theirs, directory, limits)
            except OSError as error:
                self._socket.close()
                raise StorageUnavailable(
                    f"cannot start the journal's writer: {error.strerror}"
                ) from error
        self._reports = FrameReader(self._socket, REPORTS)
        self._unsent: deque[memoryview] = deque()

    @property
    def is_gone(self) -> bool:
        """Whether the writer has closed its end: nothing more comes from it."""
        return self._reports.is_at_end

    @property
    def has_unsent(self) -> bool:
        """Whether the socket was too full for some of what was sent."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """Return the socket's descriptor, for an event loop to watch."""
        return self._socket.fileno()

    def send(self, frame: bytearray) -> None:
        """Send, or queue what the socket doesn't take."""
        self._unsent.append(memoryview(frame))
        if len(self._unsent) == 1:
            self.flush()

    def flush(self) -> None:
        """Send of what is queued as much as the socket takes."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent[0])
                if sent < len(self._unsent[0]):
                    self._unsent[0] = self._unsent[0][sent:]
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # the writer is gone; what it has reported can still be read

    def receive(self) -> list[Report]:
        """Return what the writer has reported since."""
        while not self._reports.is_at_end and self._reports.receive():
            pass
        reports: list[Report] = []
        while (said := self._reports.take()) is not None:
            reports.append(said)
        return reports

    def exchange(self) -> list[Report]:
        """Wait until the writer reports, ends, or takes more of what is queued."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        poll.poll()
        self.flush()
        return self.receive()

    def wait(self) -> int:
        """Wait for the writer's end; blocks."""
        return self._writer.wait()

    def close(self) -> None:
        """Close this end; the writer ends, if it hasn't."""
        self._socket.close()
