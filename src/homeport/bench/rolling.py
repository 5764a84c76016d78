"""A rolling update of real tasks, beside Docker Swarm's of the same containers on the same Engine.

Both start the new container first, may do so for all at once (maximumPercent 200; parallelism 0),
have the same image, command and stop time-out, and are judged by the same witness: the Engine's
events. An update is over when as many new containers run as were wanted, and no old one does.
Bare Engine calls that come to the same take turns with them: what this Engine allows at that time.
"""

import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiodocker
import aiohttp
import msgspec

from homeport.bench.engine_peer import WEB_COMMAND
from homeport.bench.engine_update import find_recipients, start_revision, stop_all
from homeport.bench.local_cluster import (
    CALM_POLL_S,
    LIMIT_S,
    running_homeport,
    until,
    web_container,
)
from homeport.bench.processes import cpu_seconds, family_of
from homeport.bench.swarm_peer import swarm, swarm_service, task_template

REVISION_LABEL = "homeport.bench.revision"
OLD, NEW = "old", "new"
STOP_TIMEOUT_S = 30
"""ECS's default; nobody needs it here, since the command ends on SIGTERM at once."""

COMMAND = ["/bin/sh", "-c", f"trap 'exit 0' TERM; {' '.join(WEB_COMMAND)} & wait"]
START_FIRST = {"Order": "start-first", "Parallelism": 0}
EVENT_LINE_LIMIT_BYTES = 1024 * 1024

DELETED_REST_S = 62.0
"""An ext4 without a journal hands an inode out again a minute after its deletion, and until then
looks at it whenever it wants another: what Swarm's hundred containers leave behind when they are
removed made the Engine's next starts up to a seventh dearer, and those were always Homeport's."""


class RollingMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the update's call to its end, one a round, and the fewest that ran meanwhile."""

    tasks: int
    homeport_s: list[float]
    homeport_fewest: int
    homeport_cpu_s: float  # of server, agents and `up`, for one update
    engine_s: list[float]  # by Engine calls alone
    swarm_s: list[float]  # empty where Swarm can't be used
    swarm_fewest: int

    @property
    def ratio(self) -> float | None:
        """How many times faster than Swarm."""
        if not self.swarm_s:
            return None
        return statistics.mean(self.swarm_s) / statistics.mean(self.homeport_s)

    @property
    def engine_ratio(self) -> float:
        """How many times as long as by Engine calls alone."""
        return statistics.mean(self.homeport_s) / statistics.mean(self.engine_s)


class Witness:
    """Which containers run, by revision, as the Engine's events tell."""

    def __init__(self) -> None:
        self._running: dict[str, set[str]] = {OLD: set(), NEW: set()}
        self._changed = asyncio.Event()
        self.fewest = 0

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in one event."""
        actor = event["Actor"]
        revision = self._running[actor["Attributes"][REVISION_LABEL]]
        if event["Action"] == "start":
            revision.add(actor["ID"])
        elif event["Action"] == "die":
            revision.discard(actor["ID"])
        self.fewest = min(self.fewest, self.count(OLD) + self.count(NEW))
        self._changed.set()

    def count(self, revision: str) -> int:
        """How many containers of a revision run."""
        return len(self._running[revision])

    def begin(self) -> None:
        """Look for the fewest from now on."""
        self.fewest = self.count(OLD) + self.count(NEW)

    async def wait_for(self, *, old: int, new: int) -> None:
        """Wait until exactly so many run; raises TimeoutError."""
        async with asyncio.timeout(LIMIT_S):
            while (self.count(OLD), self.count(NEW)) != (old, new):
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def witnessed(docker: aiodocker.Docker) -> AsyncIterator[Witness]:
    """Follow the bench containers' starts and deaths for the block."""
    filters = {"type": ["container"], "label": [REVISION_LABEL], "event": ["start", "die"]}
    response = await docker.session.get(
        f"{docker.docker_host}/events",
        params={"filters": json.dumps(filters)},
        timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
        read_bufsize=EVENT_LINE_LIMIT_BYTES,
    )
    witness = Witness()

    async def read() -> None:
        while line := await response.content.readline():
            witness.note(msgspec.json.decode(line))

    reading = asyncio.create_task(read())
    try:
        yield witness
    finally:
        reading.cancel()
        response.close()


