"""Big tasks among small ones that come and go for ever: each gets its place, in bounded time."""

from itertools import pairwise
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task_definition,
    put,
)
from builders import make_task as make_task_record
from homeport.core.capacity import turns
from homeport.core.decision import Decision, Moment
from homeport.core.effects import AwaitCapacity, WakeAt
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import PlacementRequest
from homeport.core.reconcile import waiting
from homeport.core.reconcile.service import reconcile_service
from homeport.engine.agenda import Agenda
from homeport.model.task import Task
from homeport.state.changes import Commit
from homeport.state.invariants import find_violations
from homeport.state.view import View

TICK_S = 10
LIFE_S = 120  # of a small task, at most
SMALL = make_task_definition("small", cpu_units=200, memory_mib=10)
BIG = make_task_definition("big", cpu_units=1_000, memory_mib=10)
CLUSTER = make_cluster()


class Crowd:
    """A cluster whose room small tasks take up as soon as there is any."""

    def __init__(self, instances: int, bigs: int, lives_s: list[int]) -> None:
        fleet = [make_container_instance(n, cpu_units=1_000) for n in range(instances)]
        self.store = make_store(CLUSTER, SMALL, BIG, *fleet)
        self.view = View(self.store)
        self.agenda = Agenda(self.view)
        self.store.feed.watch(self.agenda.follow)
        self.now_ms = NOW_MS
        self.ends_ms: dict[str, int] = {}
        self.lives_s = lives_s
        self.draws = 0
        self.fill()
        services = [make_service(f"big{n}", definition=BIG, desired_count=1) for n in range(bigs)]
        put(self.store, *services)
        self.waiting = [service.arn for service in services]
        self.look()

    def moment(self) -> Moment:
        self.draws += 1
        return Moment(self.now_ms, self.draws.to_bytes(16, "big"))

    def tick(self) -> int:
        """Let ten seconds pass; return how many small tasks were started."""
        self.now_ms += TICK_S * 1_000
        for arn, end_ms in sorted(self.ends_ms.items()):
            if end_ms <= self.now_ms:
                self.end(arn)
        started = self.fill()
        self.look()
        assert find_violations(self.store) == []
        return started

    def end(self, arn: str) -> None:
        """Stop a small task; others take its room in the same breath, before anybody can look."""
        del self.ends_ms[arn]
        task = self.view.task(arn)
        assert task is not None
        over: dict[str, Any] = {"desired_status": "STOPPED", "last_status": "STOPPED"}
        put(self.store, replace(task, **over, stopped_at_ms=self.now_ms))
        self.fill()
        self.look()

    def kept(self) -> str | None:
        cluster = self.view.cluster(CLUSTER.arn)
        assert cluster is not None
        kept = cluster.kept
        return None if kept is None or kept.for_arn is None else kept.container_instance_arn

    def fill(self) -> int:
        request = PlacementRequest(
            cluster_arn=CLUSTER.arn,
            group="family:small",
            resources=SMALL.resources,
            count=20,
        )
        placement = place_tasks(self.view, request, self.moment())
        for arn in placement.container_instance_arns:
            self.draws += 1
            instance = self.view.container_instance(arn)
            task = make_task_record(f"s{self.draws}", definition=SMALL, instance=instance)
            put(self.store, task)
            life_s = self.lives_s[self.draws % len(self.lives_s)]
            self.ends_ms[task.arn] = self.now_ms + life_s * 1_000
        return len(placement.container_instance_arns)

    def look(self) -> None:
        self.agenda.ring(self.now_ms)
        while (arn := self.agenda.take()) is not None:
            decision = reconcile_service(self.view, arn, self.moment())
            self.carry_out(decision)
        self.waiting = [arn for arn in self.waiting if not self.view.tasks_of_service(arn)]

    def carry_out(self, decision: Decision) -> None:
        if decision.changes:
            commit = Commit(self.store.sequence + 1, self.now_ms, "Test", decision.changes)
            self.store.apply(commit)
        for effect in decision.effects:
            if isinstance(effect, AwaitCapacity):
                self.agenda.await_capacity(effect)
            elif isinstance(effect, WakeAt):
                self.agenda.wake_at(effect)

    def small_on(self, instance_arn: str) -> list[Task]:
        tasks = self.view.tasks_of_instance(instance_arn).values()
        return [task for task in tasks if task.group == "family:small"]


lives = st.lists(st.integers(1, LIFE_S), min_size=3, max_size=20)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), lives, st.data())
def test_every_big_task_has_its_place_in_bounded_time(
    instances: int, lives_s: list[int], data: st.DataObject
):
    bigs = data.draw(st.integers(1, instances - 1))
    crowd = Crowd(instances, bigs, lives_s)
    assert len(crowd.waiting) == bigs
    bound_s = bigs * (turns.TURN_AFTER_S + LIFE_S + 3 * TICK_S)
    for _ in range(bound_s // TICK_S):
        crowd.tick()
    assert crowd.waiting == []
    assert crowd.kept() is None
    assert crowd.tick() + len(crowd.ends_ms) > 0, "small tasks go on"


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), lives)
def test_small_tasks_take_all_other_room_meanwhile_and_the_rest_when_the_turn_is_over(
    instances: int, lives_s: list[int]
):
    crowd = Crowd(instances, 1, lives_s)
    for _ in range((turns.TURN_AFTER_S + LIFE_S) // TICK_S + 6):
        crowd.tick()
        kept = crowd.kept()
        for instance in crowd.view.container_instances(CLUSTER.arn).values():
            load = crowd.view.instance_load(instance.arn)
            if instance.arn != kept:
                assert load.cpu_units == 1_000, "no room is left that a small task could have"


def test_without_turns_a_big_task_waits_for_ever():
    with (
        mock.patch.object(turns, "TURN_AFTER_S", 10**6),
        mock.patch.object(waiting, "TURN_AFTER_S", 10**6),
    ):
        crowd = Crowd(2, 1, [20, 50, 70, 110])
        for _ in range(300):
            crowd.tick()
        assert crowd.waiting


def test_a_turn_in_vain_ends_and_the_next_one_is_elsewhere():
    crowd = Crowd(3, 1, [10**6])  # nothing ever ends
    seen = []
    for _ in range(3 * (turns.TURN_S + 2 * turns.TURN_AFTER_S) // TICK_S):
        crowd.tick()
        seen.append(crowd.kept())
    assert len(set(seen) - {None}) == 3
    pauses = [one for one, two in pairwise(seen) if one and two is None]
    assert len(pauses) >= 2, "small tasks may have it in between"


def test_a_cluster_with_one_container_instance_keeps_it_from_nobody():
    crowd = Crowd(1, 1, [30, 40])
    for _ in range(60):
        crowd.tick()
        assert crowd.kept() is None


def test_a_service_that_is_deleted_gives_its_instance_back():
    crowd = Crowd(2, 1, [10**6])
    while crowd.kept() is None:
        crowd.tick()
    service = crowd.view.service(crowd.waiting[0])
    assert service is not None
    put(crowd.store, replace(service, status="DRAINING", desired_count=0))
    crowd.look()
    assert crowd.kept() is None
