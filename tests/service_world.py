"""A store, the service scheduler, and agents that report when a test says so; no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from builders import (
    NOW_MS,
    SCOPE,
    apply,
    at,
    make_cluster,
    make_container_instance,
    make_store,
    put,
)
from homeport.core.effects import AwaitCapacity, Effect, SendTasks, WakeAt
from homeport.core.lifecycle.task import TaskReport, report_health, report_task
from homeport.core.reconcile.service import reconcile_service
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from homeport.operations.context import CallContext
from homeport.operations.registry import OPERATIONS
from homeport.state.invariants import find_violations
from homeport.state.view import View

if TYPE_CHECKING:
    from homeport.core.decision import Decision
    from homeport.model.container_instance import ContainerInstance
    from homeport.model.service import Service
    from homeport.state.changes import AnyRecord

STEPS_LIMIT = 50


class ServiceWorld:
    """One cluster; services are made through the operations, as a caller would."""

    def __init__(self, *records: AnyRecord, instances: int = 2) -> None:
        hosts = [
            make_container_instance(
                f"host-{n}", zone=f"us-east-1{'ab'[n % 2]}", cpu_units=65_536, memory_mib=131_072
            )
            for n in range(instances)
        ]
        self.store = make_store(make_cluster(), *hosts, *records)
        self.view = View(self.store)
        self.now_ms = NOW_MS
        self.effects: list[Effect] = []
        self.is_strict = False
        self._draws = 0

    def call(self, operation: str, request: Any) -> Any:
        """Call an operation, commit what it decides, and return its reply."""
        context = CallContext(scope=SCOPE, moment=self.moment(), endpoint="http://127.0.0.1:4566")
        decision = OPERATIONS[operation](self.view, request, context)
        return self.commit(decision).reply

    def service(self, name: str = "web") -> Service:
        """Return the service of that name as it is stored."""
        found = self.view.service(f"arn:aws:ecs:us-east-1:123456789012:service/default/{name}")
        assert found is not None, name
        return found

    def tasks(self, name: str = "web", *, desired: str = RUNNING) -> list[Task]:
        """Return the service's tasks that aren't STOPPED, of one desired status, by ARN."""
        found = self.view.tasks_of_service(self.service(name).arn).values()
        return sorted((t for t in found if t.desired_status == desired), key=lambda t: t.arn)

    def reconcile(self, name: str = "web") -> list[Effect]:
        """Let the scheduler look until it has nothing to change; return the effects."""
        arn = self.service(name).arn
        effects: list[Effect] = []
        for _ in range(STEPS_LIMIT):
            decision = self.commit(
                reconcile_service(self.view, arn, self.moment(), is_strict=self.is_strict)
            )
            effects.extend(decision.effects)
            if not decision.changes:
                self.effects.extend(effects)
                return effects
        raise AssertionError(f"the scheduler still changes things after {STEPS_LIMIT} looks")

    def report(self, task: Task, status: str, reason: str | None = None) -> None:
        """Let the agent report a task's status, and the scheduler look at it."""
        report = TaskReport(task_arn=task.arn, status=status, reason=reason)
        self.commit(
            report_task(self.view, report, self.moment(), is_strict=self.is_strict)
        )
        if task.service_arn is not None:
            self.reconcile(task.service_arn.rsplit("/", 1)[-1])

    def report_health(self, task: Task, health: str) -> None:
        """Set a task's health as its agent's telemetry would."""
        known = self.view.task(task.arn)
        assert known is not None
        self.put(replace(known, health_status=health))
        self.reconcile(known.service_arn.rsplit("/", 1)[-1] if known.service_arn else "")

    def agent_reports_health(self, task: Task, health: str) -> None:
        """Let the agent report the health of a task's first container."""
        assert task.container_instance_arn is not None
        reports = ((task.arn, task.containers[0].name, health),)
        self.commit(
            report_health(self.view, task.container_instance_arn, reports, self.moment())
        )
        self.reconcile(task.group.removeprefix("service:"))

    def run_all(self, name: str = "web") -> None:
        """Let agents start everything PENDING and stop everything unwanted, until all is calm."""
        for _ in range(STEPS_LIMIT):
            pending = [t for t in self.tasks(name) if t.last_status == PENDING]
            stopping = self.tasks(name, desired=STOPPED)
            if not pending and not stopping:
                return
            for task in pending:
                self.report(task, RUNNING)
            for task in stopping:
                self.report(task, STOPPED)
        raise AssertionError("the service never comes to rest")

    def put(self, *records: AnyRecord) -> None:
        """Commit records."""
        put(self.store, *records, now_ms=self.now_ms)

    def change_instance(self, instance: ContainerInstance, **members: Any) -> None:
        """Commit a container instance with other members."""
        self.put(replace(instance, **members))

    def instances(self) -> list[ContainerInstance]:
        """Return the cluster's container instances by ARN."""
        found = self.view.container_instances(make_cluster().arn).values()
        return sorted(found, key=lambda i: i.arn)

    def pass_time(self, seconds: int) -> None:
        """Move the clock."""
        self.now_ms += seconds * 1_000

    def messages(self, name: str = "web") -> list[str]:
        """Return the service's events, oldest first, with task ids left out."""
        events = reversed(self.view.service_events(self.service(name).arn))
        return [event.message for event in events]

    def moment(self) -> Any:
        self._draws += 1
        return at(self.now_ms, str(self._draws))

    def commit(self, decision: Decision) -> Decision:
        apply(self.store, decision, self.now_ms)
        assert find_violations(self.store) == []
        return decision


def sent(effects: list[Effect]) -> set[str]:
    """Return the tasks that agents are told about."""
    return {arn for e in effects if isinstance(e, SendTasks) for arn in e.task_arns}


def wakes(effects: list[Effect]) -> list[int]:
    """Return when the scheduler asked to be woken, in epoch milliseconds."""
    return [e.at_ms for e in effects if isinstance(e, WakeAt)]


def awaits_capacity(effects: list[Effect]) -> bool:
    """Whether the scheduler asked to be woken when there is more room."""
    return any(isinstance(e, AwaitCapacity) for e in effects)
