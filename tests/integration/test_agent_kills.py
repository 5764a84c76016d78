"""SIGKILL at random points of tasks' lives: nothing is lost, nothing doubled, every exit is told.

`AGENT_KILLS=100 pytest tests/integration/test_agent_kills.py` is the long form; `make test` kills a
few times only. A failure names its seed: AGENT_KILLS_SEED repeats the moments.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_builders import make_container, make_task
from agent_control_plane import ControlPlane
from agent_process import AgentProcess
from docker_calls import list_containers
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload

pytestmark = [pytest.mark.docker, pytest.mark.slow]

KILLS = int(os.environ.get("AGENT_KILLS", "4"))
SEED = int(os.environ.get("AGENT_KILLS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
TASKS_PER_KILL = 2  # the agent keeps the containers of 200 ended tasks at most
LIFE_MAX_S = 1.2
EXIT_CODES = range(1, 100)


@pytest.fixture
async def agent(
    control: ControlPlane, tmp_path: Path, docker_host: str
) -> AsyncIterator[AgentProcess]:
    agent = AgentProcess(control, tmp_path / "agent", docker_host)
    await agent.start()
    yield agent
    await agent.clean()


def make_short_task(image: str, life_s: float, exit_code: int) -> payload.Task:
    script = f"sleep {life_s:.2f}; exit {exit_code}"
    return make_task(make_container(image, command=("sh", "-c", script)))


def exit_codes(control: ControlPlane, task: payload.Task) -> set[int]:
    """Every exit code that was told of a task's container, in whatever report."""
    return {
        change["exitCode"]
        for report in control.reports(task)
        for change in report.get("containers", [])
        if "exitCode" in change
    }


async def test_no_kill_loses_or_doubles_a_container_or_an_exit_code(
    agent: AgentProcess, control: ControlPlane, busybox_image: str, docker_engine: EngineApi
):
    chance = random.Random(SEED)
    wanted: dict[str, tuple[payload.Task, int]] = {}
    for _ in range(KILLS):
        for _ in range(TASKS_PER_KILL):
            exit_code = chance.choice(EXIT_CODES)
            task = make_short_task(busybox_image, chance.uniform(0, LIFE_MAX_S), exit_code)
            wanted[task.arn] = (task, exit_code)
            await control.send_tasks(agent.arn, task)
        # The moment of the kill is the point of the test; it stands for no event.
        await asyncio.sleep(chance.uniform(0, 2 * LIFE_MAX_S))
        arn = agent.arn
        await agent.kill()
        await agent.start()
        assert agent.arn == arn, f"seed {SEED}"
    for task, exit_code in wanted.values():
        await control.wait_report(task, "STOPPED")
        assert exit_codes(control, task) == {exit_code}, f"{task.arn}, seed {SEED}"
    containers = list_containers(docker_engine, {"homeport.container-instance": agent.arn})
    per_task = Counter(each["Labels"]["com.amazonaws.ecs.task-arn"] for each in containers)
    assert per_task == dict.fromkeys(wanted, 1), f"seed {SEED}"
