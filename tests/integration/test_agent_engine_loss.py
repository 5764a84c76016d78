"""Docker goes away and comes back: the agent says so, waits, and then tells what really happened.

The Engine itself belongs to all tests, so the agent reaches it through a socket that the test can
shut.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere, ControlPlane
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload, tcs

pytestmark = [pytest.mark.docker, pytest.mark.slow]

CHUNK_BYTES = 64 * 1024


class Doorway:
    """A socket that leads to the Docker Engine while it is open."""

    def __init__(self, path: Path, docker_host: str) -> None:
        self.docker_host = f"unix://{path}"
        self._path = path
        self._engine_path = docker_host.removeprefix("unix://")
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._connect, self._path)

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine_path)
        self._writers |= {writer, engine_writer}
        try:
            await asyncio.gather(
                self._copy(reader, engine_writer), self._copy(engine_reader, writer)
            )
        finally:
            self._writers -= {writer, engine_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def doorway(tmp_path: Path, docker_engine: EngineApi) -> AsyncIterator[Doorway]:
    doorway = Doorway(tmp_path / "docker.sock", docker_engine.docker_host)
    await doorway.open()
    yield doorway
    await doorway.shut()


@pytest.fixture
def settings(settings: AgentSettings, doorway: Doorway) -> AgentSettings:
    return msgspec.structs.replace(settings, docker_host=doorway.docker_host)


@pytest.fixture
def sleeper(busybox_image: str) -> payload.Container:
    return make_container(busybox_image, command=("sleep", "1000"))


def statuses(control: ControlPlane) -> list[str]:
    kind = tcs.PublishInstanceStatusRequest
    return [m.statuses[0].status for m in control.telemetry if isinstance(m, kind)]


async def test_while_docker_is_away_nothing_is_called_stopped_and_work_resumes_after(
    agent: AgentHere,
    control: ControlPlane,
    doorway: Doorway,
    docker_engine: EngineApi,
    sleeper: payload.Container,
):
    stays, dies, later = make_task(sleeper), make_task(sleeper), make_task(sleeper)
    await control.send_tasks(agent.arn, stays, dies)
    await control.wait_report(stays, "RUNNING")
    running = await control.wait_report(dies, "RUNNING")
    await doorway.shut()
    await control.wait(lambda: statuses(control)[-1:] == ["IMPAIRED"])
    runtime_id = running["containers"][0]["runtimeId"]
    await asyncio.to_thread(docker_engine.kill_container, runtime_id)
    await control.send_tasks(agent.arn, later)
    assert not control.bodies("SubmitTaskStateChange")[2:]
    await doorway.open()
    stopped = await control.wait_report(dies, "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 137
    await control.wait_report(later, "RUNNING")
    await control.wait(lambda: statuses(control)[-1:] == ["OK"])
    assert not control.reports(stays, "STOPPED")


async def test_a_container_that_was_removed_meanwhile_has_vanished(
    agent: AgentHere,
    control: ControlPlane,
    doorway: Doorway,
    docker_engine: EngineApi,
    sleeper: payload.Container,
):
    task = make_task(sleeper)
    await control.send_tasks(agent.arn, task)
    running = await control.wait_report(task, "RUNNING")
    await doorway.shut()
    await control.wait(lambda: statuses(control)[-1:] == ["IMPAIRED"])
    runtime_id = running["containers"][0]["runtimeId"]
    docker_engine._call("DELETE", f"/containers/{runtime_id}?force=true")
    await doorway.open()
    stopped = await control.wait_report(task, "STOPPED")
    reason = stopped["containers"][0]["reason"]
    assert reason == "ContainerVanishedError: No container matching saved ID found"


async def test_a_stop_wanted_while_docker_is_away_is_carried_out_when_it_is_back(
    agent: AgentHere, control: ControlPlane, doorway: Doorway, sleeper: payload.Container
):
    task = make_task(sleeper)
    await control.send_tasks(agent.arn, task)
    await control.wait_report(task, "RUNNING")
    await doorway.shut()
    await control.send_stop(agent.arn, task)
    assert not control.reports(task, "STOPPED")
    await doorway.open()
    await control.wait_report(task, "STOPPED")
