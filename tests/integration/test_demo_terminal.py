"""`homeport demo` on a terminal: it stays up until Ctrl-C, then cleans up."""

import os
import pty
import subprocess
import sys
import time

import pytest

from docker_calls import find_demo_containers

pytestmark = [pytest.mark.docker, pytest.mark.slow]

LIMIT_S = 120


def read_until(terminal: int, part: str) -> str:
    """What the terminal showed up to `part`, or to the end of the program."""
    shown = ""
    deadline = time.monotonic() + LIMIT_S
    while part not in shown:
        assert time.monotonic() < deadline, shown
        try:
            shown += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the other end is closed: the program has ended
            break
    return shown


def test_on_a_terminal_the_demo_stays_up_until_ctrl_c_and_leaves_nothing(docker_engine):
    before = find_demo_containers(docker_engine)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "homeport", "demo", "--port", "0"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # A session of its own, whose controlling terminal is the one that sends Ctrl-C.
        preexec_fn=lambda: os.login_tty(theirs),
    )
    os.close(theirs)
    try:
        shown = read_until(ours, "Ctrl-C")
        assert "[8/8]" in shown
        running = find_demo_containers(docker_engine) - before
        assert len(running) >= 2
        os.write(ours, b"\x03")
        shown = read_until(ours, "Nothing is left running.")
        assert process.wait(LIMIT_S) == 0, shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    after = find_demo_containers(docker_engine)
    assert not after - before
