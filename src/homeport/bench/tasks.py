"""How fast tasks start and heal on real containers, beside plain Docker on the same Engine."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiodocker
import msgspec

from homeport.bench.engine_peer import (
    IMAGE,
    MEMORY_MIB,
    WEB_COMMAND,
    docker_run_seconds,
    remove_containers,
    start_containers,
    swarm_service_seconds,
)
from homeport.bench.http_load import make_request
from homeport.bench.processes import (
    command_line_of,
    cpu_seconds,
    family_of,
    homeport_command,
    resident_mib,
    running,
)

POLL_S = 0.004
LIMIT_S = 180.0
START_ROUNDS = 15
HEAL_ROUNDS = 9
SERVICE_TASKS = 50
IDLE_TASKS = 10
IDLE_S = 40.0


class TaskMeasurements(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of the issue that need real containers; seconds unless the name says else."""

    docker_run_s: float
    run_task_s: float
    engine_service_s: float
    swarm_service_s: float | None
    service_s: float
    heal_s: float
    idle_cpu_percent: float
    server_mib: float


class EcsCalls:
    """The few calls that the measurements make, on one kept connection."""

    def __init__(self, url: str) -> None:
        self._host = url.partition("//")[2]
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __call__(self, operation: str, **body: object) -> dict[str, Any]:
        """Make one call; raises RuntimeError for anything but 200."""
        if self._writer is None:
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

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


@contextlib.asynccontextmanager
async def _homeport(folder: str) -> AsyncIterator[tuple[int, EcsCalls]]:
    command = homeport_command("up", "--port", "0", "--data-dir", folder)
    with running(command, r"Homeport is up at http://127\.0\.0\.1:\d+") as (process, line):
        url = next(word for word in line.split() if word.startswith("http://"))
        calls = EcsCalls(url.rstrip(".,"))
        await _wait_for_agents(calls)
        await calls(
            "RegisterTaskDefinition",
            family="bench",
            containerDefinitions=[
                {
                    "name": "web",
                    "image": IMAGE,
                    "command": WEB_COMMAND,
                    "cpu": 10,
                    "memory": MEMORY_MIB,
                    "stopTimeout": 2,
                    "portMappings": [{"containerPort": 80, "hostPort": 0}],
                }
            ],
        )
        try:
            yield process.pid, calls
        finally:
            calls.close()


async def _wait_for_agents(calls: EcsCalls) -> None:
    async def connected() -> bool:
        arns = (await calls("ListContainerInstances"))["containerInstanceArns"]
        if len(arns) < 2:
            return False
        found = await calls("DescribeContainerInstances", containerInstances=arns)
        return all(instance["agentConnected"] for instance in found["containerInstances"])

    await _until(connected, "both agents to connect")


async def _until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.perf_counter() + LIMIT_S
    while not await condition():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"waited {LIMIT_S:.0f} s for {what}")
        await asyncio.sleep(POLL_S)


