"""The engine: takes events one at a time, commits decisions, lets answers and effects out.

It keeps promise 1: a commit is applied in memory at once, so that the next decision sees it; its
answer and its effects leave only when the journal says that it is durable.
"""

from collections.abc import Callable, Mapping

from homeport.api.errors import AwsError
from homeport.core.capacity.provisioning import provision_tasks
from homeport.core.decision import Decision, Moment
from homeport.core.effects import (
    AwaitCapacity,
    AwaitZone,
    DisconnectAgent,
    Effect,
    SendTasks,
    WakeAt,
)
from homeport.core.lifecycle.expiry import RetentionLimits, expire_records, next_expiry_ms
from homeport.core.lifecycle.instance import (
    connect_agent,
    disconnect_every_agent,
    lose_agent,
    report_runtime_status,
)
from homeport.core.lifecycle.loss import lose_instances, next_loss_ms
from homeport.core.lifecycle.task import report_health
from homeport.core.reconcile.service import reconcile_service
from homeport.engine.agenda import Agenda
from homeport.engine.events import (
    AgentConnected,
    AgentEvent,
    AgentLost,
    ApiCalled,
    HealthReported,
    RuntimeStatusReported,
)
from homeport.engine.ports import Clock, Entropy, Journal, Outlet
from homeport.model.arn import Scope
from homeport.operations.context import CallContext, OperationSettings
from homeport.operations.registry import Operation, refuse_unbuilt
from homeport.state.changes import Change, Commit
from homeport.state.store import Store
from homeport.state.view import View

Answer = Callable[[object], None]  # gets the reply's shape, or the AwsError to render

CLUSTER_ARN_PART = ":cluster/"
SERVICES_PER_TURN = 64  # reconciled before other events get their turn


