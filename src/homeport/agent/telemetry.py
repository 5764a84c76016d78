"""The agent's side of TCS: metrics every 20 s, health on change, the container runtime's state.

Sampling costs one Engine call per container and interval, 20 to 40 ms of the Engine's processor
time, so it waits while containers are being started or stopped; a rate is counted over the time
that has really passed. Not here: how a sample becomes a metric (`metrics`), connecting (`sockets`).
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from homeport.agent.metrics import Sample, make_metric, read_sample
from homeport.agent.sockets import Ending, describe_agent, make_url, read_refusal
from homeport.agent.task_network import PAUSE_NAME
from homeport.agent.task_state import ContainerState, Phase, TaskState
from homeport.wire.agent_messages import tcs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiodocker import Docker

    from homeport.agent.engine_watch import EngineWatch
    from homeport.agent.runner import Runner
    from homeport.agent.sockets import Identity, Socket
    from homeport.api import ecs

LOG: Final = logging.getLogger("homeport.agent")

METRICS_INTERVAL_S: Final = 20.0
"""docs.aws.amazon.com/AmazonECS/latest/developerguide/cloudwatch-metrics.html"""

TASKS_PER_MESSAGE: Final = 10
CONCURRENT_SAMPLES: Final = 4
SAMPLE_TIMEOUT_S: Final = 10
HTTP_OK: Final = 200
RUNTIME_CHECK: Final = "ContainerRuntime"


class Telemetry:
    """Publishes on one socket after another what the machine and the Engine know."""

    def __init__(
        self, *, docker: Docker, runner: Runner, watch: EngineWatch, identity: Identity
    ) -> None:
        self._docker = docker
        self._runner = runner
        self._watch = watch
        self._identity = identity
        self._samples: dict[str, Sample] = {}
        self._news = asyncio.Event()
        self._are_metrics_due = False
        self._is_health_new = False
        self._is_status_new = False
        runner.on_health = self._note_health
        watch.on_change = self._note_status

    def find_url(self, endpoints: ecs.DiscoverPollEndpointResponse) -> str:
        """Where to connect, with who we are."""
        query = {
            **describe_agent(),
            "cluster": self._identity.cluster,
            "containerInstance": self._identity.container_instance_arn,
            "dockerVersion": self._identity.docker_version,
        }
        return make_url(endpoints.telemetry_endpoint, query)

    async def serve(self, socket: Socket) -> Ending:
        """Publish until the connection ends; answers are read and need no reply."""
        async with asyncio.TaskGroup() as parts:
            publishing = parts.create_task(self._publish(socket))
            ticking = parts.create_task(self._tick())
            try:
                return await self._listen(socket)
            except (aiohttp.ClientError, ConnectionError) as error:
                LOG.debug("telemetry: %r", error)
                return Ending.BROKEN
            finally:
                publishing.cancel()
                ticking.cancel()

    async def _listen(self, socket: Socket) -> Ending:
        while True:
            message = await socket.receive()
            if isinstance(message, Ending):
                return message
            ending = read_refusal(message)
            if ending is not None:
                return ending
            if isinstance(message, tcs.StopTelemetrySessionMessage):
                return Ending.BROKEN

    def _note_health(self) -> None:
        self._is_health_new = True
        self._news.set()

    def _note_status(self) -> None:
        self._is_status_new = True
        self._news.set()

    def _note_all(self) -> None:
        self._are_metrics_due = self._is_health_new = self._is_status_new = True
        self._news.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(METRICS_INTERVAL_S)
            await self._runner.steps_first.wait()
            self._note_all()

    async def _publish(self, socket: Socket) -> None:
        """Everything at once after connecting and at each interval; changes in between."""
        self._note_all()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if self._are_metrics_due:
                    await self._publish_metrics(socket)
                if self._is_health_new:
                    await self._publish_health(socket)
                if self._is_status_new:
                    await self._publish_status(socket)
        except (aiohttp.ClientError, ConnectionError) as error:
            LOG.debug("telemetry: %r", error)

    async def _publish_metrics(self, socket: Socket) -> None:
        self._are_metrics_due = False
        running = list_measured(self._runner.machine.tasks.values())
        # While Docker is away nothing is known: neither metrics nor "idle" would be true.
        metrics = await self._sample(running) if self._watch.is_ok else []
        if not running:
            await socket.send(
                tcs.PublishMetricsRequest(
                    metadata=self._metrics_metadata(is_idle=True, is_last=True),
                    timestamp=time.time(),
                )
            )
        for chunk, is_last in _cut(metrics):
            await socket.send(
                tcs.PublishMetricsRequest(
                    metadata=self._metrics_metadata(is_idle=False, is_last=is_last),
                    task_metrics=tuple(chunk),
                    timestamp=time.time(),
                )
            )

    def _metrics_metadata(self, *, is_idle: bool, is_last: bool) -> tcs.MetricsMetadata:
        return tcs.MetricsMetadata(
            cluster=self._identity.cluster,
            container_instance=self._identity.container_instance_arn,
            message_id=str(uuid.uuid4()),
            idle=is_idle,
            fin=is_last,
        )

    async def _sample(
        self, running: list[tuple[TaskState, ContainerState]]
    ) -> list[tcs.TaskMetric]:
        gate = asyncio.Semaphore(CONCURRENT_SAMPLES)

        async def sample(runtime_id: str) -> Sample | None:
            async with gate:
                return await self._read_stats(runtime_id)

        samples = await asyncio.gather(*(sample(c.runtime_id) for _, c in running))
        by_task: dict[str, list[tcs.ContainerMetric]] = {}
        kept: dict[str, Sample] = {}
        for (state, container), now in zip(running, samples, strict=True):
            if now is None:
                continue
            kept[container.runtime_id] = now
            before = self._samples.get(container.runtime_id)
            policy = state.definition(container.name).restart_policy
            restarts = container.restart_count if policy and policy.enabled else None
            metric = make_metric(container.name, before, now, restarts)
            by_task.setdefault(state.arn, []).append(metric)
        self._samples = kept
        tasks = self._runner.machine.tasks
        return [_task_metric(tasks[arn], found) for arn, found in by_task.items() if arn in tasks]

    async def _read_stats(self, runtime_id: str) -> Sample | None:
        """One-shot statistics; None if the container or the Engine has gone meanwhile."""
        docker = self._docker
        url = f"{docker.docker_host}/{docker.api_version}/containers/{runtime_id}/stats"
        try:
            async with asyncio.timeout(SAMPLE_TIMEOUT_S):
                async with docker.session.get(
                    url, params={"stream": "false", "one-shot": "true"}
                ) as response:
                    body = await response.read()
                    if response.status != HTTP_OK:
                        return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            LOG.debug("statistics of %s: %r", runtime_id, error)
            return None
        try:
            stats = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            LOG.warning("statistics of %s can't be read: %s", runtime_id, error)
            return None
        return read_sample(stats, time.monotonic_ns())

    async def _publish_health(self, socket: Socket) -> None:
        self._is_health_new = False
        tasks = [
            h for s in self._runner.machine.tasks.values() if (h := task_health(s)) is not None
        ]
        for chunk, is_last in _cut(tasks):
            metadata = tcs.HealthMetadata(
                cluster=self._identity.cluster,
                container_instance=self._identity.container_instance_arn,
                message_id=str(uuid.uuid4()),
                fin=is_last,
            )
            await socket.send(
                tcs.PublishHealthRequest(
                    metadata=metadata, tasks=tuple(chunk), timestamp=time.time()
                )
            )

    async def _publish_status(self, socket: Socket) -> None:
        self._is_status_new = False
        now_s = time.time()
        status = tcs.InstanceStatus(
            type=RUNTIME_CHECK,
            status="OK" if self._watch.is_ok else "IMPAIRED",
            status_reason=self._watch.reason,
            last_updated=now_s,
            last_status_change=self._watch.changed_at_ms / 1000,
        )
        metadata = tcs.InstanceStatusMetadata(
            cluster=self._identity.cluster,
            container_instance=self._identity.container_instance_arn,
            request_id=str(uuid.uuid4()),
        )
        await socket.send(
            tcs.PublishInstanceStatusRequest(metadata=metadata, statuses=(status,), timestamp=now_s)
        )


def list_measured(tasks: Iterable[TaskState]) -> list[tuple[TaskState, ContainerState]]:
    """The containers whose CPU and memory are told: running ones that a task definition names."""
    return [
        (state, container)
        for state in tasks
        for container in state.containers
        if container.phase is Phase.RUNNING and container.name != PAUSE_NAME
    ]


def task_health(state: TaskState) -> tcs.TaskHealth | None:
    """The health of a running task's checked containers; None if there is none to tell."""
    checked = tuple(
        tcs.ContainerHealth(
            container_name=container.name,
            health_status=container.health,
            status_since=(container.health_since_ms or 0) / 1000,
        )
        for container in state.containers
        if container.phase is Phase.RUNNING
        and state.definition(container.name).health_check_type.lower() == "docker"
    )
    if not checked:
        return None
    return tcs.TaskHealth(
        task_arn=state.arn,
        cluster_arn=state.task.task_cluster_arn,
        task_definition_family=state.task.family,
        task_definition_version=state.task.version,
        containers=checked,
    )


def _task_metric(state: TaskState, containers: list[tcs.ContainerMetric]) -> tcs.TaskMetric:
    return tcs.TaskMetric(
        task_arn=state.arn,
        cluster_arn=state.task.task_cluster_arn,
        task_definition_family=state.task.family,
        task_definition_version=state.task.version,
        container_metrics=tuple(containers),
    )


def _cut(items: list[Any]) -> Iterator[tuple[list[Any], bool]]:
    """Chunks of a message's size, each with whether it is the last."""
    for start in range(0, len(items), TASKS_PER_MESSAGE):
        yield items[start : start + TASKS_PER_MESSAGE], start + TASKS_PER_MESSAGE >= len(items)
