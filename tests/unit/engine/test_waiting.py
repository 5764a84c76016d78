"""Services that found no room: who gets what frees up, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.core.decision import Moment
from homeport.core.reconcile.service import reconcile_service
from homeport.engine.agenda import Agenda
from homeport.engine.engine import AwaitCapacity
from homeport.model.placement import PlacementConstraint
from homeport.state.changes import Commit
from homeport.state.view import View

if TYPE_CHECKING:
    from homeport.model.service import Service
    from homeport.model.task import Task
    from homeport.model.task_definition import TaskDefinition
    from homeport.state.changes import AnyRecord

HOST = make_container_instance(cpu_units=1_000, memory_mib=10_000)
BIG = make_task_definition("big", cpu_units=800)
SMALL = make_task_definition("small", cpu_units=200)
FILLER = make_task_definition("filler", cpu_units=500)


def service_of(name: str, definition: TaskDefinition, **members: Any) -> Service:
    return make_service(name, definition=definition, desired_count=1, **members)


class Waiting:
    """A store and the agenda, with the scheduler run until the agenda is empty."""

    def __init__(self, *records: AnyRecord) -> None:
        self.store = make_store(make_cluster(), HOST, BIG, SMALL, FILLER, *records)
        self.view = View(self.store)
        self.agenda = Agenda(self.view)
        self.store.feed.watch(self.agenda.follow)
        self.order: list[str] = []
        self._draws = 0

    def look(self) -> list[str]:
        """Reconcile everything that is dirty; return the services that got a task, in order."""
        started: list[str] = []
        while (arn := self.agenda.take()) is not None:
            self._draws += 1
            moment = Moment(NOW_MS + self._draws, self._draws.to_bytes(16, "big"))
            had = len(self.view.tasks_of_service(arn))
            decision = reconcile_service(self.view, arn, moment)
            if decision.changes:
                commit = Commit(self.store.sequence + 1, moment.now_ms, "Test", decision.changes)
                self.store.apply(commit)
            for effect in decision.effects:
                if isinstance(effect, AwaitCapacity):
                    self.agenda.await_capacity(effect)
            if len(self.view.tasks_of_service(arn)) > had:
                started.append(arn.rsplit("/", 1)[-1])
        return started

    def create(self, *services: Service) -> list[str]:
        put(self.store, *services)
        return self.look()

    def end(self, task: Task) -> list[str]:
        put(
            self.store,
            replace(task, desired_status="STOPPED", last_status="STOPPED", stopped_at_ms=NOW_MS),
        )
        return self.look()


def fillers(count: int) -> list[Task]:
    return [make_task(f"f{n}", definition=FILLER, instance=HOST) for n in range(count)]


def test_the_one_who_waits_longest_gets_the_room_that_frees_up_at_once():
    first, second = fillers(2)
    waiting = Waiting(first, second)
    services = [service_of(name, FILLER) for name in ("zeta", "alpha", "mid")]
    for service in services:
        assert waiting.create(service) == []
    assert waiting.end(first) == ["zeta"]
    assert waiting.end(second) == ["alpha"]


def test_a_small_task_does_not_wait_behind_a_big_one_that_still_does_not_fit():
    first, second = fillers(2)
    waiting = Waiting(first, second)
    assert waiting.create(service_of("huge", BIG)) == []
    assert waiting.create(service_of("tiny", SMALL)) == []
    assert waiting.end(first) == ["tiny"]
    assert waiting.end(second) == ["huge"], "300 units are left beside the small one's 200"


def test_an_instance_that_joins_is_filled_by_those_who_wait():
    waiting = Waiting(*fillers(2))
    waiting.create(service_of("one", FILLER))
    waiting.create(service_of("two", BIG))
    put(waiting.store, make_container_instance("late", cpu_units=1_500, memory_mib=10_000))
    assert waiting.look() == ["one", "two"]


def test_a_task_of_the_group_that_is_asked_for_lets_its_companion_in():
    near = (PlacementConstraint("memberOf", "task:group == service:cache"),)
    waiting = Waiting()
    assert waiting.create(service_of("web", SMALL, placement_constraints=near)) == []
    assert waiting.create(service_of("cache", SMALL)) == ["cache", "web"]


def test_tasks_that_come_wake_nobody_who_waits_for_room_only():
    waiting = Waiting(*fillers(2))
    assert waiting.create(service_of("big", BIG)) == []
    put(waiting.store, make_task("new", definition=SMALL, instance=HOST))
    assert waiting.agenda.take() is None