class Engine:
    """Owns the store; every method runs on one thread and returns without waiting."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        outlet: Outlet,
        clock: Clock,
        entropy: Entropy,
        operations: Mapping[str, Operation],
        settings: OperationSettings | None = None,
    ) -> None:
        self._store = store
        self.view = View(store)
        self._journal = journal
        self._outlet = outlet
        self._clock = clock
        self._entropy = entropy
        self._operations = operations
        self._settings = settings or OperationSettings()
        self._retention = RetentionLimits(
            stopped_task_s=self._settings.stopped_task_retention_s,
            deregistered_instance_s=self._settings.deregistered_instance_retention_s,
            inactive_service_s=self._settings.inactive_service_retention_s,
        )
        self._agenda = Agenda(self.view)
        self._now_ms = store.at_ms
        store.feed.watch(self._agenda.follow)

    def start(self) -> None:
        """Begin after recovery: no agent is connected yet, and every service is looked at."""
        self._commit("ServerStarted", disconnect_every_agent(self.view, self._moment()), None)
        services = sorted(self.view.every_service(), key=lambda s: (s.created_at_ms, s.arn))
        for service in services:  # the oldest first, as those that wait for room do
            self._agenda.mark(service.arn)
        for cluster in self.view.every_cluster():
            if self.view.provisioning_tasks(cluster.arn) or cluster.kept is not None:
                self._agenda.mark(cluster.arn)
        self._outlet.work_waits()

    def call(self, event: ApiCalled, answer: Answer) -> None:
        """Carry out one API call; `answer` is called once, when what was decided is durable.

        Any exception but an AwsError is a bug in a decision: nothing has changed, it propagates.
        """
        operation = self._operations.get(event.operation)
        try:
            if operation is None:
                refuse_unbuilt(event.operation)
            decision = operation(self.view, event.request, self._context(event))
        except AwsError as refusal:
            error = refusal
            self._journal.when_durable(lambda: answer(error))
            return
        self._commit(event.operation, decision, answer)

    def observe(self, event: AgentEvent) -> None:
        """Take in something that an agent did or reported over its sockets."""
        self._commit(type(event).__name__, self._decide(event), None)
        if isinstance(event, AgentLost):
            self._outlet.work_waits()  # from now on the time counts until its instance is lost

    def run_due(self) -> int | None:
        """Reconcile dirty services, ring timers, expire records.

        Returns when to be called again, in epoch milliseconds: a past time means at once, None
        means not before `Outlet.work_waits`.
        """
        moment = self._moment()
        self._agenda.ring(moment.now_ms)
        for _ in range(SERVICES_PER_TURN):
            service_arn = self._agenda.take()
            if service_arn is None:
                break
            self._look_at(service_arn)
        expiry_ms = next_expiry_ms(self.view, self._retention)
        if expiry_ms is not None and expiry_ms <= moment.now_ms:
            self._commit("Expire", expire_records(self.view, self._retention, moment), None)
            expiry_ms = next_expiry_ms(self.view, self._retention)
        loss_ms = self._lose_instances(moment)
        if not self._agenda.is_empty:
            return moment.now_ms
        due = [at for at in (self._agenda.next_ring_ms(), expiry_ms, loss_ms) if at is not None]
        return min(due) if due else None

    def _look_at(self, arn: str) -> None:
        """Take the next step of a service, or of a cluster's tasks that wait for capacity."""
        if CLUSTER_ARN_PART in arn:
            self._commit("Provision", provision_tasks(self.view, arn, self._moment()), None)
            return
        is_strict = self._settings.strict_failures
        decision = reconcile_service(self.view, arn, self._moment(), is_strict=is_strict)
        self._commit("Reconcile", decision, None)

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` once everything decided so far is durable: at once if it already is."""
        self._journal.when_durable(then)

    def _decide(self, event: AgentEvent) -> Decision:
        moment, arn = self._moment(), event.container_instance_arn
        match event:
            case AgentConnected():
                return connect_agent(
                    self.view,
                    arn,
                    moment,
                    agent_version=event.agent_version,
                    agent_hash=event.agent_hash,
                    docker_version=event.docker_version,
                )
            case AgentLost():
                return lose_agent(self.view, arn, moment)
            case HealthReported():
                reports = tuple((c.task_arn, c.container_name, c.status) for c in event.containers)
                return report_health(self.view, arn, reports, moment)
            case RuntimeStatusReported():
                return report_runtime_status(self.view, arn, event.status, moment)

    def _lose_instances(self, moment: Moment) -> int | None:
        """Give up instances whose agents stayed away; returns when the next one is due."""
        window_s = self._settings.instance_loss_window_s
        loss_ms = next_loss_ms(self.view, window_s)
        if loss_ms is not None and loss_ms <= moment.now_ms:
            self._commit("InstanceLost", lose_instances(self.view, window_s, moment), None)
            loss_ms = next_loss_ms(self.view, window_s)
        return loss_ms

    def _context(self, event: ApiCalled) -> CallContext:
        return CallContext(
            scope=Scope(event.account_id, event.region),
            moment=self._moment(),
            endpoint=event.endpoint,
            settings=self._settings,
        )

    def _moment(self) -> Moment:
        self._now_ms = max(self._now_ms, self._clock.now_ms())  # never backwards
        return Moment(self._now_ms, self._entropy.draw())

    def _commit(self, cause: str, decision: Decision, answer: Answer | None) -> None:
        if decision.changes:
            self._apply(cause, decision.changes)
        if decision.settled is not None:
            self._agenda.settle(decision.settled)
        for effect in decision.effects:
            self._note_for_later(effect)
        if answer is not None or decision.effects or decision.notes:
            self._journal.when_durable(lambda: self._let_out(decision, answer))
        if self._agenda.rings_sooner() or not self._agenda.is_empty:
            self._outlet.work_waits()

    def _apply(self, cause: str, changes: tuple[Change, ...]) -> None:
        commit = Commit(self._store.sequence + 1, self._now_ms, cause, changes)
        self._journal.append(commit)
        self._store.apply(commit)

    def _note_for_later(self, effect: Effect) -> None:
        """Put what the engine itself has to do on its agenda."""
        if isinstance(effect, WakeAt):
            self._agenda.wake_at(effect)
        elif isinstance(effect, AwaitCapacity):
            self._agenda.await_capacity(effect)
        elif isinstance(effect, AwaitZone):
            self._agenda.await_zone(effect)

    def _let_out(self, decision: Decision, answer: Answer | None) -> None:
        if answer is not None:
            answer(decision.reply)
        for effect in decision.effects:
            if isinstance(effect, SendTasks):
                self._outlet.send_tasks(effect)
            elif isinstance(effect, DisconnectAgent):
                self._outlet.disconnect_agent(effect)
        for note in decision.notes:
            self._outlet.note(note)
