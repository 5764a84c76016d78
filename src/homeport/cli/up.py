"""`homeport up`: a server and N local container instances on one machine, in the foreground.

A supervisor of processes: it starts the server, then the agents, waits until they are connected,
and stops them in order. It restarts nothing: a child that ends is said aloud and ends all.
"""

import asyncio
import contextlib
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure
from homeport.cli.fargate_pool import FargatePool
from homeport.cli.local_instances import (
    INSTANCE_LIMIT,
    NAME_ATTRIBUTE,
    LocalInstance,
    keep_sizes,
    measure_machine,
    plan_instances,
    read_sizes,
    setting_flags,
)
from homeport.cli.processes import Child, start_child
from homeport.cli.settings_flags import ConfigFile, with_settings
from homeport.config import (
    AgentConfig,
    Config,
    describe_option,
    load_agent_config,
    load_config,
)

SERVER_READY_LIMIT_S = 60
AGENTS_READY_LIMIT_S = 60
AGENTS_POLL_INTERVAL_S = 0.1
# Stopped containers stay this long, for `docker logs`; on one machine they would pile up.
TASK_CLEANUP_WAIT_S = 300
LISTENING = "listening on "

_AGENT_DEFAULTS = AgentConfig(
    image_pull_behavior="prefer-cached", task_cleanup_wait_s=TASK_CLEANUP_WAIT_S
)
_SERVER_FLAGS = (
    *("host", "port", "data_dir", "ephemeral", "account_id", "region", "event_webhooks"),
    "log_level",
)


@with_settings(Config, _SERVER_FLAGS)
def up(
    *,
    instances: Annotated[
        int, typer.Option(min=1, max=INSTANCE_LIMIT, help="Local container instances to run.")
    ] = 2,
    instance_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help=describe_option(AgentConfig, "instance_type")),
    ] = None,
    config: ConfigFile = None,
    **flags: object,
) -> None:
    """Run a server and N local container instances, until Ctrl-C.

    Each instance has an agent process, an availability zone and a loopback address of its own
    (127.0.1.1, 127.0.1.2, ...). On the way out the instances' containers are removed; with a data
    folder, services start their tasks again next time.
    """
    server = load_config(flags, config_file=config)
    agents = load_agent_config(
        {"region": server.region, "instance_type": instance_type},
        config_file=config,
        defaults=_AGENT_DEFAULTS,
    )
    EngineApi(agents.docker_host).check()
    with _folder(server) as folder:
        asyncio.run(_Up(server, agents, instances, folder).run())


