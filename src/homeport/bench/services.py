"""Services beside each other: a crash-looping one, and a thousand of which one changes.

Agents are played in this process over real sockets (`service_agent`), the server is another process
with SQLite on disk. What a change of one service costs the others is counted in the journal.
"""

import asyncio
import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from homeport.bench.processes import cpu_seconds, homeport_command, running
from homeport.bench.service_agent import CONTAINER, CRASHING, INTERVAL_S, ServiceAgent, Ward
from homeport.bench.signed_connection import SignedConnection
from homeport.model.service import Service
from homeport.state.changes import Commit, Put
from homeport.storage.journal_reader import JournalReader

HEALTHY = "healthy"
CHANGING = "changing"
TASK_CPU_UNITS = 8
TASK_MEMORY_MIB = 16
CALLS_AT_ONCE = 8
LIMIT_S = 300.0
CHANGES = 10  # of one service, beside how many others
CALM_S = 12.0  # after many starts: the journal is folded, the agents' queues are empty

Progress = Callable[[str], None]


class CrowdedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A healthy service alone, and beside one of as many tasks that exit as soon as they run.

    Times are from a task's end until its replacement is RUNNING; processor time is the server's, in
    percent of a core, over the whole of `seconds`, from the crashing service's creation.
    """

    tasks: int
    alone_ms: float
    alone_p95_ms: float
    beside_ms: float
    beside_p95_ms: float
    seconds: float
    crashes: int
    server_percent: float


class SteadyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Many services at rest, and one of them changed.

    Percents are of a core, the server's, first with heartbeats only, then with all tasks' metrics.
    `others_commits` counts commits of the changes that touched another service or its tasks.
    """

    services: int
    tasks_per_service: int
    instances: int
    quiet_percent: float
    telemetry_percent: float
    change_alone_ms: float
    change_beside_ms: float
    change_commits: int
    others_commits: int


class _Site(msgspec.Struct, frozen=True):
    """A server with its agents, and a client of it."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    agents: list[ServiceAgent]
    ward: Ward

    def cpu_s(self) -> float:
        return cpu_seconds([self.process.pid])


async def measure_crowded(
    *, tasks: int, instances: int, kills: int, seconds: float, progress: Progress
) -> CrowdedResult:
    """Kill tasks of a healthy service one by one, alone and beside a crash-looping one."""
    async with _site(instances, room=4 * tasks) as site:
        client = SignedConnection(site.url)
        await _register(client, HEALTHY)
        await _register(client, CRASHING)
        await _create(client, HEALTHY, HEALTHY, tasks)
        await site.ward.wait_for(HEALTHY, tasks, LIMIT_S)
        await asyncio.sleep(min(CALM_S, seconds))
        pause_s = seconds / kills
        alone = [await _replace_one(site.ward, tasks, pause_s) for _ in range(kills)]
        progress(f"replacements alone: median {statistics.median(alone):.1f} ms")
        cpu_before_s, begun = site.cpu_s(), time.perf_counter()
        await _create(client, CRASHING, CRASHING, tasks)
        beside = [await _replace_one(site.ward, tasks, pause_s) for _ in range(kills)]
        took = time.perf_counter() - begun
        percent = 100 * (site.cpu_s() - cpu_before_s) / took
        progress(
            f"beside {site.ward.crashes} crashes: median {statistics.median(beside):.1f} ms, "
            f"server at {percent:.1f} % of a core"
        )
        client.close()
        return CrowdedResult(
            tasks=tasks,
            alone_ms=statistics.median(alone),
            alone_p95_ms=percentile(alone, 95),
            beside_ms=statistics.median(beside),
            beside_p95_ms=percentile(beside, 95),
            seconds=took,
            crashes=site.ward.crashes,
            server_percent=percent,
        )


async def measure_steady(
    *, services: int, tasks: int, instances: int, seconds: float, progress: Progress
) -> SteadyResult:
    """Watch many services at rest, then change one of them a few times."""
    calm_s = min(CALM_S, seconds)
    async with _site(instances, room=2 * services * tasks) as site:
        client = SignedConnection(site.url)
        for family in (HEALTHY, *map(_changed_family, range(3))):
            await _register(client, family)
        await _create(client, CHANGING, _changed_family(0), tasks)
        await site.ward.wait_for(_changed_family(0), tasks, LIMIT_S)
        await asyncio.sleep(calm_s)
        alone_ms, _ = await _change(site, client, tasks, calm_s)
        progress(f"one change alone: {alone_ms:.1f} ms of processor time")
        await _create_many(site, services - 1, tasks)
        progress(f"{services} services of {tasks} tasks run")
        await asyncio.sleep(calm_s)
        quiet = await _cpu_percent(site, seconds)
        progress(f"at rest: {quiet:.1f} % of a core")
        async with _publishing(site.agents):
            telemetry = await _cpu_percent(site, seconds)
        progress(f"with metrics of all tasks: {telemetry:.1f} % of a core")
        beside_ms, commits = await _change(site, client, tasks, calm_s)
        progress(f"one change beside all others: {beside_ms:.1f} ms of processor time")
        client.close()
        return SteadyResult(
            services=services,
            tasks_per_service=tasks,
            instances=instances,
            quiet_percent=quiet,
            telemetry_percent=telemetry,
            change_alone_ms=alone_ms,
            change_beside_ms=beside_ms,
            change_commits=len(commits),
            others_commits=count_of_others(commits, CHANGING),
        )


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent of all don't exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def count_of_others(commits: Iterable[Commit], name: str) -> int:
    """Count the commits that write anything of a service, or of its tasks, other than this one."""
    return sum(any(service != name for service in _services_of(commit)) for commit in commits)


def _services_of(commit: Commit) -> Iterator[str]:
    """The names of the services whose records a commit writes."""
    for change in commit.changes:
        if not isinstance(change, Put):
            continue
        record = change.record
        arn = record.arn if isinstance(record, Service) else getattr(record, "service_arn", None)
        if arn:
            yield arn.rpartition("/")[2]


def _changed_family(number: int) -> str:
    return f"{CHANGING}-{number}"


async def _change(
    site: _Site, client: SignedConnection, tasks: int, calm_s: float
) -> tuple[float, list[Commit]]:
    """Roll the one service back and forth; the server's time a change, and all commits."""
    before = _last_sequence(site.folder)
    cpu_before_s = site.cpu_s()
    for number in range(CHANGES):
        family = _changed_family(1 + number % 2)
        await client.call("UpdateService", {"service": CHANGING, "taskDefinition": family})
        for each in range(3):
            count = tasks if each == 1 + number % 2 else 0
            await site.ward.wait_for(_changed_family(each), count, LIMIT_S)
    used_ms = (site.cpu_s() - cpu_before_s) * 1e3 / CHANGES
    await asyncio.sleep(calm_s)
    with JournalReader(site.folder) as journal:
        return used_ms, [commit for commit in journal.commits() if commit.sequence > before]