async def measure_rolling(
    docker: aiodocker.Docker,
    *,
    folder: str,
    tasks: int,
    rounds: int,
    progress: Callable[[str], None],
) -> RollingMeasurement:
    """Update a service of Homeport's, plain containers, a service of Swarm's, in turns."""
    homeport, engine, swarms = [], [], []
    async with running_homeport(folder) as (pid, calls):
        for revision in (OLD, NEW):
            container = web_container(
                command=COMMAND,
                stopTimeout=STOP_TIMEOUT_S,
                dockerLabels={REVISION_LABEL: revision},
            )
            await calls("RegisterTaskDefinition", family=revision, containerDefinitions=[container])
        for number in range(rounds):
            name = f"rolling-{number}"
            async with witnessed(docker) as witness:
                found = await _homeport_update(witness, calls, name=name, tasks=tasks, pid=pid)
            homeport.append(found)
            await calls.delete_service(name)
            progress(f"Homeport: {tasks} tasks updated in {found.seconds:.2f} s")
            engine.append(await _engine_update(docker, tasks))
            progress(f"Engine calls: {tasks} containers updated in {engine[-1]:.2f} s")
            theirs = await _swarm_update(docker, tasks)
            if theirs is not None:
                swarms.append(theirs)
                progress(f"Swarm: {tasks} tasks updated in {theirs.seconds:.2f} s")
                if number + 1 < rounds:
                    await _let_deletions_age()
    return RollingMeasurement(
        tasks=tasks,
        homeport_s=[run.seconds for run in homeport],
        homeport_fewest=min(run.fewest for run in homeport),
        homeport_cpu_s=statistics.mean(run.cpu_s for run in homeport),
        engine_s=engine,
        swarm_s=[run.seconds for run in swarms],
        swarm_fewest=min((run.fewest for run in swarms), default=0),
    )


async def _let_deletions_age() -> None:
    """Wait until what was removed from the disk weighs on nobody's next start."""
    await asyncio.to_thread(os.sync)  # what isn't written yet counts as deleted for longer
    await asyncio.sleep(DELETED_REST_S)  # the span itself is what is wanted


class _Run(msgspec.Struct, frozen=True):
    seconds: float
    fewest: int
    cpu_s: float = 0.0


async def _homeport_update(
    witness: Witness, calls: Any, *, name: str, tasks: int, pid: int
) -> _Run:
    await calls("CreateService", serviceName=name, taskDefinition=OLD, desiredCount=tasks)

    async def is_completed() -> bool:
        deployments = (await calls.describe_service(name))["deployments"]
        return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED"

    await until(is_completed, f"service {name} to be steady", CALM_POLL_S)
    await witness.wait_for(old=tasks, new=0)
    witness.begin()
    family = family_of(pid)
    cpu_before_s, begun = cpu_seconds(family), time.perf_counter()
    await calls("UpdateService", service=name, taskDefinition=NEW)
    await witness.wait_for(old=0, new=tasks)
    seconds = time.perf_counter() - begun
    cpu_s = cpu_seconds(family) - cpu_before_s
    await until(is_completed, f"service {name} to be steady again", CALM_POLL_S)
    return _Run(seconds, witness.fewest, cpu_s)


async def _engine_update(docker: aiodocker.Docker, tasks: int) -> float:
    """Leave the containers stopped, as Homeport does: what is deleted costs who comes next."""
    async with witnessed(docker) as witness:
        old = await start_revision(docker, COMMAND, {REVISION_LABEL: OLD}, tasks)
        recipients = await find_recipients(old)
        await witness.wait_for(old=tasks, new=0)
        begun = time.perf_counter()
        new = await start_revision(docker, COMMAND, {REVISION_LABEL: NEW}, tasks)
        await stop_all(old, recipients)
        await witness.wait_for(old=0, new=tasks)
        seconds = time.perf_counter() - begun
        await stop_all(new, await find_recipients(new))
        await witness.wait_for(old=0, new=0)
    return seconds


async def _swarm_update(docker: aiodocker.Docker, tasks: int) -> _Run | None:
    def template(revision: str) -> dict[str, Any]:
        labels = {REVISION_LABEL: revision}
        return task_template(COMMAND, labels=labels, stop_timeout_s=STOP_TIMEOUT_S)

    async with swarm(docker) as is_usable:
        if not is_usable:
            return None
        async with (
            witnessed(docker) as witness,
            swarm_service(docker, template(OLD), tasks, START_FIRST) as update,
        ):
            await witness.wait_for(old=tasks, new=0)
            witness.begin()
            begun = time.perf_counter()
            await update(template(NEW))
            await witness.wait_for(old=0, new=tasks)
            return _Run(time.perf_counter() - begun, witness.fewest)
