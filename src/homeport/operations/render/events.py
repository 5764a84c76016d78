"""What a commit means to those who watch: EventBridge's events, as ECS sends them.

A commit becomes `StateChange`s at once, which is cheap; their JSON is written when somebody reads
them. Where they are kept and who hears of them is `server`'s work. References: task-lifecycle §12,
container-instances §12, services §4; docs.aws.amazon.com/AmazonECS/latest/developerguide/
ecs_cwe_events.html.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from homeport.api import homeport
from homeport.core.reconcile.completion import in_progress
from homeport.core.reconcile.daemon import REASON_UNMATCHED
from homeport.core.reconcile.task_sets import computed_desired_count
from homeport.model.arn import Scope, dashed_uuid, scope_of
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.service import NO_DEPLOYMENT, Deployment, Service, ServiceEvent
from homeport.model.service_deployment import HookState, ServiceDeployment
from homeport.model.task import Task
from homeport.operations.render.container_instances import (
    SeenInstance,
    render_instance_seen,
    see_instance,
)
from homeport.operations.render.service_actions import ServiceAction, read_service_actions
from homeport.operations.render.tasks import render_task_seen, seen_on_instance
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.view import View

CONSTRAINT_VIOLATED = "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED"
SEQUENCES_PER_COMMIT = 1_000_000
TIMES_REMEMBERED = 64

_encode = msgspec.json.Encoder().encode
# AWS's events leave these out: health is no reason for an event, tags are asked for elsewhere.
_NOT_TOLD = ("healthStatus", "tags")
# Events have another word for an attachment's type than DescribeTasks (DG:ecs_task_events).
_TOLD_TYPES = {"ElasticNetworkInterface": "eni"}


class SeenTask(msgspec.Struct, frozen=True, gc=False):
    """A task, and what of its description belongs to its container instance."""

    task: Task
    connectivity: str | None
    cpu_architecture: str | None


class SeenAction(msgspec.Struct, frozen=True, gc=False):
    """What a service did, and the cluster that it is in."""

    cluster_arn: str
    action: ServiceAction


class SeenHook(msgspec.Struct, frozen=True, gc=False):
    """A PAUSE hook of a service deployment."""

    record: ServiceDeployment
    hook: HookState


Seen = SeenTask | SeenInstance | SeenAction | SeenHook | Deployment


class StateChange(msgspec.Struct, frozen=True, gc=False):
    """One event before it is written out; `detail` is what there is to render."""

    sequence: int
    scope: Scope
    detail_type: str
    resource_arn: str
    at_ms: int
    detail: Seen


def first_sequence_behind(commit_sequence: int) -> int:
    """Return the stream's number behind which a commit's successors come."""
    return (commit_sequence + 1) * SEQUENCES_PER_COMMIT - 1


def read_commit(
    view: View,
    commit: Commit,
    replaced: tuple[AnyRecord | None, ...],
    *,
    service_of: Callable[[str], Service | None] | None = None,
) -> list[StateChange]:
    """Return the events of one applied commit, numbered by it and so in order across restarts.

    `service_of` finds a service by its ARN: the view's, unless the commit is one of the past.
    """
    service_of = service_of or view.service
    first = commit.sequence * SEQUENCES_PER_COMMIT
    found: list[StateChange] = []
    touched: dict[str, None] = {}  # container instances, in the order of their tasks

    def tell(told: Told) -> None:
        detail_type, arn, detail = told
        number = first + len(found)
        found.append(StateChange(number, scope_of(arn), detail_type, arn, commit.at_ms, detail))

    for change, old in zip(commit.changes, replaced, strict=True):
        if not isinstance(change, Put):
            continue
        kind = type(change.record)
        if isinstance(change.record, ServiceEvent):
            for told in _read_service_event(service_of(change.record.service_arn), change.record):
                tell(told)
        read = _READERS.get(kind)
        if read is not None:
            for told in read(view, change.record, old):
                tell(told)
        if kind is Task or kind is ContainerInstance:
            arn = _touched_instance(change.record, old)
            if arn is not None:
                touched[arn] = None
    for arn in touched:
        instance = view.container_instance(arn)
        if instance is not None:
            tell((homeport.CONTAINER_INSTANCE_STATE_CHANGE, arn, see_instance(view, instance)))
    assert len(found) < SEQUENCES_PER_COMMIT
    return found


def tells_all_itself(commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> bool:
    """Whether a commit has events, and nothing but its records decides what they are."""
    return commit.cause == "CreateService" and not any(replaced)


def read_later(view: View, commit: Commit) -> list[StateChange]:
    """Return the events of a commit that `tells_all_itself`, whatever has changed since."""
    records = [change.record for change in commit.changes if isinstance(change, Put)]
    made = {record.arn: record for record in records if isinstance(record, Service)}
    return read_commit(view, commit, (None,) * len(commit.changes), service_of=made.get)


def encode_event(change: StateChange) -> msgspec.Raw:
    """Write an event as EventBridge delivers it: its envelope, and the detail of its type."""
    detail = _DETAILS[type(change.detail)](change.detail, change.at_ms)
    unique = f"{change.sequence}/{change.at_ms}/{change.resource_arn}".encode()
    event = homeport.EventBridgeEvent(
        id=dashed_uuid(hashlib.blake2b(unique, digest_size=16).hexdigest()),
        detail_type=change.detail_type,
        account=change.scope.account_id,
        time=iso_time(change.at_ms // 1_000 * 1_000, timespec="seconds"),
        region=change.scope.region,
        resources=[change.resource_arn],
        detail=msgspec.Raw(_encode(detail)),
    )
    return msgspec.Raw(_encode(event))


@functools.lru_cache(maxsize=TIMES_REMEMBERED)  # a commit's events all happen at once
def iso_time(at_ms: int, timespec: str = "milliseconds") -> str:
    """Write a time as AWS's events have it: `2026-01-31T23:59:59.999Z`."""
    text = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec=timespec)
    return text.replace("+00:00", "Z")


