"""The tables of the control plane, and `Store.apply`, the sole writer."""

from typing import TYPE_CHECKING, Any

from homeport.model.container_instance import ContainerInstance
from homeport.model.task import Task
from homeport.state import schema
from homeport.state.changes import TABLES, AnyRecord, Commit, Put
from homeport.state.derived import Derived
from homeport.state.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from homeport.state.tables import Table


class Store:
    """Everything the control plane knows, in memory.

    Readers use `view.View`; `apply` is called by the engine and by recovery only.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self.at_ms = 0  # when the newest commit was made
        self.feed = Feed()
        self.derived = Derived()
        self.clusters = schema.make_clusters()
        self.container_instances = schema.make_container_instances()
        self.task_definitions = schema.make_task_definitions()
        self.families = schema.make_families()
        self.tasks = schema.make_tasks()
        self.services = schema.make_services()
        self.service_events = schema.make_service_events()
        self.service_deployments = schema.make_service_deployments()
        self.service_revisions = schema.make_service_revisions()
        self.tags = schema.make_tags()
        self.account_settings = schema.make_account_settings()
        self.client_tokens = schema.make_client_tokens()
        self.capacity_providers = schema.make_capacity_providers()
        self.instance_turnovers = schema.make_instance_turnovers()
        self._tables: dict[str, Table[Any]] = {
            "cluster": self.clusters,
            "container_instance": self.container_instances,
            "task_definition": self.task_definitions,
            "family": self.families,
            "task": self.tasks,
            "service": self.services,
            "service_event": self.service_events,
            "service_deployment": self.service_deployments,
            "service_revision": self.service_revisions,
            "tags": self.tags,
            "account_setting": self.account_settings,
            "client_token": self.client_tokens,
            "capacity_provider": self.capacity_providers,
            "instance_turnover": self.instance_turnovers,
        }
        self._tables_by_type = {kind: self._tables[name] for kind, name in TABLES.items()}
        self._count_by_type: dict[type, Callable[[Any, Any], None]] = {
            Task: self.derived.replace_task,
            ContainerInstance: self.derived.replace_instance,
        }

    def apply(self, commit: Commit) -> None:
        """Carry out one commit whole; commits come in sequence, without a gap."""
        assert commit.sequence == self.sequence + 1, (commit.sequence, self.sequence)
        replaced: list[AnyRecord | None] = []
        for change in commit.changes:
            new: AnyRecord | None
            kind: type
            if isinstance(change, Put):
                new = change.record
                kind = type(new)
                old = self._tables_by_type[kind].put(new)
            else:
                new = None
                old = self._tables[change.table].delete(change.key)
                kind = type(old)
            count = self._count_by_type.get(kind)
            if count is not None:
                count(old, new)
            replaced.append(old)
        self.sequence = commit.sequence
        self.at_ms = commit.at_ms
        self.feed.publish(commit, tuple(replaced))

    def restore(self, records: "Iterable[AnyRecord]") -> None:
        """Take in all records at recovery, each once, before the first commit is applied."""
        by_type: dict[type[AnyRecord], list[AnyRecord]] = {}
        for record in records:
            by_type.setdefault(type(record), []).append(record)
            count = self._count_by_type.get(type(record))
            if count is not None:
                count(None, record)
        for kind, found in by_type.items():
            self._tables_by_type[kind].fill(found)

    def restored(self, sequence: int, at_ms: int = 0) -> None:
        """End recovery: the next commit continues behind `sequence`, and not before `at_ms`."""
        self.sequence = sequence
        self.at_ms = at_ms

    def find(self, table: str, key: str) -> AnyRecord | None:
        """Return one record by its table's name and its key."""
        found: AnyRecord | None = self._tables[table].get(key)
        return found

    @property
    def record_count(self) -> int:
        """How many records there are."""
        return sum(map(len, self._tables.values()))

    def every_record(self) -> list[AnyRecord]:
        """List all records, for checks and snapshots."""
        return [record for table in self._tables.values() for record in table]
