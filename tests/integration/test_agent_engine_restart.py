"""A Docker Engine of the test's own is stopped and started again under a real agent."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere, ControlPlane
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.demo_image import ensure_image
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload, tcs

IMAGE = "homeport-test/busybox:1"
ENGINE_LIMIT_S = 30

pytestmark = [pytest.mark.docker, pytest.mark.slow]


class OwnEngine:
    """A dockerd with its own folders, socket and network namespace, without networks."""

    def __init__(self, folder: Path) -> None:
        self.docker_host = f"unix://{folder}/docker.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert os.geteuid() == 0, "only root can start a Docker Engine beside the machine's own"
        assert shutil.which("dockerd"), "no dockerd here: make setup (as root) installs docker.io"
        folder = self._folder
        with (folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # In a network namespace of its own: told to have no bridge, an Engine removes
                    # docker0, which is the machine's Engine's.
                    *("unshare", "--net"),
                    *("dockerd", "--data-root", folder / "root", "--exec-root", folder / "exec"),
                    *("--pidfile", folder / "pid", "--host", self.docker_host),
                    *("--bridge", "none", "--iptables=false"),
                ],
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Like a restart of the service: the Engine stops its containers and exits."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(ENGINE_LIMIT_S)


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    # A short path: a socket's name may have some hundred characters only.
    folder = tmp_path_factory.mktemp("dockerd")
    engine = OwnEngine(folder)
    engine.start()
    yield engine
    engine.stop()
    shutil.rmtree(folder / "root", ignore_errors=True)


async def wait_engine(engine: OwnEngine) -> EngineApi:
    """The Engine's API once it answers; nothing but asking tells when that is."""
    api = EngineApi(engine.docker_host)
    async with asyncio.timeout(ENGINE_LIMIT_S):
        while True:
            try:
                await asyncio.to_thread(api._call, "GET", "/version")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return api


async def wait_file(api: EngineApi, container_id: str, path: str) -> None:
    """Until the container has made a file; nothing but asking tells when that is."""

    def is_there() -> bool:
        connection = api.connect()
        try:
            connection.request("HEAD", f"/containers/{container_id}/archive?path={path}")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    async with asyncio.timeout(ENGINE_LIMIT_S):
        while not await asyncio.to_thread(is_there):
            await asyncio.sleep(0.05)


def statuses(control: ControlPlane) -> list[str]:
    kind = tcs.PublishInstanceStatusRequest
    return [m.statuses[0].status for m in control.telemetry if isinstance(m, kind)]


async def test_what_the_engine_stopped_is_reported_when_it_is_back_and_new_tasks_run(
    engine: OwnEngine, control: ControlPlane, tmp_path: Path
):
    api = await wait_engine(engine)
    await asyncio.to_thread(ensure_image, api, IMAGE)
    settings = AgentSettings(
        endpoint=control.endpoint,
        data_dir=tmp_path / "agent",
        docker_host=engine.docker_host,
        image_pull_behavior="prefer-cached",
        container_stop_timeout_s=1,
    )
    agent = AgentHere(control, settings)
    await agent.start()
    sleeper: payload.Container = make_container(
        IMAGE, command=("sh", "-c", "trap 'exit 5' TERM; : >/ready; while :; do sleep 0.1; done")
    )
    task = make_task(sleeper, network_mode="none")
    await control.send_tasks(agent.arn, task)
    running = await control.wait_report(task, "RUNNING")
    await wait_file(api, running["containers"][0]["runtimeId"], "/ready")
    await asyncio.to_thread(engine.stop)
    await control.wait(lambda: statuses(control)[-1:] == ["IMPAIRED"])
    later = make_task(sleeper, network_mode="none")
    await control.send_tasks(agent.arn, later)
    engine.start()
    await control.wait_report(later, "RUNNING")
    stopped = await control.wait_report(task, "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 5
    assert statuses(control)[-1] == "OK"
    await agent.stop()
    assert await remove_containers(settings) == 2
