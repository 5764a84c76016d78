"""Tasks that wait for capacity: placed as soon as there is room, given up when none ever comes.

Level-triggered like the service scheduler: one cluster is looked at as it is. Which tasks wait
at all is decided where they are launched. Reference: capacity-and-scaling §4, §6;
task-lifecycle §3.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from homeport.core.capacity.addresses import free_addresses
from homeport.core.capacity.handout import hand_out
from homeport.core.capacity.turns import Waiting, next_turn
from homeport.core.decision import NOTHING, Decision, Moment
from homeport.core.effects import AwaitCapacity, SendTasks, WakeAt
from homeport.core.lifecycle.new_task import assign_task, stop_task
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.core.reconcile.service_events import (
    closest_refusal,
    event_changes,
    is_news,
    unplaceable_message,
    unplaced_message,
)
from homeport.core.reconcile.throttle import count_failed_launch
from homeport.model.arn import parse_arn, scope_of
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER, FARGATE, FARGATE_PROVIDERS
from homeport.model.container_instance import ContainerInstance
from homeport.model.placement import PlacementConstraint
from homeport.model.task import PlacementWish, Task
from homeport.state.changes import Change, Put
from homeport.state.view import View

if TYPE_CHECKING:
    from homeport.model.service import Service

TASKS_PER_CLUSTER = 500
ATTRIBUTE_TASK_ENI = "ecs.capability.task-eni"
WAIT_LIMIT_S = 1_800  # AWS names no figure
# Before a service's event tells of a wait: `homeport up` makes Fargate's pool within seconds.
TOLD_AFTER_S = 60
STOP_FAILED_TO_START = "TaskFailedToStart"
UNAVAILABLE = (
    "Capacity is unavailable at this time. Please try again later or in a different availability "
    "zone"
)
_NO_WISH = PlacementWish()


def waits_for_capacity(view: View, cluster_arn: str, provider: str) -> bool:
    """Whether tasks of a provider wait for room: Fargate's, and those of managed scaling."""
    if provider in FARGATE_PROVIDERS:
        return True
    known = view.capacity_provider(scope_of(cluster_arn), provider)
    return known is not None and known.is_scaling_managed


def provider_constraints(provider: str | None) -> tuple[PlacementConstraint, ...]:
    """Return what keeps tasks on a provider's container instances; Fargate's have a kind."""
    if provider is None or provider in FARGATE_PROVIDERS:
        return ()
    expression = f"attribute:{ATTRIBUTE_CAPACITY_PROVIDER} == {provider}"
    return (PlacementConstraint("memberOf", expression),)


def on_provider(request: PlacementRequest, provider: str | None) -> PlacementRequest:
    """Return what placement is asked for tasks of a capacity provider; None for those of none."""
    if provider is None or provider in FARGATE_PROVIDERS:
        return request
    constraints = (*request.constraints, *provider_constraints(provider))
    return replace(request, constraints=constraints, capacity_provider=provider)


def wish_for_capacity(request: PlacementRequest) -> PlacementWish:
    """Return what a task remembers of a placement request while it waits.

    Fargate's tasks have their network interfaces from the pool, whatever its instances can do.
    """
    required = request.requires_attributes
    if request.launch_type == FARGATE:
        required = tuple(name for name in required if name != ATTRIBUTE_TASK_ENI)
    return PlacementWish(
        requires_attributes=required,
        constraints=request.constraints,
        strategies=request.strategies,
        zones=request.zones,
        platform=() if request.launch_type == FARGATE else request.platform,
    )


def provision_tasks(view: View, cluster_arn: str, moment: Moment) -> Decision:
    """Place the oldest waiting tasks that fit, or give up those that can't be helped.

    Tasks that are alike are placed together, one kind a look: what was placed wakes the next look.
    A big task doesn't keep smaller ones behind it from starting.
    """
    waiting = sorted(
        view.provisioning_tasks(cluster_arn).values(), key=lambda t: (t.created_at_ms, t.arn)
    )
    if not waiting:
        return _with_turn(view, cluster_arn, (), NOTHING, moment=moment)
    kinds = _kinds(waiting)
    hopeless: list[tuple[Task, str]] = []
    refused: list[tuple[Task, tuple[Refusal, ...]]] = []
    for alike in kinds:
        placed, refusals = _place(view, alike, moment)
        if placed:
            return _placed(placed)
        hopeless.extend(_hopeless(view, alike, refusals, moment))
        refused.append((alike[0], refusals))
    if hopeless:
        return _give_up(view, hopeless, moment)
    ends_ms = [waiting[0].created_at_ms + WAIT_LIMIT_S * 1_000]
    told_ms = [task.created_at_ms + TOLD_AFTER_S * 1_000 for task, _ in refused if task.service_arn]
    ends_ms.extend(told for told in told_ms if told > moment.now_ms)
    waits = Decision(
        changes=tuple(_tell_of_waits(view, refused, moment)),
        effects=(AwaitCapacity(cluster_arn, cluster_arn), WakeAt(min(ends_ms), cluster_arn)),
    )
    oldest = [Waiting(each[0].arn, each[0].created_at_ms, _request_for(each)) for each in kinds]
    return _with_turn(view, cluster_arn, oldest, waits, moment=moment)


