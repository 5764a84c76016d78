"""A real agent in a process of its own, for tests that kill it."""

import asyncio
from pathlib import Path

from agent_control_plane import ControlPlane
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport_process import HomeportProcess


class AgentProcess:
    """`homeport agent` as a process of its own."""

    def __init__(self, control: ControlPlane, data_dir: Path, docker_host: str) -> None:
        self.control = control
        self.data_dir = data_dir
        self.docker_host = docker_host
        self.arn = ""
        self.process: HomeportProcess | None = None

    async def start(self, *more: str) -> None:
        before = len(self.control.bodies("DiscoverPollEndpoint"))
        self.process = self.launch(*more)
        found = await self.control.wait(
            lambda: self.control.bodies("DiscoverPollEndpoint")[before:]
        )
        self.arn = found[0]["containerInstance"]
        await self.control.wait_connected(self.arn)

    def launch(self, *more: str, cluster: str = "default") -> HomeportProcess:
        arguments = [
            *("agent", "--endpoint", self.control.endpoint, "--cluster", cluster),
            *("--data-dir", str(self.data_dir), "--docker-host", self.docker_host),
            *("--image-pull-behavior", "prefer-cached", "--bind-address", "127.0.0.1"),
            *("--container-stop-timeout-s", "1", "--attribute", "stack=test"),
        ]
        return HomeportProcess([*arguments, *more])

    async def kill(self) -> None:
        assert self.process is not None
        await asyncio.to_thread(self.process.kill)

    async def stop(self) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.stop)

    async def clean(self) -> None:
        if self.process is not None and self.process.process.poll() is None:
            await self.kill()
        await remove_containers(
            AgentSettings(endpoint="", data_dir=self.data_dir, docker_host=self.docker_host)
        )
