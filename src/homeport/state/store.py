"""The tables of the control plane, and `Store.apply`, the sole writer."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from homeport.model.arn import scope_of
from homeport.model.task import Task
from homeport.state.changes import AnyRecord, Commit, Put, key_of, table_of
from homeport.state.derived import Derived
from homeport.state.feed import Feed
from homeport.state.tables import Table

if TYPE_CHECKING:
    from homeport.model.account_setting import AccountSetting
    from homeport.model.client_token import ClientToken
    from homeport.model.cluster import Cluster
    from homeport.model.container_instance import ContainerInstance
    from homeport.model.record import ResourceTags
    from homeport.model.service import Service, ServiceEvent
    from homeport.model.task_definition import Family, TaskDefinition


def _live(record: Task) -> Hashable | None:
    return None if record.is_stopped else record.cluster_arn


class Store:
    """Everything the control plane knows, in memory.

    Readers use `view.View`; `apply` is called by the engine and by recovery only.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self.feed = Feed()
        self.derived = Derived()
        self.clusters: Table[Cluster] = Table(
            key_of,
            ordered={
                "scope": (
                    lambda r: None if r.status == "INACTIVE" else scope_of(r.arn),
                    lambda r: r.name,
                ),
                "deleted": (
                    lambda r: "all" if r.status == "INACTIVE" else None,
                    lambda r: r.deleted_at_ms or 0,
                ),
            },
        )
        self.container_instances: Table[ContainerInstance] = Table(
            key_of,
            indexes={
                "cluster": lambda r: None if r.status == "INACTIVE" else r.cluster_arn,
                "draining": lambda r: r.cluster_arn if r.status == "DRAINING" else None,
            },
            ordered={
                "cluster": (
                    lambda r: None if r.status == "INACTIVE" else r.cluster_arn,
                    lambda r: r.arn,
                ),
                "deregistered": (
                    lambda r: "all" if r.deregistered_at_ms is not None else None,
                    lambda r: r.deregistered_at_ms,
                ),
            },
        )
        self.task_definitions: Table[TaskDefinition] = Table(
            key_of,
            ordered={
                "family": (lambda r: (scope_of(r.arn), r.family, r.status), lambda r: r.revision),
                "scope": (
                    lambda r: (scope_of(r.arn), r.status),
                    lambda r: (r.family, r.revision),
                ),
                "deleting": (
                    lambda r: "all" if r.status == "DELETE_IN_PROGRESS" else None,
                    lambda r: r.arn,
                ),
            },
        )
        self.families: Table[Family] = Table(
            key_of, ordered={"scope": (lambda r: r.key.rsplit("/", 1)[0], lambda r: r.name)}
        )
        self.tasks: Table[Task] = Table(
            key_of,
            indexes={
                "instance": lambda r: None if r.is_stopped else r.container_instance_arn,
                "service": lambda r: None if r.is_stopped else r.service_arn,
                "group": lambda r: None if r.is_stopped else (r.cluster_arn, r.group),
                "live": _live,
                "definition": lambda r: r.task_definition_arn,
            },
            ordered={
                "desired": (lambda r: (r.cluster_arn, r.desired_status), lambda r: r.arn),
                "stopped": (
                    lambda r: "all" if r.is_stopped else None,
                    lambda r: r.stopped_at_ms or 0,
                ),
            },
        )
        self.services: Table[Service] = Table(
            key_of,
            ordered={
                "listed": (
                    lambda r: r.cluster_arn if r.status == "ACTIVE" else None,
                    lambda r: r.name,
                ),
                "cluster": (
                    lambda r: None if r.status == "INACTIVE" else r.cluster_arn,
                    lambda r: r.name,
                ),
                "inactive": (
                    lambda r: "all" if r.status == "INACTIVE" else None,
                    lambda r: r.deleted_at_ms or 0,
                ),
            },
        )
        self.service_events: Table[ServiceEvent] = Table(
            key_of, ordered={"service": (lambda r: r.service_arn, lambda r: -r.sequence)}
        )
        self.tags: Table[ResourceTags] = Table(key_of)
        self.account_settings: Table[AccountSetting] = Table(
            key_of,
            ordered={"scope": (lambda r: (r.account_id, r.region), lambda r: r.key)},
        )
        self.client_tokens: Table[ClientToken] = Table(
            key_of, ordered={"expires": (lambda r: "all", lambda r: r.expires_at_ms)}
        )
        self._tables: dict[str, Table[Any]] = {
            "cluster": self.clusters,
            "container_instance": self.container_instances,
            "task_definition": self.task_definitions,
            "family": self.families,
            "task": self.tasks,
            "service": self.services,
            "service_event": self.service_events,
            "tags": self.tags,
            "account_setting": self.account_settings,
            "client_token": self.client_tokens,
        }

    def apply(self, commit: Commit) -> None:
        """Carry out one commit whole; commits come in sequence, without a gap."""
        assert commit.sequence == self.sequence + 1, (commit.sequence, self.sequence)
        replaced: list[AnyRecord | None] = []
        for change in commit.changes:
            if isinstance(change, Put):
                old = self._tables[table_of(change.record)].put(change.record)
                if isinstance(change.record, Task):
                    self.derived.replace_task(old, change.record)
            else:
                old = self._tables[change.table].delete(change.key)
                if isinstance(old, Task):
                    self.derived.replace_task(old, None)
            replaced.append(old)
        self.sequence = commit.sequence
        self.feed.publish(commit, tuple(replaced))

    def restore(self, record: AnyRecord) -> None:
        """Take in one record at recovery, before the first commit is applied."""
        self._tables[table_of(record)].put(record)
        if isinstance(record, Task):
            self.derived.replace_task(None, record)

    def restored(self, sequence: int) -> None:
        """End recovery: the next commit continues behind `sequence`."""
        self.sequence = sequence

    def every_record(self) -> list[AnyRecord]:
        """List all records, for checks and snapshots."""
        return [record for table in self._tables.values() for record in table]