def without_room(view: View, waiting: Iterable[Task], moment: Moment) -> list[Task]:
    """Return those of the waiting tasks that would find no place if one of them were next."""
    stuck: list[Task] = []
    for alike in _kinds(sorted(waiting, key=lambda task: (task.created_at_ms, task.arn))):
        request = replace(_request_for(alike), count=1, refusals_wanted=1)
        if not place_tasks(view, request, moment).container_instance_arns:
            stuck.extend(alike)
    return stuck


def _with_turn(
    view: View,
    cluster_arn: str,
    waiting: Sequence[Waiting],
    decision: Decision,
    *,
    moment: Moment,
) -> Decision:
    """Add what is to be done about the cluster's turn, if it is one of these tasks' or nobody's."""
    cluster = view.cluster(cluster_arn)
    if cluster is None or not (waiting or cluster.kept):
        return decision
    kept_for = None if cluster.kept is None else cluster.kept.for_arn
    parsed = None if kept_for is None else parse_arn(kept_for)
    step = next_turn(
        view,
        cluster,
        waiting,
        look_arn=cluster_arn,
        has_turn=parsed is not None and parsed.kind == "task",
        moment=moment,
    )
    return replace(
        decision,
        changes=(*decision.changes, *step.changes),
        effects=(*decision.effects, *step.effects),
    )


def _kinds(tasks: Iterable[Task]) -> list[list[Task]]:
    kinds: dict[object, list[Task]] = {}
    for task in tasks:
        kind = (task.launch_type, task.group, task.service_arn, task.resources, task.wish)
        kinds.setdefault(kind, []).append(task)
    return list(kinds.values())


def _place(
    view: View, alike: Sequence[Task], moment: Moment
) -> tuple[list[Task], tuple[Refusal, ...]]:
    first = alike[0]
    placement = place_tasks(view, _request_for(alike), moment)
    assigned: list[Task] = []
    addresses: dict[str, Iterator[str]] = {}
    for task, arn in zip(alike, placement.container_instance_arns, strict=False):
        instance = view.container_instance(arn)
        assert instance is not None, arn
        address = None
        if first.launch_type == FARGATE:
            address = next(addresses.setdefault(arn, free_addresses(view, instance)), None)
            if address is None:
                continue
        asked = replace(task, wish=_without_provider(task))
        assigned.append(assign_task(asked, instance, moment, private_ip=address))
    placed = [replace(task, version=task.version + 1) for task in hand_out(view, assigned)]
    return placed, placement.refusals


def _request_for(alike: Sequence[Task]) -> PlacementRequest:
    first = alike[0]
    wish = first.wish or _NO_WISH
    return PlacementRequest(
        cluster_arn=first.cluster_arn,
        group=first.group,
        service_arn=first.service_arn,
        claimant=first.arn,
        resources=first.resources,
        requires_attributes=wish.requires_attributes,
        zones=wish.zones,
        platform=wish.platform,
        constraints=wish.constraints,
        strategies=wish.strategies,
        launch_type=first.launch_type,
        capacity_provider=None if first.launch_type == FARGATE else first.capacity_provider,
        count=len(alike),
    )


def _without_provider(task: Task) -> PlacementWish | None:
    """Return what the task's call asked for itself."""
    wish = task.wish
    if wish is None:
        return None
    provided = provider_constraints(task.capacity_provider)
    return replace(wish, constraints=tuple(c for c in wish.constraints if c not in provided))


def _placed(tasks: Sequence[Task]) -> Decision:
    by_instance: dict[str, list[str]] = {}
    for task in tasks:
        by_instance.setdefault(task.container_instance_arn or "", []).append(task.arn)
    return Decision(
        changes=tuple(Put(task) for task in tasks),
        effects=tuple(SendTasks(arn, tuple(tasks)) for arn, tasks in by_instance.items()),
    )


