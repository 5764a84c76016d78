"""One run: a scenario and a seed become a world, which lives through its two phases.

In the safety phase things break and every commit is checked; then all is healed and the world must
converge within the scenario's bound and stay calm.
"""

import contextlib
import gc
import time
import traceback
from collections.abc import Callable, Iterator

import msgspec

from homeport.model.capacity_provider import ATTRIBUTE_FARGATE, ATTRIBUTE_SUBNET
from homeport.model.task import Task
from homeport.sim.agent_process import make_settings
from homeport.sim.chance import Chance
from homeport.sim.checkers.acknowledged import AcknowledgedChecker
from homeport.sim.checkers.capacity import CapacityChecker
from homeport.sim.checkers.convergence import TRUTH as CONVERGES
from homeport.sim.checkers.convergence import find_unsettled
from homeport.sim.checkers.counts import check_counts, check_touched_counts
from homeport.sim.checkers.daemons import check_daemons
from homeport.sim.checkers.evenness import EvennessChecker
from homeport.sim.checkers.failures import FailureChecker
from homeport.sim.checkers.placements import check_neighbours, check_placements
from homeport.sim.checkers.protection import check_protection
from homeport.sim.checkers.replay import check_journaled, check_replay, check_replica
from homeport.sim.checkers.rollout import check_rollout
from homeport.sim.checkers.shares import check_shares
from homeport.sim.checkers.stages import check_stages
from homeport.sim.checkers.status import check_status
from homeport.sim.checkers.task_sets import check_task_sets
from homeport.sim.checkers.tokens import TokenChecker
from homeport.sim.checkers.waiting import WaitingChecker
from homeport.sim.client import Client
from homeport.sim.clock import Stop, Timeline
from homeport.sim.control_plane import ControlPlane
from homeport.sim.disk import SimDisk
from homeport.sim.docker import Luck
from homeport.sim.faults import Faults
from homeport.sim.machine import SimMachine
from homeport.sim.network import Network
from homeport.sim.nodes import Nodes
from homeport.sim.scenario import Fleet, Scenario
from homeport.sim.trace import Trace
from homeport.sim.violation import Violation
from homeport.sim.webhooks import URL, SimWebhooks
from homeport.sim.workload import Workload
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

LOOK_MS = 1_000
"""How often it is asked whether all has converged."""

CALM_MS = 120_000
CALM_TRIES = 5
"""For how long nothing may happen to any task once all has converged, and how soon."""

RAISED = "no bug shows itself"
"""The truth that doesn't hold when something raises what nobody expects."""

CRASH_MS = 500
"""For how long the control plane is down when a run is asked for with a crash at a commit."""

