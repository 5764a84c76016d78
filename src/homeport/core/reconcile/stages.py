"""The stages of BLUE_GREEN, LINEAR and CANARY deployments, and the few of ROLLING ones.

Reference: services §10; docs.aws.amazon.com/AmazonECS/latest/developerguide/
pause-lifecycle-hooks.html.

What runs in a stage follows from `Service.hold`, which the rollout obeys; this module decides when
a stage is over and which one is next. Traffic moves by the weights in the service deployment:
`is_traffic_shifted` is where load balancing will say whether it follows them already.
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.core.reconcile.census import Census
from homeport.core.reconcile.completion import is_early_success, is_in_order
from homeport.model.service import PauseHook, Service, StagedStrategy
from homeport.model.service_deployment import HookState, ServiceDeployment
from homeport.state.view import View

RECONCILE_SERVICE = "RECONCILE_SERVICE"
SCALE_UP = "SCALE_UP"
TEST_TRAFFIC_SHIFT = "TEST_TRAFFIC_SHIFT"
PRE_PRODUCTION_TRAFFIC_SHIFT = "PRE_PRODUCTION_TRAFFIC_SHIFT"
PRODUCTION_TRAFFIC_SHIFT = "PRODUCTION_TRAFFIC_SHIFT"
BAKE_TIME = "BAKE_TIME"
CLEAN_UP = "CLEAN_UP"
STAGES = (
    RECONCILE_SERVICE,
    "PRE_SCALE_UP",
    SCALE_UP,
    "POST_SCALE_UP",
    TEST_TRAFFIC_SHIFT,
    "POST_TEST_TRAFFIC_SHIFT",
    PRE_PRODUCTION_TRAFFIC_SHIFT,  # a stage for hooks only, never shown
    PRODUCTION_TRAFFIC_SHIFT,
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    BAKE_TIME,
    CLEAN_UP,
)
# No traffic is shifted while a ROLLING deployment replaces task by task.
ROLLING_STAGES = (
    RECONCILE_SERVICE,
    "PRE_SCALE_UP",
    SCALE_UP,
    "POST_SCALE_UP",
    BAKE_TIME,
    CLEAN_UP,
)
ROLLING = "ROLLING"
UNHOOKED_STAGES = (SCALE_UP, BAKE_TIME, CLEAN_UP)
UNPAUSED_STAGES = (TEST_TRAFFIC_SHIFT, PRODUCTION_TRAFFIC_SHIFT)
WHOLE_PERCENT = 100.0
STAGE_LIMIT_S = 24 * 3_600  # a stage that takes longer is rolled back
DEPLOYMENT_LIMIT_S = 30 * 24 * 3_600  # and so is a deployment as a whole
MINUTE_MS = 60_000

REASON_TIMED_OUT = "Service deployment rolled back because a lifecycle hook timed out."
REASON_HOOK = "Service deployment rolled back because a caller answered a lifecycle hook so."
REASON_TOO_LONG = "Service deployment rolled back because a lifecycle stage took too long."
REASON_TOO_LONG_IN_ALL = "Service deployment rolled back because it took longer than 30 days."


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a staged deployment is after one look."""

    record: ServiceDeployment
    hold: str
    wants_rollback: bool = False
    wake_at_ms: int | None = None


def staged_record(view: View, service: Service) -> ServiceDeployment | None:
    """Return the service deployment whose stages have to be gone through, if there is one.

    The first deployment of a service has nothing to shift from; a rollback is a plain rollout.
    """
    primary = service.primary
    if service.staged is None or primary.is_rollback or primary.rollout_state != "IN_PROGRESS":
        return None
    if service.last_completed is None or service.service_deployment_arn is None:
        return None
    return view.service_deployment(service.service_deployment_arn)


def is_traffic_shifted(view: View, record: ServiceDeployment) -> bool:
    """Whether the traffic is as the weights say: so it is while no service has load balancers."""
    return True


