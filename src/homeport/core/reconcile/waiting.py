"""Since when a service waits for room, and its turn when it has waited for long.

A service waits when its step asks for capacity, from the last moment at which one of its tasks
was placed. Turns themselves are `core.capacity.turns`' work.
"""

from msgspec.structs import replace

from homeport.core.capacity.provisioning import on_provider
from homeport.core.capacity.turns import TURN_AFTER_S, Waiting, next_turn
from homeport.core.decision import Decision, Moment
from homeport.core.effects import AwaitCapacity, Effect, WakeAt
from homeport.core.placement.service_request import placement_request
from homeport.core.reconcile.launch import next_provider
from homeport.core.reconcile.task_sets import EXTERNAL, requests_of_task_sets
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.changes import Change, Put
from homeport.state.view import View


def with_turn(view: View, before: Service, decision: Decision, moment: Moment) -> Decision:
    """Add to a service's step what it means for its wait, and for its cluster's turn."""
    cluster = view.cluster(before.cluster_arn)
    waits = any(isinstance(e, AwaitCapacity) and e.takes_turn for e in decision.effects)
    kept_for = None if cluster is None or cluster.kept is None else cluster.kept.for_arn
    has_turn = kept_for == before.arn
    if cluster is None or not (waits or has_turn or before.waiting_since_ms):
        return decision
    since_ms = before.waiting_since_ms
    effects: tuple[Effect, ...] = ()
    if not waits:
        since_ms = 0
    elif not since_ms or _places_any(view, decision):
        since_ms = moment.now_ms
        effects = (WakeAt(since_ms + TURN_AFTER_S * 1_000, before.arn),)
    waiting: tuple[Waiting, ...] = ()
    if since_ms and since_ms == before.waiting_since_ms:
        waiting = _waiting(view, before, since_ms, moment)
    step = next_turn(
        view, cluster, waiting, look_arn=before.arn, has_turn=has_turn, moment=moment
    )
    if step.was_in_vain:
        since_ms = moment.now_ms
    return replace(
        decision,
        changes=(*_with_wait(decision.changes, before, since_ms), *step.changes),
        effects=(*decision.effects, *effects, *step.effects),
    )


def _places_any(view: View, decision: Decision) -> bool:
    return any(
        isinstance(change, Put)
        and isinstance(change.record, Task)
        and view.task(change.record.arn) is None
        for change in decision.changes
    )


def _waiting(
    view: View, service: Service, since_ms: int, moment: Moment
) -> tuple[Waiting, ...]:
    """Return what waits, as its turn sees it; room for DAEMON services is kept anyway."""
    if service.scheduling_strategy != "REPLICA":
        return ()
    if service.deployment_controller == EXTERNAL:
        requests = requests_of_task_sets(view, service)
        return tuple(Waiting(service.arn, since_ms, request) for request in requests)
    definition = view.task_definition(service.primary.task_definition_arn)
    if definition is None:
        return ()
    request = placement_request(view, service, definition, 1)
    request = on_provider(request, next_provider(view, service, moment))
    return (Waiting(service.arn, since_ms, request),)


def _with_wait(
    changes: tuple[Change, ...], before: Service, since_ms: int
) -> tuple[Change, ...]:
    if since_ms == before.waiting_since_ms:
        return changes
    noted = []
    is_written = False
    for change in changes:
        if isinstance(change, Put) and isinstance(change.record, Service):
            change = Put(replace(change.record, waiting_since_ms=since_ms))
            is_written = True
        noted.append(change)
    if not is_written:
        noted.append(Put(replace(before, waiting_since_ms=since_ms)))
    return tuple(noted)
