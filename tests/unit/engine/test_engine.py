"""The engine keeps its promises: durable before acknowledged, one event at a time, woken once."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.api import ecs
from homeport.core.capacity.provisioning import WAIT_LIMIT_S
from homeport.core.decision import Decision
from homeport.core.effects import DisconnectAgent, SendTasks, WakeAt
from homeport.engine.engine import Engine
from homeport.engine.events import AgentConnected, AgentLost, ApiCalled
from homeport.model.cluster import KeptInstance
from homeport.model.task import PENDING, PROVISIONING, STOPPED, PlacementWish
from homeport.state.changes import Commit, Put
from homeport.state.store import Store

CLUSTER = make_cluster()
INSTANCE = make_container_instance()


class FakeClock:
    def __init__(self) -> None:
        self.time_ms = NOW_MS

    def now_ms(self) -> int:
        return self.time_ms


class FakeEntropy:
    def __init__(self) -> None:
        self.drawn = 0

    def draw(self) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(16, "big")


class FakeJournal:
    """Durable only when the test says so."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.waiting: list[Callable[[], None]] = []

    def append(self, commit: Commit) -> None:
        self.commits.append(commit)

    def when_durable(self, then: Callable[[], None]) -> None:
        self.waiting.append(then)

    def become_durable(self) -> None:
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then()


class FakeOutlet:
    def __init__(self) -> None:
        self.effects: list[object] = []
        self.notes: list[str] = []
        self.wakes = 0

    def send_tasks(self, effect: SendTasks) -> None:
        self.effects.append(effect)

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        self.effects.append(effect)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def work_waits(self) -> None:
        self.wakes += 1


class World:
    """An engine with fakes around it."""

    def __init__(self, store: Store, **operations: Callable[..., Decision]) -> None:
        self.store = store
        self.clock, self.journal, self.outlet = FakeClock(), FakeJournal(), FakeOutlet()
        self.engine = Engine(
            store=store,
            journal=self.journal,
            outlet=self.outlet,
            clock=self.clock,
            entropy=FakeEntropy(),
            operations=operations,
        )
        self.answers: list[object] = []

    def call(self, operation: str) -> None:
        event = ApiCalled(
            operation=operation,
            request=None,
            account_id="123456789012",
            region="us-east-1",
            endpoint="http://127.0.0.1:4566",
        )
        self.engine.call(event, self.answers.append)


def test_an_answer_and_its_effects_wait_until_the_commit_is_durable() -> None:
    effect = SendTasks(INSTANCE.arn, ("task",))
    decision = Decision(reply="done", changes=(Put(CLUSTER),), effects=(effect,), notes=("hello",))
    world = World(make_store(), Do=lambda *_: decision)

    world.call("Do")

    assert world.engine.view.cluster(CLUSTER.arn) == CLUSTER  # the next decision sees it
    assert (world.answers, world.outlet.effects, world.outlet.notes) == ([], [], [])
    world.journal.become_durable()
    assert world.answers == ["done"]
    assert world.outlet.effects == [effect]
    assert world.outlet.notes == ["hello"]


def test_a_read_waits_for_the_commits_that_it_saw() -> None:
    world = World(make_store(), Read=lambda *_: Decision(reply="seen"))
    world.call("Read")
    assert world.answers == []
    world.journal.become_durable()
    assert world.answers == ["seen"]
    assert world.journal.commits == []


def test_a_refusal_is_answered_and_changes_nothing() -> None:
    def refuse(*_: object) -> Decision:
        raise ecs.ClusterNotFoundException("Cluster not found.")

    world = World(make_store(), Refuse=refuse)
    world.call("Refuse")
    world.journal.become_durable()
    assert isinstance(world.answers[0], ecs.ClusterNotFoundException)
    assert world.journal.commits == []


def test_an_operation_that_is_not_built_says_so_by_name() -> None:
    world = World(make_store())
    world.call("CreateDaemon")
    world.journal.become_durable()
    (refusal,) = world.answers
    assert isinstance(refusal, ecs.ClientException)
    assert "CreateDaemon" in refusal.message


