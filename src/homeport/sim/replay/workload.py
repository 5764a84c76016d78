"""The workload in a journal: who asked for what when, read from what commits changed.

A commit names the operation that caused it, but not its request: that is derived from the records
before and after it. A journal that was pruned begins in the middle: what was there then is derived
from the first change of each record, and from the records that the journal doesn't mention. What
the control plane did of itself is left out, since a replay does that anew.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from homeport.model.account_setting import AccountSetting
from homeport.model.arn import scope_of
from homeport.model.capacity_provider import CapacityProvider
from homeport.model.cluster import Cluster
from homeport.model.container_instance import INACTIVE, ContainerInstance
from homeport.model.service import Service
from homeport.model.service_deployment import ServiceDeployment
from homeport.model.task import STOPPED, Task
from homeport.model.task_definition import TaskDefinition
from homeport.sim.replay.beginning import (
    TURNS,
    before_deployment,
    count_tasks,
    in_order,
    made_ms,
    rewind_instance,
    rewind_service,
    usable,
)
from homeport.sim.replay.deeds import (
    AgentCame,
    AgentWent,
    Deed,
    DeploymentStopped,
    HookAnswered,
    InstanceAltered,
    InstanceJoined,
    InstanceLeft,
    ServerDown,
    ServiceCreated,
    ServiceDeleted,
    ServiceResumed,
    ServiceUpdated,
    StatusSet,
    TaskProtected,
    TaskSetsChanged,
    TasksRun,
    TaskStopped,
    TaskThere,
    Written,
)
from homeport.sim.replay.lives import Chronicle
from homeport.sim.replay.task_sets import TASK_SET_CALLS
from homeport.state.changes import AnyRecord, Change, Commit, Put, key_of
from homeport.storage.journal_reader import JournalReader

LOSS_WINDOW_DEFAULT_S = 300
DOWN_LIMIT_MS = 60_000
"""A server that wrote nothing for longer before it started again may have had nothing to write."""


# What the control plane and the agents do of themselves comes anew in a replay.
REPORTS = frozenset({"SubmitTaskStateChange", "SubmitContainerStateChange"})
LOOKS = frozenset({"Reconcile", "Provision", "Expire", "InstanceLost"})
CONSEQUENCES = REPORTS | LOOKS | frozenset(
    {
        "ServerStarted",
        *("AgentConnected", "AgentLost", "HealthReported", "RuntimeStatusReported"),
        "SubmitAttachmentStateChanges",
    }
)
# These decide nothing about tasks.
WITHOUT_EFFECT = frozenset({"TagResource", "UntagResource", "UpdateContainerAgent"})
REPLAYED = frozenset(
    {
        *("CreateService", "UpdateService", "DeleteService", "StopServiceDeployment"),
        "ContinueServiceDeployment",
        *TASK_SET_CALLS,
        *("RunTask", "StartTask", "StopTask", "UpdateTaskProtection"),
        *("RegisterContainerInstance", "DeregisterContainerInstance", "PutAttributes"),
        *("UpdateContainerInstancesState", "DeleteAttributes"),
        *("CreateCluster", "UpdateCluster", "UpdateClusterSettings", "DeleteCluster"),
        *("RegisterTaskDefinition", "DeregisterTaskDefinition", "DeleteTaskDefinitions"),
        *("CreateCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider"),
        *("PutClusterCapacityProviders", "PutAccountSetting", "PutAccountSettingDefault"),
        "DeleteAccountSetting",
    }
)


class WorkloadError(Exception):
    """A journal that can't be replayed; the text is one line that says why."""


class Workload(msgspec.Struct, kw_only=True):
    """What is done again, and what came of it the first time.

    `base` is what was there when the journal begins, `deeds` what was done since, both in order.
    `first_commit` is the first in the journal: 1 when it goes back to the beginning.
    """

    cluster: Cluster
    begins_ms: int
    ends_ms: int
    first_commit: int
    last_commit: int
    base: list[Deed]
    deeds: list[Deed]
    past: Chronicle
    loss_window_s: int
    left_out: dict[str, int]


def read_workload(journal: JournalReader, cluster_name: str | None) -> Workload:
    """Read a cluster's workload; raises WorkloadError, TooManyTasks and StorageError."""
    cluster = _choose_cluster(_clusters(journal), cluster_name)
    reading = _Reading(cluster)
    for commit in journal.commits():
        reading.read(commit)
    if not reading.last_commit:
        raise WorkloadError(f"the journal {journal.path} is empty: nothing has happened yet")
    return reading.finish(journal.records())


def _clusters(journal: JournalReader) -> dict[str, Cluster]:
    """List all clusters that there ever were, as they were first."""
    found: dict[str, Cluster] = {}
    for commit in journal.commits("CreateCluster"):
        for change in commit.changes:
            if isinstance(change, Put) and isinstance(change.record, Cluster):
                found.setdefault(change.record.arn, change.record)
    for record in journal.records("cluster"):
        if isinstance(record, Cluster):
            found.setdefault(record.arn, record)
    return found


