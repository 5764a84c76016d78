"""One step of a service, put together: starts, stops, deployments, events, effects.

The numbers come from `rollout`, the tasks from `census`, the places from `launch`.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from homeport.core.capacity.scale_in import pick_tasks_to_stop
from homeport.core.decision import Decision, Moment
from homeport.core.effects import AwaitZone, Effect, SendTasks, WakeAt
from homeport.core.lifecycle.new_task import STOP_SERVICE_SCHEDULER, stop_task
from homeport.core.reconcile.aftermath import (
    REASON_FAILED_HEALTH,
    Plan,
    count_failures,
    repeat_of_steady_state,
    wakes_of,
)
from homeport.core.reconcile.census import Census
from homeport.core.reconcile.circuit_breaker import yields_to_older
from homeport.core.reconcile.completion import conclude, is_in_order
from homeport.core.reconcile.launch import NO_LAUNCH, Launch, launch_tasks
from homeport.core.reconcile.rebalance import (
    NO_ZONE,
    Move,
    balanced_message,
    moved_messages,
    plan_move,
    protected_move_message,
    protection_ends_ms,
    rebalancing_stopped_message,
)
from homeport.core.reconcile.rollout import Bounds, Counts, Stops, bounds_of, plan_stops
from homeport.core.reconcile.service_deployments import (
    follow_service_deployment,
    forget_history,
)
from homeport.core.reconcile.service_events import (
    closest_refusal,
    event_changes,
    failed_health_message,
    impaired_message,
    is_news,
    overflow_message,
    protected_message,
    started_messages,
    stopped_messages,
    stuck_message,
    unplaced_message,
)
from homeport.core.reconcile.throttle import is_impaired
from homeport.core.reconcile.wish import keep_fewer, wish_launches, wish_newest
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.changes import Change, Delete, Put
from homeport.state.view import View

# A service whose zones stay uneven looks at all instances: room that appears lets it no sooner.
ZONE_LOOK_AFTER_S = 10


def next_step(view: View, service: Service, census: Census, moment: Moment) -> Decision:
    """Start and stop what may be started and stopped now, and write down how far things are."""
    ids = moment.ids()
    counts = census.counts()
    bounds = service_bounds(service)
    wish = wish_launches(service, census, bounds, counts, moment=moment)
    launch = launch_tasks(
        view, service, wish.count, deployment=wish.deployment, ids=ids, moment=moment
    )
    waits_for_room = launch.is_short
    is_older = wish.deployment.id != service.primary.id
    if is_older and not wish.is_throttled and not launch.tasks:
        # What an older revision lacks finds no place: the newest one's tasks may.
        wish = wish_newest(service, bounds, counts, moment=moment)
        launch = launch_tasks(
            view, service, wish.count, deployment=wish.deployment, ids=ids, moment=moment
        )
    is_blocked = wish.is_blocked(launch)
    stops = plan_stops(bounds, counts, launches=len(launch.tasks), is_blocked=is_blocked)
    stopped = choose_stops(view, service, census, stops, moment=moment)
    complaints = _complaints(service, counts, launch, stopped, is_blocked=is_blocked)
    after = service
    if len(stopped) < stops.total:
        if service.is_rebalancing:
            after = replace(service, is_rebalancing=False)
            complaints.append(protected_move_message(service))
            complaints.append(rebalancing_stopped_message(service))
        else:
            complaints.append(protected_message(service, service.deployments[-1].id))
    remaining = _without_gone_deployments(view, service, launch.tasks)
    plan = Plan(
        wish=wish,
        launch=launch,
        stopped=tuple(stopped),
        complaints=tuple(complaints),
        waits_for_room=waits_for_room or launch.is_short,
        is_in_order=is_in_order(remaining, counts) and not launch.tasks and not stopped,
    )
    if service.moving_tasks and not counts.unsettled:
        after = replace(after, moving_tasks=0)  # all are up, or gone: the surplus goes now
    return finish_step(view, service, census, plan, after=after, ids=ids, moment=moment)


def service_bounds(service: Service) -> Bounds:
    """Return how many tasks a REPLICA service wants, must keep healthy, and may have."""
    return bounds_of(
        service.desired_count,
        service.minimum_healthy_percent,
        service.maximum_percent,
        moving=service.moving_tasks,
        held=service.desired_count if service.keeps_older_tasks else 0,
        yields=yields_to_older(service),
    )


def move_step(view: View, service: Service, moment: Moment) -> Decision:
    """Start tasks that even a steady service out, or say how even it is, and when to look again."""
    ids = moment.ids()
    move = plan_move(view, service, ids=ids, moment=moment)
    if move is None or not move.launch.tasks:
        return _stay_step(view, service, move, moment)
    after = replace(
        service,
        moving_tasks=len(move.launch.tasks),
        is_rebalancing=service.is_rebalancing or move.is_between_zones,
        is_steady=False,
    )
    return Decision(
        changes=write_down(
            view,
            service,
            after=after,
            launch=move.launch,
            stopped=(),
            messages=move.messages,
            ids=ids,
            moment=moment,
        ),
        effects=tuple(send_tasks(move.launch.tasks)),
    )


def _stay_step(view: View, service: Service, move: Move | None, moment: Moment) -> Decision:
    """Say once that a zone has no room, or that all are even; then wait for what may change it."""
    blocked = move if move is not None and move.is_between_zones else None
    messages = [] if blocked is None else list(blocked.messages)
    messages = [m for m in messages if is_news(view, service, m, moment)]
    after = service
    if service.is_rebalancing:
        after = replace(service, is_rebalancing=False)
        messages.append(
            balanced_message(view, service, moment)
            if blocked is None
            else rebalancing_stopped_message(service)
        )
    if messages:
        return note_step(view, service, after, messages=messages, moment=moment)
    effects: list[Effect] = [repeat_of_steady_state(service)]
    ends_ms = protection_ends_ms(view, service, moment)
    if ends_ms is not None:
        effects.append(WakeAt(ends_ms, service.arn))
    not_before_ms = moment.now_ms + ZONE_LOOK_AFTER_S * 1_000
    effects.extend(
        AwaitZone(
            cluster_arn=service.cluster_arn,
            zone=None if zone == NO_ZONE else zone,
            service_arn=service.arn,
            not_before_ms=not_before_ms,
            has_hosts=has_hosts,
        )
        for zone, has_hosts in ({} if move is None else move.lacking).items()
    )
    return Decision(effects=tuple(effects))


def finish_step(
    view: View,
    service: Service,
    census: Census,
    plan: Plan,
    *,
    after: Service,
    ids: Iterator[str],
    moment: Moment,
) -> Decision:
    """Write down what was decided: tasks, counts, events, and when to look again.

    `after` is the service as the step has made it so far.
    """
    launch, stopped = plan.launch, plan.stopped
    is_move = service.is_rebalancing and service.moving_tasks > after.moving_tasks
    messages = _activity_messages(service, launch, stopped, is_move=is_move)
    messages.extend(m for m in plan.complaints if is_news(view, service, m, moment))
    after = _without_gone_deployments(view, after, launch.tasks)
    after = keep_fewer(after, census, stopped)
    after = count_failures(after, census, plan, moment)
    after, conclusions = conclude(after, census.counts(), moment, is_calm=plan.is_in_order)
    messages.extend(conclusions)
    effects: list[Effect] = send_tasks([*launch.tasks, *stopped])
    effects.extend(wakes_of(after, census, plan, moment))
    return Decision(
        changes=write_down(
            view,
            service,
            after=after,
            launch=launch,
            stopped=stopped,
            messages=messages,
            ids=ids,
            moment=moment,
        ),
        effects=tuple(effects),
        notes=_notes(service, launch, messages),
    )


def note_step(
    view: View, service: Service, after: Service, *, messages: Sequence[str], moment: Moment
) -> Decision:
    """Write down what the service has become, and say so; the next look acts on it."""
    return Decision(
        changes=write_down(
            view,
            service,
            after=after,
            launch=NO_LAUNCH,
            stopped=(),
            messages=messages,
            ids=moment.ids(),
            moment=moment,
        )
    )


def drain_step(view: View, service: Service, census: Census, moment: Moment) -> Decision:
    """Stop every task of a deleted service; it is INACTIVE when none is left (services §14)."""
    ids = moment.ids()
    counts = census.counts()
    stops = plan_stops(bounds_of(0, 0, 0), counts, launches=0, is_blocked=False)
    unguarded = replace(census, protected=frozenset())  # protection ends with the service
    stopped = choose_stops(view, service, unguarded, stops, moment=moment)
    after = _without_gone_deployments(view, service)
    history: list[Change] = []
    if not counts.live:
        history = forget_history(view, service.arn)
        history.extend(
            Delete("tags", task_set.arn)
            for task_set in service.task_sets
            if view.tags(task_set.arn)
        )
        after = replace(
            after,
            status="INACTIVE",
            deleted_at_ms=moment.now_ms,
            is_steady=False,
            service_deployment_arn=None,
            last_completed=None,
            task_sets=(),
        )
    messages = stopped_messages(service, stopped)
    return Decision(
        changes=(
            *write_down(
                view,
                service,
                after=after,
                launch=NO_LAUNCH,
                stopped=stopped,
                messages=messages,
                ids=ids,
                moment=moment,
            ),
            *history,
        ),
        effects=tuple(send_tasks(stopped)),
    )


def choose_stops(
    view: View, service: Service, census: Census, stops: Stops, *, moment: Moment
) -> list[Task]:
    """Choose the tasks to stop and want them STOPPED, with the reason that ECS gives."""
    going: list[tuple[Task, str]] = []
    for group, count, is_for_health in (
        (census.outgoing_pending, stops.outgoing_pending, False),
        (census.outgoing_unhealthy, stops.outgoing_unhealthy, True),
        (census.outgoing_unsettled, stops.outgoing_unsettled, False),
        (census.outgoing_starting, stops.outgoing_starting, False),
        (census.outgoing_healthy, stops.outgoing_healthy, False),
        (census.unhealthy, stops.unhealthy, True),
        (census.unsettled, stops.unsettled, False),
        (census.healthy, stops.healthy, False),
    ):
        stoppable = group
        if not is_for_health and census.protected:
            stoppable = tuple(task for task in group if task.arn not in census.protected)
        if group is census.outgoing_healthy and service.keeps_older_tasks:
            stoppable = _spare_tasks(service, census, stoppable)
        leaving = frozenset(task.arn for task, _ in going)
        picked = _pick(
            view, service, census, stoppable, count=count, moment=moment, leaving=leaving
        )
        for task in picked:
            scaling = f"Scaling activity initiated by (deployment {task.deployment_id})"
            going.append((task, REASON_FAILED_HEALTH if is_for_health else scaling))
    return stop_tasks(going, moment)


def _spare_tasks(service: Service, census: Census, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Return which healthy tasks may go while older ones have to stay beside the newest ones.

    Each side keeps desiredCount by itself. But one newest task a time may leave a DRAINING
    instance before its replacement has started, as there may be no room for that beside it.
    """
    newest = sorted(
        (t for t in tasks if t.deployment_id == service.primary.id), key=lambda task: task.arn
    )
    kept = None if service.last_completed is None else service.last_completed.id
    older = sorted(
        (t for t in tasks if t.deployment_id != service.primary.id),
        key=lambda t: (t.deployment_id == kept, t.arn not in census.displaced, t.arn),
    )
    at_once = 0 if census.stopping or census.unsettled else 1
    going = max(at_once, len(census.healthy) + len(newest) - service.desired_count)
    beyond = max(0, len(older) - service.desired_count)
    return (*newest[:going], *older[:beyond])