async def measure_tasks(
    docker: aiodocker.Docker, folder: str, progress: Callable[[str], None]
) -> TaskMeasurements:
    """Take all measurements on real containers, one after the other, in one run."""
    engine_runs = [await _engine_seconds(docker)]
    async with _homeport(folder) as (pid, calls):
        runs, tasks = [], []
        for _ in range(START_ROUNDS):
            runs.append(await asyncio.to_thread(docker_run_seconds))
            tasks.append(await _run_task_seconds(calls))
        await remove_containers(docker)
        progress(
            f"docker run -d {statistics.median(runs) * 1e3:.0f} ms, "
            f"RunTask to RUNNING {statistics.median(tasks) * 1e3:.0f} ms"
        )
        service_runs = []
        for name in ("fifty", "fifty-again"):
            service_runs.append(await _service_seconds(calls, name, SERVICE_TASKS))
            await _delete_service(calls, name)
        service_s = statistics.mean(service_runs)
        progress(f"a service of {SERVICE_TASKS}: {service_s:.2f} s")
        await _service_seconds(calls, "idle", IDLE_TASKS)
        idle_percent, server_mib = await _idle(pid)
        progress(f"idle: {idle_percent:.2f} % of a core, server {server_mib:.0f} MiB")
        heals = [await _heal_seconds(docker, calls, "idle") for _ in range(HEAL_ROUNDS)]
        progress(f"a killed container's replacement: {statistics.median(heals):.3f} s")
        await _delete_service(calls, "idle")
    # Before and after: the Engine's own pace differs by a fifth from one minute to the next.
    engine_runs.append(await _engine_seconds(docker))
    engine_s = statistics.mean(engine_runs)
    progress(f"{SERVICE_TASKS} containers by Engine calls: {engine_s:.2f} s")
    swarm_s = await swarm_service_seconds(docker, SERVICE_TASKS)
    if swarm_s is not None:
        progress(f"a Swarm service of {SERVICE_TASKS}: {swarm_s:.2f} s")
    return TaskMeasurements(
        docker_run_s=statistics.median(runs),
        run_task_s=statistics.median(tasks),
        engine_service_s=engine_s,
        swarm_service_s=swarm_s,
        service_s=service_s,
        heal_s=statistics.median(heals),
        idle_cpu_percent=idle_percent,
        server_mib=server_mib,
    )


async def _engine_seconds(docker: aiodocker.Docker) -> float:
    took = await start_containers(docker, SERVICE_TASKS)
    await remove_containers(docker)
    return took


async def _run_task_seconds(calls: EcsCalls) -> float:
    begun = time.perf_counter()
    arn = (await calls("RunTask", taskDefinition="bench"))["tasks"][0]["taskArn"]

    async def has(status: str) -> bool:
        tasks = (await calls("DescribeTasks", tasks=[arn]))["tasks"]
        return bool(tasks[0]["lastStatus"] == status)

    await _until(lambda: has("RUNNING"), "a task to be RUNNING")
    took = time.perf_counter() - begun
    await calls("StopTask", task=arn)
    await _until(lambda: has("STOPPED"), "a task to be STOPPED")
    return took


async def _service_seconds(calls: EcsCalls, name: str, count: int) -> float:
    begun = time.perf_counter()
    await calls("CreateService", serviceName=name, taskDefinition="bench", desiredCount=count)

    async def all_run() -> bool:
        service = (await calls("DescribeServices", services=[name]))["services"][0]
        return bool(service["runningCount"] >= count)

    await _until(all_run, f"{count} tasks to be RUNNING")
    return time.perf_counter() - begun


async def _delete_service(calls: EcsCalls, name: str) -> None:
    await calls("DeleteService", service=name, force=True)

    async def gone() -> bool:
        service = (await calls("DescribeServices", services=[name]))["services"][0]
        return bool(service["status"] == "INACTIVE")

    await _until(gone, f"service {name} to be gone")


async def _heal_seconds(docker: aiodocker.Docker, calls: EcsCalls, name: str) -> float:
    async def running_arns() -> list[str]:
        arns: list[str] = (await calls("ListTasks", serviceName=name))["taskArns"]
        tasks = (await calls("DescribeTasks", tasks=arns))["tasks"]
        return [task["taskArn"] for task in tasks if task["lastStatus"] == "RUNNING"]

    before = await running_arns()
    tasks = (await calls("DescribeTasks", tasks=before[:1]))["tasks"]
    container = docker.containers.container(tasks[0]["containers"][0]["runtimeId"])
    begun = time.perf_counter()
    await container.kill(signal="SIGKILL")

    async def replaced() -> bool:
        now = await running_arns()
        return before[0] not in now and len(now) >= len(before)

    await _until(replaced, "a replacement to be RUNNING")
    return time.perf_counter() - begun


async def _idle(pid: int) -> tuple[float, float]:
    """Return the CPU of server and agents in percent of a core, and the server's memory."""
    family = family_of(pid)
    before = cpu_seconds(family)
    await asyncio.sleep(IDLE_S)  # the span that is measured, not a wait for an event
    used = cpu_seconds(family) - before
    server = next(p for p in family if " server" in command_line_of(p))
    return 100 * used / IDLE_S, resident_mib(server)