def _choose_cluster(clusters: dict[str, Cluster], name: str | None) -> Cluster:
    names = ", ".join(sorted(each.name for each in clusters.values()))
    if not clusters:
        raise WorkloadError("the journal knows no cluster: nothing has happened yet")
    if name is None:
        if len(clusters) > 1:
            raise WorkloadError(f"the journal has several clusters, name one of them: {names}")
        return next(iter(clusters.values()))
    matching = [each for each in clusters.values() if name in (each.name, each.arn)]
    if not matching:
        raise WorkloadError(f"the journal knows no cluster {name!r}; there are: {names}")
    if len(matching) > 1:
        arns = ", ".join(sorted(each.arn for each in matching))
        raise WorkloadError(f"several accounts have a cluster {name!r}, name it by ARN: {arns}")
    return matching[0]


class _Reading:
    """One pass over the commits of a journal."""

    def __init__(self, cluster: Cluster) -> None:
        self.last_commit = 0
        self._cluster = cluster
        self._scope = scope_of(cluster.arn)
        self._begins_ms = self._ends_ms = 0
        self._first_commit = 0
        self._last_cause = ""
        self._base: list[Deed] = []
        self._resumed: list[Deed] = []  # what follows at once on the base
        self._deeds: list[Deed] = []
        self._past = Chronicle(cluster.arn)
        self._seen: set[str] = set()
        self._services: dict[str, Service] = {}
        self._instances: dict[str, ContainerInstance] = {}
        self._away: dict[str, int] = {}  # instances without a connection: the deed that says so
        self._turned: dict[str, int] = {}  # services whose first known change was a call, and when
        self._loss_window_s = LOSS_WINDOW_DEFAULT_S
        self._left_out: Counter[str] = Counter()

    def read(self, commit: Commit) -> None:
        """Take in the next commit."""
        self._note_time(commit)
        self._past.follow(commit.at_ms, commit.sequence, commit.changes)
        written: list[Change] = []
        started: list[Task] = []
        is_ours = False
        for change in commit.changes:
            if not isinstance(change, Put):
                continue
            record = change.record
            is_ours = is_ours or getattr(record, "cluster_arn", None) == self._cluster.arn
            if isinstance(record, Task):
                self._read_task(commit, record, started)
            elif isinstance(record, Service):
                self._read_service(commit, record)
            elif isinstance(record, ContainerInstance):
                self._read_instance(commit, record)
            elif isinstance(record, ServiceDeployment):
                self._read_deployment(commit, record)
            elif self._is_setting(record):
                self._note_first(record, commit)
                written.append(Put(usable(record)))
        if written:
            self._deeds.append(Written(at_ms=commit.at_ms, changes=tuple(written)))
        if started:
            self._deeds.append(_run(commit.at_ms, started, commit.cause))
        known = commit.cause in REPLAYED or commit.cause in CONSEQUENCES
        if is_ours and not known and commit.cause not in WITHOUT_EFFECT:
            self._left_out[commit.cause] += 1

    def _note_time(self, commit: Commit) -> None:
        if not self.last_commit:
            self._first_commit, self._begins_ms = commit.sequence, commit.at_ms
        elif commit.cause == "ServerStarted":
            # Had it looked at what its last commit led to, the journal would have that, too.
            at_ms, until_ms = self._ends_ms + (self._last_cause in LOOKS), commit.at_ms
            if at_ms < until_ms <= at_ms + DOWN_LIMIT_MS:
                self._deeds.append(ServerDown(at_ms=at_ms, until_ms=until_ms + 1))
        self._last_cause = commit.cause
        self.last_commit, self._ends_ms = commit.sequence, commit.at_ms

    def finish(self, table: Iterable[AnyRecord]) -> Workload:
        """End the reading with what the journal doesn't mention: it is as it was all along."""
        for record in table:
            if key_of(record) in self._seen or not self._is_relevant(record):
                continue
            if isinstance(record, Task):
                if not record.is_stopped:
                    self._note_first(record, None)
            else:
                self._note_first(record, None)
            self._past.follow(self._begins_ms, 0, (Put(record),))
        self._count_tasks()
        return Workload(
            cluster=self._cluster,
            begins_ms=self._begins_ms,
            ends_ms=self._ends_ms,
            first_commit=self._first_commit,
            last_commit=self.last_commit,
            base=in_order(self._base),
            deeds=[*self._resumed, *self._deeds],
            past=self._past,
            loss_window_s=self._loss_window_s,
            left_out=dict(self._left_out),
        )

    def _count_tasks(self) -> None:
        """Begin with the tasks that each service had then; resume deployments, and what it lacked.

        One whose first known change was a call is taken to have wanted just those that it had.
        """
        counts = count_tasks(self._past, self._begins_ms)
        for number, deed in enumerate(self._base):
            if not isinstance(deed, ServiceCreated):
                continue
            service, count = deed.service, counts[deed.service.arn]
            begun, at_ms = service, self._begins_ms
            if service.arn in self._turned:
                self._note_turn(service.arn, count)
                begun = replace(service, desired_count=count)
            else:
                if service.primary.rollout_state != "COMPLETED":
                    begun = before_deployment(service)
                if begun != service:
                    update = ServiceUpdated(at_ms=at_ms, before=begun, after=service)
                    self._resumed.append(update)
                if service.desired_count > count:
                    self._resumed.append(ServiceResumed(at_ms=at_ms, service=service))
                    begun = replace(begun, desired_count=count)
            self._base[number] = replace(deed, service=begun)

    def _note_turn(self, arn: str, count: int) -> None:
        """Say how many tasks a service wanted before the first call that is known."""
        at_ms = self._turned[arn]
        life = self._past.services.get(arn)
        if life is not None:
            (_, wanted), *later = life.wishes
            life.wishes = [(self._begins_ms, count), (at_ms, wanted), *later]
        for number, deed in enumerate(self._deeds):
            if (
                isinstance(deed, ServiceUpdated)
                and deed.after.arn == arn
                and deed.at_ms == at_ms
            ):
                before = replace(deed.before, desired_count=count)
                self._deeds[number] = replace(deed, before=before)
                return

    def _is_setting(self, record: AnyRecord) -> bool:
        """Whether a record only says what there is, and is written again as it stands."""
        if isinstance(record, AccountSetting):
            return (record.account_id, record.region) == self._scope
        if isinstance(record, TaskDefinition | CapacityProvider):
            return scope_of(record.arn) == self._scope
        return isinstance(record, Cluster) and record.arn == self._cluster.arn

    def _is_relevant(self, record: AnyRecord) -> bool:
        return self._is_setting(record) or (
            isinstance(record, Task | Service | ContainerInstance)
            and record.cluster_arn == self._cluster.arn
        )

    # the beginning
    def _note_first(self, record: AnyRecord, commit: Commit | None) -> None:
        """Note a record's first known state: what was there before the journal is the base.

        `commit` is None for a record that the journal doesn't mention.
        """
        key = key_of(record)
        if key in self._seen:
            return
        self._seen.add(key)
        if commit is not None and made_ms(record, commit.at_ms) >= self._begins_ms:
            return
        at_ms = self._begins_ms
        if isinstance(record, ContainerInstance):
            self._begin_instance(record if commit is None else rewind_instance(record, commit))
        elif isinstance(record, Service):
            if commit is not None and commit.cause in TURNS:
                self._turned[record.arn] = commit.at_ms
            self._begin_service(record if commit is None else rewind_service(record, commit))
        elif isinstance(record, Task):
            is_going = record.stopping_at_ms is not None and record.stopping_at_ms < at_ms
            if not is_going:
                self._base.append(TaskThere(at_ms=at_ms, task=record))
        else:
            self._base.append(Written(at_ms=at_ms, changes=(Put(usable(record)),)))

    def _begin_instance(self, instance: ContainerInstance) -> None:
        if instance.status == INACTIVE:
            return
        at_ms, arn = self._begins_ms, instance.arn
        self._instances[arn] = instance
        self._base.append(InstanceJoined(at_ms=at_ms, instance=instance))
        if instance.lost_at_ms is None:
            # An agent that is away just then has tasks, which must have got there.
            self._base.append(AgentCame(at_ms=at_ms, arn=arn))
            if not instance.agent_connected:
                self._resumed.append(AgentWent(at_ms=at_ms, arn=arn))

    def _begin_service(self, service: Service) -> None:
        if service.status != "ACTIVE":
            return
        at_ms = self._begins_ms
        self._services[service.arn] = service
        self._base.append(ServiceCreated(at_ms=at_ms, service=service))
        if service.task_sets:
            bare = replace(service, task_sets=())
            self._base.append(TaskSetsChanged(at_ms=at_ms, before=bare, after=service))

    # what was done
    def _read_task(self, commit: Commit, task: Task, started: list[Task]) -> None:
        if task.cluster_arn != self._cluster.arn:
            return
        self._note_first(task, commit)
        at_ms, cause = commit.at_ms, commit.cause
        if cause in REPORTS:
            self._hear_from(task.container_instance_arn)
        elif cause in ("RunTask", "StartTask"):
            started.append(task)
        elif cause == "StopTask" and task.desired_status == STOPPED:
            stopped = TaskStopped(
                at_ms=at_ms,
                arn=task.arn,
                service_arn=task.service_arn,
                reason=task.stopped_reason or "",
            )
            self._deeds.append(stopped)
        elif cause == "UpdateTaskProtection":
            until_ms = task.protected_until_ms
            self._deeds.append(TaskProtected(at_ms=at_ms, arn=task.arn, until_ms=until_ms))

    def _read_service(self, commit: Commit, service: Service) -> None:
        if service.cluster_arn != self._cluster.arn:
            return
        self._note_first(service, commit)
        known = self._services.get(service.arn)
        self._services[service.arn] = service
        at_ms = commit.at_ms
        match commit.cause:
            case "CreateService":
                self._deeds.append(ServiceCreated(at_ms=at_ms, service=service))
            case "UpdateService" if known is not None:
                self._deeds.append(ServiceUpdated(at_ms=at_ms, before=known, after=service))
            case cause if cause in TASK_SET_CALLS and known is not None:
                self._deeds.append(TaskSetsChanged(at_ms=at_ms, before=known, after=service))
            case "DeleteService":
                self._deeds.append(ServiceDeleted(at_ms=at_ms, arn=service.arn))
            case "StopServiceDeployment":
                stop_type = "ABORT" if service.is_stop_requested else "ROLLBACK"
                stopped = DeploymentStopped(
                    at_ms=at_ms, service_arn=service.arn, stop_type=stop_type
                )
                self._deeds.append(stopped)

    def _read_deployment(self, commit: Commit, record: ServiceDeployment) -> None:
        is_answer = commit.cause == "ContinueServiceDeployment"
        if is_answer and record.cluster_arn == self._cluster.arn:
            is_rollback = any(hook.status == "FAILED" for hook in record.hooks)
            action = "ROLLBACK" if is_rollback else "CONTINUE"
            answered = HookAnswered(
                at_ms=commit.at_ms, service_arn=record.service_arn, action=action
            )
            self._deeds.append(answered)

    def _read_instance(self, commit: Commit, instance: ContainerInstance) -> None:
        if instance.cluster_arn != self._cluster.arn:
            return
        self._note_first(instance, commit)
        arn, at_ms = instance.arn, commit.at_ms
        known = self._instances.get(arn)
        self._instances[arn] = instance
        self._learn_loss_window(known, instance)
        if known is None:
            if instance.status != INACTIVE:
                joined = replace(instance, agent_connected=False)
                self._deeds.append(InstanceJoined(at_ms=at_ms, instance=joined))
                if instance.agent_connected:
                    self._deeds.append(AgentCame(at_ms=at_ms, arn=arn))
            return
        for deed in _changes_of_instance(at_ms, known, instance):
            if isinstance(deed, AgentWent):
                self._away[arn] = len(self._deeds)
            elif isinstance(deed, AgentCame):
                self._away.pop(arn, None)
            self._deeds.append(deed)

    def _hear_from(self, instance_arn: str | None) -> None:
        """A report came: if its agent has no connection, it isn't silent for all that."""
        number = self._away.pop(instance_arn or "", None)
        if number is not None:
            self._deeds[number] = replace(self._deeds[number], is_silent=False)

    def _learn_loss_window(self, known: ContainerInstance | None, new: ContainerInstance) -> None:
        """The server's setting isn't in the journal, but how long it waited is."""
        was_lost = known is not None and known.lost_at_ms is not None
        if new.lost_at_ms is not None and new.disconnected_at_ms is not None and not was_lost:
            self._loss_window_s = round((new.lost_at_ms - new.disconnected_at_ms) / 1_000) or 1


def _changes_of_instance(
    at_ms: int, old: ContainerInstance, new: ContainerInstance
) -> list[Deed]:
    """Say what happened to a container instance between two of its records."""
    arn = new.arn
    if new.status == INACTIVE:
        return [] if old.status == INACTIVE else [InstanceLeft(at_ms=at_ms, arn=arn)]
    deeds: list[Deed] = []
    if (old.attributes, old.resources) != (new.attributes, new.resources):
        deeds.append(
            InstanceAltered(
                at_ms=at_ms, arn=arn, attributes=new.attributes, resources=new.resources
            )
        )
    if old.status != new.status:
        deeds.append(StatusSet(at_ms=at_ms, arn=arn, status=new.status))
    if new.agent_connected != old.agent_connected:
        kind = AgentCame if new.agent_connected else AgentWent
        deeds.append(kind(at_ms=at_ms, arn=arn))
    return deeds


def _run(at_ms: int, tasks: list[Task], cause: str) -> TasksRun:
    chosen = tuple(task.container_instance_arn or "" for task in tasks)
    return TasksRun(
        at_ms=at_ms,
        task=tasks[0],
        arns=tuple(task.arn for task in tasks),
        instance_arns=chosen if cause == "StartTask" else (),
    )
