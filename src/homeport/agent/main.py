"""The agent's entry: register, take up what was running, stay connected until told to stop.

SIGTERM and SIGINT stop the agent and leave its containers running, as Amazon's agent does. Not
here: reading settings (`cli`, `config`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import homeport
from homeport.agent.cgroups import CgroupTrouble, TaskCgroups, find_scheme
from homeport.agent.container_spec import InstanceFacts, list_task_volumes
from homeport.agent.control_session import ControlSession
from homeport.agent.credentials import CredentialsStore
from homeport.agent.docker import Engine, EngineRefusal, EngineUnavailable, check_engine
from homeport.agent.endpoint_listeners import Listeners, open_listeners
from homeport.agent.engine_watch import EngineWatch
from homeport.agent.image_cleanup import ImageCleanup
from homeport.agent.introspection import Introspection
from homeport.agent.link import Link
from homeport.agent.metadata import InstanceNames
from homeport.agent.metadata_file import MetadataFiles
from homeport.agent.registration import ARN_FACT, refuse_other_cluster, register
from homeport.agent.reporter import Reporter
from homeport.agent.runner import Runner
from homeport.agent.settings import AgentSettings, AgentStartError
from homeport.agent.sockets import Endpoints, Identity, SocketKeeper
from homeport.agent.state_file import StateFile
from homeport.agent.task_endpoint import TaskEndpoint
from homeport.agent.task_machine import TaskMachine
from homeport.agent.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

LOG: Final = logging.getLogger("homeport.agent")

CONCURRENT_REMOVALS: Final = 8
METADATA_FOLDER: Final = "metadata"


class _Stopped(Exception):
    """Raised inside the task group to end it."""


async def run_agent(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT; raises AgentStartError with one line that says what to do."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await serve_agent(settings, stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def serve_agent(settings: AgentSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set; containers are left as they are."""
    state_file = StateFile(settings.data_dir)
    link = Link(settings)
    listeners: Listeners | None = None
    try:
        engine = _open_engine(settings)
        try:
            refuse_other_cluster(settings, state_file.read_facts())
            info = await check_engine(engine, settings.docker_host)
            listeners = await open_listeners(settings, state_file, engine)
            capabilities = () if listeners is None else listeners.capabilities
            registering = register(settings, link, state_file, info, capabilities=capabilities)
            arn = await _until_stopped(registering, stop)
            if arn is not None:
                edges = Edges(state_file, link, engine, listeners)
                await _run_parts(settings, edges, (arn, info), stop)
        finally:
            await engine.close()
    except sqlite3.Error as error:
        raise AgentStartError(
            f"can't write the agent's state to {state_file.path}: {error}; make room or repair"
            " the disk, then start the agent again: its containers keep running"
        ) from error
    finally:
        if listeners is not None:
            listeners.own.close()
        await link.close()
        state_file.close()


async def remove_containers(settings: AgentSettings) -> int:
    """Remove all of this instance's containers and its tasks' volumes; answers how many containers.

    For an instance that won't come back; its agent must have stopped before. The agent's data
    directory says which instance that is.
    """
    state_file = StateFile(settings.data_dir)
    try:
        arn = state_file.read_facts().get(ARN_FACT)
        tasks = state_file.read_tasks()
    finally:
        state_file.close()
    if arn is None:
        return 0
    engine = _open_engine(settings)
    gate = asyncio.Semaphore(CONCURRENT_REMOVALS)

    async def remove(runtime_id: str) -> None:
        async with gate:
            await engine.remove_container(runtime_id)

    try:
        found = await engine.list_own(arn)
        await asyncio.gather(*(remove(runtime_id) for runtime_id in found))
        for volume in [name for state in tasks for name in list_task_volumes(state.task)]:
            await engine.remove_volume(volume)
        if (cgroups := _find_cgroups(settings, await engine.read_info())) is not None:
            for state in tasks:
                await cgroups.remove(state.task)
    except (EngineUnavailable, EngineRefusal, CgroupTrouble) as error:
        raise AgentStartError(f"can't remove this instance's containers: {error}") from error
    finally:
        await engine.close()
    return len(found)


def _open_engine(settings: AgentSettings) -> Engine:
    try:
        return Engine(settings)
    except ValueError as error:
        raise AgentStartError(f"docker host {settings.docker_host!r}: {error}") from error


def _find_cgroups(settings: AgentSettings, info: dict[str, Any]) -> TaskCgroups | None:
    """What bounds whole tasks here; None if that is unwanted or can't be."""
    if not settings.task_cpu_mem_limit:
        return None
    scheme, why_not = find_scheme(info, settings.docker_host)
    if scheme is None:
        LOG.warning("a task's limits bound each of its containers, not their sum: %s", why_not)
        return None
    return TaskCgroups(scheme, int(info.get("NCPU") or 1))