def test_a_bug_in_a_decision_propagates_and_changes_nothing() -> None:
    def broken(*_: object) -> Decision:
        raise ZeroDivisionError

    world = World(make_store(), Broken=broken)
    with pytest.raises(ZeroDivisionError):
        world.call("Broken")
    assert world.journal.commits == []


def test_time_never_goes_backwards() -> None:
    moments = []

    def look(_view: object, _request: object, context: object) -> Decision:
        moments.append(context.moment.now_ms)  # type: ignore[attr-defined]
        return Decision()

    world = World(make_store(), Look=look)
    world.call("Look")
    world.clock.time_ms -= 60_000
    world.call("Look")
    assert moments == [NOW_MS, NOW_MS]


def test_time_goes_on_from_the_newest_commit_after_a_restart_with_the_clock_set_back() -> None:
    moments = []

    def look(_view: object, _request: object, context: object) -> Decision:
        moments.append(context.moment.now_ms)  # type: ignore[attr-defined]
        return Decision()

    store = make_store(CLUSTER)
    store.restored(store.sequence, NOW_MS + 5_000)
    world = World(store, Look=look)
    world.call("Look")
    assert moments == [NOW_MS + 5_000]


def test_an_agent_that_connects_is_sent_the_tasks_that_are_not_as_wanted() -> None:
    definition = make_task_definition()
    instance = make_container_instance(agent_connected=False)
    pending = make_task("pending", definition=definition, instance=instance)
    settled = make_task("running", definition=definition, instance=instance, last_status="RUNNING")
    world = World(make_store(CLUSTER, instance, definition, pending, settled))

    world.engine.observe(
        AgentConnected(container_instance_arn=instance.arn, agent_version="1.105.1")
    )
    world.journal.become_durable()

    connected = world.engine.view.container_instance(instance.arn)
    assert connected is not None
    assert connected.agent_connected
    assert connected.agent_version == "1.105.1"
    assert connected.version == instance.version + 1
    assert world.outlet.effects == [SendTasks(instance.arn, (pending.arn,))]


def test_a_lost_agent_leaves_its_tasks_alone() -> None:
    definition = make_task_definition()
    task = make_task(definition=definition, instance=INSTANCE, last_status="RUNNING")
    world = World(make_store(CLUSTER, INSTANCE, definition, task))
    world.engine.observe(AgentLost(container_instance_arn=INSTANCE.arn))
    lost = world.engine.view.container_instance(INSTANCE.arn)
    assert lost is not None
    assert not lost.agent_connected
    assert world.engine.view.task(task.arn) == task


def test_a_start_marks_every_agent_disconnected_and_looks_at_every_service() -> None:
    definition = make_task_definition()
    service = make_service(definition=definition, desired_count=1)
    world = World(make_store(CLUSTER, INSTANCE, definition, service))

    world.engine.start()
    assert world.outlet.wakes
    world.engine.run_due()

    disconnected = world.engine.view.container_instance(INSTANCE.arn)
    assert disconnected is not None
    assert not disconnected.agent_connected
    assert world.engine.view.service_events(service.arn)  # it was looked at: nothing to place on


def test_a_service_waiting_for_room_is_placed_when_an_agent_connects() -> None:
    definition = make_task_definition()
    instance = make_container_instance(agent_connected=False)
    service = make_service(definition=definition, desired_count=2)
    world = World(make_store(CLUSTER, instance, definition, service))
    world.engine.start()
    assert _settle(world) == 0

    world.engine.observe(AgentConnected(container_instance_arn=instance.arn))

    assert _settle(world) == 2


def test_a_stopped_task_is_forgotten_after_the_retention() -> None:
    definition = make_task_definition()
    task = make_task(definition=definition, instance=INSTANCE, last_status="STOPPED")
    world = World(make_store(CLUSTER, INSTANCE, definition, task))

    due_ms = world.engine.run_due()
    assert due_ms == NOW_MS + 3_600_000
    assert world.engine.view.task(task.arn) is not None
    world.clock.time_ms = due_ms
    world.engine.run_due()
    assert world.engine.view.task(task.arn) is None