Told = tuple[str, str, Seen]  # detail type, the resource's ARN, the detail


def _read_task(view: View, new: Task, old: Task | None) -> Iterable[Told]:
    if old is not None and not _is_news_of_task(new, old):
        return ()
    told = (homeport.TASK_STATE_CHANGE, new.arn, SeenTask(new, *seen_on_instance(view, new)))
    if not _has_lost_its_place(view, new, old):
        return (told,)
    service = view.service(new.service_arn or "")
    assert service is not None, new.service_arn
    where = (new.container_instance_arn or "",)
    violated = ServiceAction("ERROR", CONSTRAINT_VIOLATED, container_instance_arns=where)
    return told, _told_action(service, violated)


def _has_lost_its_place(view: View, new: Task, old: Task | None) -> bool:
    """Whether a daemon's task ends because its ACTIVE instance matches its service no more."""
    if new.stopped_reason != REASON_UNMATCHED or (old is not None and old.stopped_reason):
        return False
    instance = view.container_instance(new.container_instance_arn or "")
    return instance is not None and instance.status == ACTIVE


def _read_service_event(service: Service | None, new: ServiceEvent) -> Iterable[Told]:
    if service is None:
        return ()
    return [_told_action(service, action) for action in read_service_actions(service, new)]


def _read_hooks(
    _view: View, new: ServiceDeployment, old: ServiceDeployment | None
) -> Iterable[Told]:
    known = () if old is None else old.hooks
    return [
        (homeport.HOOK_STATE_CHANGE, new.service_arn, SeenHook(new, hook))
        for hook in new.hooks
        if hook not in known
    ]


def _touched_instance(new: AnyRecord, old: AnyRecord | None) -> str | None:
    """Return the ARN of the container instance that a change makes another one, if it does.

    A task does where it is placed, and where it is reported STOPPED: what is left there changes.
    """
    if isinstance(new, Task):
        was_placed = isinstance(old, Task) and old.container_instance_arn is not None
        was_stopped = isinstance(old, Task) and old.is_stopped
        if was_placed and was_stopped == new.is_stopped:
            return None
        return new.container_instance_arn
    if not isinstance(new, ContainerInstance):
        return None
    is_news = not isinstance(old, ContainerInstance) or new.version != old.version
    return new.arn if is_news else None


def _is_news_of_task(new: Task, old: Task) -> bool:
    """Whether more than the task's health has changed, of which ECS sends no event."""
    if new.version == old.version:
        return False
    if new.last_status != old.last_status or new.desired_status != old.desired_status:
        return True
    return _without_health(new) != _without_health(old)


def _without_health(task: Task) -> Task:
    return replace(
        task,
        version=0,
        health_status="",
        containers=tuple(replace(each, health_status="") for each in task.containers),
    )


def _task_detail(seen: SeenTask, at_ms: int) -> dict[str, Any]:
    shape = render_task_seen(seen.task, seen.connectivity, seen.cpu_architecture)
    detail = _as_detail(msgspec.to_builtins(shape), at_ms)
    for container in detail["containers"]:
        container.pop("healthStatus", None)
    for attachment in detail.get("attachments", ()):
        attachment["type"] = _TOLD_TYPES.get(attachment["type"], attachment["type"])
    return detail


def _instance_detail(seen: SeenInstance, at_ms: int) -> dict[str, object]:
    detail = _as_detail(msgspec.to_builtins(render_instance_seen(seen)), at_ms)
    return {**detail, "clusterArn": seen.instance.cluster_arn}


