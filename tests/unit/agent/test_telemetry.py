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
LIMIT_S = 5


class FakeSocket:
    """Takes messages; the other side says nothing."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, message: Any) -> None:
        self.sent.put_nowait(type(message).__name__)

    async def receive(self) -> Any:
        await asyncio.Event().wait()


async def test_measurements_wait_while_containers_are_being_started_but_health_does_not(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(telemetry, "METRICS_INTERVAL_S", 0.0)
    starts_first = Precedence(patience_s=60)
    starts_first.begin()
    runner: Any = SimpleNamespace(machine=SimpleNamespace(tasks={}), starts_first=starts_first)
    watch: Any = SimpleNamespace(is_ok=True, reason="", changed_at_ms=0)
    docker: Any = None
    identity: Any = IDENTITY
    publisher = Telemetry(docker=docker, runner=runner, watch=watch, identity=identity)
    socket: Any = FakeSocket()
    serving = asyncio.create_task(publisher.serve(socket))
    metrics, status = tcs.PublishMetricsRequest.__name__, tcs.PublishInstanceStatusRequest.__name__
    async with asyncio.timeout(LIMIT_S):
        assert [await socket.sent.get(), await socket.sent.get()] == [metrics, status]
        watch.on_change()
        assert await socket.sent.get() == status
        for _ in range(50):
            await asyncio.sleep(0)
        assert socket.sent.empty()
        starts_first.end()
        assert await socket.sent.get() == metrics
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
