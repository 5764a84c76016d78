"""What the agent's tests share: a control plane played over real sockets, and an agent of it.

A file whose agent needs other settings lays them over `settings`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_control_plane import AgentHere, ControlPlane
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi


@pytest.fixture
async def control() -> AsyncIterator[ControlPlane]:
    """A control plane that does as the test says and keeps all that agents tell it."""
    plane = ControlPlane()
    await plane.start()
    yield plane
    await plane.stop()


@pytest.fixture
def settings(control: ControlPlane, tmp_path: Path, docker_engine: EngineApi) -> AgentSettings:
    """Settings of an agent on the Docker Engine, for which no test has to wait long."""
    return AgentSettings(
        endpoint=control.endpoint,
        data_dir=tmp_path / "agent",
        docker_host=docker_engine.docker_host,
        image_pull_behavior="prefer-cached",
        bind_address="127.0.0.1",
        container_stop_timeout_s=1,
    )


@pytest.fixture
async def agent(
    control: ControlPlane, settings: AgentSettings, busybox_image: str
) -> AsyncIterator[AgentHere]:
    """An agent in this process, connected; its containers go with it."""
    agent = AgentHere(control, settings)
    await agent.start()
    yield agent
    await agent.stop()
    await remove_containers(settings)