def _settle(world: World) -> int:
    """Run what is due until nothing is, and count the service's tasks."""
    for _ in range(20):
        due_ms = world.engine.run_due()
        if due_ms is None or due_ms > world.clock.time_ms:
            break
    else:
        pytest.fail("reconciling doesn't settle")
    return len(world.engine.view.live_tasks(CLUSTER.arn))


def test_an_instance_whose_agent_stays_away_is_lost_when_the_window_ends() -> None:
    task = make_task(instance=INSTANCE, last_status="RUNNING")
    world = World(make_store(CLUSTER, INSTANCE, make_task_definition(), task))
    wakes = world.outlet.wakes

    world.engine.observe(AgentLost(container_instance_arn=INSTANCE.arn))

    assert world.outlet.wakes > wakes  # so that its driver learns of the new time
    assert world.engine.run_due() == NOW_MS + 300_000
    assert not world.engine.view.task(task.arn).is_stopped
    world.clock.time_ms += 300_000
    world.engine.run_due()
    assert world.engine.view.task(task.arn).is_stopped
    assert world.journal.commits[-1].cause == "InstanceLost"


WAITING = make_task(
    container_instance_arn=None,
    last_status=PROVISIONING,
    wish=PlacementWish(),
    created_at_ms=NOW_MS,
)


def _world_of_a_waiting_task() -> World:
    away = make_container_instance(agent_connected=False)
    world = World(make_store(CLUSTER, make_task_definition(), away, WAITING))
    world.engine.start()
    return world


def _status(world: World) -> str:
    _settle(world)
    task = world.engine.view.task(WAITING.arn)
    assert task is not None
    return task.last_status


def test_a_task_that_waits_for_capacity_outlives_a_restart_and_starts_when_there_is_room() -> None:
    world = _world_of_a_waiting_task()
    assert _status(world) == PROVISIONING
    world.engine.observe(AgentConnected(container_instance_arn=INSTANCE.arn))
    assert _status(world) == PENDING
    world.journal.become_durable()
    assert SendTasks(INSTANCE.arn, (WAITING.arn,)) in world.outlet.effects


def test_an_instance_kept_for_a_task_that_is_gone_goes_at_once_to_another_that_waits() -> None:
    kept = KeptInstance(INSTANCE.arn, f"{WAITING.arn}0", NOW_MS + 60_000)
    world = World(
        make_store(replace(CLUSTER, kept=kept), make_task_definition(), INSTANCE, WAITING)
    )
    world.engine.start()
    world.engine.observe(AgentConnected(container_instance_arn=INSTANCE.arn))
    assert _status(world) == PENDING


def test_a_task_that_waits_for_capacity_is_given_up_at_its_time_without_another_event() -> None:
    world = _world_of_a_waiting_task()
    assert _status(world) == PROVISIONING
    world.clock.time_ms = NOW_MS + WAIT_LIMIT_S * 1_000
    assert _status(world) == STOPPED


def test_a_service_that_a_decision_settles_is_not_looked_at_because_of_it() -> None:
    service = make_service()
    settled = Decision(reply="done", changes=(Put(service),), settled=service.arn)
    world = World(make_store(CLUSTER, make_task_definition()), Create=lambda *_: settled)
    world.engine.start()
    world.engine.run_due()
    wakes = world.outlet.wakes

    world.call("Create")

    assert world.outlet.wakes == wakes
    assert world.engine.run_due() is None
    assert [commit.cause for commit in world.journal.commits] == ["Create"]


def test_only_a_timer_that_rings_before_all_others_wakes_the_engine() -> None:
    wakes = iter([WakeAt(NOW_MS + 2_000, "b"), WakeAt(NOW_MS + 3_000, "c"), WakeAt(NOW_MS, "a")])
    world = World(make_store(), Wait=lambda *_: Decision(effects=(next(wakes),)))
    woken = []
    for _ in range(3):
        before = world.outlet.wakes
        world.call("Wait")
        woken.append(world.outlet.wakes - before)
    assert woken == [1, 0, 1]