@contextlib.contextmanager
def _folder(server: Config) -> Iterator[Path]:
    """The data folder; for --ephemeral one that goes when the command ends."""
    if not server.ephemeral:
        yield Path(server.data_dir).absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="homeport-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Up:
    """One run of `homeport up`."""

    def __init__(self, server: Config, agents: AgentConfig, count: int, folder: Path) -> None:
        self._server_settings = server
        self._agent_settings = agents
        self._count = count
        self._folder = folder
        self._server: Child | None = None
        self._agents: list[Child] = []
        self._pool: FargatePool | None = None
        self._instances: list[LocalInstance] = []

    async def run(self) -> None:
        """Start everything, stay until told to stop or a child ends, and stop everything."""
        async with _stop_signals() as stop_wanted:
            work = asyncio.create_task(self._start_and_watch())
            stopping = asyncio.create_task(stop_wanted.wait())
            try:
                await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                stopping.cancel()
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError, CommandFailure):
                    await work
                await self._stop()

    async def _start_and_watch(self) -> None:
        settings = msgspec.structs.replace(self._server_settings, data_dir=str(self._folder))
        self._server = await start_child(
            "server", ["server", *setting_flags(settings)], _show, is_explained=True
        )
        line = await self._server.wait_line(LISTENING, timeout_s=SERVER_READY_LIMIT_S)
        endpoint = _read_endpoint(line)
        await self._start_agents(endpoint)
        client = ApiClient(endpoint, settings.region)
        described = await self._wait_connected(client)
        _show_ready(endpoint, settings, described)
        template = msgspec.structs.replace(self._agent_settings, endpoint=endpoint)
        self._pool = FargatePool(client, template, self._folder, _show)
        await self._watch_with_pool(self._pool)

    async def _watch_with_pool(self, pool: FargatePool) -> None:
        """Let the pool follow FARGATE tasks until a child ends, or the pool fails."""
        works = [asyncio.create_task(pool.run()), asyncio.create_task(self._watch())]
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for work in works:
                work.cancel()

    async def _start_agents(self, endpoint: str) -> None:
        template = msgspec.structs.replace(self._agent_settings, endpoint=endpoint)
        self._instances = plan_instances(
            self._count, template, measure_machine(), self._folder, kept=read_sizes(self._folder)
        )
        _keep_sizes(self._instances, self._folder)
        for number, instance in enumerate(self._instances, 1):
            flags = setting_flags(instance.settings)
            child = await start_child(
                f"agent {number}", ["agent", *flags], _show, is_explained=True
            )
            self._agents.append(child)

    async def _wait_connected(self, client: ApiClient) -> list[dict[str, Any]]:
        """The instances as described, once every agent is connected.

        The public API has no waiting call, so this asks, until a limit.
        """
        missing = [each.name for each in self._instances]
        ended = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(AGENTS_READY_LIMIT_S):
                while True:
                    found = await asyncio.to_thread(
                        _read_instances, client, self._agent_settings.cluster
                    )
                    connected = _connected_names(found)
                    missing = [each.name for each in self._instances if each.name not in connected]
                    if not missing:
                        return found
                    await asyncio.wait([ended], timeout=AGENTS_POLL_INTERVAL_S)
                    if ended.done():
                        ended.result()
        except TimeoutError:
            raise CommandFailure(
                f"not connected within {AGENTS_READY_LIMIT_S} s: {', '.join(missing)}; "
                "their agents' lines above say why"
            ) from None
        finally:
            ended.cancel()

    async def _watch(self) -> None:
        """Wait until a child ends, which none should: a CommandFailure says which and why."""
        children = [each for each in [self._server, *self._agents] if each is not None]
        waits = {asyncio.create_task(child.wait()): child for child in children}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise CommandFailure(waits[done.pop()].explain_end())

    async def _stop(self) -> None:
        """Agents first, so that none reports its containers lost; then containers; then server."""
        if self._server is None:
            return
        if not self._agents:
            await self._server.stop()
            return
        _show("stopping")
        await asyncio.gather(*(agent.stop() for agent in self._agents))
        try:
            removed = await self._remove_containers()
            if self._pool is not None:
                removed += await self._pool.stop()
        finally:
            await self._server.stop()
        for child in (self._server, *self._agents):
            if child.untold_error is not None:
                _show(f"{child.name:<8}| {child.untold_error}")
        _show(f"stopped; {removed} containers removed")

    async def _remove_containers(self) -> int:
        """Remove the containers of all our instances; how many there were."""
        from homeport.agent.main import remove_containers
        from homeport.agent.settings import AgentStartError, make_settings

        started = self._instances[: len(self._agents)]
        try:
            return sum([await remove_containers(make_settings(each.settings)) for each in started])
        except AgentStartError as trouble:
            raise CommandFailure(str(trouble)) from trouble


@contextlib.asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    wanted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wanted.set)
    yield wanted


def _keep_sizes(instances: Sequence[LocalInstance], folder: Path) -> None:
    try:
        keep_sizes(instances, folder)
    except OSError as trouble:
        raise CommandFailure(f"cannot write to the data folder {folder}: {trouble}") from trouble


def _read_endpoint(line: str) -> str:
    found = re.search(r"listening on (http://\S+)", line)
    if found is None:
        raise CommandFailure(f"the server's ready line cannot be read: {line}")
    return found.group(1)


def _read_instances(client: ApiClient, cluster: str) -> list[dict[str, Any]]:
    """The cluster's container instances; none while the first agent has not made the cluster."""
    in_cluster = {"cluster": cluster}
    try:
        arns = list(client.list_all("ListContainerInstances", "containerInstanceArns", in_cluster))
        return client.describe_all(
            "DescribeContainerInstances", "containerInstances", arns, request=in_cluster
        )
    except ApiRefusal as refusal:
        if refusal.code == "ClusterNotFoundException":
            return []
        raise CommandFailure(f"the server refused: {refusal}") from None


def _connected_names(found: list[dict[str, Any]]) -> set[str]:
    """Local names of the instances whose agents are connected."""
    return {
        each.get("value", "")
        for description in found
        if description.get("agentConnected") and description.get("status") == "ACTIVE"
        for each in description.get("attributes", [])
        if each["name"] == NAME_ATTRIBUTE
    }


def _show(line: str) -> None:
    print(line, flush=True)


def _show_ready(endpoint: str, settings: Config, described: Sequence[Mapping[str, Any]]) -> None:
    from homeport.cli.overview import instance_table, make_console

    console = make_console()
    console.print(instance_table(described, cluster="default"))
    console.print(f"Homeport is up at [bold]{endpoint}[/], account {settings.account_id}.")
    console.print(f"  aws --endpoint-url {endpoint} --region {settings.region} ecs list-clusters")
    console.print(f"  export AWS_ENDPOINT_URL={endpoint}")
    kept = "nothing is kept" if settings.ephemeral else f"state is kept in {settings.data_dir}"
    console.print(f"  Ctrl-C stops it and removes its containers; {kept}.")
