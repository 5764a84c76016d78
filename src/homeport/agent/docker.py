"""The Docker Engine, as the agent uses it: few calls, and errors in the ECS agent's words.

A thin driver over aiodocker; it keeps no state of tasks and decides nothing. Not here: what a
container's settings are (`container_spec`), the event stream (`docker_events`).
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.volumes import DockerVolume

from homeport.agent import container_spec, docker_network, ports, task_network
from homeport.agent.settings import AgentStartError
from homeport.agent.stimuli import FoundContainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from homeport.agent.container_spec import InstanceFacts
    from homeport.agent.settings import AgentSettings
    from homeport.agent.task_state import Binding, TaskState
    from homeport.wire.agent_messages import payload

ENGINE_UNREACHABLE_STATUS: Final = 900
"""aiodocker's status for "no connection at all"."""

CONNECT_TIMEOUT_S: Final = 5
QUICK_CALL_TIMEOUT_S: Final = 30
"""For calls that only read; pull, create, start and stop have time-outs of their own."""

STOP_GRACE_S: Final = 30
"""How much longer than the container's stop time-out the Engine may take to stop it."""

CONCURRENT_INSPECTS: Final = 8
REUSING_BEHAVIORS: Final = ("prefer-cached", "once")
"""Pull behaviours that ask no registry for an image that is here already."""

OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"
NOT_FOUND: Final = 404
CONFLICT: Final = 409


class EngineUnavailable(Exception):
    """The Engine doesn't answer: nothing is known about what was asked of it."""


class EngineRefusal(Exception):
    """The Engine refused; the text is a container's reason, `<ErrorName>: <message>`."""


