"""What the pool of FARGATE instances does when the server is in trouble."""

import asyncio
from pathlib import Path

import pytest

from homeport.cli import fargate_pool
from homeport.cli.api_client import ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.fargate_pool import FargatePool
from homeport.config import AgentConfig


class TroubledClient:
    """A server that fails each call so many times before it answers; then all is as it was."""

    endpoint = "http://127.0.0.1:4566"

    def __init__(self, *troubles: Exception) -> None:
        self._troubles = [*troubles]
        self.reads: list[object] = []

    def call_homeport(self, operation: str, request: dict[str, object]) -> dict[str, object]:
        if self._troubles:
            raise self._troubles.pop(0)
        self.reads.append(request.get("after"))
        return {"lastSequence": len(self.reads), "isIncomplete": False, "events": []}

    def list_all(self, operation: str, member: str) -> list[str]:
        return []


async def run_until_read(client: TroubledClient, folder: Path, reads: int) -> list[str]:
    said: list[str] = []
    pool = FargatePool(client, AgentConfig(), folder, said.append)
    running = asyncio.create_task(pool.run())
    async with asyncio.timeout(5):
        while len(client.reads) < reads and not running.done():
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    return said


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fargate_pool, "TROUBLE_PAUSE_S", 0)
    monkeypatch.setattr(fargate_pool, "EVENTS_PAUSE_S", 0)


async def test_the_pool_asks_again_when_the_server_answers_an_error(tmp_path: Path):
    client = TroubledClient(ApiRefusal("ServerException", "An error of the server."))
    (line,) = await run_until_read(client, tmp_path, 3)
    assert "ServerException: An error of the server." in line
    assert client.reads[:3] == [None, 1, 2]


async def test_the_same_trouble_is_told_once(tmp_path: Path):
    trouble = CommandFailure("no Homeport server answers")
    said = await run_until_read(TroubledClient(trouble, trouble, trouble), tmp_path, 1)
    assert len(said) == 1
