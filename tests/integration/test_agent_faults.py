"""What an agent does when things go: its own process, its control plane, a neighbour, the network.

The agent is a real process, killed and started again.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from agent_builders import make_container, make_task
from agent_control_plane import WAIT_LIMIT_S, ControlPlane, refusal
from agent_process import AgentProcess
from docker_calls import call_engine, list_containers
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload, tcs

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
async def make_agent(control: ControlPlane, tmp_path: Path, docker_host: str) -> AsyncIterator[Any]:
    numbers = itertools.count(1)
    made: list[AgentProcess] = []

    def make() -> AgentProcess:
        made.append(AgentProcess(control, tmp_path / f"agent{next(numbers)}", docker_host))
        return made[-1]

    yield make
    for agent in made:
        await agent.clean()


@pytest.fixture
def sleeper(busybox_image: str) -> payload.Container:
    return make_container(busybox_image, command=("sleep", "1000"))


async def test_a_killed_agent_comes_back_as_itself_and_leaves_its_tasks_alone(
    make_agent: Any, control: ControlPlane, sleeper: payload.Container, docker_engine: EngineApi
):
    agent = make_agent()
    await agent.start()
    stays, dies = make_task(sleeper), make_task(sleeper)
    await control.send_tasks(agent.arn, stays, dies)
    first = await control.wait_report(stays, "RUNNING")
    second = await control.wait_report(dies, "RUNNING")
    await agent.kill()
    lost = second["containers"][0]["runtimeId"]
    await asyncio.to_thread(docker_engine.kill_container, lost)
    arn = agent.arn
    await agent.start()
    assert agent.arn == arn
    # What happened meanwhile is told once; what didn't isn't told again.
    stopped = await control.wait_report(dies, "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 137
    again = control.bodies("RegisterContainerInstance")[-1]
    assert again["containerInstanceArn"] == arn
    assert "stack" not in [a["name"] for a in again["attributes"]]
    shown = docker_engine._call("GET", f"/containers/{first['containers'][0]['runtimeId']}/json")
    assert shown["State"]["Running"]
    await control.send_stop(agent.arn, stays)
    await control.wait_report(stays, "STOPPED")
    # Killed before it could note that a report was accepted, the agent repeats it as it was.
    for task in (stays, dies):
        told = control.reports(task, "RUNNING")
        assert len(told) <= 2
        assert all(report == told[0] for report in told)
    assert len(control.reports(dies, "STOPPED")) == 1


async def test_sigterm_stops_the_agent_and_not_its_containers(
    make_agent: Any, control: ControlPlane, sleeper: payload.Container, docker_engine: EngineApi
):
    agent = make_agent()
    await agent.start()
    task = make_task(sleeper)
    await control.send_tasks(agent.arn, task)
    report = await control.wait_report(task, "RUNNING")
    assert await agent.stop() == 0
    shown = docker_engine._call("GET", f"/containers/{report['containers'][0]['runtimeId']}/json")
    assert shown["State"]["Running"]
    assert not control.reports(task, "STOPPED")


async def test_two_agents_on_one_engine_leave_each_others_containers_alone(
    make_agent: Any, control: ControlPlane, sleeper: payload.Container
):
    one, two = make_agent(), make_agent()
    await one.start()
    await two.start()
    assert one.arn != two.arn
    ours, theirs = make_task(sleeper), make_task(sleeper)
    await control.send_tasks(one.arn, ours)
    await control.send_tasks(two.arn, theirs)
    await control.wait_report(ours, "RUNNING")
    report = await control.wait_report(theirs, "RUNNING")
    await one.kill()
    await one.start()
    removed = AgentSettings(endpoint="", data_dir=one.data_dir, docker_host=one.docker_host)
    await one.stop()
    assert await remove_containers(removed) == 1
    await control.send_stop(two.arn, theirs)
    stopped = await control.wait_report(theirs, "STOPPED")
    assert stopped["containers"][0]["runtimeId"] == report["containers"][0]["runtimeId"]
    assert len(control.reports(theirs)) == 2


async def test_reports_are_repeated_until_the_control_plane_takes_them(
    make_agent: Any, control: ControlPlane, sleeper: payload.Container
):
    agent = make_agent()
    await agent.start()
    control.failures["SubmitTaskStateChange"] = [
        refusal("ServerException", "not now", 500),
        refusal("ThrottlingException", "slow down"),
    ]
    task = make_task(sleeper)
    await control.send_tasks(agent.arn, task)
    await control.wait(lambda: len(control.reports(task, "RUNNING")) == 3)


async def test_an_agent_that_lost_its_control_plane_connects_again(
    make_agent: Any, control: ControlPlane, sleeper: payload.Container
):
    agent = make_agent()
    await agent.start()
    port = int(control.endpoint.rpartition(":")[2])
    await control.stop()
    await control.start(port)
    await control.wait_connected(agent.arn)
    task = make_task(sleeper)
    await control.send_tasks(agent.arn, task)
    await control.wait_report(task, "RUNNING")


async def test_while_the_control_plane_is_away_tasks_live_on_and_the_truth_is_told_on_its_return(
    make_agent: Any, control: ControlPlane, docker_engine: EngineApi, busybox_image: str
):
    agent = make_agent()
    await agent.start()
    # Each waits for its container to be told (a file) that the control plane is away.
    check = {"Test": ["CMD-SHELL", "test ! -f /away"], "Interval": 100_000_000, "Retries": 1}
    checked = make_container(
        busybox_image,
        command=("sleep", "1000"),
        docker_config=payload.DockerConfig(config=json.dumps({"Healthcheck": check})),
        health_check_type="docker",
    )
    waiting = "until test -f /away; do usleep 20000; done; exit 3"
    restarted = make_container(
        busybox_image,
        command=("sh", "-c", f"test -f /away && exec sleep 1000; sleep 1.1; {waiting}"),
        restart_policy=payload.RestartPolicy(enabled=True, restart_attempt_period=1),
    )
    ended = make_container(busybox_image, command=("sh", "-c", waiting))
    tasks = [make_task(each) for each in (checked, restarted, ended)]
    await control.send_tasks(agent.arn, *tasks)
    for task in tasks:
        await control.wait_report(task, "RUNNING")
    await control.wait(lambda: health_of(control, tasks[0]) == "HEALTHY")
    before = [show(docker_engine, task) for task in tasks]

    port = int(control.endpoint.rpartition(":")[2])
    await control.stop()
    told = len(control.telemetry)
    for shown in before:
        run_in(docker_engine, shown["Id"], "touch", "/away")
    await wait_states(
        docker_engine,
        tasks,
        lambda shown: (
            shown[0]["State"]["Health"]["Status"] == "unhealthy"
            and shown[1]["State"]["StartedAt"] != before[1]["State"]["StartedAt"]
            and shown[2]["State"]["Status"] == "exited"
        ),
    )
    await control.start(port)
    stopped = await control.wait_report(tasks[2], "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 3
    await control.wait(lambda: health_of(control, tasks[0], told) == "UNHEALTHY")
    assert [len(control.reports(task)) for task in tasks] == [1, 1, 2]
    after = [show(docker_engine, task) for task in tasks]
    assert [each["Id"] for each in after] == [each["Id"] for each in before]
    assert after[0]["State"]["StartedAt"] == before[0]["State"]["StartedAt"]


def health_of(control: ControlPlane, task: payload.Task, since: int = 0) -> str | None:
    """The newest health that telemetry told of a task's container."""
    told = [
        each.containers[0].health_status
        for message in control.telemetry[since:]
        if isinstance(message, tcs.PublishHealthRequest)
        for each in message.tasks
        if each.task_arn == task.arn
    ]
    return told[-1] if told else None


