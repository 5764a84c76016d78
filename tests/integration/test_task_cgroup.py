"""Limits of a whole task on a real Engine: its containers together, not each, are bounded.

As root, like the Engine that `make test` starts: nobody else may make cgroups.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere
from homeport.agent.docker import OUT_OF_MEMORY
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path("/sys/fs/cgroup")
MIB = 1024 * 1024
REMOVAL_LIMIT_S = 30
SLEEP = ("sleep", "1000")
# A process 1 that holds 40 MiB: dd fills its buffer, then waits for a reader that never reads.
HOLD_40_MIB = (
    *("sh", "-c"),
    "mkfifo /pipe; sleep 1000 <>/pipe & exec dd if=/dev/zero of=/pipe bs=40M",
)


@pytest.fixture
def settings(settings: AgentSettings) -> AgentSettings:
    return msgspec.structs.replace(settings, task_cleanup_wait_s=1)


def parent_of(engine: EngineApi, runtime_id: str, controller: str) -> Path:
    """The folder of the cgroup that a running container's own one is in."""
    pid = engine.read_json(f"/containers/{runtime_id}/json")["State"]["Pid"]
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return (ROOT / controller / path.lstrip("/")).parent
        unified = path
    return (ROOT / unified.lstrip("/")).parent


def read_limit(folder: Path, *names: str) -> str:
    """The one of these files that this version of cgroups has."""
    return next((folder / n).read_text().strip() for n in names if (folder / n).exists())


async def wait_removed(folders: list[Path]) -> None:
    """The kernel tells nobody when a cgroup goes."""
    async with asyncio.timeout(REMOVAL_LIMIT_S):
        while any(folder.exists() for folder in folders):
            await asyncio.sleep(0.1)


async def run(agent: AgentHere, task: payload.Task) -> dict[str, Any]:
    await agent.control.send_tasks(agent.arn, task)
    return await agent.control.wait_report(task, "RUNNING")


async def test_two_containers_share_the_tasks_limits_and_its_cgroup_goes_with_the_task(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    containers = [make_container(busybox_image, n, command=SLEEP, memory=0) for n in ("a", "b")]
    task = make_task(*containers, cpu=0.5, memory=64)
    report = await run(agent, task)
    ids = [container["runtimeId"] for container in report["containers"]]
    folders = {
        controller: {parent_of(docker_engine, runtime_id, controller) for runtime_id in ids}
        for controller in ("memory", "cpu")
    }
    [memory], [cpu] = folders["memory"], folders["cpu"]
    assert task.arn.rpartition("/")[2] in memory.name
    assert read_limit(memory, "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert read_limit(cpu, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    await agent.control.send_stop(agent.arn, task)
    await agent.control.wait_report(task, "STOPPED")
    await wait_removed([memory, cpu])


async def test_containers_that_fit_one_by_one_but_not_together_run_out_of_the_tasks_memory(
    agent: AgentHere, busybox_image: str
):
    task = make_task(
        *[make_container(busybox_image, n, command=HOLD_40_MIB, memory=60) for n in ("a", "b")],
        memory=60,
    )
    await agent.control.send_tasks(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    reasons = [container.get("reason", "") for container in stopped["containers"]]
    assert OUT_OF_MEMORY in reasons, stopped
    assert 137 in [container.get("exitCode") for container in stopped["containers"]]


async def test_a_container_that_fits_alone_runs_within_the_same_limit(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    container = make_container(busybox_image, command=HOLD_40_MIB, memory=60)
    report = await run(agent, make_task(container, memory=60))
    runtime_id = report["containers"][0]["runtimeId"]
    folder = parent_of(docker_engine, runtime_id, "memory")
    async with asyncio.timeout(REMOVAL_LIMIT_S):
        while int(read_limit(folder, "memory.usage_in_bytes", "memory.current")) < 40 * MIB:
            await asyncio.sleep(0.1)
    state = docker_engine.read_json(f"/containers/{runtime_id}/json")["State"]
    assert state["Running"] is True
