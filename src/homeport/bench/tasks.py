"""How fast tasks start and heal on real containers, beside plain Docker on the same Engine."""

import asyncio
import statistics
import time
from collections.abc import Callable

import aiodocker
import msgspec

from homeport.bench.engine_peer import docker_run_seconds, remove_containers, start_containers
from homeport.bench.local_cluster import (
    CALM_POLL_S,
    EcsCalls,
    running_homeport,
    until,
    web_container,
)
from homeport.bench.processes import command_line_of, cpu_seconds, family_of, resident_mib
from homeport.bench.swarm_peer import swarm, swarm_service_seconds

START_ROUNDS = 15
HEAL_ROUNDS = 9
SERVICE_TASKS = 50
SERVICE_ROUNDS = 3
IDLE_TASKS = 10
IDLE_S = 40.0


class TaskMeasurements(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of the issue that need real containers; seconds unless the name says else."""

    docker_run_s: float
    run_task_s: float
    engine_service_s: float
    swarm_service_s: float | None
    service_s: float
    service_cpu_s: float
    heal_s: float
    idle_cpu_percent: float
    server_mib: float


async def measure_tasks(
    docker: aiodocker.Docker, folder: str, progress: Callable[[str], None]
) -> TaskMeasurements:
    """Take all measurements on real containers, one after the other, in one run."""
    async with running_homeport(folder) as (pid, calls):
        web = web_container()
        await calls("RegisterTaskDefinition", family="bench", containerDefinitions=[web])
        runs, tasks = [], []
        for _ in range(START_ROUNDS):
            runs.append(await asyncio.to_thread(docker_run_seconds))
            tasks.append(await _run_task_seconds(calls))
        await remove_containers(docker)
        progress(
            f"docker run -d {statistics.median(runs) * 1e3:.0f} ms, "
            f"RunTask to RUNNING {statistics.median(tasks) * 1e3:.0f} ms"
        )
        fifty = await _fifty_in_turns(docker, calls, pid, progress)
        await _service_seconds(calls, "idle", IDLE_TASKS)
        idle_percent, server_mib = await _idle(pid)
        progress(f"idle: {idle_percent:.2f} % of a core, server {server_mib:.0f} MiB")
        heals = [await _heal_seconds(docker, calls, "idle") for _ in range(HEAL_ROUNDS)]
        progress(f"a killed container's replacement: {statistics.median(heals):.3f} s")
        await calls.delete_service("idle")
    swarm_s = await _swarm_seconds(docker)
    if swarm_s is not None:
        progress(f"a Swarm service of {SERVICE_TASKS}: {swarm_s:.2f} s")
    return TaskMeasurements(
        docker_run_s=statistics.median(runs),
        run_task_s=statistics.median(tasks),
        engine_service_s=statistics.mean(fifty.engine_runs_s),
        swarm_service_s=swarm_s,
        service_s=statistics.mean(fifty.service_runs_s),
        service_cpu_s=fifty.own_cpu_s,
        heal_s=statistics.median(heals),
        idle_cpu_percent=idle_percent,
        server_mib=server_mib,
    )


class _Fifty(msgspec.Struct, frozen=True):
    """The same containers by plain Engine calls and by a service, in turns; seconds."""

    engine_runs_s: list[float]
    service_runs_s: list[float]
    own_cpu_s: float  # of server, agents and `up` for one service


async def _fifty_in_turns(
    docker: aiodocker.Docker, calls: EcsCalls, pid: int, progress: Callable[[str], None]
) -> _Fifty:
    """Take turns: the Engine's own pace differs by a fifth from one minute to the next."""
    engine_runs, service_runs = [await _engine_seconds(docker)], []
    own_cpu_s = 0.0
    for number in range(SERVICE_ROUNDS):
        family = family_of(pid)
        before_s = cpu_seconds(family)
        service_runs.append(await _service_seconds(calls, f"fifty-{number}", SERVICE_TASKS))
        own_cpu_s += (cpu_seconds(family) - before_s) / SERVICE_ROUNDS
        await calls.delete_service(f"fifty-{number}")
        engine_runs.append(await _engine_seconds(docker))
        progress(
            f"a service of {SERVICE_TASKS}: {service_runs[-1]:.2f} s; "
            f"by Engine calls before and after: {engine_runs[-2]:.2f} s, {engine_runs[-1]:.2f} s"
        )
    progress(f"Homeport's own processor time: {own_cpu_s / SERVICE_TASKS * 1e3:.1f} ms a task")
    return _Fifty(engine_runs, service_runs, own_cpu_s)


async def _engine_seconds(docker: aiodocker.Docker) -> float:
    took = await start_containers(docker, SERVICE_TASKS)
    await remove_containers(docker)
    return took


async def _swarm_seconds(docker: aiodocker.Docker) -> float | None:
    async with swarm(docker) as is_usable:
        return await swarm_service_seconds(docker, SERVICE_TASKS) if is_usable else None


async def _run_task_seconds(calls: EcsCalls) -> float:
    begun = time.perf_counter()
    arn = (await calls("RunTask", taskDefinition="bench"))["tasks"][0]["taskArn"]

    async def has(status: str) -> bool:
        tasks = (await calls("DescribeTasks", tasks=[arn]))["tasks"]
        return bool(tasks[0]["lastStatus"] == status)

    await until(lambda: has("RUNNING"), "a task to be RUNNING")
    took = time.perf_counter() - begun
    await calls("StopTask", task=arn)
    await until(lambda: has("STOPPED"), "a task to be STOPPED")
    return took


async def _service_seconds(calls: EcsCalls, name: str, count: int) -> float:
    begun = time.perf_counter()
    await calls("CreateService", serviceName=name, taskDefinition="bench", desiredCount=count)

    async def all_run() -> bool:
        return bool((await calls.describe_service(name))["runningCount"] >= count)

    await until(all_run, f"{count} tasks to be RUNNING", CALM_POLL_S)
    return time.perf_counter() - begun


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

    await until(replaced, "a replacement to be RUNNING")
    return time.perf_counter() - begun


async def _idle(pid: int) -> tuple[float, float]:
    """Return the CPU of server and agents in percent of a core, and the server's memory."""
    family = family_of(pid)
    before = cpu_seconds(family)
    await asyncio.sleep(IDLE_S)  # the span that is measured, not a wait for an event
    used = cpu_seconds(family) - before
    server = next(p for p in family if " server" in command_line_of(p))
    return 100 * used / IDLE_S, resident_mib(server)
