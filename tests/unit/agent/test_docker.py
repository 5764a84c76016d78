"""The Engine's troubles in the ECS agent's words."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiodocker import DockerError

from homeport.agent.docker import (
    EngineConflict,
    EngineMissing,
    EngineRefusal,
    EngineTimeout,
    EngineUnavailable,
    _translated,
    check_engine,
)
from homeport.agent.settings import AgentStartError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DockerError(900, "Cannot connect"), EngineUnavailable),
        (aiohttp.ServerDisconnectedError(), EngineUnavailable),
        (ConnectionResetError(), EngineUnavailable),
        (DockerError(404, "No such image: x"), EngineMissing),
        (DockerError(409, "name is in use"), EngineConflict),
        (DockerError(500, "boom"), EngineRefusal),
        (DockerError(0, "denied"), EngineRefusal),
    ],
)
async def test_an_error_is_a_refusal_only_if_the_engine_gave_it(
    error: Exception, kind: type[Exception]
):
    with pytest.raises(kind) as caught:
        async with _translated("CannotStartContainerError", 5, "started"):
            raise error
    assert type(caught.value) is kind


async def test_a_refusal_reads_like_amazons():
    with pytest.raises(EngineRefusal) as caught:
        async with _translated("CannotPullContainerError", 5, "pulled"):
            raise DockerError(500, "no such host\n")
    expected = "CannotPullContainerError: Error response from daemon: no such host"
    assert str(caught.value) == expected


async def test_a_step_that_takes_too_long_reads_like_amazons():
    with pytest.raises(EngineTimeout) as caught:
        async with _translated("CannotStartContainerError", 0.001, "started"):
            await asyncio.Event().wait()
    expected = "DockerTimeoutError: Could not transition to started; timed out after waiting 0.001s"
    assert str(caught.value) == expected


async def test_a_look_that_takes_too_long_says_nothing_about_the_container():
    with pytest.raises(EngineUnavailable):
        async with _translated("CannotInspectContainerError", 0.001):
            await asyncio.Event().wait()


async def test_a_bug_is_not_dressed_up_as_the_engines_trouble():
    with pytest.raises(KeyError):
        async with _translated("CannotStartContainerError", 5):
            raise KeyError("bug")


class FakeEngine:
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def read_info(self) -> dict[str, Any]:
        raise self._error


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[Errno 13] Permission denied", "docker group"),
        ("[Errno 2] No such file or directory", "start it"),
    ],
)
async def test_an_engine_that_cannot_be_used_at_start_is_one_line_with_advice(
    text: str, advice: str
):
    engine: Any = FakeEngine(EngineUnavailable(text))
    with pytest.raises(AgentStartError, match=advice) as caught:
        await check_engine(engine, "unix:///var/run/docker.sock")
    assert "\n" not in str(caught.value)
    assert "unix:///var/run/docker.sock" in str(caught.value)
