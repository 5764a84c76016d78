"""A workload done again: production's engine on virtual time, between played agents and clients.

What is there when the journal begins is made just before it begins, by the same calls; then each
deed is done at its time. What comes of it is written down as the journal's own past is.
"""

from collections import Counter, defaultdict, deque
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.core.decision import Decision
from homeport.engine.engine import Engine
from homeport.engine.events import ApiCalled
from homeport.model.arn import scope_of
from homeport.model.service import Service
from homeport.model.service_deployment import ServiceDeployment
from homeport.model.task import Task
from homeport.operations.context import CallContext, OperationSettings
from homeport.operations.registry import OPERATIONS
from homeport.sim.chance import Stream
from homeport.sim.clock import SkewedClock, Timeline, Timer
from homeport.sim.replay.behaviour import Behaviours, Plan
from homeport.sim.replay.deeds import (
    AgentCame,
    AgentWent,
    Deed,
    DeploymentStopped,
    HookAnswered,
    InstanceAltered,
    InstanceJoined,
    InstanceLeft,
    ServiceCreated,
    ServiceDeleted,
    ServiceResumed,
    ServiceUpdated,
    StatusSet,
    TaskProtected,
    TaskSetsChanged,
    TasksRun,
    TaskStopped,
    Written,
)
from homeport.sim.replay.fleet import PlayedFleet
from homeport.sim.replay.lives import Chronicle, TaskLife, images_of
from homeport.sim.replay.requests import (
    create_service_request,
    run_task_request,
    start_task_request,
    update_service_request,
)
from homeport.sim.replay.task_sets import task_set_calls
from homeport.sim.replay.what_if import ServiceWish, WhatIf
from homeport.sim.replay.workload import Workload
from homeport.state.changes import AnyRecord, Change, Commit, Put
from homeport.state.store import Store
from homeport.storage.memory import MemoryStorage

EARLY_MS = 600_000
"""How long before the journal's beginning its base is made; it has settled by then."""

KEPT_COMMITS = 16
STEPS_PER_MOMENT = 1_000_000  # a call that starts ten tasks takes some twenty
REFUSALS_KEPT = 50
ENDPOINT = "http://replay"
WRITE = "Replay.Write"
MINUTE_MS = 60_000
AWAITING_ACTION = "AWAITING_ACTION"


class Replayed(msgspec.Struct, kw_only=True):
    """What came of a workload; `refused` counts calls that were answered with an error.

    `unplaced` are tasks of RunTask without a place: from when until when the journal had them.
    """

    chronicle: Chronicle
    steps: int
    commits: int
    refused: dict[str, int]
    unplaced: list[tuple[int, int]]


