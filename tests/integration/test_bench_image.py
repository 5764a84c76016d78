"""The image of `homeport bench`: made once, and not again at every run, leaving one nameless."""

import aiodocker
import pytest

from homeport.bench.engine_peer import IMAGE, ensure_image
from homeport.cli.engine_api import EngineApi

pytestmark = pytest.mark.docker


async def test_the_benchs_image_is_made_once(docker_engine: EngineApi) -> None:
    async with aiodocker.Docker(docker_engine.docker_host) as docker:
        await ensure_image(docker)
        first = await docker.images.inspect(IMAGE)
        await ensure_image(docker)
        again = await docker.images.inspect(IMAGE)
    assert again["Id"] == first["Id"]
