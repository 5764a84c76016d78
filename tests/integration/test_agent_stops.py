"""How a real agent stops real containers: stop signal, stop time-out, SIGKILL, exit codes.

The Engine tells of every signal that it sends itself, and of no other.
"""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere
from docker_calls import call_engine
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload

pytestmark = pytest.mark.docker

PATIENT_S = 30
"""A stop time-out that no test waits for."""


def script(image: str, text: str, **members: Any) -> payload.Container:
    """A container that runs a shell script; it says so in a file once it has set its traps."""
    members = {"stop_timeout": PATIENT_S, **members}
    return make_container(image, command=("sh", "-c", text), **members)


async def run(agent: AgentHere, *containers: payload.Container) -> tuple[payload.Task, str]:
    """Run a task; answers it and its first container's runtime id."""
    task = make_task(*containers)
    await agent.control.send_tasks(agent.arn, task)
    report = await agent.control.wait_report(task, "RUNNING")
    return task, str(report["containers"][0]["runtimeId"])


async def stop(agent: AgentHere, task: payload.Task) -> int:
    """Stop a task of one container; answers the exit code that is told."""
    await agent.control.send_stop(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    return int(stopped["containers"][0]["exitCode"])


async def wait_log(engine: EngineApi, runtime_id: str, word: str) -> None:
    """Wait until the container has written a word; its traps are set by then."""

    def follow() -> None:
        path = f"/containers/{runtime_id}/logs?stdout=true&follow=true"
        with engine.open_stream(path) as stream:
            said = b""
            while word.encode() not in said:
                said += stream.read1()

    async with asyncio.timeout(PATIENT_S):
        await asyncio.to_thread(follow)


async def list_signals(engine: EngineApi, runtime_id: str) -> list[str]:
    """The signals that the Engine itself sent to a container."""
    filters = json.dumps({"container": [runtime_id], "event": ["kill"]})
    query = urlencode({"since": 0, "until": time.time(), "filters": filters})

    def read() -> list[str]:
        with engine.open_stream(f"/events?{query}") as stream:
            events = [json.loads(line) for line in stream.read().splitlines() if line]
        return [event["Actor"]["Attributes"]["signal"] for event in events]

    return await asyncio.to_thread(read)


async def test_sigterm_comes_from_the_agent_and_the_exit_code_is_the_programs(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    text = "trap 'exit 3' TERM; echo ready; sleep 1000 & wait"
    task, runtime_id = await run(agent, script(busybox_image, text))
    await wait_log(docker_engine, runtime_id, "ready")
    assert await stop(agent, task) == 3
    assert await list_signals(docker_engine, runtime_id) == []


async def test_a_program_that_leaves_sigterm_as_it_is_ends_with_143(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    # Below an init, since the kernel spares a namespace's first process without a handler.
    linux = payload.LinuxParameters(init_process_enabled=True)
    container = make_container(
        busybox_image, command=("sleep", "1000"), stop_timeout=PATIENT_S, linux_parameters=linux
    )
    task, runtime_id = await run(agent, container)
    assert await stop(agent, task) == 143
    assert await list_signals(docker_engine, runtime_id) == []


async def test_a_program_that_ignores_sigterm_is_killed_after_its_stop_timeout_and_not_before(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    text = "trap '' TERM; echo ready; while true; do sleep 1; done"
    task, runtime_id = await run(agent, script(busybox_image, text, stop_timeout=1))
    await wait_log(docker_engine, runtime_id, "ready")
    begun_s = time.monotonic()
    assert await stop(agent, task) == 137
    assert 1 <= time.monotonic() - begun_s < PATIENT_S
    assert (await list_signals(docker_engine, runtime_id))[-1] == "9"


async def test_the_stop_signal_of_the_image_is_sent_in_place_of_sigterm(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    text = "trap 'exit 4' QUIT; trap 'exit 5' TERM; echo ready; sleep 1000 & wait"
    docker = payload.DockerConfig(config=json.dumps({"StopSignal": "SIGQUIT"}))
    task, runtime_id = await run(agent, script(busybox_image, text, docker_config=docker))
    await wait_log(docker_engine, runtime_id, "ready")
    assert await stop(agent, task) == 4
    assert await list_signals(docker_engine, runtime_id) == []


async def test_a_paused_container_is_stopped_by_the_engine(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    text = "trap 'exit 3' TERM; echo ready; sleep 1000 & wait"
    task, runtime_id = await run(agent, script(busybox_image, text, stop_timeout=1))
    await wait_log(docker_engine, runtime_id, "ready")
    await asyncio.to_thread(call_engine, docker_engine, "POST", f"/containers/{runtime_id}/pause")
    assert await stop(agent, task) in (3, 137)
    assert await list_signals(docker_engine, runtime_id) != []


async def test_a_task_that_is_stopped_while_it_starts_leaves_nothing_running(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    text = "trap 'exit 3' TERM; sleep 1000 & wait"
    tasks = [make_task(script(busybox_image, text, stop_timeout=1)) for _ in range(12)]
    await agent.control.send_tasks(agent.arn, *tasks)
    for task in tasks:
        await agent.control.send_stop(agent.arn, task)
    for task in tasks:
        await agent.control.wait_report(task, "STOPPED")
    label = json.dumps({"label": [f"homeport.container-instance={agent.arn}"]})
    path = f"/containers/json?{urlencode({'filters': label})}"
    # The Engine lists a container that has died until its network is cleared away.
    for listed in await asyncio.to_thread(docker_engine.read_json, path):
        shown = await asyncio.to_thread(docker_engine.read_json, f"/containers/{listed['Id']}/json")
        assert not shown["State"]["Running"]


async def test_containers_stop_with_the_essential_one_that_ended_by_their_own_signal(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    text = "trap 'exit 3' TERM; echo ready; sleep 1000 & wait"
    helper = script(busybox_image, text, name="helper", essential=False)
    need = payload.ContainerDependency(container_name="helper", condition="START")
    web = make_container(busybox_image, command=("sleep", "0.5"), depends_on=(need,))
    task, helper_id = await run(agent, helper, web)
    stopped = await agent.control.wait_report(task, "STOPPED")
    codes = {c["containerName"]: c["exitCode"] for c in stopped["containers"]}
    assert codes == {"helper": 3, "web": 0}
    assert await list_signals(docker_engine, helper_id) == []
