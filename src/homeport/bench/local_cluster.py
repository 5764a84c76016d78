"""A `homeport up` under measurement, and the few calls that measurements of it make.

Two container instances on this machine's Docker Engine, started for one measurement and gone with
it. Not here: what is measured (`tasks`, `rolling`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from homeport.bench.engine_peer import IMAGE, MEMORY_MIB, WEB_COMMAND
from homeport.bench.http_load import make_request
from homeport.bench.processes import homeport_command, running

QUICK_POLL_S = 0.004
"""For what takes a fraction of a second; 250 calls a second cost two thirds of a core."""

CALM_POLL_S = 0.05
"""For what takes seconds and needs both cores: asking twenty times a second costs next to none."""

LIMIT_S = 180.0
AGENTS = 2


class EcsCalls:
    """The few calls that the measurements make, on one connection while the server keeps it."""

    def __init__(self, url: str) -> None:
        self._host = url.partition("//")[2]
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether the server has closed the connection, as it does when it is idle for long."""
        return self._reader is not None and self._reader.at_eof()

    async def __call__(self, operation: str, **body: object) -> dict[str, Any]:
        """Make one call; raises RuntimeError for anything but 200."""
        if self._writer is None or self.is_given_up:
            self.close()
            host, _, port = self._host.partition(":")
            self._reader, self._writer = await asyncio.open_connection(host, int(port))
        assert self._reader is not None
        self._writer.write(make_request(self._host, operation, msgspec.json.encode(body)))
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        start = head.index(b"content-length:") + 15
        length = int(head[start : head.index(b"\r\n", start)])
        reply = await self._reader.readexactly(length)
        if int(head[9:12]) != 200:
            raise RuntimeError(f"{operation}: {reply.decode()}")
        decoded: dict[str, Any] = msgspec.json.decode(reply)
        return decoded

    async def describe_service(self, name: str) -> dict[str, Any]:
        """One service of the default cluster."""
        service: dict[str, Any] = (await self("DescribeServices", services=[name]))["services"][0]
        return service

    async def delete_service(self, name: str) -> None:
        """Delete a service and wait until nothing of it runs any more."""
        await self("DeleteService", service=name, force=True)

        async def is_gone() -> bool:
            return bool((await self.describe_service(name))["status"] == "INACTIVE")

        await until(is_gone, f"service {name} to be gone", CALM_POLL_S)

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


@contextlib.asynccontextmanager
async def running_homeport(folder: str) -> AsyncIterator[tuple[int, EcsCalls]]:
    """Run `homeport up` with both agents connected; yields its process id and its calls."""
    command = homeport_command("up", "--port", "0", "--data-dir", folder)
    with running(command, r"Homeport is up at http://127\.0\.0\.1:\d+") as (process, line):
        url = next(word for word in line.split() if word.startswith("http://"))
        calls = EcsCalls(url.rstrip(".,"))
        await _wait_for_agents(calls)
        try:
            yield process.pid, calls
        finally:
            calls.close()


def web_container(**more: object) -> dict[str, Any]:
    """Return the container definition of a bench task: what `engine_peer` starts by plain calls."""
    return {
        "name": "web",
        "image": IMAGE,
        "command": WEB_COMMAND,
        "cpu": 10,
        "memory": MEMORY_MIB,
        "stopTimeout": 2,
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
        **more,
    }


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, every_s: float = QUICK_POLL_S
) -> None:
    """Ask until a condition holds; raises TimeoutError, naming `what`, when it takes too long."""
    deadline = time.perf_counter() + LIMIT_S
    while not await condition():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"waited {LIMIT_S:.0f} s for {what}")
        await asyncio.sleep(every_s)


async def _wait_for_agents(calls: EcsCalls) -> None:
    async def connected() -> bool:
        arns = (await calls("ListContainerInstances"))["containerInstanceArns"]
        if len(arns) < AGENTS:
            return False
        found = await calls("DescribeContainerInstances", containerInstances=arns)
        return all(instance["agentConnected"] for instance in found["containerInstances"])

    await until(connected, "both agents to connect", CALM_POLL_S)
