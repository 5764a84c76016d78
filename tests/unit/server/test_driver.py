"""Calls that wait for the disk, and bugs in their decisions: `server.driver`."""

from collections.abc import Callable

from msgspec.structs import replace

from homeport.api import ecs
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


async def test_a_call_is_answered_when_the_disk_has_it() -> None:
    driver, journal = make_driver()
    answers: list[object] = []
    driver.start(CREATE_CLUSTER, answers.append)
    assert answers == []
    for then in journal.waiting:
        then()
    (reply,) = answers
    assert isinstance(reply, ecs.CreateClusterResponse)


async def test_a_bug_in_a_decision_is_its_callers_alone() -> None:
    driver, journal = make_driver()
    answers: list[object] = []
    for operation in ("CreateCluster", "SubmitTaskStateChange"):
        driver.start(replace(CREATE_CLUSTER, operation=operation, request=None), answers.append)
    assert [type(answer) for answer in answers] == [AttributeError, AttributeError]
    assert journal.waiting == []
    assert not driver.failed.done()


def test_chance_is_drawn_afresh_each_time() -> None:
    entropy = SystemEntropy()
    drawn = [entropy.draw() for _ in range(1_000)]
    assert len(set(drawn)) == len(drawn)
    assert {len(each) for each in drawn} == {16}
