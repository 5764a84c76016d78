"""Truth: a DAEMON service has at most one task on a container instance."""

from homeport.model.task import Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "one daemon an instance"


def check_daemons(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every new task of a DAEMON service: the one before it has ended."""
    for change, old in zip(commit.changes, replaced, strict=True):
        if old is not None or not isinstance(change, Put) or not isinstance(change.record, Task):
            continue
        task = change.record
        service = store.services.get(task.service_arn or "")
        if service is None or service.scheduling_strategy != "DAEMON":
            continue
        here = store.tasks.group("instance", task.container_instance_arn or "").values()
        others = [t.arn for t in here if t.service_arn == service.arn and t.arn != task.arn]
        if others:
            raise Violation(TRUTH, f"{task.arn} starts beside {others[0]} of {service.arn}")