class Engine:
    """One connection pool to one Docker Engine, and what is asked of it."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        timeout = aiohttp.ClientTimeout(connect=CONNECT_TIMEOUT_S)
        self._docker = Docker(url=settings.docker_host, timeout=timeout)
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._making = asyncio.Lock()  # two tasks at once would both make their network
        self.on_pulled: Callable[[str], None] = lambda _image: None

    @property
    def docker(self) -> Docker:
        """The client, for the event stream and statistics."""
        return self._docker

    async def close(self) -> None:
        """Close the connections."""
        for pull in list(self._pulls.values()):
            pull.cancel()
        await asyncio.gather(*self._pulls.values(), return_exceptions=True)
        await self._docker.close()

    async def read_info(self) -> dict[str, Any]:
        """The Engine's description of itself: version, CPUs, memory, drivers."""
        async with _translated("CannotInspectEngineError", QUICK_CALL_TIMEOUT_S):
            return dict(await self._docker.system.info())

    async def pull_image(self, image: str) -> str:
        """Make an image available as the pull behaviour says; answers its repository digest."""
        if image == task_network.PAUSE_IMAGE:
            return await self._ensure_pause_image()
        behavior = self._settings.image_pull_behavior
        cached = await self._find_image(image)
        if behavior in REUSING_BEHAVIORS and cached is not None:
            return cached
        try:
            await self._pull_shared(image)
        except EngineRefusal:
            if behavior == "default" and cached is not None:
                return cached
            raise
        return await self._find_image(image) or ""

    async def create_container(
        self, state: TaskState, container: payload.Container, facts: InstanceFacts
    ) -> str:
        """Create a container and the volumes it mounts; answers its runtime id.

        Asked again after a lost answer, it finds the container that the first call made.
        """
        await self._ensure_volumes(container_spec.list_volumes(state.task, container))
        if container.name == task_network.PAUSE_NAME:
            await self._ensure_network(state.task)
        name = container_spec.name_container(state.task, container.name)
        try:
            host_ranges = find_host_ranges(container, facts.bind_address)
            config = container_spec.make_engine_config(state, container, facts, host_ranges)
        except ValueError as error:
            raise EngineRefusal(f"CannotCreateContainerError: {error}") from error
        timeout_s = self._settings.container_create_timeout_s
        try:
            async with _translated("CannotCreateContainerError", timeout_s, "created"):
                return (await self._docker.containers.create(config, name=name)).id
        except EngineConflict as conflict:
            return await self._find_own(name, facts, conflict)

    async def start_container(self, runtime_id: str) -> None:
        """Start a created (or stopped) container; started already is fine."""
        timeout_s = self._settings.container_start_timeout_s
        async with _translated("CannotStartContainerError", timeout_s, "started"):
            await self._docker.containers.container(runtime_id).start()

    async def read_bindings(
        self, runtime_id: str, container: payload.Container, network_mode: str, bind_address: str
    ) -> tuple[Binding, ...]:
        """The ports of a started container; asks the Engine only when it chose them."""
        engine_ports: dict[str, Any] = {}
        if ports.is_inspect_needed(container, network_mode):
            shown = await self.inspect_container(runtime_id)
            engine_ports = (shown or {}).get("NetworkSettings", {}).get("Ports") or {}
        return ports.list_bindings(container, network_mode, bind_address, engine_ports)

    async def inspect_container(self, runtime_id: str) -> dict[str, Any] | None:
        """A container as the Engine sees it, or None if there is none."""
        try:
            async with _translated("CannotInspectContainerError", QUICK_CALL_TIMEOUT_S):
                return await self._docker.containers.container(runtime_id).show()
        except EngineMissing:
            return None

    async def stop_container(self, runtime_id: str, timeout_s: int) -> None:
        """Send the stop signal, SIGKILL after the time-out; stopped or gone already is fine."""
        limit_s = timeout_s + STOP_GRACE_S
        try:
            async with _translated("CannotStopContainerError", limit_s, "stopped"):
                await self._docker.containers.container(runtime_id).stop(t=timeout_s)
        except EngineMissing:
            return

    async def remove_container(self, runtime_id: str) -> None:
        """Remove a container with its anonymous volumes, whatever its state; gone is fine."""
        try:
            async with _translated("CannotRemoveContainerError", QUICK_CALL_TIMEOUT_S):
                await self._docker.containers.container(runtime_id).delete(force=True, v=True)
        except (EngineMissing, EngineConflict):
            # A conflict says that its removal is already under way.
            return

    async def remove_image(self, image: str) -> None:
        """Remove an image that no container uses; gone already is fine."""
        try:
            async with _translated("CannotRemoveImageError", QUICK_CALL_TIMEOUT_S):
                await self._docker.images.delete(image)
        except EngineMissing:
            return

    async def remove_volume(self, name: str) -> None:
        """Remove a volume; gone already is fine."""
        try:
            async with _translated("CannotRemoveVolumeError", QUICK_CALL_TIMEOUT_S):
                await DockerVolume(self._docker, name).delete()  # type: ignore[no-untyped-call]
        except EngineMissing:
            return

    async def find_bridge_gateway(self) -> str | None:
        """The host's address on the default bridge network, or None without such a network."""
        try:
            async with _translated("CannotInspectNetworkError", QUICK_CALL_TIMEOUT_S):
                network = await self._docker.networks.get("bridge")
                shown = await network.show()
        except EngineMissing:
            return None
        for config in (shown.get("IPAM") or {}).get("Config") or []:
            gateway = str(config.get("Gateway") or "")
            if gateway and ":" not in gateway:
                return gateway
        return None

    async def read_stats(self, runtime_id: str) -> dict[str, Any] | None:
        """A container's statistics with those of a second before, or None if it doesn't run."""
        try:
            async with _translated("CannotInspectContainerError", QUICK_CALL_TIMEOUT_S):
                found = await self._docker.containers.container(runtime_id).stats(stream=False)
        except EngineMissing:
            return None
        return dict(found[0]) if found else None

    async def list_own(self, container_instance_arn: str) -> list[str]:
        """Ids of all containers, running or not, that carry this instance's label."""
        label = f"{container_spec.INSTANCE_LABEL}={container_instance_arn}"
        async with _translated("CannotListContainersError", QUICK_CALL_TIMEOUT_S):
            found = await self._docker.containers.list(
                all=True, filters=json.dumps({"label": [label]})
            )
        return [container.id for container in found]

    async def survey(
        self, container_instance_arn: str, definitions: dict[str, TaskState], bind_address: str
    ) -> tuple[FoundContainer, ...]:
        """Every container of this instance with its state, exit code, health and ports."""
        gate = asyncio.Semaphore(CONCURRENT_INSPECTS)

        async def look(runtime_id: str) -> FoundContainer | None:
            async with gate:
                shown = await self.inspect_container(runtime_id)
            return None if shown is None else describe(shown, definitions, bind_address)

        listed = await self.list_own(container_instance_arn)
        found = await asyncio.gather(*(look(runtime_id) for runtime_id in listed))
        return tuple(container for container in found if container is not None)

    async def _find_image(self, image: str) -> str | None:
        """The digest of an image that is present ("" if it has none), or None."""
        try:
            async with _translated("CannotPullContainerError", QUICK_CALL_TIMEOUT_S):
                shown = await self._docker.images.inspect(image)
        except EngineMissing:
            return None
        digests = shown.get("RepoDigests") or [""]
        return str(digests[0]).rpartition("@")[2]

    async def _pull_shared(self, image: str) -> None:
        """Pull an image once for all that ask for it at the same time."""
        pull = self._pulls.get(image)
        if pull is None:
            pull = asyncio.create_task(self._pull(image))
            self._pulls[image] = pull
            pull.add_done_callback(lambda done: self._end_pull(image, done))
        # One container's cancelled pull must not take the others' with it.
        await asyncio.shield(pull)

    def _end_pull(self, image: str, pull: asyncio.Task[None]) -> None:
        self._pulls.pop(image, None)
        if not pull.cancelled():
            # Whoever waited has been told; if nobody waits any more, nobody minds.
            pull.exception()

    async def _pull(self, image: str) -> None:
        timeout_s = self._settings.image_pull_timeout_s
        try:
            async with _translated("CannotPullContainerError", timeout_s, "pulled"):
                async for _progress in self._docker.images.pull(image, stream=True):
                    pass
            self.on_pulled(image)
        except EngineMissing as error:
            raise EngineRefusal(str(error)) from error

    async def _ensure_volumes(self, volumes: Iterable[container_spec.VolumeSpec]) -> None:
        for volume in volumes:
            try:
                async with _translated("CannotCreateVolumeError", QUICK_CALL_TIMEOUT_S):
                    if volume.may_create:
                        await self._docker.volumes.create(  # type: ignore[no-untyped-call]
                            _volume_body(volume)
                        )
                    else:
                        await self._docker.volumes.get(  # type: ignore[no-untyped-call]
                            volume.name
                        )
            except EngineMissing as error:
                raise EngineRefusal(
                    f"CannotCreateVolumeError: shared volume {volume.name} doesn't exist and"
                    " autoprovision is off"
                ) from error

    async def _ensure_pause_image(self) -> str:
        async with self._making:
            found = await self._find_image(task_network.PAUSE_IMAGE)
            if found is not None:
                return found
            async with _translated("CannotPullContainerError", QUICK_CALL_TIMEOUT_S):
                try:
                    await docker_network.load_pause_image(self._docker, task_network.PAUSE_IMAGE)
                except ValueError as error:
                    raise EngineRefusal(f"CannotPullContainerError: {error}") from error
            return ""

    async def _ensure_network(self, task: payload.Task) -> None:
        network = task_network.find_network(task)
        if network is None:
            return
        async with self._making:
            try:
                async with _translated("CannotCreateContainerError", QUICK_CALL_TIMEOUT_S):
                    await self._docker.networks.get(network.name)
            except EngineMissing:
                async with _translated("CannotCreateContainerError", QUICK_CALL_TIMEOUT_S):
                    await docker_network.create_network(self._docker, network)

    async def _find_own(self, name: str, facts: InstanceFacts, conflict: EngineConflict) -> str:
        """The container that already has the name, provided that it is this instance's."""
        shown = await self.inspect_container(name) or {}
        labels = shown.get("Config", {}).get("Labels") or {}
        if labels.get(container_spec.INSTANCE_LABEL) != facts.container_instance_arn:
            raise EngineRefusal(str(conflict)) from conflict
        return str(shown["Id"])


