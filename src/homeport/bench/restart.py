"""How long nobody is answered when a server with very many tasks dies and is started again.

A fleet brings all tasks to RUNNING on a real server (`fleet`); it is killed, as `kill -9` does, and
started again on what is on disk. It serves again when a DescribeServices call is answered, and what
it then says of its tasks has to be what was acknowledged before.
"""

import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from homeport.bench.agent_wire import CLUSTER
from homeport.bench.fleet import Progress, connected_fleet, create_services, wait_until_running
from homeport.bench.fleet_agent import Sightings
from homeport.bench.processes import peak_mib, running_server
from homeport.bench.signed_connection import SignedConnection

RESTARTS = 3
BYTES_PER_MIB = 1_024 * 1_024


class RestartResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; seconds from starting the program to its first answer, each time."""

    instances: int
    tasks: int
    data_mib: float
    seconds_to_answer: list[float]
    median_seconds: float
    server_peak_rss_mib: float


class TasksLost(Exception):
    """The server that was started again doesn't know every task."""


class _Service(msgspec.Struct, rename="camel"):
    service_name: str
    running_count: int


class _Services(msgspec.Struct):
    services: list[_Service]


class _Cluster(msgspec.Struct, rename="camel"):
    running_tasks_count: int


class _Clusters(msgspec.Struct):
    clusters: list[_Cluster]


async def measure_restart(
    instances: int, tasks: int, progress: Progress, *, restarts: int = RESTARTS
) -> RestartResult:
    """Bring the tasks up, kill the server, and start it again a few times."""
    with tempfile.TemporaryDirectory(prefix="homeport-restart-") as folder:
        arguments = ("--data-dir", folder, "--log-level", "warning")
        with running_server(*arguments) as (process, url):
            sightings = Sightings(tasks)
            async with connected_fleet(url, sightings, instances=instances, tasks=tasks):
                sightings.begin()
                await create_services(url, tasks, sightings)
                await wait_until_running(sightings, tasks, progress)
                process.kill()
                process.wait()
        data_mib = sum(each.stat().st_size for each in Path(folder).iterdir()) / BYTES_PER_MIB
        took_s: list[float] = []
        peaks_mib: list[float] = []
        for _ in range(restarts):
            begun = time.perf_counter()
            with running_server(*arguments) as (process, url):
                await _ask(url, tasks)
                took_s.append(time.perf_counter() - begun)
                progress(f"{tasks:,} tasks: serving again after {took_s[-1]:.2f} s")
                peaks_mib.append(peak_mib(process.pid))
                process.kill()
                process.wait()
    return RestartResult(
        instances=instances,
        tasks=tasks,
        data_mib=data_mib,
        seconds_to_answer=took_s,
        median_seconds=statistics.median(took_s),
        server_peak_rss_mib=max(peaks_mib),
    )


async def _ask(url: str, tasks: int) -> None:
    """Wait for an answer on a service, and see that no task is missing."""
    client = SignedConnection(url)
    reply = await client.call("DescribeServices", {"cluster": CLUSTER, "services": ["web-0"]})
    (service,) = msgspec.json.decode(reply, type=_Services).services
    reply = await client.call("DescribeClusters", {"clusters": [CLUSTER]})
    (cluster,) = msgspec.json.decode(reply, type=_Clusters).clusters
    client.close()
    if not service.running_count or cluster.running_tasks_count != tasks:
        raise TasksLost(f"{cluster.running_tasks_count} of {tasks} tasks are there")
