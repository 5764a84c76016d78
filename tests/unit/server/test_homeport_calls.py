"""Answers of Homeport's own namespace: what waits for what, and what goes on to the engine."""

import asyncio
from collections.abc import Callable

import pytest

from builders import make_cluster, make_container_instance, make_service, make_store, put
from homeport.api import ecs, homeport
from homeport.engine.events import ApiCalled
from homeport.server.calls import Answer
from homeport.server.event_stream import EventStream
from homeport.server.homeport_calls import HomeportCalls
from homeport.state.changes import Commit
from homeport.state.view import View
from homeport.storage.memory import MemoryStorage
from served_api import ask

SERVICE = make_service()


class Journal(MemoryStorage):
    """A disk that writes when the test lets it, or one that was given to another server."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []
        self.is_behind = self.is_lost = False

    def append(self, commit: Commit) -> None:
        super().append(commit)
        self.is_behind = True

    def when_durable(self, then: Callable[[], None]) -> None:
        if self.is_behind or self.is_lost:
            self.waiting.append(then)
        else:
            then()

    def release(self) -> None:
        self.is_behind = False
        while self.waiting:
            self.waiting.pop(0)()


class World:
    """The calls over a store whose journal the test holds back."""

    def __init__(self) -> None:
        self.store, self.journal = make_store(), Journal()
        self.stream = EventStream(View(self.store), self.journal, commit_sequence=0)
        self.store.feed.watch(lambda commit, _: self.journal.append(commit))
        self.store.feed.watch(self.stream.follow)
        put(self.store, make_cluster(), SERVICE)
        self.passed_on: list[str] = []
        self.calls = HomeportCalls(
            self._engine,
            view=View(self.store),
            stream=self.stream,
            when_durable=self.journal.when_durable,
            read_history=self.journal.history,
        )

    def _engine(self, event: ApiCalled, answer: Answer) -> None:
        self.passed_on.append(event.operation)
        answer(None)

    def ask(self, operation: str, request: object) -> "asyncio.Future[object]":
        event = ApiCalled(
            operation=operation,
            request=request,
            account_id="123456789012",
            region="us-east-1",
            endpoint="http://127.0.0.1:4566",
        )

        return ask(self.calls.start, event)


async def test_every_other_call_is_the_engines():
    world = World()
    await world.ask("ListClusters", ecs.ListClustersRequest())
    assert world.passed_on == ["ListClusters"]


async def test_history_is_answered_when_what_it_saw_is_durable():
    world = World()
    asked = world.ask("ListHistory", homeport.ListHistoryRequest(resource="web"))
    await asyncio.sleep(0)
    assert not asked.done()
    world.journal.release()
    answer = await asked
    assert isinstance(answer, homeport.ListHistoryResponse)
    assert answer.resource_arn == SERVICE.arn
    assert world.passed_on == []


async def test_a_refusal_waits_for_the_disk_as_well():
    world = World()
    asked = world.ask("ListHistory", homeport.ListHistoryRequest(resource="none"))
    await asyncio.sleep(0)
    assert not asked.done()
    world.journal.release()
    with pytest.raises(ecs.ClientException):
        await asked


async def test_nothing_is_answered_once_another_server_has_the_journal():
    world = World()
    world.journal.release()
    world.journal.is_lost = True
    questions = {
        "ListEvents": homeport.ListEventsRequest(),
        "ListHistory": homeport.ListHistoryRequest(resource="none"),
    }
    asked = [world.ask(operation, request) for operation, request in questions.items()]
    while len(world.journal.waiting) < len(asked):
        await asyncio.sleep(0)
    assert not any(each.done() for each in asked)


async def test_who_waits_for_events_is_answered_by_the_first_durable_one():
    world = World()
    world.journal.release()
    position = await world.ask("ListEvents", homeport.ListEventsRequest(tail=0))
    assert isinstance(position, homeport.ListEventsResponse)
    request = homeport.ListEventsRequest(after=position.last_sequence, wait_time_seconds=20)
    asked = world.ask("ListEvents", request)
    put(world.store, make_container_instance())
    await asyncio.sleep(0)
    assert not asked.done()
    world.journal.release()
    answer = await asked
    assert isinstance(answer, homeport.ListEventsResponse)
    assert len(answer.events) == 1


async def test_who_waits_for_another_kind_of_event_waits_on():
    world = World()
    world.journal.release()
    request = homeport.ListEventsRequest(
        tail=0, wait_time_seconds=20, detail_types=[homeport.SERVICE_ACTION]
    )
    asked = world.ask("ListEvents", request)
    await asyncio.sleep(0)
    put(world.store, make_container_instance())
    world.journal.release()
    await asyncio.sleep(0)
    assert not asked.done()
    world.stream.close()
    answer = await asked
    assert isinstance(answer, homeport.ListEventsResponse)
    assert answer.events == []