def _last_sequence(folder: Path) -> int:
    with JournalReader(folder) as journal:
        return max((commit.sequence for commit in journal.commits()), default=0)


@contextlib.asynccontextmanager
async def _site(instances: int, *, room: int) -> AsyncIterator[_Site]:
    """Run a server with so many agents, with room for so many tasks together."""
    with tempfile.TemporaryDirectory(prefix="homeport-services-") as folder:
        command = homeport_command(
            "server", "--port", "0", "--data-dir", folder, "--log-level", "warning"
        )
        started = running(command, r"listening on http://\S+")
        process, line = await asyncio.to_thread(started.__enter__)
        url = line.split()[-1]
        ward = Ward()
        agents = [ServiceAgent(url, ward) for _ in range(instances)]
        places = -(-room // instances)
        try:
            client = SignedConnection(url)
            await client.call("CreateCluster", {})
            client.close()
            for agent in agents:
                await agent.join(
                    cpu_units=places * TASK_CPU_UNITS, memory_mib=places * TASK_MEMORY_MIB
                )
            yield _Site(process, url, Path(folder), agents, ward)
        finally:
            await asyncio.gather(*(agent.leave() for agent in agents))
            await asyncio.to_thread(started.__exit__, None, None, None)


async def _register(client: SignedConnection, family: str) -> None:
    container = {
        "name": CONTAINER,
        "image": "web:1",
        "cpu": TASK_CPU_UNITS,
        "memory": TASK_MEMORY_MIB,
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
    }
    definition = {"family": family, "containerDefinitions": [container]}
    await client.call("RegisterTaskDefinition", definition)


async def _create(client: SignedConnection, name: str, family: str, tasks: int) -> None:
    body = {"serviceName": name, "taskDefinition": family, "desiredCount": tasks}
    await client.call("CreateService", body)


async def _create_many(site: _Site, services: int, tasks: int) -> None:
    waiting = iter(range(services))

    async def create_some() -> None:
        client = SignedConnection(site.url)
        for number in waiting:
            await _create(client, f"{HEALTHY}-{number}", HEALTHY, tasks)
        client.close()

    await asyncio.gather(*(create_some() for _ in range(CALLS_AT_ONCE)))
    await site.ward.wait_for(HEALTHY, services * tasks, LIMIT_S)


async def _replace_one(ward: Ward, tasks: int, pause_s: float) -> float:
    """Kill a healthy task; returns the milliseconds until as many run as before."""
    begun = time.perf_counter()
    arn, agent = next(iter(ward.running[HEALTHY].items()))
    agent.kill(arn)
    await ward.wait_for(HEALTHY, tasks, LIMIT_S)
    took_s = time.perf_counter() - begun
    await asyncio.sleep(max(0.0, pause_s - took_s))  # the pace that is measured at
    return took_s * 1e3


async def _cpu_percent(site: _Site, seconds: float) -> float:
    before_s, begun = site.cpu_s(), time.perf_counter()
    await asyncio.sleep(seconds)  # the span that is measured
    return 100 * (site.cpu_s() - before_s) / (time.perf_counter() - begun)


@contextlib.asynccontextmanager
async def _publishing(agents: list[ServiceAgent]) -> AsyncIterator[None]:
    """Let every agent publish at its interval, one after the other, until the block ends."""

    async def publish() -> None:
        while True:
            for agent in agents:
                await agent.publish()
                await asyncio.sleep(INTERVAL_S / len(agents))

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
