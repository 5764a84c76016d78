"""Calls a second for four operations, beside moto's server: the same load, one after the other."""

import asyncio
import contextlib
import importlib.util
import itertools
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import boto3
import msgspec
from websockets.asyncio.client import connect

from homeport.bench.http_load import LoadResult, make_request, run_load
from homeport.bench.processes import running, running_server

CONNECTIONS = (1, 16)
DEFAULT_SECONDS = 4.0
TASKS_DESCRIBED = 10
OPERATIONS = (
    "DescribeClusters",
    "DescribeTasks",
    "RegisterTaskDefinition",
    "CreateService",
)


class ApiMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One operation at one number of connections; `moto` is None when moto isn't installed."""

    operation: str
    connections: int
    homeport: LoadResult
    moto: LoadResult | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as many calls as moto."""
        if self.moto is None or not self.moto.calls:
            return None
        return self.homeport.calls_per_second / self.moto.calls_per_second


async def measure_api(seconds: float, progress: Callable[[str], None]) -> list[ApiMeasurement]:
    """Measure each operation at 1 and 16 connections, Homeport with SQLite on disk, then moto."""
    with (
        tempfile.TemporaryDirectory(prefix="homeport-bench-") as folder,
        running_server("--data-dir", folder) as (_, url),
    ):
        ours = await _measure_server(
            url, seconds=seconds, progress=progress, name="homeport", prepare=_prepare_homeport
        )
    theirs: dict[tuple[str, int], LoadResult] = {}
    if importlib.util.find_spec("moto") is None:
        progress("moto isn't installed: run `make bench`, which installs it")
    else:
        with _moto() as url:
            theirs = await _measure_server(
                url, seconds=seconds, progress=progress, name="moto", prepare=_prepare_moto
            )
    return [
        ApiMeasurement(
            operation=operation,
            connections=connections,
            homeport=result,
            moto=theirs.get((operation, connections)),
        )
        for (operation, connections), result in ours.items()
    ]


@contextlib.contextmanager
def _moto() -> Iterator[str]:
    port = 25_000 + sys.hexversion % 97
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, r"Running on http"):
        yield f"http://127.0.0.1:{port}"


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
    client.create_cluster(clusterName="default")
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
    client.create_cluster(clusterName="default")
    client.register_task_definition(**_definition("bench"))
    network = {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}
    ran = client.run_task(
        taskDefinition="bench",
        count=TASKS_DESCRIBED,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    return [task["taskArn"] for task in ran["tasks"]]


async def _measure_server(
    url: str,
    *,
    seconds: float,
    progress: Callable[[str], None],
    name: str,
    prepare: Callable[[str], Awaitable[list[str]]],
) -> dict[tuple[str, int], LoadResult]:
    tasks = await prepare(url)
    results: dict[tuple[str, int], LoadResult] = {}
    for operation, connections in itertools.product(OPERATIONS, CONNECTIONS):
        calls = _calls(url.partition("//")[2], operation, tasks, f"{connections}")
        result = await run_load(url, calls, connections=connections, seconds=seconds)
        progress(
            f"{name}: {operation} at {connections}: {result.calls_per_second:,.0f}/s"
            + (f", {result.failures} failures" if result.failures else "")
        )
        results[operation, connections] = result
    return results


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
                    "cluster": "default",
                    "serviceName": f"bench-{run}-{number}-{index}",
                    "taskDefinition": "bench",
                    "desiredCount": 0,
                }

    def calls(number: int) -> Iterator[bytes]:
        for body in bodies(number):
            yield make_request(host, operation, msgspec.json.encode(body))

    return calls