def advance(
    view: View,
    service: Service,
    record: ServiceDeployment,
    census: Census,
    *,
    ids: Iterator[str],
    moment: Moment,
) -> Progress:
    """Go on by at most one stage; the same look again changes nothing until something happens."""
    strategy = service.staged
    assert strategy is not None, service.arn
    if record.lifecycle_stage is None:
        first = 0 if len(record.source_revision_arns) > 1 else 1
        return _enter(record, strategy, STAGES[first], ids=ids, moment=moment)
    record, is_refused = _expire_hooks(record, moment)
    stage = _stage_of(record)
    if is_refused:
        return _back(service, record, record.status_reason or REASON_TIMED_OUT)
    end_ms = (record.started_at_ms or moment.now_ms) + DEPLOYMENT_LIMIT_S * 1_000
    if stage != CLEAN_UP and moment.now_ms >= end_ms:
        return _back(service, record, REASON_TOO_LONG_IN_ALL)
    waiting = [hook.expires_at_ms for hook in record.hooks if hook.status == "AWAITING_ACTION"]
    if waiting:
        wake_at_ms = min(*waiting, end_ms)
        return Progress(record=record, hold=_hold_in(stage, strategy), wake_at_ms=wake_at_ms)
    record, next_ms = _work(
        view, service, record, strategy, census=census, ids=ids, moment=moment
    )
    if next_ms is None:
        if stage == CLEAN_UP:
            return Progress(record=record, hold="")
        return _enter(record, strategy, _stage_behind(stage, strategy), ids=ids, moment=moment)
    limit_ms = record.stage_started_at_ms + STAGE_LIMIT_S * 1_000
    if stage == SCALE_UP and moment.now_ms >= limit_ms:
        return _back(service, record, REASON_TOO_LONG)
    wake_at_ms = min(next_ms, limit_ms, end_ms)
    return Progress(record=record, hold=_hold_in(stage, strategy), wake_at_ms=wake_at_ms)


def _back(service: Service, record: ServiceDeployment, reason: str) -> Progress:
    asked = replace(record, status="ROLLBACK_REQUESTED", status_reason=reason)
    return Progress(record=asked, hold=service.hold, wants_rollback=True)


def stages_of(kind: str) -> tuple[str, ...]:
    """Return the stages that a deployment of this strategy goes through, in order."""
    return ROLLING_STAGES if kind == ROLLING else STAGES


def shown_stage(record: ServiceDeployment) -> str | None:
    """Return the stage as the API shows it: the hook stage before the shift belongs to the shift.

    PRE_PRODUCTION_TRAFFIC_SHIFT is no value of ServiceDeploymentLifecycleStage.
    """
    if record.lifecycle_stage == PRE_PRODUCTION_TRAFFIC_SHIFT:
        return "POST_TEST_TRAFFIC_SHIFT"
    return record.lifecycle_stage


def _stage_of(record: ServiceDeployment) -> str:
    stage = record.lifecycle_stage
    assert stage is not None, record.arn
    return stage


def _stage_behind(stage: str, strategy: StagedStrategy) -> str:
    """Return the next stage; the strategy may have been changed since this one was entered."""
    later = STAGES[STAGES.index(stage) + 1 :]
    return next(each for each in later if each in stages_of(strategy.kind))


def _enter(
    record: ServiceDeployment,
    strategy: StagedStrategy,
    stage: str,
    *,
    ids: Iterator[str],
    moment: Moment,
) -> Progress:
    hooks = _hooks_of(strategy, stage, ids=ids, moment=moment)
    entered = replace(record, lifecycle_stage=stage, stage_started_at_ms=moment.now_ms, hooks=hooks)
    wake_at_ms = min((hook.expires_at_ms for hook in hooks), default=None)
    return Progress(record=entered, hold=_hold_in(stage, strategy), wake_at_ms=wake_at_ms)


def _hooks_of(
    strategy: StagedStrategy, stage: str, *, ids: Iterator[str], moment: Moment
) -> tuple[HookState, ...]:
    return tuple(
        _pause(hook, stage, next(ids), moment) for hook in strategy.hooks if stage in hook.stages
    )


def _pause(hook: PauseHook, stage: str, id_hex: str, moment: Moment) -> HookState:
    return HookState(
        id=f"ecs-pause-{id_hex}",
        stage=stage,
        expires_at_ms=moment.now_ms + hook.timeout_min * MINUTE_MS,
        timeout_action=hook.timeout_action,
    )


