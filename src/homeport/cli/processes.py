"""Child processes of `homeport up` and `homeport demo`: start, watch their output, stop in order.

A child's lines are relayed with its name in front. A child never outlives its parent, even one
that is killed.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from homeport.cli.failure import CommandFailure

STOP_TIMEOUT_S = 15
LAST_LINES = 20
LINE_LIMIT_BYTES = 256 * 1024
ERROR_PREFIX = "homeport: error: "
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """One running `homeport` command, and what it printed last."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.untold_error: str | None = None
        self._awaited: list[tuple[str, asyncio.Future[str]]] = []
        self._relay: asyncio.Task[None] | None = None

    def start_relay(self, show: Callable[[str], None], *, is_explained: bool = False) -> None:
        """Give each line the child prints to `show`, with the child's name in front.

        Of a child that `is_explained`, the error that ended it is kept back as `untold_error`,
        until `explain_end` tells it: a person should read it once.
        """
        self._relay = asyncio.create_task(self._relay_lines(show, is_explained))

    async def wait_line(self, part: str, *, timeout_s: float) -> str:
        """The first line with `part` in it; a CommandFailure when the child ends before."""
        for line in self.last_lines:
            if part in line:
                return line
        found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._awaited.append((part, found))
        ended = asyncio.create_task(self.wait())
        either: list[asyncio.Future[Any]] = [found, ended]
        try:
            await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if found.done():
            return found.result()
        if self.process.returncode is not None:
            raise CommandFailure(self.explain_end())
        raise CommandFailure(f"the {self.name} was not ready within {timeout_s:.0f} s")

    async def wait(self) -> int:
        """The exit status, once the child has ended and all its lines are relayed."""
        status = await self.process.wait()
        if self._relay is not None:
            await asyncio.shield(self._relay)
        return status

    def explain_end(self) -> str:
        """Why the child ended, in its own last words."""
        for line in reversed(self.last_lines):
            if "error: " in line:
                self.untold_error = None
                return line.partition("error: ")[2]
        last = self.last_lines[-1] if self.last_lines else "it printed nothing"
        return f"the {self.name} ended with status {self.process.returncode}: {last}"

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for a child that does not end within the limit."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.wait()

    async def _relay_lines(self, show: Callable[[str], None], is_explained: bool) -> None:
        stream = self.process.stdout
        assert stream is not None, "children are started with their output piped"
        async for raw in stream:
            line = raw.decode(errors="replace").rstrip()
            self.last_lines.append(line)
            for part, found in self._awaited:
                if part in line and not found.done():
                    found.set_result(line)
            if is_explained and line.startswith(ERROR_PREFIX):
                self.untold_error = line
            else:
                show(f"{self.name:<8}| {line}")


async def start_child(
    name: str,
    arguments: Sequence[str],
    show: Callable[[str], None],
    *,
    is_explained: bool = False,
) -> Child:
    """Start `homeport ARGUMENTS` as a process of its own; see `Child.start_relay`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "homeport", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=LINE_LIMIT_BYTES,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        # Ctrl-C goes to the parent alone, which stops its children in order.
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    child = Child(name, process)
    child.start_relay(show, is_explained=is_explained)
    return child


def end_with_parent() -> None:
    """In a new child: ask Linux for SIGTERM when the parent ends (man 2 prctl)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
