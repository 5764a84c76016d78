"""A rolling update by nothing but Engine calls: what the machine allows whoever drives its Engine.

All new containers are created and started, as many at a time as Homeport's two agents do together;
then every old one gets its stop signal, past the Engine as the agent sends it. Nothing is decided,
kept or reported.
"""

import asyncio

import aiodocker

from homeport.agent.stopping import Recipient, find_recipient, send_stop_signal
from homeport.bench.engine_peer import (
    PARALLEL_STARTS,
    Containers,
    container_config,
    start_all,
)
from homeport.bench.local_cluster import AGENTS


async def start_revision(
    docker: aiodocker.Docker, command: list[str], labels: dict[str, str], count: int
) -> Containers:
    """Create and start so many containers, as many at a time as the agents do together."""
    config = container_config()
    config["Cmd"] = command
    config["Labels"] |= labels
    return await start_all(docker, config, count, parallel=AGENTS * PARALLEL_STARTS)


async def find_recipients(containers: Containers) -> dict[str, Recipient | None]:
    """Look up whom each container's stop signal goes to; None where only the Engine may send it."""
    shown = await asyncio.gather(*(container.show() for container in containers))
    return {container["Id"]: find_recipient(container) for container in shown}


async def stop_all(containers: Containers, recipients: dict[str, Recipient | None]) -> None:
    """Send every container its stop signal at once."""
    left = []
    for container in containers:
        recipient = recipients[container.id]
        if recipient is None or not send_stop_signal(recipient):
            left.append(container)
    await asyncio.gather(*(container.kill(signal="SIGTERM") for container in left))