class Player:
    """One replay; the same workload, changes and seed give the same commits."""

    def __init__(self, workload: Workload, what_if: WhatIf, seed: int) -> None:
        self._workload = workload
        self._what_if = what_if
        self._scope = scope_of(workload.cluster.arn)
        self._timeline = Timeline(workload.begins_ms - EARLY_MS)
        self._behaviours = Behaviours(
            workload.past.tasks.values(),
            begins_ms=workload.begins_ms,
            ends_ms=workload.ends_ms,
            chance=Stream(seed, "behaviour"),
        )
        self._store = Store()
        self._chronicle = Chronicle(workload.cluster.arn)
        self._refused: Counter[str] = Counter()
        self._unplaced: list[tuple[int, int]] = []
        self._task_sets: dict[str, str] = {}  # the journal's id: the simulated one's
        # How hooks of a service are to be answered, once one awaits it.
        self._answers: dict[str, deque[str]] = defaultdict(deque)
        self._sources: dict[str, str] = {}  # simulated standalone task: the journal's
        self._arns: dict[str, str] = {}  # the journal's task: the simulated one
        self._turn: Timer | None = None
        self._engine = Engine(
            store=self._store,
            journal=MemoryStorage(KEPT_COMMITS),
            outlet=self,
            clock=SkewedClock(self._timeline),
            entropy=Stream(seed, "entropy"),
            operations={**OPERATIONS, WRITE: _write},
            settings=OperationSettings(instance_loss_window_s=workload.loss_window_s),
        )
        self._view = self._engine.view
        self._fleet = PlayedFleet(
            self._timeline, view=self._view, call=self._call, observe=self._engine.observe
        )
        self._fleet.choose_plan = self._choose_plan
        self.send_tasks = self._fleet.send_tasks
        self.disconnect_agent = self._fleet.disconnect_agent
        self._store.feed.watch(self._watch)

    def play(self) -> Replayed:
        """Do it all again, from before the journal's beginning to its end."""
        for deed in self._workload.base:
            self._do(deed)
        for deed in self._workload.deeds:
            self._go(deed.at_ms)
            self._do(deed)
        self._go(self._workload.ends_ms)
        return Replayed(
            chronicle=self._chronicle,
            steps=self._timeline.steps,
            commits=self._store.sequence,
            refused=dict(self._refused.most_common(REFUSALS_KEPT)),
            unplaced=self._unplaced,
        )

    # what the engine asks for, beside what goes to the fleet
    def note(self, text: str) -> None:
        """Nobody reads the log of a replay."""

    def work_waits(self) -> None:
        """Let the engine look at its agenda at this moment, behind what is planned for it."""
        now_ms = self._timeline.now_ms
        if self._turn is not None:
            if self._turn.at_ms <= now_ms:
                return
            self._turn.cancel()
        self._turn = self._timeline.soon(self._run_due)

    def _run_due(self) -> None:
        self._turn = None
        due_ms = self._engine.run_due()
        if due_ms is not None and self._turn is None:
            self._turn = self._timeline.at(due_ms, self._run_due)

    def _go(self, until_ms: int) -> None:
        timeline = self._timeline
        moment_ms, since_step = timeline.now_ms, timeline.steps
        while timeline.step(until_ms):
            if timeline.now_ms != moment_ms:
                moment_ms, since_step = timeline.now_ms, timeline.steps
            assert timeline.steps - since_step < STEPS_PER_MOMENT, "time doesn't go on"

    def _watch(self, commit: Commit, _replaced: tuple[AnyRecord | None, ...]) -> None:
        self._chronicle.follow(commit.at_ms, commit.sequence, commit.changes)
        for change in commit.changes if self._answers else ():
            record = change.record if isinstance(change, Put) else None
            if isinstance(record, ServiceDeployment) and record.hooks:
                self._timeline.soon(partial(self._answer_hook, record.service_arn))

    # tasks
    def _choose_plan(self, task: Task, is_cold: bool) -> Plan:
        source_arn = self._sources.pop(task.arn, None)
        kind = (task.service_arn, task.task_definition_arn)
        early_ms = self._workload.begins_ms - task.created_at_ms
        images = images_of(task)
        if early_ms > 0:
            plan = self._behaviours.plan_base(
                kind, images=images, early_ms=early_ms, source_arn=source_arn
            )
        else:
            plan = self._behaviours.plan(
                kind, images=images, is_cold=is_cold, source_arn=source_arn
            )
        if plan.source_arn is not None:
            self._arns[plan.source_arn] = task.arn
        return plan

    # deeds
    def _do(self, deed: Deed) -> None:
        match deed:
            case Written():
                self._call(WRITE, deed.changes)
            case ServiceCreated():
                self._create(deed.service)
            case ServiceResumed():
                self._resume(deed.service)
            case ServiceUpdated():
                self._update(deed)
            case TaskSetsChanged():
                self._change_task_sets(deed)
            case ServiceDeleted():
                request = ecs.DeleteServiceRequest(
                    cluster=self._workload.cluster.arn, service=deed.arn, force=True
                )
                self._call("DeleteService", request)
            case DeploymentStopped():
                self._stop_deployment(deed)
            case HookAnswered():
                self._answers[deed.service_arn].append(deed.action)
                self._answer_hook(deed.service_arn)
            case TasksRun():
                self._run(deed)
            case TaskStopped():
                self._stop(deed)
            case TaskProtected():
                self._protect(deed)
            case _:
                self._do_to_instance(deed)

    def _do_to_instance(self, deed: Deed) -> None:
        cluster = self._workload.cluster.arn
        match deed:
            case InstanceJoined():
                # Its agent connects by a deed of its own.
                self._write(replace(deed.instance, agent_connected=False))
            case InstanceAltered():
                self._alter(deed)
            case StatusSet():
                request = ecs.UpdateContainerInstancesStateRequest(
                    cluster=cluster, container_instances=[deed.arn], status=deed.status
                )
                self._call("UpdateContainerInstancesState", request)
            case InstanceLeft():
                self._call(
                    "DeregisterContainerInstance",
                    ecs.DeregisterContainerInstanceRequest(
                        cluster=cluster, container_instance=deed.arn, force=True
                    ),
                )
            case AgentCame():
                self._fleet.connect(deed.arn)
            case AgentWent():
                self._fleet.disconnect(deed.arn)

    def _alter(self, deed: InstanceAltered) -> None:
        known = self._view.container_instance(deed.arn)
        if known is not None:
            altered = replace(known, attributes=deed.attributes, resources=deed.resources)
            self._write(altered)

    def _create(self, service: Service) -> None:
        request = create_service_request(service)
        wish = self._what_if.wish_for(service)
        self._call("CreateService", _apply(request, wish, is_new=True))

    def _resume(self, service: Service) -> None:
        now = self._view.service(service.arn)
        if now is None:
            return
        wished = self._what_if.wish_for(service).desired_count
        resumed = replace(
            now,
            desired_count=service.desired_count if wished is None else wished,
            failed_launches=service.failed_launches,
            quick_exits=service.quick_exits,
            last_failed_round_at_ms=service.last_failed_round_at_ms,
            next_launch_at_ms=service.next_launch_at_ms,
            is_steady=False,
        )
        self._write(resumed)

    def _update(self, deed: ServiceUpdated) -> None:
        now = self._view.service(deed.after.arn)
        if now is None:
            self._refused["UpdateService: the service isn't there"] += 1
            return
        request = update_service_request(deed.before, deed.after, now)
        wish = self._what_if.wish_for(deed.after)
        self._call("UpdateService", _apply(request, wish, is_new=False))

    def _change_task_sets(self, deed: TaskSetsChanged) -> None:
        for call in task_set_calls(deed.before, deed.after, self._task_sets):
            reply = self._call(call.operation, call.request)
            if call.creates is not None and isinstance(reply, ecs.CreateTaskSetResponse):
                assert reply.task_set is not None
                self._task_sets[call.creates] = reply.task_set.id or ""

    def _stop_deployment(self, deed: DeploymentStopped) -> None:
        service = self._view.service(deed.service_arn)
        arn = None if service is None else service.service_deployment_arn
        if arn is not None:
            request = ecs.StopServiceDeploymentRequest(
                service_deployment_arn=arn, stop_type="ROLLBACK"
            )
            self._call("StopServiceDeployment", request)

    def _answer_hook(self, service_arn: str) -> None:
        """Answer a hook that awaits it, as one was answered; it may come later than it did."""
        service, answers = self._view.service(service_arn), self._answers[service_arn]
        record = (
            None
            if service is None or service.service_deployment_arn is None
            else self._view.service_deployment(service.service_deployment_arn)
        )
        if record is None or not answers:
            return
        hook = next((each for each in record.hooks if each.status == AWAITING_ACTION), None)
        if hook is not None:
            request = ecs.ContinueServiceDeploymentRequest(
                service_deployment_arn=record.arn, hook_id=hook.id, action=answers.popleft()
            )
            self._call("ContinueServiceDeployment", request)

    def _run(self, deed: TasksRun) -> None:
        definition = self._view.task_definition(deed.task.task_definition_arn)
        mode = None if definition is None else definition.network_mode
        chosen = [arn for arn in deed.instance_arns if self._is_there(arn)]
        if chosen and len(chosen) == len(deed.arns):
            reply = self._call("StartTask", start_task_request(deed.task, chosen, mode))
        else:  # of an instance that isn't there nothing can be asked by name
            request = run_task_request(deed.task, len(deed.arns), mode)
            reply = self._call("RunTask", request)
        tasks = getattr(reply, "tasks", None) or []
        for source_arn, task in zip(deed.arns, tasks, strict=False):
            self._sources[task.task_arn] = source_arn
        for source_arn in deed.arns[len(tasks) :]:
            self._note_unplaced(self._workload.past.tasks[source_arn])

    def _is_there(self, arn: str) -> bool:
        instance = self._view.container_instance(arn)
        return instance is not None and instance.is_available

    def _note_unplaced(self, life: TaskLife) -> None:
        begins_ms = max(self._timeline.now_ms, self._workload.begins_ms)
        ends_ms = self._workload.ends_ms if life.stopped_ms is None else life.stopped_ms
        if ends_ms > begins_ms:
            self._unplaced.append((begins_ms, ends_ms))

    def _stop(self, deed: TaskStopped) -> None:
        arn = self._arns.get(deed.arn)
        task = None if arn is None else self._view.task(arn)
        if (task is None or task.is_stopped) and deed.service_arn is not None:
            # Another world's tasks are others: the oldest of the service takes its place.
            live = self._view.tasks_of_service(deed.service_arn).values()
            task = min(live, key=lambda each: (each.created_at_ms, each.arn), default=None)
        if task is not None:
            request = ecs.StopTaskRequest(
                cluster=task.cluster_arn, task=task.arn, reason=deed.reason or None
            )
            self._call("StopTask", request)

    def _protect(self, deed: TaskProtected) -> None:
        arn = self._arns.get(deed.arn)
        if arn is None or self._view.task(arn) is None:
            return
        minutes = None
        if deed.until_ms is not None:
            minutes = max(1, -(-(deed.until_ms - deed.at_ms) // MINUTE_MS))
        request = ecs.UpdateTaskProtectionRequest(
            cluster=self._workload.cluster.arn,
            tasks=[arn],
            protection_enabled=deed.until_ms is not None,
            expires_in_minutes=minutes,
        )
        self._call("UpdateTaskProtection", request)

    # calls
    def _write(self, record: AnyRecord) -> None:
        self._call(WRITE, (Put(record),))

    def _call(self, operation: str, request: object) -> object:
        """Carry out a call at once; a refusal is counted, and answered with None."""
        event = ApiCalled(
            operation=operation,
            request=request,
            account_id=self._scope.account_id,
            region=self._scope.region,
            endpoint=ENDPOINT,
        )
        replies: list[object] = []
        self._engine.call(event, replies.append)
        reply = replies[0]
        if isinstance(reply, AwsError):
            self._refused[f"{operation}: {reply.message}"] += 1
            return None
        return reply


def _write(_view: object, changes: tuple[Change, ...], _context: CallContext) -> Decision:
    """Write records as they stand: an operation that only a replay has."""
    return Decision(changes=changes)


def _apply(request: Any, wish: ServiceWish, *, is_new: bool) -> Any:
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