class EngineMissing(EngineRefusal):
    """What was named doesn't exist."""


class EngineTimeout(EngineRefusal):
    """The Engine took too long; what was asked may still come about."""


class EngineConflict(EngineRefusal):
    """The name is taken, or something else is being done to it."""


class _translated:
    """Bound a block in time and turn the Engine's errors into the ECS agent's words."""

    def __init__(self, error_name: str, timeout_s: float, goal: str = "") -> None:
        self._error_name, self._timeout_s, self._goal = error_name, timeout_s, goal
        self._timeout = asyncio.timeout(timeout_s)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._time_out() from error
        translated = self._translate(error)
        if translated is not None:
            raise translated from error

    def _time_out(self) -> Exception:
        if not self._goal:
            return EngineUnavailable(f"Docker didn't answer within {self._timeout_s:g} s")
        return EngineTimeout(
            f"DockerTimeoutError: Could not transition to {self._goal}; timed out after waiting"
            f" {self._timeout_s:g}s"
        )

    def _translate(self, error: BaseException | None) -> Exception | None:
        if isinstance(error, DockerError):
            if error.status == ENGINE_UNREACHABLE_STATUS:
                return EngineUnavailable(error.message)
            text = f"{self._error_name}: Error response from daemon: {error.message.strip()}"
            kinds = {NOT_FOUND: EngineMissing, CONFLICT: EngineConflict}
            return kinds.get(error.status, EngineRefusal)(text)
        if isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
            return EngineUnavailable(f"lost the connection to Docker: {error!r}")
        return None


