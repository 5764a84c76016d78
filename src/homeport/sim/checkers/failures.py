"""Truth: who fails is slowed down, and stopped when a circuit breaker watches.

It counts by itself, and less than the scheduler does: only tasks that their agents report STOPPED
without their ever running, or that waited for capacity in vain, of deployments none of whose tasks
has ever run. That is the case that nobody doubts: a bad image (reference: services §3, §7).
"""

from homeport.model.service import CircuitBreaker, Deployment, Service
from homeport.model.task import RUNNING, STOPPED, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

THROTTLED = "launches of failing tasks are slowed down"
BROKEN = "a deployment that fails is stopped by its breaker"

FREE_ROUNDS = 3
LONGEST_DELAY_S = 27 * 60
PERCENT = 100
REPORTS = ("SubmitTaskStateChange", "SubmitContainerStateChange", "Provision")
ABORTED = "ECS deployment stopped by a caller."
FAILED_TO_START = "TaskFailedToStart"
FAILURES = (FAILED_TO_START, "EssentialContainerExited")


def threshold_of(breaker: CircuitBreaker, desired_count: int) -> int:
    """Return how many failed tasks fail a deployment."""
    if breaker.threshold_type == "COUNT":
        return max(1, breaker.threshold_value)
    share = -(-desired_count * breaker.threshold_value // PERCENT)
    if breaker.threshold_type == "BOUNDED_PERCENT":
        return min(max(share, 3), 200)
    return max(1, share)


class _Failures:
    """What one deployment has behind it."""

    def __init__(self) -> None:
        self.tasks = 0
        self.rounds = 0
        self.counted_at_ms = 0
        self.has_run = False


class FailureChecker:
    """Follows every deployment through one life of the control plane."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failures: dict[str, _Failures] = {}
        for task in store.tasks:
            if task.deployment_id is not None and task.started_at_ms is not None:
                self._of(task.deployment_id).has_run = True
        for service in store.services:  # where its rounds began is all that is taken over
            failures = service.failed_launches + service.quick_exits
            if failures and service.deployments:
                self._of(service.primary.id).counted_at_ms = service.last_failed_round_at_ms

    def check(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Look at launches first, then count what has failed or run by this commit."""
        launched: dict[tuple[str, str], None] = {}
        for change, old in zip(commit.changes, replaced, strict=True):
            record = change.record if isinstance(change, Put) else None
            if isinstance(record, Service) and isinstance(old, Service):
                self._follow(commit, record, old)
            if not isinstance(record, Task) or record.deployment_id is None:
                continue
            if old is None and record.service_arn is not None:
                launched[record.service_arn, record.deployment_id] = None
            elif isinstance(old, Task):
                self._count(commit, record, old)
        if commit.cause == "Reconcile":
            for service_arn, deployment_id in launched:
                self._check_launch(commit, service_arn, deployment_id)

    def _of(self, deployment_id: str) -> _Failures:
        return self._failures.setdefault(deployment_id, _Failures())

    def _count(self, commit: Commit, task: Task, old: Task) -> None:
        assert task.deployment_id is not None
        if task.last_status == RUNNING or task.started_at_ms is not None:
            self._of(task.deployment_id).has_run = True
        if task.last_status != STOPPED or old.last_status == STOPPED:
            return
        is_reported = commit.cause in REPORTS and task.stop_code in FAILURES
        if not is_reported or task.started_at_ms is not None:
            return
        failures = self._of(task.deployment_id)
        failures.tasks += task.stop_code == FAILED_TO_START
        if task.created_at_ms >= failures.counted_at_ms:
            failures.rounds += 1
            failures.counted_at_ms = commit.at_ms

    def _check_launch(self, commit: Commit, service_arn: str, deployment_id: str) -> None:
        service = self._store.services.get(service_arn)
        failures = self._failures.get(deployment_id)
        if service is None or failures is None or service.task_sets:
            return
        deployment = next((d for d in service.deployments if d.id == deployment_id), None)
        if deployment is None:
            raise Violation(BROKEN, f"{service_arn} launches tasks of a forgotten deployment")
        if deployment_id != service.primary.id:
            return  # what an older one still runs is kept up
        is_aborted = deployment.rollout_state_reason == ABORTED
        is_heir = service.last_completed is not None and len(service.deployments) == 1
        if deployment.rollout_state == "FAILED" and not (is_aborted and is_heir):
            raise Violation(BROKEN, f"{deployment_id} has FAILED and launches tasks")
        if failures.has_run:
            return
        if failures.rounds >= FREE_ROUNDS:
            delay_s = min(1 << (failures.rounds - FREE_ROUNDS), LONGEST_DELAY_S)
            due_ms = failures.counted_at_ms + delay_s * 1_000
            if commit.at_ms < due_ms:
                raise Violation(
                    THROTTLED,
                    f"{service_arn} launches {due_ms - commit.at_ms} ms too early after "
                    f"{failures.rounds} rounds of failures",
                )
        self._check_breaker(service, deployment, failures)

    def _check_breaker(
        self, service: Service, deployment: Deployment, failures: _Failures
    ) -> None:
        breaker = service.circuit_breaker
        if breaker is None or deployment.is_rollback or deployment.rollout_state != "IN_PROGRESS":
            return
        threshold = threshold_of(breaker, service.desired_count)
        if failures.tasks >= threshold:
            raise Violation(
                BROKEN,
                f"{deployment.id} launches tasks after {failures.tasks} failures, its breaker "
                f"bears {threshold}",
            )

    def _follow(self, commit: Commit, new: Service, old: Service) -> None:
        """Let a deployment begin anew, and with no delay, when it becomes the PRIMARY one."""
        if not new.deployments or new.primary.id == old.primary.id:
            return
        self._failures.pop(new.primary.id, None)
        is_new = new.deployment_controller == old.deployment_controller == "ECS"
        if is_new and (new.failed_launches or new.next_launch_at_ms > commit.at_ms):
            raise Violation(THROTTLED, f"{new.arn} begins {new.primary.id} slowed down already")
        if new.primary.is_rollback:
            self._check_rollback(commit, new, old)

    def _check_rollback(self, commit: Commit, new: Service, old: Service) -> None:
        """A rollback goes to a completed deployment, and stops none of its running tasks."""
        completed = old.last_completed
        if completed is None or completed.id != new.primary.id:
            raise Violation(BROKEN, f"{new.arn} goes back to {new.primary.id}, never completed")
        for change in commit.changes:
            task = change.record if isinstance(change, Put) else None
            if isinstance(task, Task) and task.deployment_id == completed.id:
                raise Violation(BROKEN, f"{new.arn}: the rollback touches {task.arn}")
