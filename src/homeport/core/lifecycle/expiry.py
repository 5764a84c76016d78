"""When kept records are forgotten: stopped tasks, INACTIVE resources, idempotency tokens."""

from collections.abc import Iterator

import msgspec

from homeport.core.decision import Decision, Moment
from homeport.core.lifecycle.definition import forget_unreferenced
from homeport.core.reconcile.service_deployments import forget_expired
from homeport.model.container_instance import ContainerInstance
from homeport.model.instance_turnover import InstanceTurnover
from homeport.model.service import Service
from homeport.state.changes import AnyRecord, Change, Delete, Put, delete_of, key_of
from homeport.state.view import View

RECORDS_PER_COMMIT = 1_000
TURNOVER_OF_A_TASK = 2  # it was placed, and it stopped


class RetentionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long records stay describable after their end."""

    stopped_task_s: int = 3_600
    deregistered_instance_s: int = 3_600
    inactive_service_s: int = 86_400
    service_deployment_s: int = 90 * 86_400  # as ECS does (reference: services §11)

    @property
    def inactive_cluster_s(self) -> int:
        """A cluster stays as long as anything that was in it may."""
        return max(self.stopped_task_s, self.deregistered_instance_s, self.inactive_service_s)


def next_expiry_ms(view: View, limits: RetentionLimits) -> int | None:
    """Return when the next record expires, in epoch milliseconds; None when none will."""
    # Asked in every turn of the engine: what would go with a record isn't looked up.
    heads = (next(stream, None) for stream in _streams(view, limits))
    return min((head[0] for head in heads if head is not None), default=None)


def expire_records(view: View, limits: RetentionLimits, moment: Moment) -> Decision:
    """Forget what has been kept long enough, at most `RECORDS_PER_COMMIT` at once."""
    changes: list[Change] = []
    for stream in _streams(view, limits):
        for at_ms, record in stream:
            if at_ms > moment.now_ms or len(changes) >= RECORDS_PER_COMMIT:
                break
            changes.extend(_deletions(view, record))
    forgotten = [change for change in changes if isinstance(change, Delete)]
    changes.extend(forget_unreferenced(view, forgotten))
    changes.extend(forget_expired(view, forgotten))
    changes.extend(_keep_turnover(view, forgotten))
    return Decision(changes=tuple(changes))


def _streams(view: View, limits: RetentionLimits) -> tuple[Iterator[tuple[int, AnyRecord]], ...]:
    """Give each kind's records with the moment of their expiry, the next one first."""
    task_ms, instance_ms = limits.stopped_task_s * 1_000, limits.deregistered_instance_s * 1_000
    service_ms, deployment_ms = (
        limits.inactive_service_s * 1_000,
        limits.service_deployment_s * 1_000,
    )
    cluster_ms = limits.inactive_cluster_s * 1_000
    return (
        (((t.stopped_at_ms or 0) + task_ms, t) for t in view.stopped_tasks()),
        (((i.deregistered_at_ms or 0) + instance_ms, i) for i in view.deregistered_instances()),
        (((s.deleted_at_ms or 0) + service_ms, s) for s in view.inactive_services()),
        ((t.expires_at_ms, t) for t in view.expiring_tokens()),
        (((d.finished_at_ms or 0) + deployment_ms, d) for d in view.ended_service_deployments()),
        # Last, so that what refers to a cluster goes before it or with it.
        (((c.deleted_at_ms or 0) + cluster_ms, c) for c in view.deleted_clusters()),
    )


def _deletions(view: View, record: AnyRecord) -> Iterator[Delete]:
    """Forget a record with its tags, and with what nobody could ask for without it."""
    yield delete_of(record)
    if view.tags(key_of(record)):
        yield Delete("tags", key_of(record))
    if isinstance(record, Service):
        yield from (delete_of(event) for event in view.service_events(record.arn))
    elif isinstance(record, ContainerInstance):
        turnover = view.instance_turnover(record.arn)
        if turnover is not None:
            yield delete_of(turnover)


def _keep_turnover(view: View, forgotten: list[Delete]) -> Iterator[Put]:
    """Count forgotten tasks in what their container instances keep: a version never falls."""
    counts: dict[str, int] = {}
    for deletion in forgotten:
        task = view.task(deletion.key) if deletion.table == "task" else None
        if task is not None and task.container_instance_arn is not None:
            arn = task.container_instance_arn
            counts[arn] = counts.get(arn, 0) + TURNOVER_OF_A_TASK
    gone = {deletion.key for deletion in forgotten if deletion.table == "container_instance"}
    for arn, count in counts.items():
        if arn not in gone and view.container_instance(arn) is not None:
            known = view.instance_turnover(arn)
            before = 0 if known is None else known.forgotten
            yield Put(InstanceTurnover(container_instance_arn=arn, forgotten=before + count))
