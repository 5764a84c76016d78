"""Servers under measurement as child processes: started, waited for, measured, stopped."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
POLL_S = 0.02
KIB_PER_MIB = 1_024
_CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class StartFailed(Exception):
    """A program under measurement didn't come up; the message holds its last words."""


@contextlib.contextmanager
def running(
    command: Sequence[str], ready: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a program until the block ends; yields it and its first output line matching `ready`."""
    env = {k: v for k, v in os.environ.items() if k not in _CA_VARIABLES} | (environment or {})
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
        try:
            yield process, _wait_for_line(process, output, ready)
        finally:
            _stop(process)


def homeport_command(*arguments: str) -> list[str]:
    """Return the command line that runs this very Homeport."""
    return [sys.executable, "-m", "homeport", *arguments]


@contextlib.contextmanager
def running_server(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run `homeport server` on a free port; yields it and its URL."""
    command = homeport_command("server", "--port", "0", *arguments)
    with running(command, r"listening on (http://\S+)") as (process, line):
        found = re.search(r"http://[\w.:\[\]-]+", line)
        assert found is not None
        yield process, found.group()


def family_of(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found.extend(int(child) for child in (task / "children").read_text().split())
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return user and system time that these processes and their descendants have used.

    A server's journal has a process of its own.
    """
    ticks = 0
    for pid in {member for ancestor in pids for member in family_of(ancestor)}:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and its descendants."""
    return sum(_status_mib(member, "VmRSS:") for member in family_of(pid))


def peak_mib(pid: int) -> float:
    """Return the most resident memory that a process and its descendants have had, each."""
    return sum(_status_mib(member, "VmHWM:") for member in family_of(pid))


def command_line_of(pid: int) -> str:
    """Return how a process was called."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def _status_mib(pid: int, name: str) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / KIB_PER_MIB
    return 0.0


def _wait_for_line(process: subprocess.Popen[bytes], output: TextIO, ready: str) -> str:
    said = ""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        has_ended = process.poll() is not None
        said = Path(f"/proc/self/fd/{output.fileno()}").read_text()
        found = re.search(f"^.*{ready}.*$", said, re.MULTILINE)
        if found is not None:
            return found.group()
        if has_ended:
            break
        time.sleep(POLL_S)
    raise StartFailed(f"{process.args!r} did not start:\n{said[-2_000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
