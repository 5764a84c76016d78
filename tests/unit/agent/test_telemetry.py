"""When the agent measures its containers."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from homeport.agent import telemetry
from homeport.agent.gate import Precedence
from homeport.agent.telemetry import Telemetry
from homeport.wire.agent_messages import tcs

IDENTITY = SimpleNamespace(cluster="default", container_instance_arn="arn:i", docker_version="20")
METRICS, STATUS = tcs.PublishMetricsRequest.__name__, tcs.PublishInstanceStatusRequest.__name__
LIMIT_S = 5
TURNS = 50


class FakeSocket:
    """Takes messages; the other side says nothing."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, message: Any) -> None:
        self.sent.put_nowait(type(message).__name__)

    async def receive(self) -> Any:
        await asyncio.Event().wait()


async def test_measuring_waits_while_containers_are_started_or_stopped_but_the_rest_does_not(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(telemetry, "METRICS_INTERVAL_S", 0.0)
    steps_first = Precedence(patience_s=60)
    steps_first.begin()
    runner: Any = SimpleNamespace(machine=SimpleNamespace(tasks={}), steps_first=steps_first)
    watch: Any = SimpleNamespace(is_ok=True, reason="", changed_at_ms=0)
    docker: Any = None
    identity: Any = IDENTITY
    publisher = Telemetry(docker=docker, runner=runner, watch=watch, identity=identity)
    socket: Any = FakeSocket()
    serving = asyncio.create_task(publisher.serve(socket))
    async with asyncio.timeout(LIMIT_S):
        assert [await socket.sent.get(), await socket.sent.get()] == [METRICS, STATUS]
        watch.on_change()
        assert await socket.sent.get() == STATUS
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert socket.sent.empty()
        steps_first.end()
        assert await socket.sent.get() == METRICS
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