def describe(
    shown: dict[str, Any], definitions: dict[str, TaskState], bind_address: str
) -> FoundContainer:
    """An inspected container in the agent's terms; unknown tasks have no port definitions."""
    labels = shown.get("Config", {}).get("Labels") or {}
    run = shown.get("State") or {}
    task_arn = labels.get(container_spec.TASK_LABEL, "")
    name = labels.get(container_spec.CONTAINER_LABEL, "")
    task = definitions.get(task_arn)
    bindings: tuple[Binding, ...] = ()
    if task is not None and task.container(name) is not None:
        engine_ports = shown.get("NetworkSettings", {}).get("Ports") or {}
        bindings = ports.list_bindings(
            task.definition(name), task.task.network_mode, bind_address, engine_ports
        )
    return FoundContainer(
        task_arn=task_arn,
        container_name=name,
        runtime_id=str(shown["Id"]),
        status=str(run.get("Status", "")),
        exit_code=run.get("ExitCode"),
        reason=read_reason(run),
        health=read_health((run.get("Health") or {}).get("Status", "")),
        bindings=bindings,
    )


def read_reason(run: dict[str, Any]) -> str:
    """Why an inspected container ended, as far as the Engine knows."""
    if run.get("OOMKilled"):
        return OUT_OF_MEMORY
    error = str(run.get("Error") or "")
    return f"CannotStartContainerError: {error}" if error else ""


def read_health(docker_health: str) -> str:
    """Docker's health in ECS's words; starting and none are UNKNOWN."""
    return {"healthy": "HEALTHY", "unhealthy": "UNHEALTHY"}.get(docker_health, "UNKNOWN")


def find_host_ranges(container: payload.Container, bind_address: str) -> ports.HostRanges:
    """Find as many free host ports in a row as each container port range needs."""
    found: ports.HostRanges = {}
    next_port = ports.DYNAMIC_PORT_FIRST
    for wanted in ports.list_ranges(container):
        next_port = _find_free_row(wanted, bind_address, next_port)
        found[wanted] = next_port
        next_port += wanted.size
    return found


def _find_free_row(wanted: ports.RangeWanted, bind_address: str, start: int) -> int:
    first, port = start, start
    while port < first + wanted.size:
        if first + wanted.size - 1 > ports.DYNAMIC_PORT_LAST:
            raise ValueError(
                f"no {wanted.size} free {wanted.protocol} host ports in a row for"
                f" containerPortRange {wanted.container_port_range}"
            )
        if _is_free(bind_address, port, wanted.protocol):
            port += 1
        else:
            first = port = port + 1
    return first


def _is_free(address: str, port: int, protocol: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _volume_body(volume: container_spec.VolumeSpec) -> dict[str, Any]:
    return {
        "Name": volume.name,
        "Driver": volume.driver,
        "DriverOpts": volume.driver_opts,
        "Labels": volume.labels,
    }


async def check_engine(engine: Engine, docker_host: str) -> dict[str, Any]:
    """The Engine's info at start; raises AgentStartError with what to do when it can't be had."""
    try:
        return await engine.read_info()
    except (EngineUnavailable, EngineRefusal) as error:
        text = str(error)
        if "Permission denied" in text or "PermissionError" in text:
            raise AgentStartError(
                f"no permission to use Docker at {docker_host}: run as root, or add your user to"
                " the docker group and log in again"
            ) from error
        raise AgentStartError(
            f"no Docker Engine answers at {docker_host}: start it (systemctl start docker, or"
            f" dockerd), or set DOCKER_HOST to where it is ({text})"
        ) from error