def stop_tasks(going: Sequence[tuple[Task, str]], moment: Moment) -> list[Task]:
    """Want tasks STOPPED, each for its reason."""
    return [
        stop_task(task, stop_code=STOP_SERVICE_SCHEDULER, reason=reason, moment=moment)
        for task, reason in going
    ]


def _pick(
    view: View,
    service: Service,
    census: Census,
    tasks: Sequence[Task],
    *,
    count: int,
    moment: Moment,
    leaving: frozenset[str],
) -> Sequence[Task]:
    """Choose among tasks of one kind: those that have to leave their instance go first."""
    if count <= 0:
        return ()
    if count >= len(tasks):
        return sorted(tasks, key=lambda task: task.arn)
    kept = None
    if service.keeps_older_tasks and service.last_completed is not None:
        kept = service.last_completed.id
    first = [t for t in tasks if t.arn in census.displaced or kept not in (None, t.deployment_id)]
    chosen = sorted(first, key=lambda task: task.arn)[:count]
    leaving |= {task.arn for task in chosen}
    rest = pick_tasks_to_stop(
        view,
        service,
        [task for task in tasks if task.arn not in leaving],
        count=count - len(chosen),
        moment=moment,
        leaving=leaving,
    )
    return (*chosen, *rest)


def _activity_messages(
    service: Service, launch: Launch, stopped: Sequence[Task], *, is_move: bool
) -> list[str]:
    say_stopped = moved_messages if is_move else stopped_messages
    failed = [task for task in stopped if task.stopped_reason == REASON_FAILED_HEALTH]
    return [
        *started_messages(service, launch.tasks),
        *(failed_health_message(service, task) for task in failed),
        *say_stopped(service, stopped),
    ]