COMMITS_PER_FULL_CHECK = 500
SUBNET = "10.213.{}.0/24"
STEPS_LIMIT = 20_000_000
STEPS_PER_MOMENT = 2_000


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What didn't hold, and where in the run that was seen."""

    truth: str
    text: str
    step: int
    commit: int
    at_s: float
    lines: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run went; `digest` is that of its journal."""

    seed: int
    digest: str
    steps: int
    commits: int
    tasks: int
    lives: int
    simulated_s: float
    real_s: float = 0.0  # of processor time
    converged_s: float | None = None  # after the healing
    failure: Failure | None = None


class World:
    """Everything of one run."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        show: Callable[[str], None] | None = None,
        *,
        crash_at: int | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.timeline = Timeline()
        self.trace = Trace(self.timeline, show)
        self.machines: list[SimMachine] = []
        self._chance = Chance(seed)
        self._luck = Luck()
        self._disk = SimDisk(self.timeline, self._chance.stream("disk"))
        if crash_at is not None:
            self._disk.crash_at_commit(crash_at, CRASH_MS)
        self._store = Store()
        self._acknowledged = AcknowledgedChecker(self._disk)
        self._tasks_made = 0
        self._commits_seen = 0
        self._started_s = 0.0
        self._nodes = Nodes(
            self.timeline, self._chance, self.trace, disk=self._disk, on_start=self._attach
        )
        self._network = Network(self.timeline, self._chance.stream("network"), self._nodes)
        self._nodes.attach(self._network, self._acknowledged.answered)
        self._webhooks = self._make_webhooks(scenario.webhooks)
        self._client = Client(self.timeline, self._network, self.trace)
        self._workload = Workload(
            self.timeline,
            self._client,
            scenario,
            chance=self._chance,
            machines=self.machines,
            replace=self._replace_machine,
            join=self._join_machines,
        )
        self._faults = Faults(
            self.timeline,
            scenario,
            chance=self._chance,
            nodes=self._nodes,
            disk=self._disk,
            network=self._network,
            machines=self.machines,
            luck=self._luck,
            webhooks=self._webhooks,
            trace=self.trace,
        )

    @property
    def store(self) -> Store:
        """The state of the control plane's present life."""
        return self._store

    def run(self, until_step: int = STEPS_LIMIT) -> Outcome:
        """Live through both phases, or until a step; a failure is part of the outcome."""
        converged_s: float | None = None
        failure: Failure | None = None
        self._started_s = time.process_time()
        try:
            with _no_collector():
                converged_s = self._live(until_step)
        except Violation as violation:
            failure = self._failure(violation.truth, violation.text)
        except Exception as bug:  # noqa: BLE001 - whatever a bug raises is what we are after
            last = "".join(traceback.format_exception(bug)[-3:])
            failure = self._failure(RAISED, f"{bug!r}\n{last}")
        finally:
            if self._webhooks is not None:
                self._webhooks.end()
        return Outcome(
            seed=self.seed,
            digest=self._disk.digest,
            steps=self.timeline.steps,
            commits=self._disk.durable_sequence,
            tasks=self._tasks_made,
            lives=self._nodes.lives,
            simulated_s=self.timeline.seconds,
            real_s=time.process_time() - self._started_s,
            converged_s=converged_s,
            failure=failure,
        )

    def observe_durable(self, hear: Callable[[int], None]) -> None:
        """Let somebody hear of each write, with the newest commit in it, before anybody else."""
        self._disk.observe_durable = hear

    def branch_here(self, forked_s: float) -> None:
        """Be another run from this write on, in a process forked off it: one killed here and now.

        `forked_s` is the processor time that the other process had used by then.
        """
        self._started_s += time.process_time() - forked_s
        self._disk.crash_at_commit(self._disk.durable_sequence, CRASH_MS)
        if self._webhooks is not None:
            self._webhooks.move_out()

    # phases
    def _live(self, until_step: int) -> float | None:
        timeline, scenario = self.timeline, self.scenario
        self._nodes.start()
        self._build_fleet(scenario.fleet)
        self._workload.begin()
        self._faults.begin()
        healing_ms = timeline.start_ms + round(scenario.safety_s * 1_000)
        if not self._go(healing_ms, until_step):
            return None
        self.trace.note("all is healed")
        self._faults.heal()
        self._workload.end()
        bound_ms = healing_ms + round(scenario.converge_s * 1_000)
        while True:
            if not self._go(timeline.now_ms + LOOK_MS, until_step):
                return None
            if self._is_settled():
                break
            if timeline.now_ms >= bound_ms:
                raise Violation(CONVERGES, "; ".join(self._unsettled()[:5]) or "a call is open")
        converged_s = (timeline.now_ms - healing_ms) / 1_000
        self.trace.note("converged")
        if self._stay_calm(until_step):
            check_counts(self._store)
            check_neighbours(self._store)
            check_replay(self._store, self._disk)
        return converged_s

    def _stay_calm(self, until_step: int) -> bool:
        """Let time pass: after a few last moves between zones nothing is started or stopped."""
        images = self.scenario.images.values()
        is_restless = any(image.is_poisoned or image.runs_s is not None for image in images)
        changed = [""]
        for _ in range(CALM_TRIES):
            before = self._statuses()
            if not self._go(self.timeline.now_ms + CALM_MS, until_step):
                return False
            after = self._statuses()
            changed = [arn for arn, status in after.items() if before.get(arn) != status]
            if is_restless or not changed:
                return True
        raise Violation("what has converged stays calm", f"{changed[0]} changed all the same")

    def _statuses(self) -> dict[str, tuple[str, str]]:
        return {task.arn: (task.last_status, task.desired_status) for task in self._store.tasks}

    def _go(self, until_ms: int, until_step: int) -> bool:
        """Let things happen until a moment; False when the last step that was asked for is done."""
        stop = self.timeline.run(until_ms, until_step, STEPS_PER_MOMENT)
        if stop is Stop.AT_MOMENT:
            return True
        if stop is Stop.IN_A_LOOP:
            raise Violation("time goes on", "the same things happen again and again at once")
        if until_step >= STEPS_LIMIT:
            raise Violation(CONVERGES, f"no end after {STEPS_LIMIT} steps")
        return False

    def _is_settled(self) -> bool:
        is_busy = not self._client.is_idle or not self._nodes.is_up
        return not is_busy and next(self._find_unsettled(), None) is None

    def _unsettled(self) -> list[str]:
        return list(self._find_unsettled())

    def _find_unsettled(self) -> Iterator[str]:
        yield from find_unsettled(self._store, self.machines, self.scenario)
        if self._webhooks is not None:
            yield from self._webhooks.checker.find_undelivered()

    # the world's parts
    def _make_webhooks(self, count: int) -> SimWebhooks | None:
        if not count:
            return None
        urls = [URL.format(number) for number in range(1, count + 1)]
        chance = self._chance.stream("webhooks")
        weather = self._network.weather
        return SimWebhooks(self.timeline, chance, weather, disk=self._disk, urls=urls)

    def _build_fleet(self, fleet: Fleet) -> None:
        starts = self._chance.stream("fleet")
        for number in range(fleet.instances + fleet.pool):
            machine = self._add_machine(fleet, number, is_pool=number >= fleet.instances)
            self.timeline.after(starts.milliseconds(fleet.starts_s), machine.start_agent)

    def _add_machine(self, fleet: Fleet, number: int, *, is_pool: bool = False) -> SimMachine:
        attributes = {
            name: values[number % len(values)] for name, values in fleet.attributes.items()
        }
        if is_pool:
            subnet = SUBNET.format(len(self.machines))
            attributes = {ATTRIBUTE_FARGATE: "", ATTRIBUTE_SUBNET: subnet}
        name = f"machine-{len(self.machines) + 1}"
        settings = make_settings(
            name,
            zone=fleet.zones[number % len(fleet.zones)],
            cpu_units=fleet.cpu_units,
            memory_mib=fleet.memory_mib,
            attributes=attributes,
            concurrent_starts=fleet.concurrent_starts,
        )
        machine = SimMachine(
            self.timeline,
            self._network,
            settings,
            name=name,
            chance=self._chance,
            images=self.scenario.images,
            luck=self._luck,
            trace=self.trace,
        )
        self.machines.append(machine)
        return machine

    def _join_machines(self, count: int) -> None:
        """Let further machines join the fleet, in the zones and of the kinds that are next."""
        for _ in range(count):
            self._add_machine(self.scenario.fleet, len(self.machines)).start_agent()

    def _replace_machine(self, arn: str) -> None:
        """The container instance was deregistered: its machine goes, another one comes."""
        for number, machine in enumerate(self.machines):
            if machine.arn == arn and not machine.is_retired:
                machine.retire()
                is_pool = ATTRIBUTE_FARGATE in machine.facts.settings.attributes
                self._add_machine(self.scenario.fleet, number, is_pool=is_pool).start_agent()
                return

    # checks
    def _attach(self, control_plane: ControlPlane, store: Store) -> None:
        """A life of the control plane begins: check what it recovered, and every commit."""
        self._store = store
        self._acknowledged.recovered(store.sequence)
        check_counts(store)
        check_replay(store, self._disk)
        control_plane.gateway.observe_frame = self._acknowledged.sent
        if self._webhooks is not None:
            self._webhooks.begin(store, control_plane.journal, control_plane.life)
        waiting, evenness = WaitingChecker(store), EvennessChecker(store)

        def rest(now_ms: int) -> None:
            waiting.check(now_ms)
            evenness.check(now_ms)

        control_plane.on_rest = rest
        capacity, failures = CapacityChecker(store), FailureChecker(store)
        tokens, journal = TokenChecker(store), control_plane.journal

        def watch(commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
            self._commits_seen += 1
            self.trace.note("commit", commit.sequence, commit.cause, len(commit.changes))
            check_status(commit, replaced)
            capacity.check(commit, replaced)
            check_touched_counts(store, commit, replaced)
            check_placements(store, commit, replaced)
            check_daemons(store, commit, replaced)
            check_task_sets(store, commit, replaced)
            check_protection(store, commit, replaced)
            check_stages(store, commit, replaced)
            check_shares(store, commit, replaced)
            check_rollout(store, commit, replaced)
            failures.check(commit, replaced)
            tokens.check(commit, replaced)
            check_journaled(store, journal, commit)
            self._tasks_made += commit_starts(commit, replaced)
            if self._commits_seen % COMMITS_PER_FULL_CHECK == 0:
                check_counts(store)
                check_neighbours(store)
                check_replica(store, journal)

        store.feed.watch(watch)

    def _failure(self, truth: str, text: str) -> Failure:
        return Failure(
            truth=truth,
            text=text,
            step=self.timeline.steps,
            commit=self._store.sequence,
            at_s=self.timeline.seconds,
            lines=self.trace.newest(),
        )


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Let no cycles be looked for: a run makes few, and an eighth of its time went there."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def commit_starts(commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> int:
    """Return how many tasks a commit created."""
    return sum(
        old is None and isinstance(change, Put) and isinstance(change.record, Task)
        for change, old in zip(commit.changes, replaced, strict=True)
    )
