"""The service scheduler's entry: one service as it is in, the next step out.

Level-triggered: whatever woke it, it looks at the whole service, and looking again without a
change in between changes nothing. How many tasks may start and stop is `rollout`'s arithmetic,
what is said about it `service_events`' wording. `daemon`, `staged` and `task_sets` look at the
services that aren't plain REPLICA ones in a rolling deployment. Alarms aren't here.
"""

from msgspec.structs import replace

from homeport.core.decision import NOTHING, Decision, Moment
from homeport.core.effects import WakeAt
from homeport.core.reconcile.aftermath import repeat_of_steady_state
from homeport.core.reconcile.census import counts_at_a_glance, take_census
from homeport.core.reconcile.completion import is_in_order
from homeport.core.reconcile.daemon import DAEMON, daemon_step
from homeport.core.reconcile.rebalance import is_interrupted, rebalancing_stopped_message
from homeport.core.reconcile.rollback import roll_back_or_fail
from homeport.core.reconcile.rollout import NO_STOPS, missing_tasks, plan_stops
from homeport.core.reconcile.service_events import REPEAT_AFTER_S
from homeport.core.reconcile.staged import staged_step
from homeport.core.reconcile.stages import staged_record
from homeport.core.reconcile.step import (
    drain_step,
    move_step,
    next_step,
    note_step,
    service_bounds,
)
from homeport.core.reconcile.task_sets import EXTERNAL, task_sets_step
from homeport.core.reconcile.waiting import with_turn
from homeport.model.service import Service
from homeport.state.view import View


def reconcile_service(
    view: View, service_arn: str, moment: Moment, *, is_strict: bool = False
) -> Decision:
    """Decide the next step of a service: start, replace, roll, scale in, drain, or rest.

    An unknown or INACTIVE service needs nothing (reference: services §1 to §5). `is_strict` judges
    new tasks as ECS does, where Homeport looks at them a little longer (docs/differences.md).
    """
    service = view.service(service_arn)
    if service is None or service.status == "INACTIVE":
        return NOTHING
    decision = _step_of(view, service, moment, is_strict=is_strict)
    return with_turn(view, service, decision, moment)


def _step_of(view: View, service: Service, moment: Moment, *, is_strict: bool) -> Decision:
    if service.status == "DRAINING":
        return drain_step(view, service, take_census(view, service, moment), moment)
    if service.deployment_controller == EXTERNAL:
        return task_sets_step(view, service, moment, is_strict=is_strict)
    turned, messages = roll_back_or_fail(view, service, moment)
    if turned != service:
        return note_step(view, service, turned, messages=messages, moment=moment)
    if is_interrupted(service):
        stopped = replace(service, is_rebalancing=False)
        said = [rebalancing_stopped_message(service)]
        return note_step(view, service, stopped, messages=said, moment=moment)
    if service.scheduling_strategy == DAEMON:
        census = take_census(view, service, moment, is_strict=is_strict)
        return daemon_step(view, service, census, moment)
    if _is_at_rest(view, service, moment, is_strict=is_strict):
        if not service.is_steady:
            return NOTHING
        if moment.now_ms < service.next_launch_at_ms:  # tasks that moved didn't stay up
            again = WakeAt(service.next_launch_at_ms, service.arn)
            return Decision(effects=(again, repeat_of_steady_state(service)))
        return move_step(view, service, moment)
    census = take_census(view, service, moment, is_strict=is_strict)
    record = staged_record(view, service)
    if record is not None:
        return staged_step(view, service, record, census, moment=moment)
    return next_step(view, service, census, moment)


def _is_at_rest(view: View, service: Service, moment: Moment, *, is_strict: bool) -> bool:
    """Whether the counts alone say that there is nothing to do: no walk over the tasks.

    So it is in the steady state, and while agents have yet to start or stop what was decided.
    """
    if service.staged is not None and service.primary.rollout_state == "IN_PROGRESS":
        return False
    counts = counts_at_a_glance(view, service, is_strict=is_strict)
    if counts is None or _has_gone_deployment(view, service):
        return False
    if service.early_success is not None and service.primary.rollout_state == "IN_PROGRESS":
        return False
    if service.moving_tasks and not counts.unsettled:
        return False
    bounds = service_bounds(service)
    if missing_tasks(bounds, counts):
        return False
    if plan_stops(bounds, counts, launches=0, is_blocked=False) != NO_STOPS:
        return False
    if not is_in_order(service, counts):
        return not service.is_steady
    if moment.now_ms - service.steady_at_ms >= REPEAT_AFTER_S * 1_000:
        return False
    return service.is_steady and service.primary.rollout_state != "IN_PROGRESS"


def _has_gone_deployment(view: View, service: Service) -> bool:
    return any(
        not any(view.deployment_load(service.arn, deployment.id).values())
        for deployment in service.deployments[1:]
    )