def _hopeless(
    view: View, alike: Sequence[Task], refusals: Sequence[Refusal], moment: Moment
) -> Iterator[tuple[Task, str]]:
    """Pair the tasks that have waited too long, or can never start, with the reason."""
    never = _why_never(view, alike[0])
    for task in alike:
        if never is not None:
            yield task, never
        elif moment.now_ms - task.created_at_ms >= WAIT_LIMIT_S * 1_000:
            yield task, _why_not_yet(task, refusals)


def _why_never(view: View, task: Task) -> str | None:
    """Say why the local pool, as it is, could never run a Fargate task; None if it could."""
    if task.launch_type != FARGATE:
        return None
    pool = [i for i in view.pool_instances(task.cluster_arn).values() if i.is_available]
    if not pool or any(_fits(instance, task) for instance in pool):
        return None
    for name in (task.wish or _NO_WISH).requires_attributes:
        if not any(name in instance.attributes for instance in pool):
            return f"TaskFailedToStart: ATTRIBUTE (the local Fargate pool has no {name})"
    most_cpu_units = max(instance.resources.cpu_units for instance in pool)
    most_memory_mib = max(instance.resources.memory_mib for instance in pool)
    return (
        f"{UNAVAILABLE}. The local Fargate pool offers a task at most {most_cpu_units} CPU units "
        f"and {most_memory_mib} MiB; this one needs {task.resources.cpu_units} and "
        f"{task.resources.memory_mib}."
    )


def _fits(instance: ContainerInstance, task: Task) -> bool:
    """Whether an instance could run the task if it had nothing else to do."""
    offered, needs = instance.resources, task.resources
    return (
        needs.cpu_units <= offered.cpu_units
        and needs.memory_mib <= offered.memory_mib
        and needs.gpu_count <= len(offered.gpu_ids)
        and all(n in instance.attributes for n in (task.wish or _NO_WISH).requires_attributes)
    )


def _why_not_yet(task: Task, refusals: Sequence[Refusal]) -> str:
    if task.launch_type == FARGATE:
        return UNAVAILABLE
    if not refusals:
        return "TaskFailedToStart: EMPTY CAPACITY PROVIDER"
    return f"TaskFailedToStart: {closest_refusal(refusals).reason}"


def _give_up(view: View, hopeless: Sequence[tuple[Task, str]], moment: Moment) -> Decision:
    """Stop tasks that will never start; their services count them as failed, and say why."""
    changes: list[Change] = []
    services: dict[str, Service] = {}
    said: dict[str, dict[str, None]] = {}
    for task, reason in hopeless:
        stopped = stop_task(task, stop_code=STOP_FAILED_TO_START, reason=reason, moment=moment)
        changes.append(Put(stopped))
        service = services.get(task.service_arn or "") or view.service(task.service_arn or "")
        if service is not None:
            services[service.arn] = count_failed_launch(service, stopped, moment)
            message = unplaceable_message(service, reason.removeprefix(f"{STOP_FAILED_TO_START}: "))
            said.setdefault(service.arn, {})[message] = None
    ids = moment.ids()
    for arn, service in services.items():
        changes.extend(_told(view, service, said[arn], ids=ids, moment=moment))
    return Decision(changes=tuple(changes))


def _tell_of_waits(
    view: View, refused: Sequence[tuple[Task, Sequence[Refusal]]], moment: Moment
) -> Iterator[Change]:
    """Say in services' events why tasks wait, once they have waited for a while."""
    said: dict[str, dict[str, None]] = {}
    for task, refusals in refused:
        service = view.service(task.service_arn or "")
        if service is None or moment.now_ms < task.created_at_ms + TOLD_AFTER_S * 1_000:
            continue
        message = unplaced_message(service, refusals)
        if task.launch_type == FARGATE:
            message = unplaceable_message(service, UNAVAILABLE)
        if is_news(view, service, message, moment):
            said.setdefault(service.arn, {})[message] = None
    ids = moment.ids()
    for arn, messages in said.items():
        service = view.service(arn)
        assert service is not None, arn
        yield from _told(view, service, messages, ids=ids, moment=moment)


def _told(
    view: View,
    service: "Service",
    messages: Iterable[str],
    *,
    ids: Iterator[str],
    moment: Moment,
) -> Iterator[Change]:
    """Write a service down with the events that are news."""
    news = [message for message in messages if is_news(view, service, message, moment)]
    yield from event_changes(view, service, news, ids=ids, moment=moment)
    yield Put(replace(service, event_sequence=service.event_sequence + len(news)))