def show(engine: EngineApi, task: payload.Task) -> dict[str, Any]:
    """A task's only container, as the Engine shows it."""
    [container] = list_containers(engine, {"com.amazonaws.ecs.task-arn": task.arn})
    shown: dict[str, Any] = call_engine(engine, "GET", f"/containers/{container['Id']}/json")
    return shown


def run_in(engine: EngineApi, container_id: str, *command: str) -> None:
    """Run a command in a container, to its end."""
    path = f"/containers/{container_id}/exec"
    made = call_engine(engine, "POST", path, {"Cmd": command, "AttachStdout": True})
    call_engine(engine, "POST", f"/exec/{made['Id']}/start", {"Detach": True})


async def wait_states(
    engine: EngineApi, tasks: list[payload.Task], check: Callable[[list[dict[str, Any]]], bool]
) -> None:
    """Ask the Engine until the tasks' containers are as wanted; it is nobody else's news here."""
    async with asyncio.timeout(WAIT_LIMIT_S):
        while not check([show(engine, task) for task in tasks]):
            await asyncio.sleep(0.05)


async def test_a_default_cluster_that_is_missing_is_created(make_agent: Any, control: ControlPlane):
    control.failures["RegisterContainerInstance"] = [
        refusal("ClientException", "Cluster not found.")
    ]
    agent = make_agent()
    await agent.start()
    assert control.bodies("CreateCluster") == [{"clusterName": "default"}]
    assert len(control.bodies("RegisterContainerInstance")) == 2


