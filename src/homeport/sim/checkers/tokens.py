"""Truth: a call that arrives again does nothing twice (idempotency by clientToken).

The simulated client writes its token and the count of each call into what it asks for: `startedBy`
of tasks, `externalId` of task sets.
"""

from homeport.model.service import Service
from homeport.model.task import Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "a call that arrives again does nothing twice"


class TokenChecker:
    """Counts by token what calls have made, through one life of the control plane."""

    def __init__(self, store: Store) -> None:
        self._tasks: dict[str, int] = {}
        self._task_sets: dict[str, str] = {}
        for task in store.tasks:
            self._count(task)
        for service in store.services:
            self._follow(service)

    def check(self, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
        """Count the tasks and task sets that a commit created."""
        for change, old in zip(commit.changes, replaced, strict=True):
            record = change.record if isinstance(change, Put) else None
            if isinstance(record, Service) and record.task_sets:
                self._follow(record)
            elif old is None and isinstance(record, Task):
                self._count(record)

    def _count(self, task: Task) -> None:
        token = task.started_by or ""
        asked = token.rpartition("-")[2]
        if task.service_arn is not None or not asked.isdigit():
            return
        count = self._tasks[token] = self._tasks.get(token, 0) + 1
        if count > int(asked):
            raise Violation(TRUTH, f"{count} tasks were started by {token}")

    def _follow(self, service: Service) -> None:
        for task_set in service.task_sets:
            if task_set.external_id is not None:
                known = self._task_sets.setdefault(task_set.external_id, task_set.arn)
                if known != task_set.arn:
                    raise Violation(TRUTH, f"{task_set.arn} and {known} are of the same call")
