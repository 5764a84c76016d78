"""The Engine's event stream, narrowed to one instance's containers. Nothing is polled.

Turns deaths, health changes and out-of-memory kills into stimuli. Not here: what they lead to.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from homeport.agent import container_spec, stimuli
from homeport.agent.docker import EngineUnavailable, read_health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiodocker import Docker

EVENT_LINE_LIMIT_BYTES: Final = 1024 * 1024
"""Events carry all labels of a container; the Engine's own limit on them is far lower."""

CONNECT_TIMEOUT_S: Final = 10
WATCHED_EVENTS: Final = ("die", "health_status")
HEALTH_PREFIX: Final = "health_status: "
NANOSECONDS_PER_MILLISECOND: Final = 1_000_000

_DECODER: Final = msgspec.json.Decoder(dict[str, Any])


class EventStream:
    """An open event stream; what happened since `open` returned can't be missed."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def close(self) -> None:
        """Drop the stream's connection."""
        self._response.close()

    async def read(self) -> AsyncIterator[stimuli.Stimulus]:
        """Stimuli as they happen; ends with EngineUnavailable when the Engine goes."""
        try:
            while line := await self._response.content.readline():
                stimulus = read_event(_DECODER.decode(line))
                if stimulus is not None:
                    yield stimulus
        except (aiohttp.ClientError, msgspec.DecodeError, ValueError, OSError) as error:
            raise EngineUnavailable(f"Docker's event stream broke: {error!r}") from error
        raise EngineUnavailable("Docker closed its event stream")


async def open_events(docker: Docker, container_instance_arn: str) -> EventStream:
    """Subscribe to the deaths and health changes of one instance's containers."""
    label = f"{container_spec.INSTANCE_LABEL}={container_instance_arn}"
    filters = {"type": ["container"], "label": [label], "event": list(WATCHED_EVENTS)}
    version = "" if docker.api_version == "auto" else f"/{docker.api_version}"
    forever = aiohttp.ClientTimeout(total=None, sock_read=None)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            response = await docker.session.get(
                f"{docker.docker_host}{version}/events",
                params={"filters": json.dumps(filters)},
                timeout=forever,
                read_bufsize=EVENT_LINE_LIMIT_BYTES,
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineUnavailable(f"can't read Docker's events: {error!r}") from error
    if response.status != 200:
        response.close()
        raise EngineUnavailable(f"Docker refuses its event stream: HTTP {response.status}")
    return EventStream(response)


def read_event(event: dict[str, Any]) -> stimuli.Stimulus | None:
    """One event as a stimulus; None for events of no interest."""
    actor = event.get("Actor") or {}
    labels = actor.get("Attributes") or {}
    task_arn = labels.get(container_spec.TASK_LABEL)
    name = labels.get(container_spec.CONTAINER_LABEL)
    action = str(event.get("Action") or "")
    if task_arn is None or name is None:
        return None
    who = {"task_arn": task_arn, "container_name": name, "runtime_id": str(actor.get("ID"))}
    if action == "die":
        exit_code = labels.get("exitCode")
        return stimuli.ContainerDied(
            **who,
            exit_code=None if exit_code is None else int(exit_code),
            at_ms=int(event.get("timeNano") or 0) // NANOSECONDS_PER_MILLISECOND,
        )
    if action.startswith(HEALTH_PREFIX):
        health = read_health(action.removeprefix(HEALTH_PREFIX))
        return stimuli.HealthChanged(**who, health=health)
    return None
