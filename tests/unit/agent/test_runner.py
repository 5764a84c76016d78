"""The order in which the runner lets things happen on an Engine that takes its time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_turns_suite import TurnsSuite, send, send_stop
from homeport.agent import stimuli
from homeport.agent.container_spec import InstanceFacts
from homeport.agent.runner import Runner, now_ms
from homeport.agent.settings import AgentSettings
from homeport.agent.state_file import StateFile
from homeport.agent.task_machine import TaskMachine
from homeport.wire.agent_messages import payload

FACTS = InstanceFacts(
    cluster_name="default", container_instance_arn="arn:i", bind_address="127.0.0.1", engine_cpus=2
)
LIMIT_S = 5
TURNS = 50


class SlowEngine:
    """Does what it is asked; starts wait until they are let through."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.created: list[str] = []
        self.begun: list[str] = []
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.changed = asyncio.Event()

    async def pull_image(self, _image: str) -> str:
        return ""

    async def create_container(self, state: Any, _container: Any, _facts: Any) -> str:
        self.created.append(state.task.family)
        await asyncio.sleep(0)
        return str(state.task.family)

    async def start_container(self, runtime_id: str) -> None:
        self.begun.append(runtime_id)
        await self.may_start.wait()
        self._note(f"start {runtime_id}")

    async def read_bindings(self, *_what: Any) -> tuple[()]:
        return ()

    async def stop_container(self, runtime_id: str, _timeout_s: int) -> None:
        self._note(f"stop {runtime_id}")

    async def remove_container(self, runtime_id: str) -> None:
        self._note(f"remove {runtime_id}")

    async def inspect_container(self, _runtime_id: str) -> dict[str, Any]:
        return {"State": {"ExitCode": 0}}

    async def wait_for(self, what: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while what not in self.log:
                self.changed.clear()
                await self.changed.wait()

    def _note(self, what: str) -> None:
        self.log.append(what)
        self.changed.set()


@pytest.fixture
async def engine() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
async def runner(engine: SlowEngine, tmp_path: Path) -> AsyncIterator[Runner]:
    settings = AgentSettings(endpoint="http://127.0.0.1:9", data_dir=tmp_path)
    machine = TaskMachine(stop_timeout_s=30, cleanup_delay_s=3600)
    state_file = StateFile(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        runner = Runner(
            settings=settings,
            facts=FACTS,
            machine=machine,
            engine=engine,  # type: ignore[arg-type]
            state_file=state_file,
            tasks=tasks,
        )
        runner.tell(stimuli.EngineSurveyed(found=()))
        yield runner
        engine.may_start.set()
        runner.close()
    state_file.close()


async def settle() -> None:
    """Let everything happen that waits for nothing."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class RealHands:
    """The runner as the suite handles it."""

    def __init__(self, runner: Runner, engine: SlowEngine) -> None:
        self.machine, self.tell = runner.machine, runner.tell
        self.log, self.created, self.begun = engine.log, engine.created, engine.begun
        self.hold_starts = engine.may_start.clear
        self.let_starts_go = engine.may_start.set

    async def settle(self) -> None:
        await settle()


class TestRunner(TurnsSuite):
    @pytest.fixture
    def hands(self, runner: Runner, engine: SlowEngine) -> RealHands:
        return RealHands(runner, engine)


async def test_the_death_of_a_container_that_is_restarted_ends_no_stop(
    runner: Runner, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
):
    noted: list[str] = []
    monkeypatch.setattr(runner._stopper, "note_death", noted.append)
    policy = payload.RestartPolicy(enabled=True, restart_attempt_period=0)
    task = make_task(make_container("web:1", restart_policy=policy))
    who = {"task_arn": task.arn, "container_name": "web", "runtime_id": task.family}
    runner.tell(stimuli.TaskSent(task=task))
    await engine.wait_for(f"start {task.family}")
    await settle()
    much_later_ms = now_ms() + 3_600_000
    monkeypatch.setattr("homeport.agent.runner.now_ms", lambda: much_later_ms)
    runner.tell(stimuli.ContainerDied(**who, exit_code=1, at_ms=much_later_ms))
    await settle()
    assert noted == []
    send_stop(runner, task, may_wait=False)
    runner.tell(stimuli.ContainerDied(**who, exit_code=143, at_ms=much_later_ms))
    assert noted == [task.family]


async def test_measuring_waits_for_a_start_and_for_a_stop_that_are_under_way(
    runner: Runner, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
):
    async def measure() -> None:
        await runner.steps_first.wait()
        engine._note("measured")

    engine.may_start.clear()
    task = send(RealHands(runner, engine), "web")
    await settle()
    measuring = asyncio.create_task(measure())
    await settle()
    assert engine.log == []
    engine.may_start.set()
    await engine.wait_for("measured")
    assert engine.log == ["start web", "measured"]

    may_stop = asyncio.Event()

    async def stop(_runtime_id: str, _timeout_s: int) -> None:
        await may_stop.wait()
        engine._note("stop web")

    monkeypatch.setattr(runner._stopper, "stop", stop)
    send_stop(RealHands(runner, engine), task, may_wait=False)
    await settle()
    again = asyncio.create_task(measure())
    await settle()
    assert engine.log == ["start web", "measured"]
    may_stop.set()
    await asyncio.gather(measuring, again)
    assert engine.log == ["start web", "measured", "stop web", "measured"]


async def test_an_end_is_synced_to_disk_before_it_is_reported(
    runner: Runner, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
):
    synced: dict[str, bool] = {}
    write = StateFile.write_changes

    def watched(self: StateFile, **changes: Any) -> Any:
        stored = write(self, **changes)
        for report in stored:
            synced[ecs_status(report.body)] = changes["is_promise"]
        return stored

    monkeypatch.setattr(StateFile, "write_changes", watched)
    task = send(runner, "web")
    await engine.wait_for("start web")
    await settle()
    runner.tell(stimuli.StopWanted(task_arn=task.arn))
    await engine.wait_for("stop web")
    await settle()
    died = stimuli.ContainerDied(
        task_arn=task.arn, container_name="web", runtime_id="web", exit_code=0, at_ms=1
    )
    runner.tell(died)
    assert synced == {"RUNNING": False, "STOPPED": True}


def ecs_status(body: bytes) -> str:
    return str(msgspec.json.decode(body)["status"])
