"""What awsvpc tasks need of the Engine beside containers: their network, and the pause image.

Both are made when first needed, and found when they are there. Which they are is `task_network`'s
and `pause_image`'s business.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from homeport.agent.pause_image import make_pause_image

if TYPE_CHECKING:
    from aiodocker import Docker

    from homeport.agent.task_network import TaskNetwork

NETWORK_LABEL: Final = "homeport.network"


async def load_pause_image(docker: Docker, name: str) -> None:
    """Have the Engine load the pause image for this machine."""
    await docker.images.import_image(make_pause_image(name, platform.machine()))


async def create_network(docker: Docker, network: TaskNetwork) -> None:
    """Create a task network, a bridge, which mustn't be there yet."""
    await docker.networks.create(
        {
            "Name": network.name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "IPAM": {"Config": [{"Subnet": network.subnet, "Gateway": network.gateway}]},
            "Labels": {NETWORK_LABEL: network.subnet},
        }
    )
