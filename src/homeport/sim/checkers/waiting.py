"""Truth: who waits is placed the moment there is room, and no service is forgotten.

It is asked when the control plane has nothing left to do now: between the commit that frees room
and that moment no time passes. Then no task waits in PROVISIONING where this checker's own counts
find a place that isn't kept for another, and one more look at a service that isn't in its steady
state, with the scheduler's own eyes, starts and stops nothing.
"""

from homeport.core.decision import Moment
from homeport.core.reconcile.service import reconcile_service
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.sim.chance import ENTROPY_BYTES
from homeport.sim.checkers.room import find_room_for
from homeport.sim.violation import Violation
from homeport.state.changes import Put
from homeport.state.store import Store
from homeport.state.view import View

TRUTH = "who waits is placed the moment there is room"
FORGOTTEN = "no service is forgotten"
RESTS_PER_FULL_CHECK = 4
NO_CHANCE = bytes(ENTROPY_BYTES)


class WaitingChecker:
    """Looks at one life of the control plane each time that it rests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._view = View(store)
        self._seen_sequence = 0
        self._rests = 0

    def check(self, now_ms: int) -> None:
        """Look at whoever waits; now and then at every service that isn't steady."""
        if self._store.sequence == self._seen_sequence:
            return
        self._seen_sequence = self._store.sequence
        self._rests += 1
        self._check_tasks()
        is_full = self._rests % RESTS_PER_FULL_CHECK == 0
        for service in self._store.services:
            if service.waiting_since_ms or (is_full and not service.is_steady):
                self._check_service(service, now_ms)

    def _check_tasks(self) -> None:
        for cluster in self._store.clusters:
            for task in self._view.provisioning_tasks(cluster.arn).values():
                roomy = find_room_for(self._view, task)
                if roomy is not None:
                    raise Violation(TRUTH, f"{task.arn} waits though {roomy} has room")

    def _check_service(self, service: Service, now_ms: int) -> None:
        if service.status != "ACTIVE":
            return
        decision = reconcile_service(self._view, service.arn, Moment(now_ms, NO_CHANCE))
        for change in decision.changes:
            if not isinstance(change, Put) or not isinstance(change.record, Task):
                continue
            task = change.record
            if self._store.tasks.get(task.arn) is not None:
                raise Violation(FORGOTTEN, f"{service.arn} could stop {task.arn}")
            where = task.container_instance_arn or "those that wait for capacity"
            raise Violation(TRUTH, f"{service.arn} could start a task on {where}")