def _complaints(
    service: Service,
    counts: Counts,
    launch: Launch,
    stopped: Sequence[Task],
    *,
    is_blocked: bool,
) -> list[str]:
    """Say what keeps the service from being as it should, if anything does."""
    complaints = impairments(service)
    if launch.overflow:
        complaints.append(overflow_message(service))
    elif launch.is_short:
        complaints.append(unplaced_message(service, launch.refusals))
    is_waiting = counts.unsettled or counts.stopping or launch.tasks or stopped
    if is_blocked and not launch.is_short and not is_waiting:
        complaints.append(stuck_message(service))
    return complaints


def impairments(service: Service) -> list[str]:
    """Say that launches are being delayed, if they are."""
    return [impaired_message(service)] if is_impaired(service) else []


def _without_gone_deployments(
    view: View, service: Service, started: Sequence[Task] = ()
) -> Service:
    """Forget older deployments whose tasks have all stopped, unless they have just got new ones."""
    renewed = [task.deployment_id for task in started]
    kept = tuple(
        deployment
        for deployment in service.deployments
        if deployment.status == "PRIMARY"
        or deployment.id in renewed
        or any(view.deployment_load(service.arn, deployment.id).values())
    )
    if len(kept) == len(service.deployments):
        return service
    return replace(service, deployments=kept)


