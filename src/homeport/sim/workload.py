"""What a scenario's clients do: create services at the beginning, then deed by deed.

Everything goes through the public API, as any client's calls do; nothing here looks into the state.
"""

from collections.abc import Callable
from typing import Any

from homeport.api import ecs
from homeport.model.capacity_provider import FARGATE_PROVIDERS
from homeport.sim.chance import Chance
from homeport.sim.client import Client
from homeport.sim.clock import Timeline
from homeport.sim.machine import SimMachine
from homeport.sim.requests import (
    NETWORK,
    NO_NETWORK,
    make_definition_request,
    make_percents,
    make_provider_request,
    make_restaging,
    make_service_request,
    make_strategy,
)
from homeport.sim.scenario import Deed, Provider, Scenario
from homeport.sim.service_deeds import ServiceDeeds

CLUSTER = "default"
ARNS_PER_CHANGE = 10
WHOLE_PERCENT = 100.0
ACTIVATION_MS = 30_000

Replace = Callable[[str], None]
"""Puts a fresh machine in the place of the one registered under an ARN."""

Join = Callable[[int], None]
"""Adds so many machines to the fleet."""


class Workload:
    """The clients of one run."""

    def __init__(
        self,
        timeline: Timeline,
        client: Client,
        scenario: Scenario,
        *,
        chance: Chance,
        machines: list[SimMachine],
        replace: Replace,
        join: Join,
    ) -> None:
        self._timeline = timeline
        self._client = client
        self._scenario = scenario
        self._chance = chance.stream("workload")
        self._machines = machines
        self._replace = replace
        self._join = join
        self._is_over = False
        self._of_services = ServiceDeeds(client, self._chance, lambda: self._is_over)

    def begin(self) -> None:
        """Create the cluster, the task definitions and the services, and plan the deeds."""
        self._client.call(
            "CreateCluster", ecs.CreateClusterRequest(cluster_name=CLUSTER), self._register
        )
        for deed in self._scenario.deeds:
            self._plan(deed, 0)

    def end(self) -> None:
        """Do no more; draining container instances are made ACTIVE again."""
        self._is_over = True
        self._activate_all()

    def _activate_all(self) -> None:
        # Again and again: a drain that was sent long ago may still arrive.
        self._change_instances("DRAINING", "ACTIVE", None)
        self._timeline.after(ACTIVATION_MS, self._activate_all)

    def _register(self, _reply: Any) -> None:
        for name in self._scenario.tasks:
            self._client.call("RegisterTaskDefinition", self.definition(name))
        self._make_providers(list(self._scenario.providers.items()))

    def _make_providers(self, missing: list[tuple[str, Provider]]) -> None:
        """Create the capacity providers one by one, give them to the cluster, begin services."""
        if missing:
            name, provider = missing[0]
            request = make_provider_request(name, provider)

            def go_on(_answer: Any) -> None:
                # A refusal says that an earlier try has made it.
                self._make_providers(missing[1:])

            self._client.call("CreateCapacityProvider", request, go_on, go_on)
            return
        names = [*FARGATE_PROVIDERS, *self._scenario.providers]
        self._client.call(
            "PutClusterCapacityProviders",
            ecs.PutClusterCapacityProvidersRequest(
                cluster=CLUSTER, capacity_providers=names, default_capacity_provider_strategy=[]
            ),
            self._create_all,
        )

    def _create_all(self, _reply: Any) -> None:
        for name in self._scenario.services:
            self._create(name)

    def _plan(self, deed: Deed, number: int) -> None:
        at_s = deed.at_s + number * (deed.every_s or 0)
        if at_s >= self._scenario.safety_s:
            return

        def act() -> None:
            if not self._is_over:
                self._do(deed, number)
                if deed.every_s is not None:
                    self._plan(deed, number + 1)

        self._timeline.at(self._timeline.start_ms + round(at_s * 1_000), act)

    def _do(self, deed: Deed, number: int) -> None:
        match deed.do:
            case "scale":
                counts = deed.counts or (deed.count or 0,)
                self._update(deed.service, desired_count=counts[number % len(counts)])
            case "deploy":
                self._deploy(deed)
            case "redeploy":
                self._update(deed.service, force_new_deployment=True)
            case "percents" | "restage" | "controller" | "move":
                self._reconfigure(deed)
            case "create":
                self._create(deed.service or "")
            case "delete":
                request = ecs.DeleteServiceRequest(service=deed.service, force=True)
                self._client.call("DeleteService", request)
            case "run":
                self._run(deed)
            case "stop":
                self._stop(deed)
            case _:
                self._do_elsewhere(deed)

    def _do_elsewhere(self, deed: Deed) -> None:
        match deed.do:
            case "drain":
                self._change_instances("ACTIVE", "DRAINING", deed.instances)
            case "activate":
                self._change_instances("DRAINING", "ACTIVE", None)
            case "deregister":
                self._deregister(deed.instances)
            case "join":
                self._join(deed.instances)
            case _:
                wish = self._scenario.services.get(deed.service or "")
                self._of_services.do(deed, deed.task or (wish.task if wish is not None else ""))

    # services
    def _create(self, name: str) -> None:
        wish = self._scenario.services.get(name)
        if wish is None:
            return
        family = self._scenario.tasks[wish.task]
        request = make_service_request(name, wish, family, self._client.next_token())

        def created(_reply: Any) -> None:
            if wish.is_external:
                self._of_services.add_task_set(name, wish.task, WHOLE_PERCENT, is_primary=True)

        self._client.call(
            "CreateService", request, created, refused=lambda text: self._retry(name, text)
        )

    def _retry(self, name: str, refusal: str) -> None:
        """A service that is made before its task definition is there is made again soon."""
        if "TaskDefinition not found" in refusal and not self._is_over:
            self._timeline.after(1_000, lambda: self._create(name))

    def _update(self, service: str | None, **members: Any) -> None:
        self._client.call("UpdateService", ecs.UpdateServiceRequest(service=service, **members))

    def _reconfigure(self, deed: Deed) -> None:
        match deed.do:
            case "percents":
                assert deed.percents is not None
                self._update(deed.service, deployment_configuration=make_percents(*deed.percents))
            case "restage":
                self._update(deed.service, deployment_configuration=make_restaging(deed.staging))
            case "controller":
                self._of_services.change_controller(deed.service or "")
            case "move":
                strategy = make_strategy(deed.shares)
                self._deploy(deed, capacity_provider_strategy=strategy, force_new_deployment=True)

    def _deploy(self, deed: Deed, **members: Any) -> None:
        """Register a new revision of the service's (or another) family, and roll to it."""
        wish = self._scenario.services.get(deed.service or "")
        name = deed.task or (wish.task if wish is not None else None)
        family = self._scenario.tasks.get(name or "")
        if name is None or family is None:
            return
        if "capacity_provider_strategy" in members:  # EC2's network isn't Fargate's
            is_fargate = family.is_fargate
            members["network_configuration"] = NETWORK if is_fargate else NO_NETWORK

        def registered(reply: ecs.RegisterTaskDefinitionResponse) -> None:
            assert reply.task_definition is not None
            arn = reply.task_definition.task_definition_arn
            self._update(deed.service, task_definition=arn, **members)

        self._client.call("RegisterTaskDefinition", self.definition(name), registered)

    # tasks
    def _run(self, deed: Deed) -> None:
        token, count = self._client.next_token(), deed.count or 1
        request = ecs.RunTaskRequest(
            task_definition=deed.task,
            count=count,
            client_token=token,
            started_by=f"{token}-{count}",  # read by `checkers.tokens`
            capacity_provider_strategy=make_strategy(deed.shares) or None,
        )
        family = self._scenario.tasks.get(deed.task or "")
        if family is not None and family.is_fargate:
            request.network_configuration = NETWORK
        self._client.call("RunTask", request)

    def _stop(self, deed: Deed) -> None:
        def listed(reply: ecs.ListTasksResponse) -> None:
            arns = [] if self._is_over else sorted(reply.task_arns or [])
            for arn in self._chance.sample(arns, deed.count or 1):
                self._client.call("StopTask", ecs.StopTaskRequest(task=arn, reason="workload"))

        self._client.call("ListTasks", ecs.ListTasksRequest(service_name=deed.service), listed)

    # container instances
    def _change_instances(self, status: str, wanted: str, count: int | None) -> None:
        def listed(reply: ecs.ListContainerInstancesResponse) -> None:
            arns = sorted(reply.container_instance_arns or [])
            if self._is_over and wanted == "DRAINING":
                return
            chosen = arns if count is None else sorted(self._chance.sample(arns, count))
            for start in range(0, len(chosen), ARNS_PER_CHANGE):
                request = ecs.UpdateContainerInstancesStateRequest(
                    container_instances=chosen[start : start + ARNS_PER_CHANGE], status=wanted
                )
                self._client.call("UpdateContainerInstancesState", request)

        listing = ecs.ListContainerInstancesRequest(status=status)
        self._client.call("ListContainerInstances", listing, listed)

    def _deregister(self, count: int) -> None:
        """Take container instances out by force; their machines go, and fresh ones come."""
        registered = [m.arn for m in self._machines if m.arn is not None and not m.is_retired]
        for arn in self._chance.sample(registered, count):
            request = ecs.DeregisterContainerInstanceRequest(container_instance=arn, force=True)
            self._client.call("DeregisterContainerInstance", request, self._deregistered)

    def _deregistered(self, reply: ecs.DeregisterContainerInstanceResponse) -> None:
        assert reply.container_instance is not None
        self._replace(reply.container_instance.container_instance_arn or "")

    def definition(self, name: str) -> ecs.RegisterTaskDefinitionRequest:
        """Return the registration of a family."""
        return make_definition_request(name, self._scenario.tasks[name])
