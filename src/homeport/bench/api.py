"""Calls a second for four operations, beside moto's server: the same load, in turns."""

import asyncio
import contextlib
import importlib.util
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import boto3
import msgspec
from websockets.asyncio.client import connect

from homeport.bench.http_load import LoadResult, make_request, run_load
from homeport.bench.processes import cpu_seconds, running, running_server

CONNECTIONS = (1, 16)
DEFAULT_SECONDS = 4.0
TASKS_DESCRIBED = 10
CLUSTERS = 64  # services are spread over them, since a cluster takes 5,000
OPERATIONS = (
    "DescribeClusters",
    "DescribeTasks",
    "RegisterTaskDefinition",
    "CreateService",
)
ROUNDS = {"RegisterTaskDefinition": 3, "CreateService": 3}  # moto's pace could decide these


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one server, and the processor time that the server took for it."""

    load: LoadResult
    server_cpu_s: float

    @property
    def cpu_us_per_call(self) -> float:
        """What a call costs the server: what other work on the machine disturbs least."""
        return self.server_cpu_s * 1e6 / self.load.calls if self.load.calls else 0.0


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """The same load on Homeport and then on moto; `moto` is None when moto isn't installed."""

    homeport: Measured
    moto: Measured | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as many calls as moto."""
        if self.moto is None or not self.moto.load.calls:
            return None
        return self.homeport.load.calls_per_second / self.moto.load.calls_per_second


class ApiMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One operation at one number of connections, in one round or several."""

    operation: str
    connections: int
    rounds: tuple[Round, ...]

    @property
    def homeport(self) -> Measured:
        """Homeport's round in the middle."""
        return _middle([each.homeport for each in self.rounds])

    @property
    def moto(self) -> Measured | None:
        """Moto's round in the middle, which may be another one."""
        found = [each.moto for each in self.rounds if each.moto is not None]
        return _middle(found) if found else None

    @property
    def ratios(self) -> list[float]:
        """How many times as many calls as moto in each round."""
        return [each.ratio for each in self.rounds if each.ratio is not None]

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios) if self.ratios else None