def send_tasks(tasks: Sequence[Task]) -> list[Effect]:
    """Tell each container instance concerned, once."""
    by_instance: dict[str, list[str]] = {}
    for task in tasks:
        if task.container_instance_arn is not None:
            by_instance.setdefault(task.container_instance_arn, []).append(task.arn)
    return [SendTasks(instance, tuple(arns)) for instance, arns in by_instance.items()]


def write_down(
    view: View,
    service: Service,
    *,
    after: Service,
    launch: Launch,
    stopped: Sequence[Task],
    messages: Sequence[str],
    ids: Iterator[str],
    moment: Moment,
) -> tuple[Change, ...]:
    """Make the changes of one step, the record of the service deployment among them."""
    events = event_changes(view, service, messages, ids=ids, moment=moment)
    after, history = follow_service_deployment(view, after, moment)
    after = replace(after, event_sequence=service.event_sequence + len(messages))
    return (
        *(Put(task) for task in launch.tasks),
        *(Put(tags) for tags in launch.tags),
        *(Put(task) for task in stopped),
        *events,
        *history,
        *((Put(after),) if after != service else ()),
    )


def _notes(service: Service, launch: Launch, messages: Sequence[str]) -> tuple[str, ...]:
    """Log why tasks found no place, when the event says so too; it has the exact numbers."""
    if not launch.refusals or unplaced_message(service, launch.refusals) not in messages:
        return ()
    closest = closest_refusal(launch.refusals)
    return (
        f"{service.arn}: no place on {closest.container_instance_arn}: "
        f"{closest.reason}, {closest.detail}",
    )
