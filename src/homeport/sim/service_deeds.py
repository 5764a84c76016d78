"""What clients do with services beyond updates: protection, service deployments, task sets.

Like all of `workload` it goes through the public API, and asks before it acts, as people do.
"""

from collections.abc import Callable
from typing import Any

from homeport.api import ecs
from homeport.sim.chance import Stream
from homeport.sim.client import Client
from homeport.sim.scenario import Deed

TASKS_PER_PROTECTION = 10
DEPLOYMENTS_ASKED_FOR = 5
STOPPABLE = ("PENDING", "IN_PROGRESS")

Found = Callable[[list[ecs.TaskSet]], None]


class ServiceDeeds:
    """The client of services; `is_over` says that the safety phase has ended meanwhile."""

    def __init__(self, client: Client, chance: Stream, is_over: Callable[[], bool]) -> None:
        self._client = client
        self._chance = chance
        self._is_over = is_over

    def do(self, deed: Deed, family: str) -> None:
        """Do what the deed says with its service, with tasks of a family where it needs one."""
        service = deed.service or ""
        match deed.do:
            case "protect" | "unprotect":
                self._protect(deed)
            case "stop_deployment":
                self._of_newest_deployment(service, lambda d: self._stop(d, "ROLLBACK"))
            case "abort_deployment":
                self._of_newest_deployment(service, lambda d: self._stop(d, "ABORT"))
            case "answer":
                self._of_newest_deployment(service, lambda d: self._answer(d, deed.action))
            case "task_set":
                self.add_task_set(service, family, deed.percent, is_primary=False)
            case "shift":
                self._of_task_sets(service, lambda sets: self._shift(service, sets, deed.percent))
            case "primary":
                self._of_task_sets(service, lambda sets: self._make_primary(service, sets))
            case "delete_task_set":
                self._of_task_sets(service, lambda sets: self._delete_task_set(service, sets))
            case _:
                raise AssertionError(deed.do)

    def add_task_set(self, service: str, family: str, percent: float, *, is_primary: bool) -> None:
        """Create a task set of a family's newest revision; make it the primary one if wanted."""

        def created(reply: ecs.CreateTaskSetResponse) -> None:
            assert reply.task_set is not None
            if is_primary:
                self._make_primary(service, [reply.task_set])

        token = self._client.next_token()
        request = ecs.CreateTaskSetRequest(
            cluster="default",
            service=service,
            task_definition=family,
            scale=ecs.Scale(unit="PERCENT", value=percent),
            client_token=token,
            external_id=token,  # read by `checkers.tokens`
        )
        self._client.call("CreateTaskSet", request, created)

    def change_controller(self, service: str) -> None:
        """Give a service the other deployment controller, by what it has now."""

        def described(reply: ecs.DescribeServicesResponse) -> None:
            for found in reply.services or []:
                known = found.deployment_controller
                is_external = known is not None and known.type == "EXTERNAL"
                if not self._is_over():
                    request = ecs.UpdateServiceRequest(
                        service=service,
                        deployment_controller=ecs.DeploymentController(
                            type="ECS" if is_external else "EXTERNAL"
                        ),
                    )
                    self._client.call("UpdateService", request)

        request = ecs.DescribeServicesRequest(services=[service])
        self._client.call("DescribeServices", request, described)

    # tasks
    def _protect(self, deed: Deed) -> None:
        def listed(reply: ecs.ListTasksResponse) -> None:
            arns = sorted(reply.task_arns or [])
            chosen = self._chance.sample(arns, min(deed.count or 1, TASKS_PER_PROTECTION))
            if chosen and not self._is_over():
                request = ecs.UpdateTaskProtectionRequest(
                    cluster="default",
                    tasks=chosen,
                    protection_enabled=deed.do == "protect",
                    expires_in_minutes=deed.minutes if deed.do == "protect" else None,
                )
                self._client.call("UpdateTaskProtection", request)

        self._client.call("ListTasks", ecs.ListTasksRequest(service_name=deed.service), listed)

    # service deployments
    def _of_newest_deployment(
        self, service: str, then: Callable[[ecs.ServiceDeployment], None]
    ) -> None:
        def described(reply: ecs.DescribeServiceDeploymentsResponse) -> None:
            going = [d for d in reply.service_deployments or [] if d.status in STOPPABLE]
            if going and not self._is_over():
                then(going[0])

        def listed(reply: ecs.ListServiceDeploymentsResponse) -> None:
            arns = [d.service_deployment_arn or "" for d in reply.service_deployments or []]
            if arns:
                request = ecs.DescribeServiceDeploymentsRequest(service_deployment_arns=arns[:1])
                self._client.call("DescribeServiceDeployments", request, described)

        listing = ecs.ListServiceDeploymentsRequest(
            service=service, max_results=DEPLOYMENTS_ASKED_FOR
        )
        self._client.call("ListServiceDeployments", listing, listed)

    def _stop(self, deployment: ecs.ServiceDeployment, stop_type: str) -> None:
        self._client.call(
            "StopServiceDeployment",
            ecs.StopServiceDeploymentRequest(
                service_deployment_arn=deployment.service_deployment_arn, stop_type=stop_type
            ),
        )

    def _answer(self, deployment: ecs.ServiceDeployment, action: str) -> None:
        for hook in deployment.lifecycle_hook_details or []:
            if hook.status == "AWAITING_ACTION":
                self._client.call(
                    "ContinueServiceDeployment",
                    ecs.ContinueServiceDeploymentRequest(
                        service_deployment_arn=deployment.service_deployment_arn,
                        hook_id=hook.hook_id,
                        action=action,
                    ),
                )

    # task sets
    def _of_task_sets(self, service: str, then: Found) -> None:
        def described(reply: ecs.DescribeTaskSetsResponse) -> None:
            alive = [s for s in reply.task_sets or [] if s.status != "DRAINING"]
            if alive and not self._is_over():
                then(alive)

        request = ecs.DescribeTaskSetsRequest(service=service, cluster="default")
        self._client.call("DescribeTaskSets", request, described)

    def _shift(self, service: str, sets: list[ecs.TaskSet], percent: float) -> None:
        request = ecs.UpdateTaskSetRequest(
            **self._name(service, self._chance.pick(sets)),
            scale=ecs.Scale(unit="PERCENT", value=percent),
        )
        self._client.call("UpdateTaskSet", request)

    def _make_primary(self, service: str, sets: list[ecs.TaskSet]) -> None:
        chosen = self._chance.pick(sets)
        request = ecs.UpdateServicePrimaryTaskSetRequest(
            cluster="default", service=service, primary_task_set=chosen.task_set_arn
        )
        self._client.call("UpdateServicePrimaryTaskSet", request)

    def _delete_task_set(self, service: str, sets: list[ecs.TaskSet]) -> None:
        others = [s for s in sets if s.status != "PRIMARY"]
        if others:
            request = ecs.DeleteTaskSetRequest(
                **self._name(service, self._chance.pick(others)), force=True
            )
            self._client.call("DeleteTaskSet", request)

    def _name(self, service: str, task_set: ecs.TaskSet) -> dict[str, Any]:
        return {"cluster": "default", "service": service, "task_set": task_set.task_set_arn}
