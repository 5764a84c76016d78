"""Task sets of services with an EXTERNAL controller: each is kept at its share of desiredCount.

Somebody else decides what is rolled out and how fast (reference: services §12); here every task
set is looked after like a service of its own, with the service's percents while tasks have to
move.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Decision, Moment
from homeport.core.effects import AwaitCapacity, Effect, WakeAt
from homeport.core.placement.request import PlacementRequest
from homeport.core.placement.service_request import placement_request
from homeport.core.reconcile.census import take_census
from homeport.core.reconcile.launch import NO_LAUNCH, Launch, launch_tasks
from homeport.core.reconcile.rollout import plan_stops
from homeport.core.reconcile.service_events import (
    is_news,
    started_messages,
    steady_message,
    stopped_messages,
    unplaced_message,
)
from homeport.core.reconcile.step import (
    choose_stops,
    impairments,
    send_tasks,
    service_bounds,
    write_down,
)
from homeport.core.reconcile.wish import wish_launches
from homeport.model.service import Deployment, Service, TaskSet
from homeport.model.task import Task
from homeport.state.view import View

EXTERNAL = "EXTERNAL"
STEADY_STATE = "STEADY_STATE"
STABILIZING = "STABILIZING"
PERCENT = 100


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What has been decided for one task set."""

    after: TaskSet | None  # None: it is gone
    launch: Launch = NO_LAUNCH
    stopped: tuple[Task, ...] = ()
    messages: tuple[str, ...] = ()
    look_again_at_ms: int | None = None
    waits_long: bool = False


def computed_desired_count(service: Service, task_set: TaskSet) -> int:
    """Return how many tasks a task set has to run: its share, rounded up (API:TaskSet)."""
    if task_set.status == "DRAINING" or service.status != "ACTIVE":
        return 0
    share = service.desired_count * Fraction(str(task_set.scale_percent)) / PERCENT
    return -(-share.numerator // share.denominator)


def task_sets_step(
    view: View, service: Service, moment: Moment, *, is_strict: bool = False
) -> Decision:
    """Start and stop tasks of every task set; one set launches a look, as placement needs it."""
    ids = moment.ids()
    is_throttled = moment.now_ms < service.next_launch_at_ms
    looks: list[_Look] = []
    for task_set in service.task_sets:
        may_launch = not is_throttled and not any(look.launch.tasks for look in looks)
        looks.append(
            _look_at(
                view,
                service,
                task_set,
                may_launch=may_launch,
                is_strict=is_strict,
                ids=ids,
                moment=moment,
            )
        )
    after = _after(service, looks)
    complaints = [m for m in impairments(service) if is_news(view, service, m, moment)]
    launch = next((look.launch for look in looks if look.launch.tasks), NO_LAUNCH)
    stopped = [task for look in looks for task in look.stopped]
    effects: list[Effect] = send_tasks([*launch.tasks, *stopped])
    effects.extend(WakeAt(at, service.arn) for look in looks if (at := look.look_again_at_ms))
    if any(look.launch.is_short for look in looks):
        effects.append(AwaitCapacity(service.cluster_arn, service.arn))
    elif any(look.waits_long for look in looks):
        effects.append(AwaitCapacity(service.cluster_arn, service.arn, takes_turn=False))
    if is_throttled:
        effects.append(WakeAt(service.next_launch_at_ms, service.arn))
    return Decision(
        changes=write_down(
            view,
            service,
            after=after,
            launch=launch,
            stopped=stopped,
            messages=[*(m for look in looks for m in look.messages), *complaints],
            ids=ids,
            moment=moment,
        ),
        effects=tuple(effects),
    )


def requests_of_task_sets(view: View, service: Service) -> Iterator[PlacementRequest]:
    """Return what placement is asked for the task sets that lack tasks."""
    for task_set in service.task_sets:
        load = view.deployment_load(service.arn, task_set.id)
        definition = view.task_definition(task_set.task_definition_arn)
        lacking = computed_desired_count(service, task_set) - load.running - load.pending
        if lacking > 0 and definition is not None:
            yield placement_request(view, _on_capacity_of(service, task_set), definition, 1)


def _after(service: Service, looks: Sequence[_Look]) -> Service:
    task_sets = tuple(look.after for look in looks if look.after is not None)
    is_steady = bool(task_sets) and all(s.stability_status == STEADY_STATE for s in task_sets)
    quick_exits = 0 if is_steady else service.quick_exits
    return replace(service, task_sets=task_sets, is_steady=is_steady, quick_exits=quick_exits)


def _look_at(
    view: View,
    service: Service,
    task_set: TaskSet,
    *,
    may_launch: bool,
    is_strict: bool,
    ids: Iterator[str],
    moment: Moment,
) -> _Look:
    stand_in = _stand_in(service, task_set)
    census = take_census(view, stand_in, moment, is_strict=is_strict, is_newest_only=True)
    counts = census.counts()
    if task_set.status == "DRAINING" and not counts.live:
        return _Look(after=None)
    bounds = service_bounds(stand_in)
    wish = wish_launches(stand_in, census, bounds, counts, moment=moment)
    provided = _on_capacity_of(service, task_set)
    launch = NO_LAUNCH
    if may_launch:
        launch = launch_tasks(
            view,
            provided,
            wish.count,
            deployment=stand_in.primary,
            ids=ids,
            moment=moment,
        )
    is_blocked = may_launch and wish.is_blocked(launch)
    stops = plan_stops(bounds, counts, launches=len(launch.tasks), is_blocked=is_blocked)
    stopped = choose_stops(view, provided, census, stops, moment=moment)
    is_calm = not launch.tasks and not stopped and counts.healthy == counts.live == bounds.desired
    messages = [*started_messages(stand_in, launch.tasks), *stopped_messages(stand_in, stopped)]
    if launch.is_short:
        unplaced = unplaced_message(stand_in, launch.refusals)
        messages.extend(m for m in [unplaced] if is_news(view, service, m, moment))
    after = _stable(task_set, moment, is_calm=is_calm)
    if is_calm and task_set.stability_status != STEADY_STATE:
        messages.append(steady_message(stand_in))
    return _Look(
        after=after,
        launch=launch,
        stopped=tuple(stopped),
        messages=tuple(messages),
        look_again_at_ms=census.look_again_at_ms,
        waits_long=census.waits_long,
    )


def _stand_in(service: Service, task_set: TaskSet) -> Service:
    """Return a service that has this task set as its only deployment, named as events name it."""
    deployment = Deployment(
        id=task_set.id,
        status="PRIMARY",
        task_definition_arn=task_set.task_definition_arn,
        rollout_state="COMPLETED",
        created_at_ms=task_set.created_at_ms,
    )
    return replace(
        service,
        name=f"{service.name}, taskSet {task_set.id}",
        desired_count=computed_desired_count(service, task_set),
        deployments=(deployment,),
    )


def _on_capacity_of(service: Service, task_set: TaskSet) -> Service:
    return replace(
        service,
        launch_type=task_set.launch_type,
        capacity_provider_strategy=task_set.capacity_provider_strategy,
        platform_version=task_set.platform_version,
    )


def _stable(task_set: TaskSet, moment: Moment, *, is_calm: bool) -> TaskSet:
    status = STEADY_STATE if is_calm else STABILIZING
    if status == task_set.stability_status:
        return task_set
    return replace(task_set, stability_status=status, stability_at_ms=moment.now_ms)