def _middle(found: list[Measured]) -> Measured:
    ordered = sorted(found, key=lambda each: each.load.calls_per_second)
    return ordered[len(ordered) // 2]


async def measure_api(seconds: float, progress: Callable[[str], None]) -> list[ApiMeasurement]:
    """Measure each operation at 1 and 16 connections: Homeport with SQLite on disk, then moto.

    One right after the other, so that what else the machine does is the same for both; where one
    unlucky round could decide, they take turns several times.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-bench-"))
        process, url = stack.enter_context(running_server("--data-dir", folder))
        homeport = _Server("homeport", url, process.pid, await _prepare_homeport(url))
        moto = None
        if importlib.util.find_spec("moto") is None:
            progress("moto isn't installed: run `make bench`, which installs it")
        else:
            pid, url = stack.enter_context(_moto())
            moto = _Server("moto", url, pid, await _prepare_moto(url))
        found = []
        for operation, connections in itertools.product(OPERATIONS, CONNECTIONS):
            rounds = []
            for number in range(ROUNDS.get(operation, 1)):
                load = _Load(operation, connections, seconds, number)
                ours = await _measure(homeport, load, progress)
                theirs = None if moto is None else await _measure(moto, load, progress)
                rounds.append(Round(homeport=ours, moto=theirs))
            found.append(
                ApiMeasurement(operation=operation, connections=connections, rounds=tuple(rounds))
            )
    return found


@contextlib.contextmanager
def _moto() -> Iterator[tuple[int, str]]:
    port = 25_000 + sys.hexversion % 97
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, r"Running on http") as (process, _):
        yield process.pid, f"http://127.0.0.1:{port}"


class _Server(NamedTuple):
    """A server under load: its process, and the tasks that it was given to describe."""

    name: str
    url: str
    pid: int
    tasks: list[str]


def _create_clusters(client: Any) -> None:
    for name in ("default", *(_cluster(number) for number in range(CLUSTERS))):
        client.create_cluster(clusterName=name)


def _cluster(number: int) -> str:
    return f"bench-{number % CLUSTERS}"


def _client(url: str, service: str = "ecs") -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="bench",
    )


def _definition(family: str) -> dict[str, object]:
    container = {
        "name": "web",
        "image": "busybox:1",
        "cpu": 10,
        "memory": 16,
        "essential": True,
        "command": ["httpd", "-f"],
        "environment": [{"name": "A", "value": "1"}],
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
    }
    return {"family": family, "containerDefinitions": [container]}


async def _prepare_homeport(url: str) -> list[str]:
    """Register an instance whose agent is connected but starts nothing; run ten tasks on it."""
    client = _client(url)
    _create_clusters(client)
    client.register_task_definition(**_definition("bench"))
    arn = client.register_container_instance(
        cluster="default",
        totalResources=[
            {"name": "CPU", "type": "INTEGER", "integerValue": 4096},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 8192},
        ],
    )["containerInstance"]["containerInstanceArn"]
    query = f"clusterArn=default&containerInstanceArn={arn}&agentVersion=1.0.0&seqNum=1"
    socket = await connect(f"{url.replace('http', 'ws', 1)}/acs/ws?{query}")
    try:
        await asyncio.wait_for(socket.recv(), 10)  # the first frame follows the connect's commit
        ran = await asyncio.to_thread(
            lambda: client.run_task(taskDefinition="bench", count=TASKS_DESCRIBED)
        )
    finally:
        await socket.close()
    return [task["taskArn"] for task in ran["tasks"]]


async def _prepare_moto(url: str) -> list[str]:
    """Run ten tasks in the way that moto can: on Fargate, for ever RUNNING."""
    client = _client(url)
    subnets = _client(url, "ec2").describe_subnets()["Subnets"]
    _create_clusters(client)
    client.register_task_definition(**_definition("bench"))
    network = {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}
    ran = client.run_task(
        taskDefinition="bench",
        count=TASKS_DESCRIBED,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    return [task["taskArn"] for task in ran["tasks"]]


class _Load(NamedTuple):
    operation: str
    connections: int
    seconds: float
    round: int = 0


async def _measure(server: _Server, load: _Load, progress: Callable[[str], None]) -> Measured:
    host, run = server.url.partition("//")[2], f"{load.connections}-{load.round}"
    calls = _calls(host, load.operation, server.tasks, run)
    before_s = cpu_seconds([server.pid])
    result = await asyncio.to_thread(
        run_load, server.url, calls, connections=load.connections, seconds=load.seconds
    )
    measured = Measured(load=result, server_cpu_s=cpu_seconds([server.pid]) - before_s)
    progress(
        f"{server.name}: {load.operation} at {load.connections}: "
        f"{result.calls_per_second:,.0f}/s, "
        f"{measured.cpu_us_per_call:,.0f} µs of processor time a call, "
        f"the client's {result.client_us_per_call:,.0f} µs"
        + (f", {result.failures} failures" if result.failures else "")
    )
    return measured


def _calls(
    host: str, operation: str, tasks: list[str], run: str
) -> Callable[[int], Iterator[bytes]]:
    def bodies(number: int) -> Iterator[dict[str, object]]:
        for index in itertools.count():
            if operation == "DescribeClusters":
                yield {"clusters": ["default"]}
            elif operation == "DescribeTasks":
                yield {"cluster": "default", "tasks": tasks}
            elif operation == "RegisterTaskDefinition":
                yield _definition(f"bench-{run}-{number}")
            else:
                yield {
                    "cluster": _cluster(index),
                    "serviceName": f"bench-{run}-{number}-{index}",
                    "taskDefinition": "bench",
                    "desiredCount": 0,
                }

    def calls(number: int) -> Iterator[bytes]:
        for body in bodies(number):
            yield make_request(host, operation, msgspec.json.encode(body))

    return calls
