"""A fleet over the real wire: N agents in this process, one real server with SQLite on disk.

Each agent has its own ACS websocket and its own connection for signed calls (`fleet_agent`), so
tasks are RUNNING as far as the control plane can tell; no container is started.

A task counts as scheduled when its agent has been sent it, which happens only once the commit that
assigned it is durable; as RUNNING when its agent's report was acknowledged, durable as well.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from homeport.bench.agent_wire import CONTAINER_PORT
from homeport.bench.flame_graph import write_profile
from homeport.bench.fleet_agent import PlayedAgent, Sightings
from homeport.bench.processes import cpu_seconds, homeport_command, peak_mib, running
from homeport.bench.sampler import parse_collapsed
from homeport.bench.signed_connection import SignedConnection

CONNECTS_AT_ONCE = 64
TASKS_PER_SERVICE = 1_000
TASK_CPU_UNITS = 8
TASK_MEMORY_MIB = 16
LIMIT_S = 900.0
PROGRESS_S = 5.0
US_PER_S = 1_000_000
HISTOGRAM_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)

Progress = Callable[[str], None]


class AgentLost(Exception):
    """An agent was cut off from the server: its tasks would be waited for in vain."""


class FleetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet measured.

    `latency_ms` counts tasks by the bound that they stayed under, from the CreateService that asked
    for them to RUNNING; `server_cpu_us_per_task` is all of it: placing, writing, sending, and
    taking reports.
    """

    instances: int
    tasks: int
    seconds: float
    connect_seconds: float
    scheduled_seconds: float
    scheduled_per_second: float
    running_per_second: float
    server_peak_rss_mib: float
    server_cpu_seconds: float
    server_cpu_us_per_task: float
    latency_median_ms: float
    latency_p99_ms: float
    latency_ms: dict[str, int]
    report_median_ms: float  # until it is acknowledged
    report_p99_ms: float


async def measure_fleet(
    instances: int, tasks: int, progress: Progress, *, profile: Path | None = None
) -> FleetResult:
    """Start a server, connect the fleet, create the services, wait until every task is RUNNING.

    With `profile`, the server is sampled meanwhile, and its flame graph is in that folder.
    """
    with (
        tempfile.TemporaryDirectory(prefix="homeport-fleet-") as folder,
        _server(folder, profile) as (process, url),
    ):
        sightings = Sightings(tasks)
        async with connected_fleet(url, sightings, instances=instances, tasks=tasks) as connect_s:
            progress(f"{instances} agents connected in {connect_s:.1f} s")
            if profile is not None:
                process.send_signal(signal.SIGUSR1)  # from here on
            cpu_before_s = cpu_seconds([process.pid])
            sightings.begin()
            await create_services(url, tasks, sightings)
            progress(f"{tasks} tasks asked for in {sightings.since_begun_s:.1f} s")
            await wait_until_running(sightings, tasks, progress)
            seconds = sightings.running_s[-1]
            cpu_s = cpu_seconds([process.pid]) - cpu_before_s
            rss_mib = peak_mib(process.pid)
    scheduled_s = max(sightings.assigned_s.values())
    progress(f"{tasks} tasks scheduled in {scheduled_s:.1f} s, RUNNING in {seconds:.1f} s")
    return FleetResult(
        instances=instances,
        tasks=tasks,
        seconds=seconds,
        connect_seconds=connect_s,
        scheduled_seconds=scheduled_s,
        scheduled_per_second=tasks / scheduled_s,
        running_per_second=tasks / seconds,
        server_peak_rss_mib=rss_mib,
        server_cpu_seconds=cpu_s,
        server_cpu_us_per_task=cpu_s * US_PER_S / tasks,
        latency_median_ms=_quantile_ms(sightings.latency_s, 0.5),
        latency_p99_ms=_quantile_ms(sightings.latency_s, 0.99),
        latency_ms=histogram(sightings.latency_s),
        report_median_ms=_quantile_ms(sightings.report_s, 0.5),
        report_p99_ms=_quantile_ms(sightings.report_s, 0.99),
    )


@contextlib.contextmanager
def _server(folder: str, profile: Path | None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a server whose data are in `folder`, sampled if there is somewhere to write a profile."""
    arguments = ("server", "--port", "0", "--data-dir", folder, "--log-level", "warning")
    stacks = Path(folder) / "stacks.txt"
    command: Sequence[str] = homeport_command(*arguments)
    if profile is not None:
        command = [sys.executable, "-m", "homeport.bench.profiled", str(stacks), *arguments]
    with running(command, r"listening on http://\S+") as (process, line):
        yield process, line.split()[-1]
    if profile is not None:
        found = parse_collapsed(stacks.read_text())
        write_profile(profile, "fleet-server", found, "homeport server under bench fleet")


@contextlib.asynccontextmanager
async def connected_fleet(
    url: str, sightings: Sightings, *, instances: int, tasks: int
) -> AsyncIterator[float]:
    """Connect all agents; yields how long that took, in seconds."""
    client = SignedConnection(url)
    await client.call("CreateCluster", {})
    client.close()
    places = 2 * -(-tasks // instances)  # of an agent: room to spread, as a fleet has
    gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def join(agent: PlayedAgent) -> None:
        async with gate:
            await agent.join(cpu_units=places * TASK_CPU_UNITS, memory_mib=places * TASK_MEMORY_MIB)

    agents = [PlayedAgent(url, sightings) for _ in range(instances)]
    begun = time.perf_counter()
    try:
        await asyncio.gather(*(join(agent) for agent in agents))
        yield time.perf_counter() - begun
    finally:
        for agent in agents:
            await agent.leave()


async def create_services(url: str, tasks: int, sightings: Sightings) -> None:
    """Ask for all tasks, one service after the other, as one client does."""
    client = SignedConnection(url)
    container = {
        "name": "web",
        "image": "web:1",
        "cpu": TASK_CPU_UNITS,
        "memory": TASK_MEMORY_MIB,
        "portMappings": [{"containerPort": CONTAINER_PORT, "hostPort": 0}],
    }
    definition = {"family": "web", "containerDefinitions": [container]}
    await client.call("RegisterTaskDefinition", definition)
    for number, start in enumerate(range(0, tasks, TASKS_PER_SERVICE)):
        name = f"web-{number}"
        body = {
            "serviceName": name,
            "taskDefinition": "web",
            "desiredCount": min(TASKS_PER_SERVICE, tasks - start),
        }
        sightings.note_asked(name)
        await client.call("CreateService", body)
    client.close()


async def wait_until_running(sightings: Sightings, tasks: int, progress: Progress) -> None:
    """Return when every task is RUNNING; raises AgentLost, or TimeoutError after `LIMIT_S`."""
    async with asyncio.timeout(LIMIT_S):
        while not sightings.is_over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sightings.is_over.wait(), PROGRESS_S)
            assigned, up = len(sightings.assigned_s), len(sightings.running_s)
            progress(f"{assigned} of {tasks} scheduled, {up} RUNNING")
    if sightings.loss is not None:
        raise AgentLost(sightings.loss)


def _quantile_ms(times_s: Sequence[float], share: float) -> float:
    ordered = sorted(times_s)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1_000


def histogram(times_s: Sequence[float]) -> dict[str, int]:
    """Count times by the first bound in `HISTOGRAM_MS` that they don't exceed."""
    counts = dict.fromkeys([*(f"{bound}" for bound in HISTOGRAM_MS), "more"], 0)
    for each_s in times_s:
        bound = next((b for b in HISTOGRAM_MS if each_s * 1_000 <= b), None)
        counts["more" if bound is None else f"{bound}"] += 1
    return counts
