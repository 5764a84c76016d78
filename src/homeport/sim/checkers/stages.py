"""Truth: a staged deployment goes through its stages in order, and at no one's bidding sooner.

No stage is left while a PAUSE hook awaits its answer, traffic moves by the configured steps with
their bake times between, the older tasks stay until the bake time is over (services §10). Nothing
of the newest revision starts before SCALE_UP, and no deployment is COMPLETED before CLEAN_UP.
"""

from homeport.model.service import Service, StagedStrategy
from homeport.model.service_deployment import HookState, ServiceDeployment
from homeport.model.task import RUNNING, STOPPED, Task
from homeport.sim.checkers.rollout import is_healthy
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "stages in order, and in their time"

ORDER = (
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
)
SHIFTING = ("BLUE_GREEN", "LINEAR", "CANARY")
# Replacing task by task shifts no traffic.
ROLLING_ORDER = tuple(stage for stage in ORDER if "TRAFFIC" not in stage)
MINUTE_MS = 60_000
WHOLE = 100.0
GRAIN = 0.11  # steps are rounded to a tenth of a percent


def check_stages(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every service deployment that changed, and at what was stopped meanwhile."""
    for change, old in zip(commit.changes, replaced, strict=True):
        record = change.record if isinstance(change, Put) else None
        if isinstance(record, ServiceDeployment) and isinstance(old, ServiceDeployment):
            _check_ending(record, old)
            _check_progress(store, commit, record, old)
    if commit.cause == "Reconcile":
        _check_stops(store, commit, replaced)
        _check_starts(store, commit, replaced)
        _check_completions(store, commit, replaced)


def _check_ending(new: ServiceDeployment, old: ServiceDeployment) -> None:
    if old.has_ended and new.status != old.status:
        raise Violation(TRUTH, f"{new.arn} had ended {old.status} and is {new.status}")
    is_stopping = old.status.startswith("ROLLBACK") or old.status == "STOP_REQUESTED"
    if is_stopping and new.status in ("PENDING", "IN_PROGRESS", "SUCCESSFUL"):
        raise Violation(TRUTH, f"{new.arn} was {old.status} and is {new.status}")


def _check_progress(
    store: Store, commit: Commit, new: ServiceDeployment, old: ServiceDeployment
) -> None:
    service = store.services.get(new.service_arn)
    if service is None or service.staged is None or new.status not in ("IN_PROGRESS", "SUCCESSFUL"):
        return
    if old.lifecycle_stage is None or new.lifecycle_stage is None:
        return
    order = ORDER if service.staged.kind in SHIFTING else ROLLING_ORDER
    was, becomes = ORDER.index(old.lifecycle_stage), ORDER.index(new.lifecycle_stage)
    if becomes < was or any(stage in order for stage in ORDER[was + 1 : becomes]):
        raise Violation(TRUTH, f"{new.arn}: {new.lifecycle_stage} after {old.lifecycle_stage}")
    if new.production_weight != old.production_weight:
        _check_shift(commit, service.staged, new, old)
    if becomes == was:
        return
    waiting = [hook.id for hook in old.hooks if hook.status == "AWAITING_ACTION"]
    if any(hook.expires_at_ms > commit.at_ms for hook in old.hooks if hook.id in waiting):
        raise Violation(TRUTH, f"{new.arn} left {old.lifecycle_stage}, a hook awaits an action")
    refused = [hook.id for hook in old.hooks if _wants_rollback(hook, commit.at_ms)]
    if refused:
        raise Violation(TRUTH, f"{new.arn} goes on to {new.lifecycle_stage}, {refused[0]} said no")
    is_shifting = service.staged.kind in SHIFTING
    if is_shifting and new.lifecycle_stage == "BAKE_TIME" and new.production_weight < WHOLE:
        raise Violation(TRUTH, f"{new.arn} bakes at {new.production_weight} % of the traffic")
    if old.lifecycle_stage == "BAKE_TIME":
        baked_ms = commit.at_ms - old.stage_started_at_ms
        if baked_ms < service.staged.bake_time_min * MINUTE_MS:
            raise Violation(TRUTH, f"{new.arn} baked for {baked_ms} ms only")


def _wants_rollback(hook: HookState, now_ms: int) -> bool:
    is_late = hook.status == "AWAITING_ACTION" and hook.expires_at_ms <= now_ms
    is_over = is_late or hook.status == "TIMED_OUT"
    return hook.status == "FAILED" or (is_over and hook.timeout_action == "ROLLBACK")


def _check_shift(
    commit: Commit, strategy: StagedStrategy, new: ServiceDeployment, old: ServiceDeployment
) -> None:
    step = WHOLE
    if strategy.kind == "LINEAR" or (strategy.kind == "CANARY" and not old.production_weight):
        step = strategy.step_percent
    added = new.production_weight - old.production_weight
    if added < 0 or added > step + GRAIN:
        raise Violation(TRUTH, f"{new.arn}: {added} % of the traffic at once, {step} % a step")
    if not old.production_weight:
        return
    baked_ms = commit.at_ms - old.weight_changed_at_ms
    if baked_ms < strategy.step_bake_time_min * MINUTE_MS:
        raise Violation(TRUTH, f"{new.arn}: the next step came after {baked_ms} ms")


def _check_stops(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """While the older revision has to stay, the scheduler keeps all of its tasks that it needs."""
    for change, old in zip(commit.changes, replaced, strict=True):
        new = change.record if isinstance(change, Put) else None
        if not isinstance(new, Task) or not isinstance(old, Task) or not is_healthy(store, old):
            continue
        service = store.services.get(new.service_arn or "")
        if new.desired_status != STOPPED or service is None or service.status != "ACTIVE":
            continue
        if not _must_stay(store, service, new):
            continue
        tasks = store.tasks.group("service", service.arn).values()
        kept = sum(
            t.deployment_id != service.primary.id
            and t.desired_status == RUNNING
            and is_healthy(store, t)
            for t in tasks
        )
        if kept < service.desired_count:
            raise Violation(
                TRUTH,
                f"{service.arn} keeps {kept} older tasks of {service.desired_count} before the "
                f"bake time is over",
            )


def _check_starts(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Nothing of the newest revision starts before the stages in front of SCALE_UP are over."""
    for change, old in zip(commit.changes, replaced, strict=True):
        task = change.record if isinstance(change, Put) else None
        if old is not None or not isinstance(task, Task):
            continue
        service = store.services.get(task.service_arn or "")
        if service is None or task.deployment_id != service.primary.id:
            continue
        stage = _stage_of(store, service)
        if stage is not None and ORDER.index(stage) < ORDER.index("SCALE_UP"):
            raise Violation(TRUTH, f"{task.arn} of the newest revision starts in {stage}")


def _check_completions(
    store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]
) -> None:
    for change, old in zip(commit.changes, replaced, strict=True):
        new = change.record if isinstance(change, Put) else None
        if not isinstance(new, Service) or not isinstance(old, Service) or not new.deployments:
            continue
        is_done = new.primary.rollout_state == "COMPLETED"
        if not is_done or old.primary.rollout_state == "COMPLETED":
            continue
        stage = _stage_of(store, old)
        if stage not in (None, ORDER[-1]):
            raise Violation(TRUTH, f"{new.primary.id} of {new.arn} is COMPLETED in {stage}")


def _stage_of(store: Store, service: Service) -> str | None:
    """Return the stage of a service's deployment, if it goes by stages."""
    record = store.service_deployments.get(service.service_deployment_arn or "")
    if record is None or service.staged is None or service.primary.is_rollback:
        return None
    return record.lifecycle_stage


def _must_stay(store: Store, service: Service, task: Task) -> bool:
    """Whether a task is of the older side of a deployment that isn't at its end yet."""
    record = store.service_deployments.get(service.service_deployment_arn or "")
    if record is None or record.status != "IN_PROGRESS" or record.lifecycle_stage is None:
        return False
    is_shifting = service.staged is not None and service.staged.kind in SHIFTING
    is_early = record.lifecycle_stage != ORDER[-1] and not service.primary.is_rollback
    return is_shifting and is_early and task.deployment_id != service.primary.id
