"""What was done to services, done again: calls of the API, with what is to be different in them."""

from collections import defaultdict, deque
from functools import partial
from typing import Any

from msgspec.structs import replace

from homeport.api import ecs
from homeport.model.service import Service
from homeport.model.service_deployment import ServiceDeployment
from homeport.model.task import Task
from homeport.sim.replay.deeds import (
    Deed,
    DeploymentStopped,
    HookAnswered,
    ServiceCreated,
    ServiceDeleted,
    ServiceResumed,
    ServiceUpdated,
    TaskSetsChanged,
)
from homeport.sim.replay.requests import create_service_request, update_service_request
from homeport.sim.replay.stage import Stage
from homeport.sim.replay.task_sets import task_set_calls
from homeport.sim.replay.what_if import ServiceWish
from homeport.state.changes import Commit, Put

AWAITING_ACTION = "AWAITING_ACTION"


class ServiceDeeds:
    """The clients that create, change and delete services."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._task_sets: dict[str, str] = {}  # the journal's id: the simulated one's
        # How hooks of a service are to be answered, once one awaits it.
        self._answers: dict[str, deque[str]] = defaultdict(deque)

    def do(self, deed: Deed) -> bool:
        """Do a deed; False when it isn't about a service."""
        match deed:
            case ServiceCreated():
                self._create(deed.service)
            case ServiceResumed():
                self._resume(deed.service)
            case ServiceUpdated():
                self._update(deed)
            case ServiceDeleted():
                self._delete(deed)
            case TaskSetsChanged():
                self._change_task_sets(deed)
            case DeploymentStopped():
                self._stop_deployment(deed)
            case HookAnswered():
                self._answers[deed.service_arn].append(deed.action)
                self._answer_hook(deed.service_arn)
            case _:
                return False
        return True

    def hear(self, commit: Commit) -> None:
        """Notice hooks that await an action whose time has come already."""
        for change in commit.changes if self._answers else ():
            record = change.record if isinstance(change, Put) else None
            if isinstance(record, ServiceDeployment) and record.hooks:
                self._stage.timeline.soon(partial(self._answer_hook, record.service_arn))

    def deployment_of(self, service: Service, task: Task) -> str | None:
        """Return which of a service's deployments or task sets here has a task of the journal."""
        if service.task_sets:
            return self._task_sets.get(task.deployment_id or "")
        is_its = service.task_definition_arn == task.task_definition_arn
        return service.primary.id if is_its else None

    def _create(self, service: Service) -> None:
        definition = self._stage.view.task_definition(service.task_definition_arn)
        mode = None if definition is None else definition.network_mode
        wish = self._stage.what_if.wish_for(service)
        request = apply_wish(create_service_request(service, mode), wish, is_new=True)
        self._stage.call("CreateService", request)

    def _resume(self, service: Service) -> None:
        now = self._stage.view.service(service.arn)
        if now is None:
            return
        wished = self._stage.what_if.wish_for(service).desired_count
        resumed = replace(
            now,
            desired_count=service.desired_count if wished is None else wished,
            failed_launches=service.failed_launches,
            quick_exits=service.quick_exits,
            last_failed_round_at_ms=service.last_failed_round_at_ms,
            next_launch_at_ms=service.next_launch_at_ms,
            is_steady=False,
        )
        self._stage.write(resumed)

    def _update(self, deed: ServiceUpdated) -> None:
        now = self._stage.view.service(deed.after.arn)
        if now is None:
            self._stage.refused["UpdateService: the service isn't there"] += 1
            return
        request = update_service_request(deed.before, deed.after, now)
        wish = self._stage.what_if.wish_for(deed.after)
        self._stage.call("UpdateService", apply_wish(request, wish, is_new=False))
        if deed.after.task_sets and not deed.before.task_sets:
            # Its only deployment became a task set, with its name.
            became = self._stage.view.service(deed.after.arn)
            if became is not None and became.task_sets:
                self._task_sets[deed.after.task_sets[0].id] = became.task_sets[0].id

    def _delete(self, deed: ServiceDeleted) -> None:
        request = ecs.DeleteServiceRequest(
            cluster=self._stage.workload.cluster.arn, service=deed.arn, force=True
        )
        self._stage.call("DeleteService", request)

    def _change_task_sets(self, deed: TaskSetsChanged) -> None:
        for call in task_set_calls(deed.before, deed.after, self._task_sets):
            reply = self._stage.call(call.operation, call.request)
            if call.creates is not None and isinstance(reply, ecs.CreateTaskSetResponse):
                assert reply.task_set is not None
                self._task_sets[call.creates] = reply.task_set.id or ""

    def _stop_deployment(self, deed: DeploymentStopped) -> None:
        record = self._deployment_record(deed.service_arn)
        if record is not None:
            request = ecs.StopServiceDeploymentRequest(
                service_deployment_arn=record.arn, stop_type=deed.stop_type
            )
            self._stage.call("StopServiceDeployment", request)

    def _answer_hook(self, service_arn: str) -> None:
        """Answer a hook that awaits it, as one was answered; it may come later than it did."""
        record, answers = self._deployment_record(service_arn), self._answers[service_arn]
        if record is None or not answers:
            return
        hook = next((each for each in record.hooks if each.status == AWAITING_ACTION), None)
        if hook is not None:
            request = ecs.ContinueServiceDeploymentRequest(
                service_deployment_arn=record.arn, hook_id=hook.id, action=answers.popleft()
            )
            self._stage.call("ContinueServiceDeployment", request)

    def _deployment_record(self, service_arn: str) -> ServiceDeployment | None:
        service = self._stage.view.service(service_arn)
        arn = None if service is None else service.service_deployment_arn
        return None if arn is None else self._stage.view.service_deployment(arn)


def apply_wish(request: Any, wish: ServiceWish, *, is_new: bool) -> Any:
    """Let a wish hold in a request of a service; in an update only for what the call changes."""
    asked: dict[str, Any] = {}
    if wish.strategy is not None and (is_new or request.placement_strategy is not None):
        asked["placement_strategy"] = list(wish.strategy) or (None if is_new else [])
    if wish.desired_count is not None and (is_new or request.desired_count is not None):
        asked["desired_count"] = wish.desired_count
    configuration = request.deployment_configuration
    if configuration is not None:
        asked["deployment_configuration"] = _configure(configuration, wish)
    return replace(request, **asked)


def _configure(
    configuration: ecs.DeploymentConfiguration, wish: ServiceWish
) -> ecs.DeploymentConfiguration:
    changed: dict[str, Any] = {}
    if wish.minimum_healthy_percent is not None:
        changed["minimum_healthy_percent"] = wish.minimum_healthy_percent
    if wish.maximum_percent is not None:
        changed["maximum_percent"] = wish.maximum_percent
    if wish.circuit_breaker is not None:
        changed["deployment_circuit_breaker"] = ecs.DeploymentCircuitBreaker(
            enable=wish.circuit_breaker != "off", rollback=wish.circuit_breaker == "rollback"
        )
    return replace(configuration, **changed)
