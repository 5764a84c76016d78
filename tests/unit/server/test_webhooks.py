"""Events POSTed to a real endpoint on loopback; only the waiting between attempts is not real."""

import asyncio
import json
import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from builders import make_store, make_task
from homeport.model.arn import Scope
from homeport.operations.render.events import (
    SeenAction,
    StateChange,
    encode_event,
    first_sequence_behind,
)
from homeport.operations.render.service_actions import ServiceAction
from homeport.server import webhooks
from homeport.server.event_stream import EventStream
from homeport.server.webhooks import Webhook, deliver_events
from homeport.state.changes import Commit, Put
from homeport.state.view import View
from homeport.storage.memory import MemoryStorage
from homeport.storage.outbox import OUTBOX_FILE_NAME, Outbox

SCOPE = Scope("123456789012", "us-east-1")


class Endpoint:
    """Answers with the statuses of the test, then 200; keeps what it took."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.taken: list[dict[str, Any]] = []
        self.refused = 0
        self.url = ""
        self._news = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        async with self._news:
            status = self.statuses.pop(0) if self.statuses else 200
            if status == 200:
                assert request.content_type == "application/json"
                self.taken.append({**body, "sequence": request.headers["X-Homeport-Sequence"]})
            else:
                self.refused += 1
            self._news.notify_all()
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def wait_taken(self, count: int) -> list[str]:
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.taken) >= count)
        return [each["sequence"] for each in self.taken]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    yield endpoint
    await runner.cleanup()


def change(sequence: int) -> StateChange:
    return StateChange(
        sequence=sequence,
        scope=SCOPE,
        detail_type="ECS Service Action",
        resource_arn="arn:service",
        at_ms=1,
        detail=SeenAction("arn:cluster", ServiceAction("INFO", "SERVICE_STEADY_STATE")),
    )


class Hook:
    """One webhook that runs while the `async with` block does; its waits are recorded."""

    def __init__(self, url: str) -> None:
        self.waits: list[float] = []
        self._url = url

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def __aenter__(self) -> "Hook":
        self._session = aiohttp.ClientSession()
        self._outbox = Outbox(None, [self._url], known_through=0)
        self._webhook = Webhook(self._url, self._session, self._outbox, sleep=self._sleep)
        self._work = asyncio.create_task(self._webhook.run())
        return self

    def offer(self, changes: list[StateChange]) -> None:
        self._outbox.add((each.sequence, bytes(encode_event(each))) for each in changes)
        self._webhook.allow(changes[-1].sequence)

    async def __aexit__(self, *_: object) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._session.close()


class Server:
    """A stream whose events are delivered while the `async with` block runs, as the app does it."""

    def __init__(self, directory: Path, url: str, *, commit_sequence: int = 0) -> None:
        self.store = make_store()
        self.journal = HeldJournal()
        self.stream = EventStream(
            View(self.store), self.journal, commit_sequence=commit_sequence
        )
        known_through = first_sequence_behind(commit_sequence)
        self.outbox = Outbox(directory, [url], known_through=known_through)
        self._delivery = deliver_events(
            [url], self.stream, self.outbox, known_through=known_through
        )

    async def __aenter__(self) -> "Server":
        await self._delivery.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._delivery.__aexit__(None, None, None)
        self.outbox.close()

    def commit(self, sequence: int) -> None:
        """Follow a commit that changes a task, and so is one event."""
        task = make_task(f"task {sequence}", instance=None)
        self.stream.follow(Commit(sequence, 1, "RunTask", (Put(task),)), (None,))


class HeldJournal(MemoryStorage):
    """Makes commits durable when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Callable[[], None]] = []

    def when_durable(self, then: Callable[[], None]) -> None:
        self._waiting.append(then)

    def release(self) -> None:
        for then in self._waiting:
            then()
        self._waiting.clear()


async def all_taken(server: Server) -> None:
    """Return once the outbox is empty."""
    async with asyncio.timeout(10):
        while server.outbox.count_behind(0):
            await asyncio.sleep(0)


def number(commit_sequence: int) -> str:
    """The number of the first event of a commit."""
    return str(first_sequence_behind(commit_sequence - 1) + 1)


async def test_the_streams_events_arrive_in_order_as_eventbridge_has_them(endpoint, tmp_path):
    async with Server(tmp_path, endpoint.url) as server:
        server.commit(1)
        server.commit(2)
        server.journal.release()
        assert await endpoint.wait_taken(2) == [number(1), number(2)]
    assert endpoint.taken[0]["detail-type"] == "ECS Task State Change"
    assert endpoint.taken[0]["detail"]["lastStatus"] == "PENDING"


async def test_what_was_not_delivered_when_the_server_stops_is_after_its_next_start(
    endpoint, tmp_path, caplog
):
    endpoint.statuses = [503] * 1_000
    with caplog.at_level(logging.WARNING):
        async with Server(tmp_path, endpoint.url) as server:
            server.commit(1)
            server.commit(2)
            server.journal.release()
            async with asyncio.timeout(10):
                while not endpoint.refused:
                    await asyncio.sleep(0)
    assert "2 events wait for the next start" in caplog.text
    endpoint.statuses = []
    async with Server(tmp_path, endpoint.url, commit_sequence=2) as server:
        server.commit(3)
        server.journal.release()
        assert await endpoint.wait_taken(3) == [number(1), number(2), number(3)]
        await all_taken(server)


