"""Docker Swarm on the same Engine: the same service, created and updated."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiodocker
import msgspec

from homeport.bench.engine_peer import IMAGE, LABEL, MEMORY_MIB, WEB_COMMAND
from homeport.bench.local_cluster import CALM_POLL_S, until

SERVICE_NAME = "homeport-bench"
ANY_HOST_PORT = {"TargetPort": 80, "PublishMode": "host"}
"""Each container on a port of the host of its own, as the bench's tasks have it."""

LEAVE_RETRY_S = 1.0
JSON_HEADERS = {"Content-Type": "application/json"}
NANOSECONDS_PER_SECOND = 1_000_000_000


@contextlib.asynccontextmanager
async def swarm(docker: aiodocker.Docker) -> AsyncIterator[bool]:
    """Put the Engine into swarm mode for the block; yields whether it could be."""
    info = await docker.system.info()
    is_ours = info["Swarm"]["LocalNodeState"] == "inactive"
    if is_ours:
        try:
            await docker.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1")
        except aiodocker.DockerError:
            yield False
            return
    try:
        yield True
    finally:
        if is_ours:
            await _leave(docker)


async def _leave(docker: aiodocker.Docker) -> None:
    """Leave; a busy Engine gives its own call up after a while, so it is asked again."""

    async def has_left() -> bool:
        with contextlib.suppress(aiodocker.DockerError):
            await docker.swarm.leave(force=True)
        info = await docker.system.info()
        return bool(info["Swarm"]["LocalNodeState"] == "inactive")

    await until(has_left, "the Engine to leave swarm mode", LEAVE_RETRY_S)


async def swarm_service_seconds(docker: aiodocker.Docker, count: int) -> float:
    """Time a Swarm service of `count` replicas until all run."""
    begun = time.perf_counter()
    async with swarm_service(docker, task_template(WEB_COMMAND), count):

        async def all_run() -> bool:
            tasks = await docker.tasks.list(filters={"service": SERVICE_NAME})
            states = [str(task["Status"]["State"]) for task in tasks]
            return states.count("running") >= count

        await until(all_run, f"{count} Swarm tasks to run", CALM_POLL_S)
        return time.perf_counter() - begun


def task_template(
    command: list[str], *, labels: dict[str, str] | None = None, stop_timeout_s: int = 10
) -> dict[str, Any]:
    """Return what Swarm runs: the bench container, with labels of its own."""
    return {
        "ContainerSpec": {
            "Image": IMAGE,
            "Command": command,
            "Labels": {LABEL: "1", **(labels or {})},
            "StopGracePeriod": stop_timeout_s * NANOSECONDS_PER_SECOND,
        },
        "Resources": {"Limits": {"MemoryBytes": MEMORY_MIB * 1024 * 1024}},
    }


Update = Callable[[dict[str, Any]], Awaitable[None]]


@contextlib.asynccontextmanager
async def swarm_service(
    docker: aiodocker.Docker,
    template: dict[str, Any],
    count: int,
    update_config: dict[str, Any] | None = None,
) -> AsyncIterator[Update]:
    """Have Swarm run a service for the block; yields what gives it another task template."""
    created = await docker.services.create(
        task_template=template,
        name=SERVICE_NAME,
        mode={"Replicated": {"Replicas": count}},
        update_config=update_config or {},
        endpoint_spec={"Ports": [ANY_HOST_PORT]},
    )

    async def update(changed: dict[str, Any]) -> None:
        shown = await docker.services.inspect(created["ID"])
        body = {**shown["Spec"], "TaskTemplate": changed}
        payload = msgspec.json.encode(body)
        path = f"services/{created['ID']}/update"
        version = {"version": str(shown["Version"]["Index"])}
        async with docker._query(
            path, "POST", params=version, data=payload, headers=JSON_HEADERS
        ) as response:
            await response.read()

    try:
        yield update
    finally:
        await docker.services.delete(created["ID"])
