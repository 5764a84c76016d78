"""How tasks and their containers change when an agent reports (reference: task-lifecycle)."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.decision import NOTHING, Decision, Moment
from homeport.core.lifecycle.image_pins import pin_images
from homeport.core.reconcile.throttle import (
    count_exit,
    count_failed_launch,
    count_healthy_task,
    count_started_task,
)
from homeport.model.service import Service
from homeport.model.task import (
    PENDING,
    PROVISIONING,
    RUNNING,
    STOPPED,
    Container,
    NetworkBinding,
    Task,
)
from homeport.state.changes import Change, Put
from homeport.state.view import View

REASON_ESSENTIAL_EXITED = "Essential container in task exited"
REASON_FAILED_TO_START = "Task failed to start"
REASON_LENGTH_CHARACTERS = 1_024

_ORDER = {PROVISIONING: -1, PENDING: 0, RUNNING: 1, STOPPED: 2}


class ContainerReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an agent says of one container; None leaves what is known."""

    name: str
    status: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    runtime_id: str | None = None
    image_digest: str | None = None
    network_bindings: tuple[NetworkBinding, ...] | None = None


class TaskReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an agent says of one task; `status` None when only containers are reported."""

    task_arn: str
    status: str | None = None
    reason: str | None = None
    containers: tuple[ContainerReport, ...] = ()
    pull_started_at_ms: int | None = None
    pull_stopped_at_ms: int | None = None
    execution_stopped_at_ms: int | None = None


def report_task(
    view: View, report: TaskReport, moment: Moment, *, is_strict: bool = False
) -> Decision:
    """Carry an agent's report into the task; late or repeated reports change nothing.

    Status moves only forward; RUNNING and STOPPED come from here and from nowhere else. A service
    counts the failures of its tasks; `is_strict` leaves out those that ECS doesn't count.
    """
    task = view.task(report.task_arn)
    if task is None or task.is_stopped or task.is_provisioning:  # no agent has it yet
        return NOTHING
    reported = next_task(task, report, moment)
    if reported == task:
        return NOTHING
    changes: list[Change] = [Put(replace(reported, version=task.version + 1))]
    service = None if task.service_arn is None else view.service(task.service_arn)
    if service is not None and reported.containers != task.containers:
        changes.extend(pin_images(view, service, reported))
    if service is not None and reported.last_status != task.last_status:
        counted = _count(service, reported, moment, is_strict=is_strict)
        if counted != service:
            changes.append(Put(counted))
    return Decision(changes=tuple(changes))


def _count(service: Service, task: Task, moment: Moment, *, is_strict: bool) -> Service:
    """Let a service count a task that is RUNNING or STOPPED since now."""
    if task.last_status == RUNNING:
        service = count_started_task(service, task, is_strict=is_strict)
        is_healthy = task.health_status == "HEALTHY"  # as telemetry may have said before
        return count_healthy_task(service, task) if is_healthy else service
    if _has_failed_to_launch(task):
        return count_failed_launch(service, task, moment)
    if not is_strict and task.stop_code == "EssentialContainerExited":
        return count_exit(service, task, moment)
    return service


def next_task(task: Task, report: TaskReport, moment: Moment) -> Task:
    """Return the task as the report makes it: a pure table of status and report."""
    containers = _next_containers(task.containers, report.containers)
    status = task.last_status
    if report.status is not None and _ORDER.get(report.status, 0) > _ORDER[status]:
        status = report.status
    seen = replace(
        task,
        containers=containers,
        last_status=status,
        pull_started_at_ms=report.pull_started_at_ms or task.pull_started_at_ms,
        pull_stopped_at_ms=report.pull_stopped_at_ms or task.pull_stopped_at_ms,
        execution_stopped_at_ms=report.execution_stopped_at_ms or task.execution_stopped_at_ms,
    )
    if status == task.last_status:
        return seen
    if status == RUNNING:
        return replace(seen, started_at_ms=moment.now_ms)
    return _stopped(seen, report, moment)


def report_health(
    view: View, instance_arn: str, reports: tuple[tuple[str, str, str], ...], moment: Moment
) -> Decision:
    """Carry container health into tasks: reports are (task ARN, container name, status)."""
    tasks: dict[str, Task] = {}
    for task_arn, name, status in reports:
        task = tasks.get(task_arn) or view.task(task_arn)
        if task is None or task.is_stopped or task.container_instance_arn != instance_arn:
            continue
        containers = tuple(
            replace(c, health_status=status) if c.name == name else c for c in task.containers
        )
        tasks[task_arn] = replace(task, containers=containers)
    changes: list[Change] = []
    recovered: list[Task] = []
    for task_arn, task in tasks.items():
        known = view.task(task_arn)
        healthy = replace(task, health_status=_task_health(view, task))
        if known is None or healthy == known:
            continue
        changes.append(Put(replace(healthy, version=known.version + 1)))
        is_up = healthy.last_status == RUNNING  # not if a side container only is up so far
        if is_up and healthy.health_status == "HEALTHY" != known.health_status:
            recovered.append(healthy)
    changes.extend(Put(service) for service in _without_failures(view, recovered))
    return Decision(changes=tuple(changes))


def _without_failures(view: View, tasks: Sequence[Task]) -> list[Service]:
    """Let the services of tasks that are HEALTHY now forget their failures."""
    counted: dict[str, Service] = {}
    for task in tasks:
        service = None if task.service_arn is None else view.service(task.service_arn)
        if service is not None:
            known = counted.get(service.arn, service)
            counted[service.arn] = count_healthy_task(known, task)
    return [service for arn, service in counted.items() if service != view.service(arn)]


def has_run(task: Task) -> bool:
    """Whether the task ever was RUNNING, or ended before that could be reported on its own.

    Not one of whose containers some ran, and another couldn't start, as its agent's reason says.
    """
    if task.started_at_ms is not None:
        return True
    has_exited = any(c.exit_code is not None for c in task.containers)
    return has_exited and not any(c.exit_code is None and c.reason for c in task.containers)


def _has_failed_to_launch(task: Task) -> bool:
    return task.started_at_ms is None and task.stop_code in (
        "TaskFailedToStart",
        "EssentialContainerExited",
    )


def _next_containers(
    known: tuple[Container, ...], reports: tuple[ContainerReport, ...]
) -> tuple[Container, ...]:
    by_name = {container.name: container for container in known}
    for report in reports:
        container = by_name.get(report.name)
        if container is not None:
            by_name[report.name] = _next_container(container, report)
    return tuple(by_name.values())


def _next_container(container: Container, report: ContainerReport) -> Container:
    status = container.last_status
    if report.status is not None and _ORDER.get(report.status, 0) > _ORDER.get(status, 0):
        status = report.status
    reason = report.reason[:REASON_LENGTH_CHARACTERS] if report.reason else container.reason
    bindings = report.network_bindings
    return replace(
        container,
        last_status=status,
        exit_code=container.exit_code if report.exit_code is None else report.exit_code,
        reason=reason,
        runtime_id=report.runtime_id or container.runtime_id,
        image_digest=report.image_digest or container.image_digest,
        network_bindings=bindings if bindings else container.network_bindings,
    )


def _stopped(task: Task, report: TaskReport, moment: Moment) -> Task:
    stop_code, reason = task.stop_code, task.stopped_reason
    if stop_code is None:
        if has_run(task):
            stop_code, reason = "EssentialContainerExited", REASON_ESSENTIAL_EXITED
        else:
            unstarted = (c.reason for c in task.containers if c.exit_code is None)
            first = next((reason for reason in unstarted if reason), None)
            stop_code = "TaskFailedToStart"
            reason = report.reason or first or REASON_FAILED_TO_START
    return replace(
        task,
        desired_status=STOPPED,
        stop_code=stop_code,
        stopped_reason=reason,
        stopping_at_ms=task.stopping_at_ms or moment.now_ms,
        stopped_at_ms=moment.now_ms,
        containers=tuple(
            c if c.last_status == STOPPED else replace(c, last_status=STOPPED)
            for c in task.containers
        ),
    )


def _task_health(view: View, task: Task) -> str:
    """Judge a task by its essential containers that have a health check (task-lifecycle §6)."""
    definition = view.task_definition(task.task_definition_arn)
    if definition is None:
        return task.health_status
    checked = {c.name for c in definition.containers if c.essential and c.has_health_check}
    found = [c.health_status for c in task.containers if c.name in checked]
    if "UNHEALTHY" in found:
        return "UNHEALTHY"
    if not found or "UNKNOWN" in found:
        return "UNKNOWN"
    return "HEALTHY"
