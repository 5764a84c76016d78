"""Truth: scale-in and deployments leave protected tasks alone.

Only their health, the end of their service, StopTask and the loss of their instance may end them
(reference: task-lifecycle §10). A daemon goes with its container instance, protected or not.
"""

from homeport.model.task import STOPPED, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "protected tasks are left alone"
_SCALING = "Scaling activity initiated by"


def check_protection(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every task that the scheduler stopped."""
    if commit.cause != "Reconcile":
        return
    for change, old in zip(commit.changes, replaced, strict=True):
        new = change.record if isinstance(change, Put) else None
        if not isinstance(new, Task) or not isinstance(old, Task):
            continue
        is_stopped_now = new.desired_status == STOPPED and old.desired_status != STOPPED
        until_ms = old.protected_until_ms or 0
        if not is_stopped_now or commit.at_ms >= until_ms:
            continue
        service = store.services.get(new.service_arn or "")
        is_alive = service is not None and service.status == "ACTIVE"
        if is_alive and (new.stopped_reason or "").startswith(_SCALING):
            raise Violation(TRUTH, f"{new.arn} was stopped: {new.stopped_reason}")
