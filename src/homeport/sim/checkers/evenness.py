"""Truth: no service's tasks stay uneven over zones for long where one could move.

Counts of its own for what converges in the end; while things go on, the scheduler's own eyes say
whether a steady service would move a task now, and this says whether it has been so for too long.
"""

from collections import Counter

from homeport.core.decision import Moment
from homeport.core.reconcile.service import reconcile_service
from homeport.model.capacity_provider import FARGATE
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.sim.chance import ENTROPY_BYTES
from homeport.sim.checkers.room import roomy_instances
from homeport.sim.violation import Violation
from homeport.state.changes import Put
from homeport.state.store import Store
from homeport.state.view import View

TRUTH = "no service stays uneven where one of its tasks could move"
PERCENT = 100
UNEVEN = 2
MOVES_WITHIN_S = 15
RESTS_PER_FULL_CHECK = 4
NO_CHANCE = bytes(ENTROPY_BYTES)


class EvennessChecker:
    """Looks at one life of the control plane each time that it rests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._view = View(store)
        self._seen_sequence = 0
        self._rests = 0
        self._since_ms: dict[str, int] = {}  # since when a service could move a task

    def check(self, now_ms: int) -> None:
        """Look at every service that could move a task; now and then at the others."""
        if self._store.sequence == self._seen_sequence:
            return
        self._seen_sequence = self._store.sequence
        self._rests += 1
        is_full = self._rests % RESTS_PER_FULL_CHECK == 0
        arns = [s.arn for s in self._store.services] if is_full else list(self._since_ms)
        for arn in arns:
            self._check_service(arn, now_ms)

    def _check_service(self, arn: str, now_ms: int) -> None:
        service = self._store.services.get(arn)
        task = None if service is None else self._would_start(service, now_ms)
        if task is None:
            self._since_ms.pop(arn, None)
            return
        since_ms = self._since_ms.setdefault(arn, now_ms)
        if now_ms - since_ms > MOVES_WITHIN_S * 1_000:
            raise Violation(
                TRUTH,
                f"{arn} could move a task to {task.availability_zone} since {since_ms}",
            )

    def _would_start(self, service: Service, now_ms: int) -> Task | None:
        if not service.is_steady or service.status != "ACTIVE":
            return None
        decision = reconcile_service(self._view, service.arn, Moment(now_ms, NO_CHANCE))
        tasks = (c.record for c in decision.changes if isinstance(c, Put))
        started = (
            t for t in tasks if isinstance(t, Task) and self._store.tasks.get(t.arn) is None
        )
        return next(started, None)


def find_better_zone(view: View, service: Service, now_ms: int) -> str | None:
    """Say where a task of a steady service could move, if anywhere; only of plain ones."""
    spare = service.desired_count * service.maximum_percent // PERCENT - service.desired_count
    is_plain = not service.capacity_provider_strategy and not service.placement_strategy
    if not service.is_steady or not service.rebalances_zones or not is_plain or spare <= 0:
        return None
    if service.primary.rollout_state == "FAILED" or now_ms < service.next_launch_at_ms:
        return None
    if service.task_launch_type == FARGATE:
        return None
    tasks = [t for t in view.tasks_of_service(service.arn).values() if t.last_status == RUNNING]
    zones = Counter(task.availability_zone for task in tasks)
    fullest = max(
        (zones[t.availability_zone] for t in tasks if not t.is_protected(now_ms)), default=0
    )
    for arn in roomy_instances(view, service, service.task_definition_arn):
        instance = view.container_instance(arn)
        zone = None if instance is None else instance.availability_zone
        if fullest - zones[zone] >= UNEVEN:
            return f"{service.arn} has {dict(zones)} though {arn} in {zone} has room"
    return None
