"""Events behind a number, their bounds, and who is woken."""

import asyncio
from collections.abc import Callable
from operator import attrgetter

import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    SCOPE,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task_definition,
    put,
)
from homeport.api import ecs
from homeport.api.errors import ServiceUnavailable
from homeport.core.decision import Moment
from homeport.model.arn import Scope
from homeport.model.service import Deployment
from homeport.operations.context import CallContext
from homeport.operations.ecs.services import create_service
from homeport.operations.render.events import StateChange, read_commit
from homeport.server import event_stream
from homeport.server.event_stream import EVENTS_KEPT, EventStream
from homeport.state.changes import Change, Commit, Put
from homeport.state.view import View

BLUE = Scope("111111111111", "us-east-1")
RED = Scope("222222222222", "us-east-1")
START = 4_999_999  # behind commit 4


class SlowJournal:
    """A journal whose disk waits for the test."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def append(self, commit: object) -> None:
        raise AssertionError("the stream writes nothing")

    def when_durable(self, then: Callable[[], None]) -> None:
        self.waiting.append(then)


def make_stream() -> EventStream:
    return EventStream(View(make_store()), SlowJournal(), commit_sequence=4)


def tell(stream: EventStream, *sequences: int, scope: Scope = BLUE, kind: str = "T") -> None:
    stream._tell(
        [
            StateChange(
                sequence=each,
                scope=scope,
                detail_type=kind,
                resource_arn="arn",
                at_ms=1,
                detail=Deployment(id="d", status="PRIMARY", task_definition_arn="td"),
            )
            for each in sequences
        ]
    )


def numbers(stream: EventStream, after: int | None, limit: int = 100, **more: object) -> list[int]:
    page = stream.read(BLUE, after, limit=limit, **more)  # type: ignore[arg-type]
    return [event.sequence for event in page.events]


def test_only_what_is_behind_the_number_is_read_page_by_page():
    stream = make_stream()
    tell(stream, 5_000_000, 5_000_001, 6_000_000)
    assert numbers(stream, START) == [5_000_000, 5_000_001, 6_000_000]
    assert numbers(stream, 5_000_000) == [5_000_001, 6_000_000]
    page = stream.read(BLUE, START, limit=2)
    assert page.last_sequence == 5_000_001
    assert numbers(stream, page.last_sequence) == [6_000_000]


def test_each_account_and_region_has_its_own_events():
    stream = make_stream()
    tell(stream, 5_000_000, scope=RED)
    page = stream.read(BLUE, START, limit=10)
    assert (page.events, page.last_sequence) == ([], 5_000_000)


def test_a_filter_passes_over_other_kinds_and_still_moves_on():
    stream = make_stream()
    tell(stream, 5_000_000, kind="T")
    tell(stream, 6_000_000, kind="X")
    page = stream.read(BLUE, START, limit=10, detail_types=("T",))
    assert [each.sequence for each in page.events] == [5_000_000]
    assert page.last_sequence == 6_000_000


def test_the_tail_is_the_newest_ones_and_may_be_none():
    stream = make_stream()
    tell(stream, 5_000_000, 5_000_001)
    assert numbers(stream, None, tail=1) == [5_000_001]
    page = stream.read(BLUE, None, tail=0, limit=10)
    assert (page.events, page.last_sequence) == ([], 5_000_001)


def test_what_is_not_kept_any_more_is_said_to_be_missing():
    stream = make_stream()
    tell(stream, *range(5_000_000, 5_000_000 + 2 * EVENTS_KEPT))
    assert len(numbers(stream, None, limit=10**6)) == EVENTS_KEPT
    assert stream.read(BLUE, START, limit=1).is_incomplete
    kept_from = 5_000_000 + EVENTS_KEPT
    assert not stream.read(BLUE, kept_from - 1, limit=1).is_incomplete
    assert numbers(stream, kept_from - 1, limit=1) == [kept_from]


@pytest.mark.parametrize("after", [3, 9_000_000])
def test_a_number_of_a_server_before_a_restart_begins_anew_and_says_so(after):
    stream = make_stream()
    tell(stream, 5_000_000)
    page = stream.read(BLUE, after, limit=10)
    assert page.is_incomplete
    assert [each.sequence for each in page.events] == [5_000_000]


def test_the_scope_that_was_silent_longest_is_forgotten(monkeypatch):
    monkeypatch.setattr(event_stream, "SCOPES_KEPT", 1)
    stream = make_stream()
    tell(stream, 5_000_000, scope=BLUE)
    tell(stream, 6_000_000, scope=RED)
    page = stream.read(BLUE, START, limit=10)
    assert (page.events, page.is_incomplete) == ([], True)


async def test_a_new_event_of_the_scope_wakes_who_waits():
    stream = make_stream()
    waiting = asyncio.create_task(stream.wait(BLUE, 60))
    await asyncio.sleep(0)
    tell(stream, 5_000_000, scope=RED)
    await asyncio.sleep(0)
    assert not waiting.done()
    tell(stream, 6_000_000, scope=BLUE)
    await waiting


async def test_closing_lets_everybody_go():
    stream = make_stream()
    waiting = asyncio.create_task(stream.wait(BLUE, 60))
    await asyncio.sleep(0)
    stream.close()
    await waiting
    await stream.wait(BLUE, 60)


async def test_too_many_who_wait_are_refused(monkeypatch):
    monkeypatch.setattr(event_stream, "POLLERS_LIMIT", 1)
    stream = make_stream()
    waiting = asyncio.create_task(stream.wait(BLUE, 60))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await stream.wait(BLUE, 60)
    stream.close()
    await waiting


def test_events_are_told_when_their_commit_is_durable_and_not_before():
    store, journal = make_store(), SlowJournal()
    stream = EventStream(View(store), journal, commit_sequence=0)
    store.feed.watch(stream.follow)
    heard: list[StateChange] = []
    stream.listen(heard.extend)
    put(store, make_container_instance())
    assert heard == []
    (then,) = journal.waiting
    then()
    assert len(heard) == 1


class WorldWithStream:
    """A store in which services are created, and a stream that follows it."""

    def __init__(self) -> None:
        self.store = make_store(make_cluster(), make_task_definition())
        self.journal = SlowJournal()
        view = View(self.store)
        self.stream = EventStream(view, self.journal, commit_sequence=self.store.sequence)
        self.read_at_once: list[StateChange] = []
        self.store.feed.watch(lambda *each: self.read_at_once.extend(read_commit(view, *each)))
        self.store.feed.watch(self.stream.follow)

    def create(self, name: str) -> None:
        request = ecs.CreateServiceRequest(
            service_name=name, task_definition="web", desired_count=0
        )
        context = CallContext(
            scope=SCOPE, moment=Moment(NOW_MS, name.encode().ljust(16)), endpoint="http://x"
        )
        self.commit(*create_service(View(self.store), request, context).changes)

    def commit(self, *changes: Change) -> None:
        self.store.apply(Commit(self.store.sequence + 1, NOW_MS, "CreateService", changes))

    def become_durable(self) -> None:
        for then in self.journal.waiting:
            then()
        self.journal.waiting.clear()

    def events(self) -> list[StateChange]:
        return self.stream.read(SCOPE, None, limit=10**6).events


def test_events_of_a_new_service_are_read_later_as_they_were():
    world = WorldWithStream()
    world.create("web")
    world.create("api")
    assert world.events() == []  # not durable yet
    world.become_durable()
    for service in list(world.store.services):
        world.store.services.delete(service.arn)
    assert world.events() == world.read_at_once
    assert len(world.events()) == 6


def test_events_that_are_read_later_stay_in_order_with_others():
    world = WorldWithStream()
    world.create("web")
    put(world.store, make_container_instance())
    world.create("api")
    world.become_durable()
    assert world.events() == world.read_at_once
    numbers = [event.sequence for event in world.events()]
    assert numbers == sorted(numbers)


def test_of_very_many_new_services_the_newest_events_are_there_and_the_rest_is_said_to_be_missing(
    monkeypatch,
):
    monkeypatch.setattr(event_stream, "EVENTS_KEPT", 10)
    world = WorldWithStream()
    begun = world.stream.read(SCOPE, None, limit=1).last_sequence
    for number in range(45):
        world.create(f"web-{number}")
        world.become_durable()
    assert world.stream.read(SCOPE, begun, limit=1).is_incomplete
    kept = world.events()
    assert len(kept) >= 10
    assert kept == world.read_at_once[-len(kept) :]


def test_many_new_services_of_several_accounts_are_read_in_time(monkeypatch):
    monkeypatch.setattr(event_stream, "EVENTS_KEPT", 10)
    world = WorldWithStream()
    for number in range(15):
        world.create(f"web-{number}")
        blue = make_service(f"blue-{number}")
        world.commit(Put(replace(blue, arn=blue.arn.replace(SCOPE.account_id, BLUE.account_id))))
    world.become_durable()
    assert len(world.stream._unread) < 20
    kept = world.events() + world.stream.read(BLUE, None, limit=10**6).events
    assert sorted(kept, key=attrgetter("sequence"))[-20:] == world.read_at_once[-20:]


async def test_who_waits_hears_of_a_new_service_at_once():
    world = WorldWithStream()
    world.create("web")  # before anybody waited
    waiting = asyncio.create_task(world.stream.wait(SCOPE, 60))
    await asyncio.sleep(0)
    world.become_durable()
    await waiting
    world.create("api")
    world.become_durable()
    assert world.events() == world.read_at_once
