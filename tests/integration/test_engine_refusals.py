"""A Docker Engine that can't be had: each program says in one line what to do, and fails.

The socket here is real, and so is the user who may not open it.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport_process import LEAKING_VARIABLES

pytestmark = pytest.mark.slow

NOBODY = "65534"
LIMIT_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that the other user owns."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, int(NOBODY), int(NOBODY))
    return folder


@pytest.fixture
def closed_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket that somebody listens on, and that its owner alone may open, or not even he."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600 if os.geteuid() == 0 else 0)
        listener.listen()
        yield path


def run_as_another(*arguments: str, docker_host: str) -> tuple[int, str]:
    """Run homeport as a user without rights to the socket; its exit status and what it said."""
    command = [sys.executable, "-m", "homeport", *arguments]
    if os.geteuid() == 0:
        # It may read everything, so that it can run this very checkout, but not write to sockets.
        setpriv = shutil.which("setpriv")
        assert setpriv is not None
        rights = "-all,+dac_read_search"
        command = [
            *(setpriv, "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"),
            *("--inh-caps", rights, "--ambient-caps", rights, "--bounding-set", rights),
            *command,
        ]
    environ = {n: v for n, v in os.environ.items() if n not in LEAKING_VARIABLES}
    done = subprocess.run(
        command,
        env={**environ, "DOCKER_HOST": docker_host, "COLUMNS": "200", "HOME": "/"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout


def commands(folder: Path) -> dict[str, list[str]]:
    endpoint = ["--endpoint", "http://127.0.0.1:9"]
    return {
        "agent": ["agent", *endpoint, "--data-dir", str(folder / "agent")],
        "up": ["up", "--port", "0", "--data-dir", str(folder / "up")],
    }


@pytest.mark.parametrize("name", ["agent", "up"])
def test_a_socket_without_permission_is_one_line_that_says_what_to_do(
    name: str, folder: Path, closed_socket: Path
):
    arguments = commands(folder)[name]
    status, said = run_as_another(*arguments, docker_host=f"unix://{closed_socket}")
    assert status == 1, said
    [line] = said.splitlines()
    assert line.startswith("homeport: error: no permission")
    assert str(closed_socket) in line
    assert "docker" in line
    assert "group" in line
    assert "run as root" in line


@pytest.mark.parametrize("name", ["agent", "up"])
def test_no_engine_at_all_is_one_line_that_says_what_to_do(name: str, folder: Path):
    missing = folder / "missing.sock"
    status, said = run_as_another(*commands(folder)[name], docker_host=f"unix://{missing}")
    assert status == 1, said
    [line] = said.splitlines()
    assert line.startswith(f"homeport: error: no Docker Engine answers at unix://{missing}")
    assert "start it" in line
    assert "DOCKER_HOST" in line
