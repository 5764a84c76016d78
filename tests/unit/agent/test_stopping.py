"""Whom a stop signal goes to past the Engine, and what is left to the Engine."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.agent import stopping
from homeport.agent.stopping import (
    Recipient,
    Stopper,
    find_recipient,
    read_signal,
    send_stop_signal,
)

RUNTIME_ID = "4f" * 32
MOMENT_S = 0.001
OPEN_FILES = Path("/proc/self/fd")


def shown(**members: Any) -> dict[str, Any]:
    """An inspected container that runs, as the Engine shows it."""
    run = {"Running": True, "Paused": False, "Pid": 4711, **members.get("State", {})}
    host = {"Runtime": "runc", "RestartPolicy": {"Name": "no"}, **members.get("HostConfig", {})}
    return {"Id": RUNTIME_ID, "State": run, "HostConfig": host, "Config": members.get("Config", {})}


def test_a_running_container_gets_sigterm_at_its_first_process():
    assert find_recipient(shown()) == Recipient(RUNTIME_ID, 4711, signal.SIGTERM)


def test_the_stop_signal_of_the_image_is_what_is_sent():
    found = find_recipient(shown(Config={"StopSignal": "SIGQUIT"}))
    assert found == Recipient(RUNTIME_ID, 4711, signal.SIGQUIT)


@pytest.mark.parametrize(
    "members",
    [
        {"State": {"Running": False, "Pid": 0}},
        {"State": {"Pid": 0}},
        {"State": {"Paused": True}},
        {"HostConfig": {"Runtime": "runsc"}},
        {"HostConfig": {"Runtime": "kata-runtime"}},
        {"HostConfig": {"RestartPolicy": {"Name": "always"}}},
        {"Config": {"StopSignal": "SIGRTMIN+3"}},
    ],
)
def test_what_only_the_engine_may_stop_has_no_recipient(members: dict[str, Any]):
    assert find_recipient(shown(**members)) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", signal.SIGTERM),
        ("SIGINT", signal.SIGINT),
        ("usr1", signal.SIGUSR1),
        ("9", signal.SIGKILL),
        ("0", None),
        ("4096", None),
        ("SIGNOTHING", None),
    ],
)
def test_a_stop_signal_is_a_name_with_or_without_sig_or_a_number(text: str, number: int | None):
    assert read_signal(text) == number


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


@pytest.fixture
def proc(tmp_path: Path, process: subprocess.Popen[bytes]) -> Path:
    """A /proc that says what each test has it say about the process."""
    (tmp_path / str(process.pid)).mkdir()
    return tmp_path


def recipient_of(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> Recipient:
    return Recipient(RUNTIME_ID, process.pid, number)


@pytest.mark.parametrize(
    "groups",
    [
        f"4:memory:/docker/{RUNTIME_ID}\n3:cpuset:/docker/{RUNTIME_ID}\n",
        f"0::/system.slice/docker-{RUNTIME_ID}.scope\n",
        f"0::/../{RUNTIME_ID}\n",
    ],
)
def test_a_process_in_the_containers_control_group_gets_the_signal(
    process: subprocess.Popen[bytes], proc: Path, groups: str
):
    (proc / str(process.pid) / "cgroup").write_text(groups)
    assert send_stop_signal(recipient_of(process), proc)
    assert process.wait() == -signal.SIGKILL


def test_a_number_that_has_passed_to_another_process_gets_no_signal(
    process: subprocess.Popen[bytes], proc: Path
):
    (proc / str(process.pid) / "cgroup").write_text(f"0::/docker/{'a0' * 32}\n")
    assert not send_stop_signal(recipient_of(process), proc)
    assert process.poll() is None


def test_without_a_process_or_its_control_group_the_signal_is_not_sent(
    process: subprocess.Popen[bytes], proc: Path
):
    assert not send_stop_signal(recipient_of(process), proc)  # no cgroup file
    process.kill()
    process.wait()
    assert not send_stop_signal(recipient_of(process), proc)


def test_a_signal_that_may_not_be_sent_is_left_to_the_engine(
    process: subprocess.Popen[bytes], proc: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(_process: int, _number: int) -> None:
        raise PermissionError

    (proc / str(process.pid) / "cgroup").write_text(RUNTIME_ID)
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    before = len(list(OPEN_FILES.iterdir()))
    assert not send_stop_signal(recipient_of(process), proc)
    assert len(list(OPEN_FILES.iterdir())) == before


class FakeEngine:
    """Shows one container, and notes what it is asked to stop."""

    def __init__(self) -> None:
        self.container: dict[str, Any] | None = shown()
        self.stops: list[tuple[str, int]] = []

    async def inspect_container(self, _runtime_id: str) -> dict[str, Any] | None:
        return self.container

    async def stop_container(self, runtime_id: str, timeout_s: int) -> None:
        self.stops.append((runtime_id, timeout_s))


class Signals:
    """Takes the signals in place of processes."""

    def __init__(self) -> None:
        self.sent: list[Recipient] = []
        self.can_be_sent = True
        self.on_sent = lambda: None

    def send(self, recipient: Recipient) -> bool:
        if self.can_be_sent:
            self.sent.append(recipient)
            self.on_sent()
        return self.can_be_sent


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def stopper(engine: FakeEngine) -> Stopper:
    return Stopper(engine)  # type: ignore[arg-type]


@pytest.fixture
async def signals(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Signals]:
    signals = Signals()
    monkeypatch.setattr(stopping, "send_stop_signal", signals.send)
    yield signals


async def test_a_container_that_dies_of_its_stop_signal_costs_the_engine_no_stop(
    stopper: Stopper, engine: FakeEngine, signals: Signals
):
    signals.on_sent = lambda: stopper.note_death(RUNTIME_ID)
    await stopper.stop(RUNTIME_ID, 30)
    assert [recipient.pid for recipient in signals.sent] == [4711]
    assert engine.stops == []


async def test_after_the_time_out_the_engine_kills_the_container_at_once(
    stopper: Stopper, engine: FakeEngine, signals: Signals
):
    signals.on_sent = lambda: stopper.note_death("another")
    await stopper.stop(RUNTIME_ID, MOMENT_S)  # type: ignore[arg-type]
    assert len(signals.sent) == 1
    assert engine.stops == [(RUNTIME_ID, 0)]


async def test_the_engine_sends_the_signal_that_could_not_be_sent_here(
    stopper: Stopper, engine: FakeEngine, signals: Signals
):
    signals.can_be_sent = False
    await stopper.stop(RUNTIME_ID, 30)
    assert engine.stops == [(RUNTIME_ID, 30)]


async def test_a_container_that_is_gone_is_left_to_the_engine(
    stopper: Stopper, engine: FakeEngine, signals: Signals
):
    engine.container = None
    await stopper.stop(RUNTIME_ID, 30)
    assert (signals.sent, engine.stops) == ([], [(RUNTIME_ID, 30)])


async def test_a_stop_without_any_time_is_the_engines(
    stopper: Stopper, engine: FakeEngine, signals: Signals
):
    await stopper.stop(RUNTIME_ID, 0)
    assert (signals.sent, engine.stops) == ([], [(RUNTIME_ID, 0)])


async def test_a_container_that_dies_while_it_is_looked_at_is_not_waited_for(
    stopper: Stopper, engine: FakeEngine, signals: Signals, monkeypatch: pytest.MonkeyPatch
):
    async def die(_runtime_id: str) -> dict[str, Any]:
        stopper.note_death(RUNTIME_ID)
        return shown()

    monkeypatch.setattr(engine, "inspect_container", die)
    async with asyncio.timeout(5):
        await stopper.stop(RUNTIME_ID, 30)
    assert engine.stops == []