def _hold_in(stage: str, strategy: StagedStrategy) -> str:
    """Return who may run in a stage: only the sources, both, or it is all up to the rollout."""
    if STAGES.index(stage) < STAGES.index(SCALE_UP):
        return "SOURCE"
    if stage == CLEAN_UP:
        return ""
    return "OPEN" if strategy.kind == ROLLING else "BOTH"


def _expire_hooks(record: ServiceDeployment, moment: Moment) -> tuple[ServiceDeployment, bool]:
    """Time out hooks that nobody has answered; say whether one wants the rollback."""
    hooks = tuple(
        replace(hook, status="TIMED_OUT")
        if hook.status == "AWAITING_ACTION" and moment.now_ms >= hook.expires_at_ms
        else hook
        for hook in record.hooks
    )
    is_refused = any(
        hook.status == "FAILED"
        or (hook.status == "TIMED_OUT" and hook.timeout_action == "ROLLBACK")
        for hook in hooks
    )
    return replace(record, hooks=hooks), is_refused


def _work(
    view: View,
    service: Service,
    record: ServiceDeployment,
    strategy: StagedStrategy,
    *,
    census: Census,
    ids: Iterator[str],
    moment: Moment,
) -> tuple[ServiceDeployment, int | None]:
    """Do a stage's own work; the time is when to look again, None when the stage is over."""
    stage = _stage_of(record)
    far_ms = record.stage_started_at_ms + STAGE_LIMIT_S * 1_000
    if stage == SCALE_UP:
        return record, None if _is_scaled_up(service, strategy, census) else far_ms
    if stage == TEST_TRAFFIC_SHIFT:
        record = replace(record, test_weight=WHOLE_PERCENT)
        return record, None if is_traffic_shifted(view, record) else far_ms
    if stage == PRODUCTION_TRAFFIC_SHIFT:
        return _shift(view, record, strategy, moment, ids=ids, far_ms=far_ms)
    if stage == BAKE_TIME:
        ends_at_ms = record.stage_started_at_ms + strategy.bake_time_min * MINUTE_MS
        return record, None if moment.now_ms >= ends_at_ms else ends_at_ms
    return record, None


def _is_scaled_up(service: Service, strategy: StagedStrategy, census: Census) -> bool:
    """Whether the newest deployment has its tasks; a ROLLING one has replaced the older ones."""
    counts = census.counts()
    if strategy.kind == ROLLING:
        return is_in_order(service, counts) or is_early_success(service, counts)
    return counts.healthy >= service.desired_count


def _shift(
    view: View,
    record: ServiceDeployment,
    strategy: StagedStrategy,
    moment: Moment,
    *,
    ids: Iterator[str],
    far_ms: int,
) -> tuple[ServiceDeployment, int | None]:
    """Move production traffic step by step; between two steps the last one bakes.

    The hooks before a shift hold up every further step, too, once the last one has baked.
    """
    if not is_traffic_shifted(view, record):
        return record, far_ms
    weight = record.production_weight
    if weight >= WHOLE_PERCENT:
        return record, None
    if weight:
        baked_at_ms = record.weight_changed_at_ms + strategy.step_bake_time_min * MINUTE_MS
        if moment.now_ms < baked_at_ms:
            return record, baked_at_ms
        hooks = _hooks_of(strategy, PRE_PRODUCTION_TRAFFIC_SHIFT, ids=ids, moment=moment)
        if hooks and not record.hooks:  # those of this step haven't been asked yet
            return replace(record, hooks=hooks), min(hook.expires_at_ms for hook in hooks)
    after = WHOLE_PERCENT
    if strategy.kind == "LINEAR":
        after = min(WHOLE_PERCENT, round(weight + strategy.step_percent, 1))
    elif strategy.kind == "CANARY" and not weight:
        after = strategy.step_percent
    shifted = replace(
        record, production_weight=after, weight_changed_at_ms=moment.now_ms, hooks=()
    )
    if after >= WHOLE_PERCENT:
        return shifted, None
    return shifted, moment.now_ms + strategy.step_bake_time_min * MINUTE_MS
