"""A service's tasks sorted by what the scheduler may do with them; it decides nothing.

The words are those of `rollout`.
"""

import msgspec

from homeport.core.capacity.provisioning import without_room
from homeport.core.decision import Moment
from homeport.core.reconcile.circuit_breaker import SETTLING_TIME_S, needs_settling
from homeport.core.reconcile.rollout import Counts
from homeport.model.service import Deployment, Service
from homeport.model.task import RUNNING, STOPPED, Task
from homeport.state.view import View

STRANDED_AFTER_S = 60  # in PROVISIONING; as long as others wait before they get a turn


class Census(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tasks of one service that aren't STOPPED, each in one of these groups, unordered."""

    healthy: tuple[Task, ...] = ()
    unsettled: tuple[Task, ...] = ()
    unhealthy: tuple[Task, ...] = ()
    outgoing_healthy: tuple[Task, ...] = ()
    outgoing_unsettled: tuple[Task, ...] = ()
    outgoing_starting: tuple[Task, ...] = ()
    outgoing_unhealthy: tuple[Task, ...] = ()
    outgoing_pending: tuple[Task, ...] = ()
    stopping: tuple[Task, ...] = ()
    displaced: frozenset[str] = frozenset()  # ARNs of those on DRAINING container instances
    protected: frozenset[str] = frozenset()  # ARNs of those that may be stopped for health only
    stranded: frozenset[str] = frozenset()  # ARNs of those that waited long, and have no room yet
    waits_long: bool = False  # some waited long, whether there is room or not
    kept: dict[str, int] = {}  # older deployment's id → its tasks that may stay for now
    healthy_since_ms: tuple[int, ...] = ()  # when tasks without a health check proved themselves
    look_again_at_ms: int | None = None  # when the next task is judged otherwise by time alone

    def counts(self) -> Counts:
        """Return how many there are of each."""
        return Counts(
            healthy=len(self.healthy),
            unsettled=len(self.unsettled),
            stranded=self._count_stranded(self.unsettled),
            unhealthy=len(self.unhealthy),
            outgoing_healthy=len(self.outgoing_healthy),
            outgoing_unsettled=len(self.outgoing_unsettled),
            outgoing_starting=len(self.outgoing_starting),
            outgoing_stranded=self._count_stranded(self.outgoing_starting),
            outgoing_unhealthy=len(self.outgoing_unhealthy),
            outgoing_pending=len(self.outgoing_pending),
            stopping=len(self.stopping),
        )

    def _count_stranded(self, tasks: tuple[Task, ...]) -> int:
        return sum(task.arn in self.stranded for task in tasks) if self.stranded else 0


def take_census(
    view: View,
    service: Service,
    moment: Moment,
    *,
    is_strict: bool = False,
    is_newest_only: bool = False,
) -> Census:
    """Look at every task of a service that isn't STOPPED, or at those of its newest deployment."""
    taker = _Taker(view, service, moment, is_strict=is_strict)
    return taker.take(is_newest_only=is_newest_only)


class _Taker:
    """Sorts tasks one by one, and remembers what it found out on the way."""

    def __init__(self, view: View, service: Service, moment: Moment, *, is_strict: bool) -> None:
        self._view = view
        self._service = service
        self._moment = moment
        self._draining = view.draining_instances(service.cluster_arn)
        self._needs_settling = needs_settling(service, is_strict=is_strict)
        self._older = {d.id: d for d in service.deployments[1:]}
        self._groups: dict[str, list[Task]] = {name: [] for name in _GROUPS}
        self._starting: dict[str, list[Task]] = {}
        self._displaced: list[str] = []
        self._protected: list[str] = []
        self._long_waiting: list[Task] = []
        self._kept: dict[str, int] = dict.fromkeys(self._older, 0)
        self._checked: dict[str, bool] = {}
        self._healthy_since_ms: list[int] = []
        self._look_again_at_ms: list[int] = []

    def take(self, *, is_newest_only: bool) -> Census:
        """Sort all of them, or those of the newest deployment."""
        for task in self._view.tasks_of_service(self._service.arn).values():
            if is_newest_only and task.deployment_id != self._service.primary.id:
                continue
            if task.desired_status == STOPPED:
                self._groups["stopping"].append(task)
                continue
            if task.is_protected(self._moment.now_ms):
                self._protected.append(task.arn)
                self._look_again_at_ms.append(task.protected_until_ms or 0)
            if task.is_provisioning:
                self._see_how_long(task)
            if task.deployment_id == self._service.primary.id:
                self._sort_newest(task)
            else:
                self._sort_older(task)
        for deployment in self._older.values():
            self._keep_starting(deployment)
        return Census(
            **{name: tuple(tasks) for name, tasks in self._groups.items()},
            displaced=frozenset(self._displaced),
            protected=frozenset(self._protected),
            stranded=frozenset(
                task.arn for task in without_room(self._view, self._long_waiting, self._moment)
            ),
            waits_long=bool(self._long_waiting),
            kept=self._kept,
            healthy_since_ms=tuple(self._healthy_since_ms),
            look_again_at_ms=min(self._look_again_at_ms, default=None),
        )

    def _see_how_long(self, task: Task) -> None:
        stranded_at_ms = task.created_at_ms + STRANDED_AFTER_S * 1_000
        if self._moment.now_ms < stranded_at_ms:
            self._look_again_at_ms.append(stranded_at_ms)
        else:
            self._long_waiting.append(task)

    def _sort_newest(self, task: Task) -> None:
        health = self._health(task)
        if task.container_instance_arn not in self._draining:
            self._groups[health].append(task)
            return
        self._displaced.append(task.arn)
        is_pending = task.last_status != RUNNING
        self._groups["outgoing_pending" if is_pending else f"outgoing_{health}"].append(task)

    def _sort_older(self, task: Task) -> None:
        health = self._health(task)
        is_pending = task.last_status != RUNNING
        if task.container_instance_arn in self._draining:
            self._displaced.append(task.arn)
            self._groups["outgoing_pending" if is_pending else f"outgoing_{health}"].append(task)
        elif health == "unsettled" and task.deployment_id not in self._older:
            self._groups["outgoing_pending" if is_pending else "outgoing_unsettled"].append(task)
        elif health == "unsettled":
            self._starting.setdefault(task.deployment_id or "", []).append(task)
        else:
            self._groups[f"outgoing_{health}"].append(task)
            if health == "healthy" and task.deployment_id in self._kept:
                self._kept[task.deployment_id] += 1

    def _keep_starting(self, deployment: Deployment) -> None:
        """Let as many tasks of an older deployment start as it has to be kept up with."""
        tasks = sorted(self._starting.get(deployment.id, ()), key=lambda task: task.arn)
        stand_ins = 0 if self._service.keeps_older_tasks else len(self._groups["healthy"])
        needed = self._service.desired_count - stand_ins
        lacking = min(
            deployment.wanted_tasks - self._kept[deployment.id],
            needed - sum(self._kept.values()),
        )
        kept = max(0, min(lacking, len(tasks)))
        self._kept[deployment.id] += kept
        self._groups["outgoing_starting"].extend(tasks[:kept])
        for task in tasks[kept:]:
            is_pending = task.last_status != RUNNING
            self._groups["outgoing_pending" if is_pending else "outgoing_unsettled"].append(task)

    def _health(self, task: Task) -> str:
        """Judge one task; without a health check RUNNING is all there is to know."""
        if task.last_status != RUNNING:
            return "unsettled"
        if not self._is_checked(task):
            return self._health_by_time(task)
        if task.health_status == "HEALTHY":
            return "healthy"
        if task.health_status != "UNHEALTHY":
            return "unsettled"
        grace_ms = self._service.health_check_grace_period_s * 1_000
        ends_at_ms = (task.started_at_ms or 0) + grace_ms
        if self._moment.now_ms < ends_at_ms:
            self._look_again_at_ms.append(ends_at_ms)
            return "unsettled"
        return "unhealthy"

    def _health_by_time(self, task: Task) -> str:
        is_newest = task.deployment_id == self._service.primary.id
        if not self._needs_settling or not is_newest:
            return "healthy"
        settled_at_ms = (task.started_at_ms or 0) + SETTLING_TIME_S * 1_000
        if self._moment.now_ms < settled_at_ms:
            self._look_again_at_ms.append(settled_at_ms)
            return "unsettled"
        self._healthy_since_ms.append(settled_at_ms)
        return "healthy"

    def _is_checked(self, task: Task) -> bool:
        known = self._checked.get(task.task_definition_arn)
        if known is None:
            known = has_health_check(self._view, task.task_definition_arn)
            self._checked[task.task_definition_arn] = known
        return known


_GROUPS = (
    "healthy",
    "unsettled",
    "unhealthy",
    "outgoing_healthy",
    "outgoing_unsettled",
    "outgoing_starting",
    "outgoing_unhealthy",
    "outgoing_pending",
    "stopping",
)


def counts_at_a_glance(view: View, service: Service, *, is_strict: bool = False) -> Counts | None:
    """Count a service's tasks without looking at them; None when only a census can tell.

    That is when tasks may have to move, one is UNHEALTHY, health checks or time decide what is
    next, an older deployment has to be kept up, or new tasks may wait for its room.
    """
    if view.draining_instances(service.cluster_arn):
        return None
    if needs_settling(service, is_strict=is_strict):
        return None
    primary, *older = (view.deployment_load(service.arn, d.id) for d in service.deployments)
    if primary.unhealthy or any(load.unhealthy or load.pending for load in older):
        return None
    if older and primary.pending and view.provisioning_tasks(service.cluster_arn):
        return None
    wanted = sum(deployment.wanted_tasks for deployment in service.deployments[1:])
    if wanted > sum(load.running for load in older):
        return None
    is_deciding = not service.is_steady and bool(older or not primary.pending)
    if is_deciding and any(
        has_health_check(view, d.task_definition_arn) for d in service.deployments
    ):
        return None
    return Counts(
        healthy=primary.running,
        unsettled=primary.pending,
        outgoing_healthy=sum(load.running for load in older),
        stopping=primary.stopping + sum(load.stopping for load in older),
    )


def has_health_check(view: View, task_definition_arn: str) -> bool:
    """Whether an essential container of this revision has a health check."""
    definition = view.task_definition(task_definition_arn)
    return definition is not None and any(
        container.essential and container.has_health_check for container in definition.containers
    )
