"""Events POSTed to a real endpoint on loopback; only the waiting between attempts is not real."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from builders import make_store
from homeport.model.arn import Scope
from homeport.operations.render.events import StateChange
from homeport.server import webhooks
from homeport.server.event_stream import EventStream
from homeport.server.webhooks import Webhook, deliver_events
from homeport.state.view import View
from homeport.storage.memory import MemoryStorage

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
        detail=b'{"eventName":"SERVICE_STEADY_STATE"}',
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
        self.webhook = Webhook(self._url, self._session, sleep=self._sleep)
        self._work = asyncio.create_task(self.webhook.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._session.close()


async def test_the_streams_events_arrive_in_order_as_eventbridge_has_them(endpoint):
    stream = EventStream(View(make_store()), MemoryStorage(), commit_sequence=0)
    async with deliver_events([endpoint.url, endpoint.url], stream):
        stream._tell([change(1), change(2)])
        stream._tell([change(3)])
        assert await endpoint.wait_taken(3) == ["1", "2", "3"]
    assert endpoint.taken[0]["detail"] == {"eventName": "SERVICE_STEADY_STATE"}
    assert endpoint.taken[0]["detail-type"] == "ECS Service Action"


async def test_trouble_is_tried_again_ever_more_slowly_and_nothing_is_lost(endpoint):
    endpoint.statuses = [500, 429, 503]
    async with Hook(endpoint.url) as hook:
        hook.webhook.offer([change(1), change(2)])
        assert await endpoint.wait_taken(2) == ["1", "2"]
    assert hook.waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("status", [400, 404, 302])
async def test_a_final_refusal_gives_that_event_up_and_goes_on(endpoint, status, caplog):
    endpoint.statuses = [status]
    with caplog.at_level(logging.WARNING):
        async with Hook(endpoint.url) as hook:
            hook.webhook.offer([change(1), change(2)])
            assert await endpoint.wait_taken(1) == ["2"]
    assert hook.waits == []
    assert f"answered {status}" in caplog.text


async def test_an_event_is_given_up_after_an_hour_and_the_wait_is_bounded(endpoint):
    # 0.5 to 32 seconds are 63.5 together; 59 full minutes more pass the hour.
    attempts = 1 + 7 + 59
    endpoint.statuses = [500] * attempts
    async with Hook(endpoint.url) as hook:
        hook.webhook.offer([change(1), change(2)])
        assert await endpoint.wait_taken(1) == ["2"]
    assert endpoint.refused == attempts
    assert max(hook.waits) == webhooks.LONGEST_RETRY_S
    assert webhooks.RETRY_FOR_S <= sum(hook.waits) <= webhooks.RETRY_FOR_S + 60


async def test_an_endpoint_that_is_not_there_is_tried_again(endpoint, free_port):
    async with Hook(f"http://127.0.0.1:{free_port}/") as hook:
        hook.webhook.offer([change(1)])
        while len(hook.waits) < 2:
            await asyncio.sleep(0)
    assert hook.waits[:2] == [0.5, 1.0]


async def test_the_oldest_events_go_when_too_many_wait(endpoint, monkeypatch, caplog):
    monkeypatch.setattr(webhooks, "QUEUED_EVENTS", 2)
    with caplog.at_level(logging.WARNING):
        async with Hook(endpoint.url) as hook:
            hook.webhook.offer([change(1), change(2), change(3)])
            assert await endpoint.wait_taken(2) == ["2", "3"]
    assert "1 events given up so far: too many wait" in caplog.text