def _as_detail(described: dict[str, Any], at_ms: int) -> dict[str, Any]:
    """Turn a description into an event's detail: times as text, the time of this change."""
    detail = {
        name: iso_time(round(value * 1_000)) if name.endswith("At") else value
        for name, value in described.items()
        if name not in _NOT_TOLD
    }
    return {**detail, "updatedAt": iso_time(at_ms)}


def _read_service(_view: View, new: Service, old: Service | None) -> Iterator[Told]:
    if old is not None and new.status == "ACTIVE" and _is_counted_anew(new, old):
        yield _told_action(new, ServiceAction("INFO", "SERVICE_DESIRED_COUNT_UPDATED"))
    known = {NO_DEPLOYMENT.id: NO_DEPLOYMENT.rollout_state}
    if old is not None:
        known |= {each.id: each.rollout_state for each in old.deployments}
        known |= {each.id: "COMPLETED" for each in old.task_sets}  # which one of them goes on as
    for deployment in new.deployments:
        if known.get(deployment.id) == deployment.rollout_state:
            continue
        if deployment.id not in known and deployment.rollout_state == "COMPLETED":
            yield homeport.DEPLOYMENT_STATE_CHANGE, new.arn, in_progress(deployment)
        yield homeport.DEPLOYMENT_STATE_CHANGE, new.arn, deployment
        if deployment.rollout_state == "FAILED":
            reason = deployment.rollout_state_reason
            yield _told_action(new, ServiceAction("ERROR", "SERVICE_DEPLOYMENT_FAILED", reason))


def _is_counted_anew(new: Service, old: Service) -> bool:
    """Whether the scheduler computed another count; what a user asks for is none (DG)."""
    if new.deployment_controller == "EXTERNAL":
        before = {each.id: computed_desired_count(old, each) for each in old.task_sets}
        return any(
            each.id in before and before[each.id] != computed_desired_count(new, each)
            for each in new.task_sets
        )
    return new.scheduling_strategy == "DAEMON" and new.desired_count != old.desired_count


def _told_action(service: Service, action: ServiceAction) -> Told:
    return homeport.SERVICE_ACTION, service.arn, SeenAction(service.cluster_arn, action)


# What each table's changes have to tell; those of the others tell nothing.
_READERS: dict[type, Callable[[View, Any, Any], Iterable[Told]]] = {
    Task: _read_task,
    Service: _read_service,
    ServiceDeployment: _read_hooks,
}


def _deployment_detail(deployment: Deployment, at_ms: int) -> dict[str, object]:
    """Write the detail of a deployment's state change (DG: ecs_service_deployment_events)."""
    return {
        "eventType": "ERROR" if deployment.rollout_state == "FAILED" else "INFO",
        "eventName": f"SERVICE_DEPLOYMENT_{deployment.rollout_state}",
        "deploymentId": deployment.id,
        "updatedAt": iso_time(at_ms),
        "reason": deployment.rollout_state_reason,
    }


def _hook_detail(seen: SeenHook, at_ms: int) -> dict[str, object]:
    """Write the detail of a PAUSE hook that waits, or was answered (DG: pause-lifecycle-hooks)."""
    record, hook = seen.record, seen.hook
    has_failed = hook.status in ("FAILED", "TIMED_OUT")
    return {
        "eventType": "ERROR" if has_failed else "INFO",
        "eventName": f"HOOK_{hook.status}",
        "clusterArn": record.cluster_arn,
        "serviceDeploymentArn": record.arn,
        "hookId": hook.id,
        "targetType": "PAUSE",
        "lifecycleStage": hook.stage,
        "status": hook.status,
        "expiresAt": iso_time(hook.expires_at_ms),
        "timeoutAction": hook.timeout_action,
        "updatedAt": iso_time(at_ms),
    }


def _action_detail(seen: SeenAction, at_ms: int) -> dict[str, object]:
    """Write the detail of a service action (DG: ecs_service_events)."""
    action = seen.action
    detail: dict[str, object] = {
        "eventType": action.event_type,
        "eventName": action.event_name,
        "clusterArn": seen.cluster_arn,
    }
    if action.capacity_provider_arns:
        detail["capacityProviderArns"] = list(action.capacity_provider_arns)
    if action.container_instance_arns:
        detail["containerInstanceArns"] = list(action.container_instance_arns)
    if action.reason:
        detail["reason"] = action.reason
    detail["createdAt"] = iso_time(at_ms)
    return detail


_DETAILS: dict[type, Callable[[Any, int], dict[str, Any]]] = {
    SeenTask: _task_detail,
    SeenInstance: _instance_detail,
    SeenAction: _action_detail,
    SeenHook: _hook_detail,
    Deployment: _deployment_detail,
}
