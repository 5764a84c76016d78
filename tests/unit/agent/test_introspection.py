"""What the agent tells whoever is on its machine, over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from agent_builders import make_container, make_task
from homeport.agent.introspection import Introspection
from homeport.agent.stimuli import TaskSent
from homeport.agent.task_machine import TaskMachine

TASK = make_task(make_container("web:1"))


def make(port: int, bind_address: str = "127.0.0.1") -> Introspection:
    machine = TaskMachine(stop_timeout_s=1, cleanup_delay_s=1)
    machine.handle(TaskSent(task=TASK), 0)
    return Introspection(
        machine=machine,
        cluster="default",
        container_instance_arn="arn:i",
        agent_version="1.2",
        bind_address=bind_address,
        port=port,
    )


@pytest.fixture
async def base(free_port: int) -> AsyncIterator[str]:
    # An agent that publishes ports on all addresses is asked on loopback none the less.
    serving = asyncio.create_task(make(free_port, "0.0.0.0").run())
    await asyncio.sleep(0)
    yield f"http://127.0.0.1:{free_port}"
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def get(url: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


async def test_the_agent_says_what_it_is(base: str):
    status, metadata = await get(f"{base}/v1/metadata")
    assert status == 200
    assert metadata == {
        "Cluster": "default",
        "ContainerInstanceArn": "arn:i",
        "Version": "Homeport Agent - v1.2",
    }
    assert (await get(base))[1] == {"AvailableCommands": ["/v1/metadata", "/v1/tasks"]}


async def test_all_tasks_or_one_are_shown(base: str):
    _, found = await get(f"{base}/v1/tasks")
    [task] = found["Tasks"]  # type: ignore[index]
    assert (task["Arn"], task["Family"], task["KnownStatus"]) == (TASK.arn, "demo", "NONE")
    assert await get(f"{base}/v1/tasks?taskarn={TASK.arn}") == (200, task)


@pytest.mark.parametrize(
    ("query", "status"),
    [("taskarn=arn:none", 404), ("dockerid=abc", 404), ("taskarn=a&dockerid=b", 400)],
)
async def test_questions_without_an_answer_are_refused(base: str, query: str, status: int):
    assert (await get(f"{base}/v1/tasks?{query}"))[0] == status


async def test_a_port_that_is_taken_is_left_to_whoever_has_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        await make(taken.getsockname()[1]).run()  # returns
