"""`homeport demo`: the main job, shown on real containers; what `make demo` runs.

Here: its `homeport up`, its way out, and the order of the steps. The steps: `demo_steps`.
"""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure
from homeport.cli.processes import STOP_TIMEOUT_S, end_with_parent
from homeport.config import Config, load_agent_config

UP_LIMIT_S = 90
INSTANCES = 2
EXIT_TERMINATED = 143


def demo(
    *,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port for the server; a free one when it is taken."),
    ] = Config().port,
) -> None:
    """Show an ECS service on real containers: break, heal, scale.

    On a terminal it stays up until Ctrl-C; without one it cleans up and ends.
    """
    from homeport.cli.demo_steps import DemoSteps
    from homeport.cli.overview import make_console

    engine = EngineApi(load_agent_config({}).docker_host)
    version = engine.check()
    console = make_console()
    console.print(f"[bold]Homeport demo[/] on Docker Engine {version}\n")
    signal.signal(signal.SIGTERM, _end)
    with _homeport_up(_choose_port(port)) as (endpoint, log):
        steps = DemoSteps(console, endpoint, engine)
        steps.run()
        console.print(f"\nThe log of server and agents: {log}")
        if sys.stdin.isatty() and sys.stdout.isatty():
            console.print("[bold]It stays up until you press Ctrl-C.[/]")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        console.print("\nStopping, and removing the containers")
    console.print("[green]Done.[/] Nothing is left running.")


@contextlib.contextmanager
def _homeport_up(port: int) -> Iterator[tuple[str, Path]]:
    """A running `homeport up --ephemeral`: its endpoint and its log; stopped on the way out."""
    log = Path(tempfile.mkdtemp(prefix="homeport-demo-")) / "homeport.log"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "homeport", "up", "--ephemeral"),
            *("--instances", str(INSTANCES), "--port", str(port)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    output = _Output(process, log)
    try:
        yield output.wait_endpoint(), log
    finally:
        process.terminate()
        try:
            process.wait(2 * STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise CommandFailure(f"homeport up did not stop; its log: {log}") from None
        output.close()
    if process.returncode != 0:
        raise CommandFailure(f"homeport up ended with status {process.returncode}; its log: {log}")


class _Output:
    """What `homeport up` prints: copied to the log, searched for the line that says it is up."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log
        self._endpoint: str | None = None
        self._last_line = "it printed nothing"
        self._settled = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_endpoint(self) -> str:
        """Where it listens, once it is up. Raises CommandFailure when that never comes."""
        self._settled.wait(UP_LIMIT_S)
        if self._endpoint is not None:
            return self._endpoint
        if self._settled.is_set():
            raise CommandFailure(self._last_line.removeprefix("homeport: error: "))
        raise CommandFailure(f"homeport up was not ready in {UP_LIMIT_S} s; its log: {self._log}")

    def close(self) -> None:
        """Finish the log, once the process has ended."""
        self._reader.join(STOP_TIMEOUT_S)

    def _read(self) -> None:
        assert self._process.stdout is not None, "started with a pipe"
        with self._log.open("w") as log, self._process.stdout as lines:
            for line in lines:
                log.write(line)
                log.flush()
                self._last_line = line.strip() or self._last_line
                found = re.search(r"Homeport is up at (http://[^\s,]+)", line)
                if found:
                    self._endpoint = found.group(1)
                    self._settled.set()
        self._settled.set()


def _choose_port(wanted: int) -> int:
    """`wanted`, or 0 (the server picks) when somebody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


def _end(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(EXIT_TERMINATED)
