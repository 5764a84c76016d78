"""What a step leaves behind: failures to count, and times at which to look again."""

import msgspec

from homeport.core.decision import Moment
from homeport.core.effects import AwaitCapacity, Effect, WakeAt
from homeport.core.reconcile.census import Census
from homeport.core.reconcile.circuit_breaker import (
    PLACEMENT_RETRY_S,
    is_monitoring,
    with_failures,
    without_failures,
)
from homeport.core.reconcile.launch import Launch
from homeport.core.reconcile.service_events import REPEAT_AFTER_S
from homeport.core.reconcile.wish import Wish
from homeport.model.service import Service
from homeport.model.task import Task

REASON_FAILED_HEALTH = "Task failed container health checks"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one look has decided: tasks to start and to stop, and what there is to complain of."""

    wish: Wish
    launch: Launch
    stopped: tuple[Task, ...]
    complaints: tuple[str, ...]
    waits_for_room: bool  # also when only what an older deployment lacks finds no place
    is_in_order: bool  # nothing is left to do


def count_failures(service: Service, census: Census, plan: Plan, moment: Moment) -> Service:
    """Count tasks that are stopped for their health, or find no place, as their deployment's.

    A task that has proved itself since the last failure makes up for all of them.
    """
    service = without_failures(service, census.healthy_since_ms)
    failed = [t.deployment_id for t in plan.stopped if t.stopped_reason == REASON_FAILED_HEALTH]
    for deployment_id in dict.fromkeys(failed):
        service = with_failures(service, deployment_id, failed.count(deployment_id), moment)
    primary = service.primary
    is_due = moment.now_ms - primary.last_failure_at_ms >= PLACEMENT_RETRY_S * 1_000
    is_primary = plan.wish.deployment.id == primary.id
    if plan.launch.is_short and is_primary and is_monitoring(service) and is_due:
        service = with_failures(service, primary.id, 1, moment)
    return service


def wakes_of(service: Service, census: Census, plan: Plan, moment: Moment) -> list[Effect]:
    """Say when to look again though nothing has changed."""
    effects: list[Effect] = []
    if plan.waits_for_room:
        effects.append(AwaitCapacity(service.cluster_arn, service.arn))
    elif census.waits_long:
        effects.append(AwaitCapacity(service.cluster_arn, service.arn, takes_turn=False))
    if plan.launch.is_short and is_monitoring(service):
        retry_at_ms = moment.now_ms + PLACEMENT_RETRY_S * 1_000
        effects.append(WakeAt(retry_at_ms, service.arn))
    if plan.wish.is_throttled:
        effects.append(WakeAt(service.next_launch_at_ms, service.arn))
    if census.look_again_at_ms is not None:
        effects.append(WakeAt(census.look_again_at_ms, service.arn))
    if service.is_steady:
        effects.append(repeat_of_steady_state(service))
    return effects


def repeat_of_steady_state(service: Service) -> WakeAt:
    """Say when the steady state has lasted so long that it is told again."""
    return WakeAt(service.steady_at_ms + REPEAT_AFTER_S * 1_000, service.arn)