async def test_a_killed_server_loses_no_event_of_a_durable_commit(endpoint, tmp_path):
    killed = Server(tmp_path, endpoint.url)
    await killed.__aenter__()
    killed.commit(1)  # durable, though nobody got to know
    killed.commit(2)  # taken back by the crash
    copy = tmp_path / "disk as the crash left it"
    shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns(copy.name))
    await killed.__aexit__()
    async with Server(copy, endpoint.url, commit_sequence=1) as server:
        assert await endpoint.wait_taken(1) == [number(1)]
        server.commit(2)
        server.journal.release()
        assert await endpoint.wait_taken(2) == [number(1), number(2)]
    assert [each["detail"]["version"] for each in endpoint.taken] == [1, 1]


async def test_nothing_is_told_before_its_commit_is_durable(endpoint, tmp_path):
    async with Server(tmp_path, endpoint.url) as server:
        server.commit(1)
        await asyncio.sleep(0)
        assert endpoint.taken == []
        server.journal.release()
        assert await endpoint.wait_taken(1) == [number(1)]


async def test_a_server_that_was_taken_over_from_delivers_nothing_more(endpoint, tmp_path):
    async with Server(tmp_path, endpoint.url) as older:
        older.commit(1)
        older.journal.release()
        await all_taken(older)
        older.commit(2)  # and would try to write it
        async with Server(tmp_path, endpoint.url, commit_sequence=1) as newer:
            older.journal.release()
            newer.commit(2)
            newer.commit(3)
            newer.journal.release()
            assert await endpoint.wait_taken(3) == [number(1), number(2), number(3)]
            await all_taken(newer)
    assert len(endpoint.taken) == 3


async def test_a_server_that_was_taken_over_from_gives_up_trying(endpoint, tmp_path):
    tried_again = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await tried_again.wait()

    endpoint.statuses = [503]
    kept = Outbox(tmp_path, [endpoint.url], known_through=0)
    kept.add([(1, b"{}")])
    async with aiohttp.ClientSession() as session:
        webhook = Webhook(endpoint.url, session, kept, sleep=sleep)
        webhook.allow(1)
        work = asyncio.create_task(webhook.run())
        async with asyncio.timeout(10):
            while not endpoint.refused:
                await asyncio.sleep(0)
        Outbox(tmp_path, [endpoint.url], known_through=1)
        tried_again.set()
        async with asyncio.timeout(10):
            await work
    assert endpoint.taken == []


async def test_trouble_is_tried_again_ever_more_slowly_and_nothing_is_lost(endpoint):
    endpoint.statuses = [500, 429, 503]
    async with Hook(endpoint.url) as hook:
        hook.offer([change(1), change(2)])
        assert await endpoint.wait_taken(2) == ["1", "2"]
    assert hook.waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("status", [400, 404, 302])
async def test_a_final_refusal_gives_that_event_up_and_goes_on(endpoint, status, caplog):
    endpoint.statuses = [status]
    with caplog.at_level(logging.WARNING):
        async with Hook(endpoint.url) as hook:
            hook.offer([change(1), change(2)])
            assert await endpoint.wait_taken(1) == ["2"]
    assert hook.waits == []
    assert f"answered {status}" in caplog.text


async def test_an_event_is_given_up_after_an_hour_and_the_wait_is_bounded(endpoint):
    # 0.5 to 32 seconds are 63.5 together; 59 full minutes more pass the hour.
    attempts = 1 + 7 + 59
    endpoint.statuses = [500] * attempts
    async with Hook(endpoint.url) as hook:
        hook.offer([change(1), change(2)])
        assert await endpoint.wait_taken(1) == ["2"]
    assert endpoint.refused == attempts
    assert max(hook.waits) == webhooks.LONGEST_RETRY_S
    assert webhooks.RETRY_FOR_S <= sum(hook.waits) <= webhooks.RETRY_FOR_S + 60


async def test_an_endpoint_that_is_not_there_is_tried_again(endpoint, free_port):
    async with Hook(f"http://127.0.0.1:{free_port}/") as hook:
        hook.offer([change(1)])
        while len(hook.waits) < 2:
            await asyncio.sleep(0)
    assert hook.waits[:2] == [0.5, 1.0]


async def test_a_disk_that_does_not_give_the_events_is_asked_again(endpoint, tmp_path, caplog):
    waits: list[float] = []
    kept = Outbox(tmp_path, [endpoint.url], known_through=0)
    kept.add([(1, b"{}")])

    with sqlite3.connect(tmp_path / OUTBOX_FILE_NAME) as disk:

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            disk.execute("ALTER TABLE gone RENAME TO events")

        disk.execute("ALTER TABLE events RENAME TO gone")
        async with aiohttp.ClientSession() as session:
            webhook = Webhook(endpoint.url, session, kept, sleep=sleep)
            webhook.allow(1)
            work = asyncio.create_task(webhook.run())
            assert await endpoint.wait_taken(1) == ["1"]
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    assert waits == [webhooks.LONGEST_RETRY_S]
    assert "no such table: events; trying again" in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/services/T0/B1/secret?key=secret", "https://hooks.example/..."),
        ("http://user:secret@127.0.0.1:8080/events", "http://127.0.0.1:8080/..."),
    ],
)
def test_a_log_shows_no_secret_of_a_webhook(url, shown):
    assert webhooks.public_part(url) == shown