async def test_another_cluster_than_the_saved_one_is_refused(
    make_agent: Any, control: ControlPlane
):
    agent = make_agent()
    await agent.start()
    await agent.stop()
    process = agent.launch(cluster="other")
    assert await asyncio.to_thread(process.wait) != 0
    [line] = [line for line in process.lines if "Data mismatch" in line]
    assert "saved cluster 'default' does not match configured cluster 'other'" in line


async def test_no_docker_engine_is_one_line_that_says_what_to_do(
    make_agent: Any, control: ControlPlane, tmp_path: Path
):
    agent = make_agent()
    process = agent.launch("--docker-host", f"unix://{tmp_path}/none.sock")
    assert await asyncio.to_thread(process.wait) != 0
    [line] = process.lines
    assert "no Docker Engine answers" in line
    assert "DOCKER_HOST" in line


async def test_a_second_agent_on_the_same_data_directory_is_refused(
    make_agent: Any, control: ControlPlane
):
    agent = make_agent()
    await agent.start()
    process = agent.launch()
    assert await asyncio.to_thread(process.wait) != 0
    [line] = process.lines
    assert "is another agent running with it?" in line
    assert agent.process.process.poll() is None


@pytest.mark.parametrize("delay_s", [0.05, 0.15, 0.3, 0.6])
async def test_an_agent_killed_while_tasks_start_finishes_each_of_them_once(
    delay_s: float,
    make_agent: Any,
    control: ControlPlane,
    sleeper: payload.Container,
    docker_engine: EngineApi,
):
    agent = make_agent()
    await agent.start()
    tasks = [make_task(sleeper) for _ in range(6)]
    await control.send_tasks(agent.arn, *tasks)
    # The moment is arbitrary on purpose: pulls, creations and starts are under way.
    await asyncio.sleep(delay_s)
    await agent.kill()
    await agent.start()
    for task in tasks:
        await control.wait_report(task, "RUNNING")
    filters = json.dumps({"label": [f"homeport.container-instance={agent.arn}"]})
    query = urlencode({"all": "true", "filters": filters})
    containers = docker_engine._call("GET", f"/containers/json?{query}")
    owners = [c["Labels"]["com.amazonaws.ecs.task-arn"] for c in containers]
    assert sorted(owners) == sorted(task.arn for task in tasks)
    assert {c["State"] for c in containers} == {"running"}
    assert not [task for task in tasks if control.reports(task, "STOPPED")]
