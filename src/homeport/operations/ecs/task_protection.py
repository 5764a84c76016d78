"""GetTaskProtection and UpdateTaskProtection: tasks that scale-in and deployments leave alone.

What protection keeps from happening is decided by the service scheduler (core.reconcile).
Source: API:UpdateTaskProtection, API:GetTaskProtection; reference task-lifecycle §10.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.arn import parse_arn
from homeport.model.cluster import Cluster
from homeport.model.task import RUNNING, Task
from homeport.operations.context import CallContext
from homeport.operations.lookup import find_cluster, task_arn_from
from homeport.state.changes import Change, Put
from homeport.state.view import View

TASKS_PER_UPDATE = 10
TASKS_PER_GET = 100
EXPIRES_IN_DEFAULT_MINUTES = 120
EXPIRES_IN_MAX_MINUTES = 2_880
_MINUTE_MS = 60_000

REASON_MISSING = "MISSING"
REASON_NOT_VALID = "TASK_NOT_VALID"
REASON_BLOCKED = "DEPLOYMENT_BLOCKED"


def update_task_protection(
    view: View, request: ecs.UpdateTaskProtectionRequest, context: CallContext
) -> Decision:
    """Protect up to 10 tasks of services from scale-in and deployments, or protect them no more.

    Protection lasts `expiresInMinutes`, 1 to 2,880, counted anew by every call; two hours without.
    Tasks that can't have it come back as failures: MISSING, TASK_NOT_VALID (not a service's, or on
    its way out), DEPLOYMENT_BLOCKED.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    arns = _task_arns(cluster, request.tasks or (), TASKS_PER_UPDATE, context)
    if not arns:
        raise ecs.InvalidParameterException("Tasks cannot be empty.")
    if request.protection_enabled is None:
        raise ecs.InvalidParameterException("protectionEnabled cannot be empty: say true or false.")
    until_ms = context.moment.now_ms + _check_expiry(request.expires_in_minutes) * _MINUTE_MS
    changes: list[Change] = []
    protected: list[ecs.ProtectedTask] = []
    failures: list[ecs.Failure] = []
    for arn in arns:
        task = _service_task(view, cluster, arn, failures)
        if task is None:
            continue
        if request.protection_enabled and _is_blocked(view, task, context):
            failures.append(_blocked(task))
            continue
        updated = replace(task, protected_until_ms=until_ms if request.protection_enabled else None)
        if updated != task:
            updated = replace(updated, version=task.version + 1)
            changes.append(Put(updated))
        protected.append(_render(updated, context))
    return Decision(
        reply=ecs.UpdateTaskProtectionResponse(protected_tasks=protected, failures=failures),
        changes=tuple(changes),
    )


def get_task_protection(
    view: View, request: ecs.GetTaskProtectionRequest, context: CallContext
) -> Decision:
    """Say of up to 100 tasks whether they are protected, and until when.

    Without `tasks` it is those of the cluster that are protected now, the first 100 by ARN.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    failures: list[ecs.Failure] = []
    if request.tasks:
        arns = _task_arns(cluster, request.tasks, TASKS_PER_GET, context)
        found = [t for arn in arns if (t := _service_task(view, cluster, arn, failures))]
    else:
        live = view.live_tasks(cluster.arn).values()
        guarded = [task for task in live if task.is_protected(context.moment.now_ms)]
        found = sorted(guarded, key=lambda task: task.arn)[:TASKS_PER_GET]
    return Decision(
        reply=ecs.GetTaskProtectionResponse(
            protected_tasks=[_render(task, context) for task in found], failures=failures
        )
    )


def _task_arns(
    cluster: Cluster, identifiers: Sequence[str], most: int, context: CallContext
) -> list[str]:
    if len(identifiers) > most:
        raise ecs.InvalidParameterException(
            f"A call can name at most {most} tasks, this one names {len(identifiers)}."
        )
    arns = dict.fromkeys(task_arn_from(context.scope, cluster, name) for name in identifiers)
    for arn in arns:
        parsed = parse_arn(arn)
        if parsed is None or parsed.kind != "task":
            raise ecs.InvalidParameterException(
                f"Invalid identifier: {arn[:255]} is not a task's id or ARN."
            )
    return list(arns)


def _check_expiry(minutes: int | None) -> int:
    if minutes is None:
        return EXPIRES_IN_DEFAULT_MINUTES
    if not 1 <= minutes <= EXPIRES_IN_MAX_MINUTES:
        raise ecs.InvalidParameterException(
            f"expiresInMinutes must be between 1 and {EXPIRES_IN_MAX_MINUTES}, it is {minutes}."
        )
    return minutes


def _service_task(
    view: View, cluster: Cluster, arn: str, failures: list[ecs.Failure]
) -> Task | None:
    """Return a service's wanted task, or note why there is none."""
    task = view.task(arn)
    if task is None or task.cluster_arn != cluster.arn:
        failures.append(ecs.Failure(arn=arn, reason=REASON_MISSING))
        return None
    if task.service_arn is None or task.desired_status != RUNNING:
        detail = "The task isn't part of a service."
        if task.service_arn is not None:
            detail = "The task is stopping or STOPPED."
        failures.append(ecs.Failure(arn=arn, reason=REASON_NOT_VALID, detail=detail))
        return None
    return task


def _is_blocked(view: View, task: Task, context: CallContext) -> bool:
    """Whether a deployment waits for protected tasks alone, so that no further task may be.

    A task that is protected already may have its time extended.
    """
    now_ms = context.moment.now_ms
    service = view.service(task.service_arn or "")
    if service is None or task.is_protected(now_ms):
        return False
    if service.primary.rollout_state != "IN_PROGRESS":
        return False
    older = [
        other
        for other in view.tasks_of_service(service.arn).values()
        if other.desired_status == RUNNING and other.deployment_id != service.primary.id
    ]
    return bool(older) and all(other.is_protected(now_ms) for other in older)


def _blocked(task: Task) -> ecs.Failure:
    return ecs.Failure(
        arn=task.arn,
        reason=REASON_BLOCKED,
        detail=(
            "Protected tasks of an older revision keep the service's deployment from reaching a "
            "steady state. Take their protection away, or wait until it expires."
        ),
    )


def _render(task: Task, context: CallContext) -> ecs.ProtectedTask:
    is_protected = task.is_protected(context.moment.now_ms)
    expires_ms = task.protected_until_ms if is_protected else None
    return ecs.ProtectedTask(
        task_arn=task.arn,
        protection_enabled=is_protected,
        expiration_date=None if expires_ms is None else expires_ms / 1_000,
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "GetTaskProtection": get_task_protection,
    "UpdateTaskProtection": update_task_protection,
}
