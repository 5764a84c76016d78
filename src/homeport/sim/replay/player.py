"""A workload done again: production's engine on virtual time, between played agents and clients.

What is there when the journal begins is made just before it begins; then each deed is done at its
time. What comes of it is written down as the journal's own past is.
"""

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.engine.engine import Engine
from homeport.operations.context import OperationSettings
from homeport.operations.registry import OPERATIONS
from homeport.sim.chance import Stream
from homeport.sim.clock import SkewedClock, Timeline, Timer
from homeport.sim.replay.behaviour import Behaviours
from homeport.sim.replay.deeds import (
    AgentCame,
    AgentWent,
    Deed,
    InstanceAltered,
    InstanceJoined,
    InstanceLeft,
    ServerDown,
    StatusSet,
    Written,
)
from homeport.sim.replay.fleet import PlayedFleet
from homeport.sim.replay.lives import Chronicle
from homeport.sim.replay.service_deeds import ServiceDeeds
from homeport.sim.replay.stage import OWN_OPERATIONS, WRITE, Stage
from homeport.sim.replay.task_deeds import TaskDeeds
from homeport.sim.replay.what_if import WhatIf
from homeport.sim.replay.workload import Workload
from homeport.state.changes import AnyRecord, Commit
from homeport.state.store import Store
from homeport.storage.memory import MemoryStorage

EARLY_MS = 600_000
"""How long before the journal's beginning its base is made; it has settled by then."""

KEPT_COMMITS = 16
STEPS_PER_MOMENT = 1_000_000  # a call that starts ten tasks takes some twenty
REFUSALS_KEPT = 50


class Replayed(msgspec.Struct, kw_only=True):
    """What came of a workload; `refused` counts calls that were answered with an error.

    `unplaced` are tasks of RunTask without a place: from when until when the journal had them.
    """

    chronicle: Chronicle
    steps: int
    commits: int
    refused: dict[str, int]
    unplaced: list[tuple[int, int]]


class Player:
    """One replay; the same workload, changes and seed give the same commits."""

    def __init__(self, workload: Workload, what_if: WhatIf, seed: int) -> None:
        self._workload = workload
        self._timeline = Timeline(workload.begins_ms - EARLY_MS)
        self._store = Store()
        self._chronicle = Chronicle(workload.cluster.arn)
        self._turn: Timer | None = None
        self._down_until_ms = 0
        self._engine = Engine(
            store=self._store,
            journal=MemoryStorage(KEPT_COMMITS),
            outlet=self,
            clock=SkewedClock(self._timeline),
            entropy=Stream(seed, "entropy"),
            operations={**OPERATIONS, **OWN_OPERATIONS},
            settings=OperationSettings(instance_loss_window_s=workload.loss_window_s),
        )
        self._stage = Stage(workload, what_if, timeline=self._timeline, engine=self._engine)
        behaviours = Behaviours(
            workload.past.tasks.values(),
            begins_ms=workload.begins_ms,
            ends_ms=workload.ends_ms,
            chance=Stream(seed, "behaviour"),
        )
        self._services = ServiceDeeds(self._stage)
        self._tasks = TaskDeeds(self._stage, self._services, behaviours)
        self._fleet = PlayedFleet(
            self._timeline,
            view=self._stage.view,
            call=self._stage.call,
            observe=self._engine.observe,
            choose_plan=self._tasks.choose_plan,
            on_swap=self._tasks.swap,
        )
        self.send_tasks = self._fleet.send_tasks
        self.disconnect_agent = self._fleet.disconnect_agent
        self._store.feed.watch(self._watch)

    def play(self) -> Replayed:
        """Do it all again, from before the journal's beginning to its end."""
        for deed in self._workload.base:
            self._do(deed)
        for deed in self._workload.deeds:
            # What comes to pass at once behind something doesn't, if the server is down by then.
            self._go(deed.at_ms - isinstance(deed, ServerDown))
            self._do(deed)
        self._go(self._workload.ends_ms)
        return Replayed(
            chronicle=self._chronicle,
            steps=self._timeline.steps,
            commits=self._store.sequence,
            refused=dict(self._stage.refused.most_common(REFUSALS_KEPT)),
            unplaced=self._tasks.unplaced,
        )

    # what the engine asks for, beside what goes to the fleet
    def note(self, text: str) -> None:
        """Nobody reads the log of a replay."""

    def work_waits(self) -> None:
        """Let the engine look at its agenda at this moment, behind what is planned for it."""
        at_ms = max(self._timeline.now_ms, self._down_until_ms)
        if self._turn is not None:
            if self._turn.at_ms <= at_ms:
                return
            self._turn.cancel()
        self._turn = self._timeline.at(at_ms, self._run_due)

    def _run_due(self) -> None:
        self._turn = None
        due_ms = self._engine.run_due()
        if due_ms is not None and self._turn is None:
            self._turn = self._timeline.at(max(due_ms, self._down_until_ms), self._run_due)

    def _go_down(self, deed: ServerDown) -> None:
        self._down_until_ms = deed.until_ms
        self._fleet.unheard_ms = (deed.at_ms, deed.until_ms)
        if self._turn is not None and self._turn.at_ms < deed.until_ms:
            self._turn.cancel()
            self._turn = self._timeline.at(deed.until_ms, self._run_due)

    def _go(self, until_ms: int) -> None:
        timeline = self._timeline
        moment_ms, since_step = timeline.now_ms, timeline.steps
        while timeline.step(until_ms):
            if timeline.now_ms != moment_ms:
                moment_ms, since_step = timeline.now_ms, timeline.steps
            assert timeline.steps - since_step < STEPS_PER_MOMENT, "time doesn't go on"

    def _watch(self, commit: Commit, _replaced: tuple[AnyRecord | None, ...]) -> None:
        self._chronicle.follow(commit.at_ms, commit.sequence, commit.changes)
        self._services.hear(commit)

    # deeds
    def _do(self, deed: Deed) -> None:
        if isinstance(deed, ServerDown):
            self._go_down(deed)
        elif isinstance(deed, Written):
            self._stage.call(WRITE, deed.changes)
        elif not self._services.do(deed) and not self._tasks.do(deed):
            self._do_to_instance(deed)

    def _do_to_instance(self, deed: Deed) -> None:
        cluster = self._workload.cluster.arn
        match deed:
            case InstanceJoined():
                # Its agent connects by a deed of its own.
                self._stage.write(replace(deed.instance, agent_connected=False))
            case InstanceAltered():
                self._alter(deed)
            case StatusSet():
                request = ecs.UpdateContainerInstancesStateRequest(
                    cluster=cluster, container_instances=[deed.arn], status=deed.status
                )
                self._stage.call("UpdateContainerInstancesState", request)
            case InstanceLeft():
                self._stage.call(
                    "DeregisterContainerInstance",
                    ecs.DeregisterContainerInstanceRequest(
                        cluster=cluster, container_instance=deed.arn, force=True
                    ),
                )
            case AgentCame():
                self._fleet.connect(deed.arn)
            case AgentWent():
                self._fleet.disconnect(deed.arn, is_silent=deed.is_silent)

    def _alter(self, deed: InstanceAltered) -> None:
        known = self._stage.view.container_instance(deed.arn)
        if known is not None:
            altered = replace(known, attributes=deed.attributes, resources=deed.resources)
            self._stage.write(altered)