class Edges(NamedTuple):
    """What the agent's parts reach the world by."""

    state_file: StateFile
    link: Link
    engine: Engine
    listeners: Listeners | None


async def _run_parts(
    settings: AgentSettings,
    edges: Edges,
    identity: tuple[str, dict[str, Any]],
    stop: asyncio.Event,
) -> None:
    """Wire the parts together and run them in one task group: one's bug ends all."""
    try:
        async with asyncio.TaskGroup() as tasks:
            runner = _start_parts(settings, edges, identity, tasks)
            await stop.wait()
            runner.close()
            raise _Stopped
    except BaseExceptionGroup as group:
        _, unexpected = group.split(_Stopped)
        if unexpected is None:
            LOG.info("agent stopped; its containers keep running")
            return
        # What the disk refused is explained by the caller; anything else is a bug, shown whole.
        for error in _leaves(unexpected):
            if isinstance(error, sqlite3.Error):
                raise error from unexpected
        raise


def _start_parts(
    settings: AgentSettings,
    edges: Edges,
    identity: tuple[str, dict[str, Any]],
    tasks: asyncio.TaskGroup,
) -> Runner:
    state_file, link, engine, listeners = edges
    arn, info = identity
    cgroups = _find_cgroups(settings, info)
    facts = InstanceFacts(
        cluster_name=settings.cluster.rpartition("/")[2],
        container_instance_arn=arn,
        bind_address=settings.bind_address,
        engine_cpus=int(info.get("NCPU") or 1),
        gpu_runtime=settings.nvidia_runtime
        if settings.nvidia_runtime in (info.get("Runtimes") or {})
        else "",
        task_endpoint=None if listeners is None else listeners.facts,
        metadata_folder=str((settings.data_dir / METADATA_FOLDER).absolute())
        if settings.metadata_file
        else "",
        cgroup_scheme="" if cgroups is None else cgroups.scheme,
    )
    who = Identity(
        cluster=settings.cluster,
        container_instance_arn=arn,
        docker_version=str(info.get("ServerVersion") or ""),
    )
    machine = TaskMachine(
        stop_timeout_s=settings.container_stop_timeout_s,
        cleanup_delay_s=settings.task_cleanup_wait_s,
    )
    machine.load(state_file.read_tasks())
    runner = Runner(
        settings=settings,
        facts=facts,
        machine=machine,
        engine=engine,
        state_file=state_file,
        tasks=tasks,
    )
    runner.cgroups = cgroups
    reporter = Reporter(link, state_file, tasks)
    runner.on_report = reporter.send
    for report in state_file.read_reports():
        reporter.send(report)
    watch = EngineWatch(engine, runner, facts)
    telemetry = Telemetry(docker=engine.docker, runner=runner, watch=watch, identity=who)
    credentials = CredentialsStore()
    has_roles = listeners is not None and listeners.facts.has_credentials
    control = ControlSession(runner, who, credentials, has_roles=has_roles)
    for service in _list_local_services(settings, edges, facts, runner, credentials=credentials):
        tasks.create_task(service)
    endpoints = Endpoints(link, who)
    tasks.create_task(watch.run())
    for name, session in (("acs", control), ("tcs", telemetry)):
        keeper = SocketKeeper(name=name, settings=settings, link=link, endpoints=endpoints)
        tasks.create_task(keeper.run(session.find_url, session.serve))
    LOG.info("container instance %s is up", arn)
    return runner


def _list_local_services(
    settings: AgentSettings,
    edges: Edges,
    facts: InstanceFacts,
    runner: Runner,
    *,
    credentials: CredentialsStore,
) -> Iterator[Coroutine[Any, Any, None]]:
    """What the agent does for its machine and its containers, as far as it is wanted."""
    if settings.metadata_file:
        runner.metadata_files = MetadataFiles(
            settings.data_dir / METADATA_FOLDER,
            cluster=facts.cluster_name,
            container_instance_arn=facts.container_instance_arn,
        )
    if edges.listeners is not None:
        yield TaskEndpoint(
            listeners=edges.listeners,
            machine=runner.machine,
            engine=edges.engine,
            credentials=credentials,
            link=edges.link,
            names=InstanceNames(
                cluster=facts.cluster_name, availability_zone=settings.availability_zone or ""
            ),
            container_instance_arn=facts.container_instance_arn,
        ).run()
    if settings.introspection_port:
        yield Introspection(
            machine=runner.machine,
            cluster=facts.cluster_name,
            container_instance_arn=facts.container_instance_arn,
            agent_version=homeport.__version__,
            bind_address=settings.bind_address,
            port=settings.introspection_port,
        ).run()
    if settings.image_cleanup:
        yield ImageCleanup(
            settings=settings,
            engine=edges.engine,
            machine=runner.machine,
            state_file=edges.state_file,
        ).run()


async def _until_stopped(work: Any, stop: asyncio.Event) -> Any:
    """The result of the work, or None if the stop came first."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
