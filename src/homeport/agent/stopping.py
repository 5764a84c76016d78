"""How a container is stopped: its stop signal, its stop time-out, SIGKILL.

The agent sends the stop signal itself when it shares a kernel with the container: what the Engine
would send, to the same process, without the `runc kill` (15 to 30 ms of processor time) that the
Engine starts for it. Where that can't be made sure of (another machine or pid namespace, no
permission, a runtime that isn't plain runc, a paused container), and after the time-out, the Engine
is asked. Not here: when a container is stopped, and what follows (`runner`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent.gate import PriorityGate

if TYPE_CHECKING:
    from homeport.agent.docker import Engine

PLAIN_RUNTIMES: Final = ("runc", "crun", "io.containerd.runc.v2")
"""Runtimes whose process is the container's own; a signal to a sandbox's would end the sandbox."""

CONCURRENT_STOPS: Final = 64
"""A stop mostly waits for the container's process, for 30 s and more if that ignores SIGTERM. With
starts and samples it stays below the 100 connections that the Engine's client opens at most."""

PROC: Final = Path("/proc")


class Recipient(msgspec.Struct, frozen=True):
    """Whom a stop signal goes to: the container's first process as this machine numbers it."""

    runtime_id: str
    pid: int
    signal_number: int


class Stopper:
    """Stops containers of one Engine; is told of their deaths as the Engine tells of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stops = PriorityGate(CONCURRENT_STOPS)
        self._ends: dict[str, asyncio.Event] = {}

    def note_death(self, runtime_id: str) -> None:
        """A container has died."""
        end = self._ends.get(runtime_id)
        if end is not None:
            end.set()

    async def stop(self, runtime_id: str, timeout_s: int) -> None:
        """Send the stop signal, SIGKILL after the time-out; stopped or gone already is fine."""
        end = self._ends[runtime_id] = asyncio.Event()
        try:
            if timeout_s > 0 and await self._send_signal(runtime_id):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await end.wait()
                    return
                timeout_s = 0  # it has had its time
        finally:
            del self._ends[runtime_id]
        async with self._stops.slot(0):
            await self._engine.stop_container(runtime_id, timeout_s)

    async def _send_signal(self, runtime_id: str) -> bool:
        """Send the stop signal past the Engine, if that can be; answers whether it was sent."""
        shown = await self._engine.inspect_container(runtime_id)
        recipient = None if shown is None else find_recipient(shown)
        return recipient is not None and send_stop_signal(recipient)


def find_recipient(shown: dict[str, Any]) -> Recipient | None:
    """Read from an inspected container whom to send what; None if only the Engine may stop it.

    A container that the Engine restarts by itself is among those: it must know of the stop.
    """
    run, host = shown.get("State") or {}, shown.get("HostConfig") or {}
    policy = (host.get("RestartPolicy") or {}).get("Name")
    number = read_signal((shown.get("Config") or {}).get("StopSignal") or "")
    is_plain = (
        bool(run.get("Running"))
        and not run.get("Paused")
        and host.get("Runtime") in PLAIN_RUNTIMES
        and policy in (None, "", "no")
    )
    if not is_plain or number is None or not run.get("Pid"):
        return None
    return Recipient(str(shown["Id"]), int(run["Pid"]), number)


def read_signal(text: str) -> int | None:
    """The number of a STOPSIGNAL, "SIGQUIT", "QUIT" or "3"; SIGTERM if there is none.

    None for what isn't known here (say, "SIGRTMIN+3").
    """
    if not text:
        return signal.SIGTERM.value
    if text.isascii() and text.isdigit():
        return int(text) if int(text) in signal.valid_signals() else None
    name = text.upper()
    found = signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
    return None if found is None else found.value


def send_stop_signal(recipient: Recipient, proc: Path = PROC) -> bool:
    """Send the stop signal; answers whether it was sent.

    The process is held (pidfd) before it is checked by its control group, whose name has the
    container's id: a number that has passed to another process can't be hit.
    """
    if sys.platform != "linux":
        return False
    try:
        process = os.pidfd_open(recipient.pid)
    except OSError:
        return False
    try:
        groups = (proc / str(recipient.pid) / "cgroup").read_text()
        if recipient.runtime_id not in groups:
            return False
        signal.pidfd_send_signal(process, recipient.signal_number)
    except OSError:
        return False
    finally:
        os.close(process)
    return True
