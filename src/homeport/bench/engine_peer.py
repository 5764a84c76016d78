"""What Homeport is measured against: plain Docker Engine calls, `docker run`.

Docker Swarm is in `swarm_peer`.
"""

import asyncio
import contextlib
import hashlib
import io
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiodocker

IMAGE = "homeport-bench/busybox:1"
LABEL = "homeport.bench"
PARALLEL_STARTS = 8
WEB_COMMAND = ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/"]
MEMORY_MIB = 16
BUSYBOX = Path("/bin/busybox")

Containers = list[aiodocker.containers.DockerContainer]


@contextlib.asynccontextmanager
async def docker_engine() -> AsyncIterator[aiodocker.Docker]:
    """Open the local Engine with the bench image in it, and leave no bench container behind."""
    async with aiodocker.Docker() as docker:
        await ensure_image(docker)
        try:
            yield docker
        finally:
            await remove_containers(docker)


async def ensure_image(docker: aiodocker.Docker) -> None:
    """Have the bench image on the Engine, made anew only if it isn't there as it would be made.

    The Engine gives every import a new id, and would leave the former image behind without a name.
    """
    layer = _make_layer()
    if await _layers_of(docker, IMAGE) == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]:
        return
    repository, _, tag = IMAGE.partition(":")
    async with docker._query(
        "images/create",
        "POST",
        params={"fromSrc": "-", "repo": repository, "tag": tag},
        data=io.BytesIO(layer),
        headers={"Content-Type": "application/x-tar"},
    ) as response:
        await response.read()


def _make_layer() -> bytes:
    """Make the image's files as a tar, the same bytes each time: nothing in it has a time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("bin", "tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        program = BUSYBOX.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    return archive.getvalue()


async def _layers_of(docker: aiodocker.Docker, image: str) -> list[str]:
    try:
        found = await docker.images.inspect(image)
    except aiodocker.DockerError as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        return []
    layers: list[str] = found["RootFS"]["Layers"]
    return layers


def container_config() -> dict[str, Any]:
    """Return what one bench container is: the same web server as the bench's task definition."""
    return {
        "Image": IMAGE,
        "Cmd": WEB_COMMAND,
        "Labels": {LABEL: "1"},
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {
            "Memory": MEMORY_MIB * 1024 * 1024,
            "CpuShares": 10,
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        },
    }


async def start_containers(docker: aiodocker.Docker, count: int) -> float:
    """Create and start containers by plain Engine calls, eight at a time; returns seconds."""
    begun = time.perf_counter()
    await start_all(docker, container_config(), count, parallel=PARALLEL_STARTS)
    return time.perf_counter() - begun


async def start_all(
    docker: aiodocker.Docker, config: dict[str, Any], count: int, *, parallel: int
) -> Containers:
    """Create and start so many containers, `parallel` of them at a time."""
    gate = asyncio.Semaphore(parallel)

    async def start() -> aiodocker.containers.DockerContainer:
        async with gate:
            container = await docker.containers.create(config)
            await container.start()
            return container

    return await asyncio.gather(*(start() for _ in range(count)))


async def remove_containers(docker: aiodocker.Docker) -> None:
    """Remove all containers of the bench."""
    filters = {"label": [LABEL]}
    found = await docker.containers.list(all=True, filters=filters)
    gate = asyncio.Semaphore(PARALLEL_STARTS)

    async def remove(container: aiodocker.containers.DockerContainer) -> None:
        async with gate:
            await container.delete(force=True)

    await asyncio.gather(*(remove(container) for container in found))


def docker_run_seconds() -> float:
    """Time one `docker run -d` of the same container, as a person would type it."""
    begun = time.perf_counter()
    subprocess.run(
        [
            *("docker", "run", "-d", "--label", f"{LABEL}=1", "-m", f"{MEMORY_MIB}m"),
            *("--cpu-shares", "10", "-p", "127.0.0.1::80", IMAGE, *WEB_COMMAND),
        ],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - begun
