"""The image pull behaviours, with a registry that can't be reached."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere, ControlPlane
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi

pytestmark = pytest.mark.docker

# Port 9 (discard): nobody listens, so that a pull is refused at once.
UNREACHABLE = "127.0.0.1:9/homeport-test/busybox"


@pytest.fixture
def cached_image(docker_engine: EngineApi, busybox_image: str) -> Iterator[str]:
    """An image that is here, under the name of a registry that isn't."""
    source = quote(busybox_image)
    docker_engine._call("POST", f"/images/{source}/tag?repo={quote(UNREACHABLE)}&tag=cached")
    yield f"{UNREACHABLE}:cached"
    docker_engine._call("DELETE", f"/images/{quote(UNREACHABLE)}:cached?force=true")


@pytest.fixture
async def settings(settings: AgentSettings) -> AsyncIterator[AgentSettings]:
    yield settings
    await remove_containers(settings)


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("default", "RUNNING"), ("prefer-cached", "RUNNING"), ("once", "RUNNING"), ("always", "")],
)
async def test_a_cached_image_helps_unless_a_pull_is_demanded(
    behavior: str, status: str, control: ControlPlane, settings: AgentSettings, cached_image: str
):
    agent = AgentHere(control, msgspec.structs.replace(settings, image_pull_behavior=behavior))
    await agent.start()
    task = make_task(make_container(cached_image, command=("sleep", "1000")))
    await control.send_tasks(agent.arn, task)
    report = (await control.wait(lambda: control.reports(task)))[0]
    if status:
        assert report["status"] == status
    else:
        assert report["status"] == "STOPPED"
        assert report["containers"][0]["reason"].startswith("CannotPullContainerError: ")
    await agent.stop()


@pytest.mark.parametrize("behavior", ["default", "prefer-cached", "once", "always"])
async def test_an_image_that_is_nowhere_stops_the_task(
    behavior: str, control: ControlPlane, settings: AgentSettings
):
    agent = AgentHere(control, msgspec.structs.replace(settings, image_pull_behavior=behavior))
    await agent.start()
    task = make_task(make_container(f"{UNREACHABLE}:absent"))
    await control.send_tasks(agent.arn, task)
    stopped = await control.wait_report(task, "STOPPED")
    assert stopped["containers"][0]["reason"].startswith("CannotPullContainerError: ")
    assert stopped["pullStartedAt"] <= stopped["pullStoppedAt"]
    await agent.stop()
