"""One look at a service in a deployment with stages: its stage, then its tasks."""

from msgspec.structs import replace

from homeport.core.decision import Decision, Moment
from homeport.core.effects import WakeAt
from homeport.core.reconcile.census import Census
from homeport.core.reconcile.stages import Progress, advance
from homeport.core.reconcile.step import next_step
from homeport.model.service import Service
from homeport.model.service_deployment import ServiceDeployment
from homeport.state.changes import Put
from homeport.state.view import View


def staged_step(
    view: View,
    service: Service,
    record: ServiceDeployment,
    census: Census,
    *,
    moment: Moment,
) -> Decision:
    """Go on by one stage if it is over; otherwise start and stop what the stage lets run."""
    if record.status == "PENDING":
        record = replace(record, status="IN_PROGRESS", started_at_ms=moment.now_ms)
    progress = advance(view, service, record, census, ids=moment.ids(), moment=moment)
    after = _held(service, progress)
    known = view.service_deployment(record.arn)
    if progress.record != known or after != service:
        changed = replace(progress.record, updated_at_ms=moment.now_ms)
        # The answers make the service another one, so that it is looked at again at once.
        woken = replace(after, hook_answers=after.hook_answers + 1)
        return Decision(changes=(Put(changed), Put(woken)), effects=_wakes(service, progress))
    decision = next_step(view, service, census, moment)
    return Decision(
        changes=decision.changes,
        effects=(*decision.effects, *_wakes(service, progress)),
        notes=decision.notes,
    )


def _held(service: Service, progress: Progress) -> Service:
    reason = progress.record.status_reason if progress.wants_rollback else None
    return replace(service, hold=progress.hold, rollback_reason=reason or service.rollback_reason)


def _wakes(service: Service, progress: Progress) -> tuple[WakeAt, ...]:
    if progress.wake_at_ms is None:
        return ()
    return (WakeAt(progress.wake_at_ms, service.arn),)
