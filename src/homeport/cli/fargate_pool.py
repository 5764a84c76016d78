"""The local pool that takes Fargate's place under `homeport up`: instances made on demand.

A cluster gets one, an agent process with the whole machine's size, when its first FARGATE task
waits for capacity, and loses it with the cluster. The pool learns of tasks by the public API, from
the stream of events. What isolates its tasks is said in docs/fargate.md.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.engine_api import EngineApi
from homeport.cli.event_feed import EventFeed
from homeport.cli.failure import CommandFailure
from homeport.cli.local_instances import MachineSize, measure_machine, setting_flags
from homeport.cli.processes import Child, start_child
from homeport.config import AgentConfig

POOL_DIR = "fargate"
PLAN_FILE_NAME = "pool.json"
AGENT_DIR = "agent"
INSTANCE_TYPE = "homeport.fargate"
# As the control plane knows them: model.capacity_provider.
FARGATE_ATTRIBUTE = "homeport.fargate"
SUBNET_ATTRIBUTE = "homeport.subnet"
SUBNETS = range(1, 255)
SUBNET = "10.213.{}.0/24"
NETWORK = "homeport-10.213.{}.0-24"
BIND_ADDRESS = "127.0.2.{}"
CLUSTERS_LIMIT = len(SUBNETS)
EVENTS_PAUSE_S = 0.2  # making an instance takes a second
TROUBLE_PAUSE_S = 1.0

T = TypeVar("T")

_TASK_CHANGE = "ECS Task State Change"
_INSTANCE_CHANGE = "ECS Container Instance State Change"


class PoolPlan(msgspec.Struct, frozen=True):
    """What an instance of the pool has to keep for as long as its cluster has it."""

    cluster: str
    subnet_number: int
    size: MachineSize


class FargatePool:
    """The pool's instances by their cluster's name."""

    def __init__(
        self,
        client: ApiClient,
        template: AgentConfig,
        folder: Path,
        show: Callable[[str], None],
    ) -> None:
        self._client = client
        self._template = template
        self._folder = folder / POOL_DIR
        self._show = show
        self._engine = EngineApi(template.docker_host)
        self._agents: dict[str, tuple[PoolPlan, Child]] = {}

    async def run(self) -> None:
        """Start and end instances as tasks and clusters come and go, until cancelled."""
        feed = EventFeed(self._client)
        await self._ask(lambda: feed.read_newest(1))
        await self._catch_up()
        while True:
            for event in await self._ask(feed.read_next):
                await self._follow(event)
            if feed.is_incomplete:
                await self._catch_up()
            # A service of 50 has 200 events: as many calls, were each asked for as it comes.
            await asyncio.sleep(EVENTS_PAUSE_S)

    async def stop(self) -> int:
        """Stop the agents; remove their containers and networks. How many containers there were."""
        agents = [*self._agents.values()]
        self._agents.clear()
        await asyncio.gather(*(child.stop() for _, child in agents))
        return sum([await self._clear(plan) for plan, _ in agents])

    async def _ask(self, ask: Callable[[], list[T]]) -> list[T]:
        """Ask the server until it answers: the containers that run don't end for its trouble.

        Whether it still runs is `up`'s to watch.
        """
        said = ""
        while True:
            try:
                return await asyncio.to_thread(ask)
            except (ApiRefusal, CommandFailure) as trouble:
                if str(trouble) != said:
                    said = str(trouble)
                    self._show(f"the pool of FARGATE instances asks again: {said}")
            await asyncio.sleep(TROUBLE_PAUSE_S)

    async def _catch_up(self) -> None:
        """Look at all clusters as they are: what happened before is in no event."""
        waiting = await self._ask(lambda: [*self._clusters_with_tasks()])
        for cluster in waiting:
            await self._begin(cluster)

    def _clusters_with_tasks(self) -> Iterator[str]:
        for arn in self._client.list_all("ListClusters", "clusterArns"):
            request = {"cluster": arn, "launchType": "FARGATE", "maxResults": 1}
            with contextlib.suppress(ApiRefusal):  # it may be gone again
                if self._client.call("ListTasks", request).get("taskArns"):
                    yield arn.rpartition("/")[2]

    async def _follow(self, event: Mapping[str, Any]) -> None:
        detail = event["detail"]
        cluster = str(detail.get("clusterArn", "")).rpartition("/")[2]
        if event["detail-type"] == _TASK_CHANGE:
            is_waiting = detail.get("lastStatus") == "PROVISIONING"
            if is_waiting and detail.get("launchType") == "FARGATE":
                await self._begin(cluster)
        elif event["detail-type"] == _INSTANCE_CHANGE and detail.get("status") == "INACTIVE":
            names = [attribute.get("name") for attribute in detail.get("attributes", ())]
            if FARGATE_ATTRIBUTE in names:
                await self._end(cluster)

    async def _begin(self, cluster: str) -> None:
        known = self._agents.get(cluster)
        if known is not None and known[1].process.returncode is None:
            return
        plan = self._plan(cluster)
        settings = self._settings(plan)
        self._show(f"making an instance for FARGATE tasks of cluster {cluster}")
        child = await start_child(
            f"fargate {cluster}", ["agent", *setting_flags(settings)], self._show
        )
        self._agents[cluster] = (plan, child)

    async def _end(self, cluster: str) -> None:
        known = self._agents.get(cluster)
        if known is None:
            return
        plan, child = known
        await child.stop()
        await self._clear(plan)
        shutil.rmtree(self._folder / cluster, ignore_errors=True)
        # Not before: what is interrupted here is done again by `stop`.
        del self._agents[cluster]

    def _plan(self, cluster: str) -> PoolPlan:
        """What the cluster's instance was before, or a plan for a new one, kept at once."""
        path = self._folder / cluster / PLAN_FILE_NAME
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(path.read_bytes(), type=PoolPlan)
        plan = PoolPlan(cluster, self._free_subnet(), measure_machine())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(plan))
        return plan

    def _free_subnet(self) -> int:
        """A subnet that neither this pool nor another one on the Engine has."""
        taken = {str(network.get("Name")) for network in self._engine.read_json("/networks")}
        own = {plan.subnet_number for plan, _ in self._agents.values()}
        for number in SUBNETS:
            if number not in own and NETWORK.format(number) not in taken:
                return number
        raise CommandFailure(
            f"all {CLUSTERS_LIMIT} subnets for FARGATE tasks are taken; remove networks that are "
            "left over: docker network prune"
        )

    def _settings(self, plan: PoolPlan) -> AgentConfig:
        number = plan.subnet_number
        return msgspec.structs.replace(
            self._template,
            cluster=plan.cluster,
            attributes={
                **self._template.attributes,
                FARGATE_ATTRIBUTE: "true",
                SUBNET_ATTRIBUTE: SUBNET.format(number),
            },
            availability_zone=f"{self._template.region}a",
            instance_type=INSTANCE_TYPE,
            cpu_units=plan.size.cpu_units,
            memory_mib=plan.size.memory_mib,
            bind_address=BIND_ADDRESS.format(number),
            data_dir=str(self._folder / plan.cluster / AGENT_DIR),
        )

    async def _clear(self, plan: PoolPlan) -> int:
        """Remove an instance's containers, and the network of its tasks."""
        from homeport.agent.main import remove_containers
        from homeport.agent.settings import make_settings

        removed = await remove_containers(make_settings(self._settings(plan)))
        network = NETWORK.format(plan.subnet_number)
        await asyncio.to_thread(self._engine.remove_network, network)
        return removed
