"""A service's tasks sorted by what the scheduler may do with them; it decides nothing.

The words are those of `rollout`.
"""

import msgspec

from homeport.core.decision import Moment
from homeport.core.reconcile.rollout import Counts
from homeport.model.service import Service
from homeport.model.task import RUNNING, STOPPED, Task
from homeport.state.view import View


class Census(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tasks of one service that aren't STOPPED, each in one of these groups, unordered."""

    healthy: tuple[Task, ...]
    unsettled: tuple[Task, ...]
    unhealthy: tuple[Task, ...]
    outgoing_healthy: tuple[Task, ...]
    outgoing_unsettled: tuple[Task, ...]
    outgoing_unhealthy: tuple[Task, ...]
    outgoing_pending: tuple[Task, ...]
    stopping: tuple[Task, ...]
    grace_ends_at_ms: int | None  # when the first ignored UNHEALTHY result will count

    def counts(self) -> Counts:
        """Return how many there are of each."""
        return Counts(
            healthy=len(self.healthy),
            unsettled=len(self.unsettled),
            unhealthy=len(self.unhealthy),
            outgoing_healthy=len(self.outgoing_healthy),
            outgoing_unsettled=len(self.outgoing_unsettled),
            outgoing_unhealthy=len(self.outgoing_unhealthy),
            outgoing_pending=len(self.outgoing_pending),
            stopping=len(self.stopping),
        )


def take_census(view: View, service: Service, moment: Moment) -> Census:
    """Look at every task of a service that isn't STOPPED."""
    draining = view.draining_instances(service.cluster_arn)
    primary_id = service.primary.id
    groups: dict[str, list[Task]] = {name: [] for name in _GROUPS}
    checked: dict[str, bool] = {}
    grace_ends: list[int] = []
    for task in view.tasks_of_service(service.arn).values():
        if task.desired_status == STOPPED:
            groups["stopping"].append(task)
            continue
        is_checked = checked.get(task.task_definition_arn)
        if is_checked is None:
            is_checked = has_health_check(view, task.task_definition_arn)
            checked[task.task_definition_arn] = is_checked
        health = _health(service, task, moment, grace_ends, is_checked=is_checked)
        if task.deployment_id != primary_id or task.container_instance_arn in draining:
            is_pending = task.last_status != RUNNING
            groups["outgoing_pending" if is_pending else f"outgoing_{health}"].append(task)
        else:
            groups[health].append(task)
    return Census(
        **{name: tuple(tasks) for name, tasks in groups.items()},
        grace_ends_at_ms=min(grace_ends, default=None),
    )


_GROUPS = (
    "healthy",
    "unsettled",
    "unhealthy",
    "outgoing_healthy",
    "outgoing_unsettled",
    "outgoing_unhealthy",
    "outgoing_pending",
    "stopping",
)


def counts_at_a_glance(view: View, service: Service) -> Counts | None:
    """Count a service's tasks without looking at them; None when only a census can tell.

    That is when tasks may have to move, one is UNHEALTHY, or health checks decide what is next.
    """
    if view.draining_instances(service.cluster_arn):
        return None
    primary, *older = (view.deployment_load(service.arn, d.id) for d in service.deployments)
    if primary.unhealthy or any(load.unhealthy for load in older):
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
        outgoing_pending=sum(load.pending for load in older),
        stopping=primary.stopping + sum(load.stopping for load in older),
    )


def has_health_check(view: View, task_definition_arn: str) -> bool:
    """Whether an essential container of this revision has a health check."""
    definition = view.task_definition(task_definition_arn)
    return definition is not None and any(
        container.essential and container.has_health_check for container in definition.containers
    )


def _health(
    service: Service, task: Task, moment: Moment, grace_ends: list[int], *, is_checked: bool
) -> str:
    """Judge one task; without a health check RUNNING is all there is to know."""
    if task.last_status != RUNNING:
        return "unsettled"
    if not is_checked or task.health_status == "HEALTHY":
        return "healthy"
    if task.health_status != "UNHEALTHY":
        return "unsettled"
    ends_at_ms = (task.started_at_ms or 0) + service.health_check_grace_period_s * 1_000
    if moment.now_ms < ends_at_ms:
        grace_ends.append(ends_at_ms)
        return "unsettled"
    return "unhealthy"
