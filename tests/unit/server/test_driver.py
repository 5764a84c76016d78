"""Calls that wait for the disk, and what they hear when it fails: `server.driver`."""

import asyncio
from collections.abc import Callable

import pytest

from homeport.api import ecs
from homeport.api.errors import ServiceUnavailable
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import ApiCalled
from homeport.operations.registry import OPERATIONS
from homeport.server.driver import EngineDriver, SystemClock, SystemEntropy
from homeport.state.changes import Commit
from homeport.state.store import Store

CREATE_CLUSTER = ApiCalled(
    operation="CreateCluster",
    request=ecs.CreateClusterRequest(cluster_name="one"),
    account_id="123456789012",
    region="us-east-1",
    endpoint="http://127.0.0.1:4566",
)


class StuckJournal:
    """A disk that takes commits and never has them."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def append(self, commit: Commit) -> None:
        """Take a commit."""

    def when_durable(self, then: Callable[[], None]) -> None:
        """Let it wait."""
        self.waiting.append(then)


class NoAgents:
    """No agent is connected."""

    def send_tasks(self, effect: SendTasks) -> None:
        """Lose an effect, as may happen to any."""

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Lose an effect."""


def make_driver() -> tuple[EngineDriver, StuckJournal]:
    driver, journal = EngineDriver(), StuckJournal()
    engine = Engine(
        store=Store(),
        journal=journal,
        outlet=driver,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        operations=OPERATIONS,
    )
    driver.attach(engine, NoAgents())
    return driver, journal


async def test_a_call_that_waits_when_the_server_fails_hears_that_it_is_unavailable() -> None:
    driver, journal = make_driver()
    call = asyncio.create_task(driver.call(CREATE_CLUSTER))
    await asyncio.sleep(0)
    assert journal.waiting
    driver.refuse_calls("it failed")
    with pytest.raises(ServiceUnavailable, match="it failed"):
        await call
    with pytest.raises(ServiceUnavailable, match="it failed"):
        await driver.call(CREATE_CLUSTER)


async def test_a_reply_that_comes_too_late_is_not_given() -> None:
    driver, journal = make_driver()
    call = asyncio.create_task(driver.call(CREATE_CLUSTER))
    await asyncio.sleep(0)
    driver.refuse_calls("it failed")
    for then in journal.waiting:
        then()
    with pytest.raises(ServiceUnavailable):
        await call


async def test_a_client_that_goes_while_its_call_waits_leaves_nothing_behind() -> None:
    driver, journal = make_driver()
    call = asyncio.create_task(driver.call(CREATE_CLUSTER))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    for then in journal.waiting:
        then()
    driver.refuse_calls("it failed")
    assert call.cancelled()


def test_chance_is_drawn_afresh_each_time() -> None:
    entropy = SystemEntropy()
    drawn = [entropy.draw() for _ in range(1_000)]
    assert len(set(drawn)) == len(drawn)
    assert {len(each) for each in drawn} == {16}
