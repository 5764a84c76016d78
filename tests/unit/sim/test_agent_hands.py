"""The simulated agent's hands: whose turn it is, as with the real runner, and how they stop."""

from typing import Any

import pytest

from agent_turns_suite import TurnsSuite, send, send_stop
from homeport.agent import stimuli
from homeport.agent.runner import STOP_PATIENCE_S
from homeport.sim import docker
from homeport.sim.agent_disk import AgentDisk
from homeport.sim.agent_process import AgentProcess, Machine, make_settings
from homeport.sim.agent_turns import Precedence
from homeport.sim.chance import Stream
from homeport.sim.clock import Life, SkewedClock, Timeline
from homeport.sim.docker import Luck, SimDocker, Started
from homeport.sim.scenario import Image
from homeport.sim.trace import Trace

SETTLED_MS = 5_000
STOP_TIMEOUT_MS = 30_000


class Engine(SimDocker):
    """Notes what it does; starts wait while they are held."""

    def __init__(self, timeline: Timeline, image: Image) -> None:
        super().__init__(timeline, Stream(1, "docker"), {"busybox": image, "web:1": image}, Luck())
        self.names = str
        self.log: list[str] = []
        self.created: list[str] = []
        self.begun: list[str] = []
        self._held = None

    def hold(self) -> None:
        self._held = []

    def let_go(self) -> None:
        held, self._held = self._held or [], None
        for start in held:
            start()

    def create(self, task_arn, spec, then):
        self.created.append(self.names(task_arn))
        super().create(task_arn, spec, then)

    def start(self, runtime_id, then):
        self.begun.append(self.names(self.containers[runtime_id].task_arn))

        def started(answer):
            if isinstance(answer, Started):
                self._note("start", runtime_id)
            then(answer)

        def go() -> None:
            SimDocker.start(self, runtime_id, started)

        if self._held is None:
            go()
        else:
            self._held.append(go)

    def stop(self, runtime_id, timeout_s, then):
        self._note("stop", runtime_id)
        super().stop(runtime_id, timeout_s, then)

    def send_stop_signal(self, runtime_id):
        self._note("stop", runtime_id)
        return super().send_stop_signal(runtime_id)

    def _note(self, what: str, runtime_id: str) -> None:
        self.log.append(f"{what} {self.names(self.containers[runtime_id].task_arn)}")


class Deaf:
    """A network on which nothing arrives."""

    def call(self, *_what: Any, **_members: Any) -> None:
        return


class SimulatedHands:
    """A simulated agent as the suite handles it."""

    def __init__(self, *, shares_kernel: bool, image: Image | None = None) -> None:
        self.timeline = Timeline()
        self.engine = Engine(self.timeline, image or Image())
        machine = Machine(
            name="machine-1",
            settings=make_settings("machine-1", "us-east-1a", cpu_units=4096, memory_mib=8192),
            disk=AgentDisk(),
            docker=self.engine,
            clock=SkewedClock(self.timeline),
            shares_kernel=shares_kernel,
        )
        network: Any = Deaf()
        self._process = AgentProcess(
            self.timeline,
            network,
            machine,
            chance=Stream(1, "agent"),
            trace=Trace(self.timeline),
        )
        self.machine = self._process.tasks
        self.engine.names = lambda arn: self.machine.tasks[arn].task.family
        self.tell = self._process.tell
        self.log, self.created = self.engine.log, self.engine.created
        self.begun = self.engine.begun
        self.hold_starts, self.let_starts_go = self.engine.hold, self.engine.let_go
        self._process.hands.watch()
        self.pass_time()

    def pass_time(self, ms: int = SETTLED_MS) -> None:
        until_ms = self.timeline.now_ms + ms
        while self.timeline.step(until_ms):
            continue

    async def settle(self) -> None:
        self.pass_time()


@pytest.mark.parametrize("shares_kernel", [True, False])
class TestAgentHands(TurnsSuite):
    @pytest.fixture
    def hands(self, shares_kernel: bool) -> SimulatedHands:
        return SimulatedHands(shares_kernel=shares_kernel)


@pytest.mark.parametrize(
    ("ignores_stop", "asked", "exit_code"),
    [
        (0.0, ["stop web"], docker.SIGTERM_EXIT_CODE),
        (1.0, ["stop web", "stop web"], docker.SIGKILL_EXIT_CODE),
    ],
)
async def test_who_ignores_the_agents_own_signal_is_killed_by_the_engine_after_the_time_out(
    ignores_stop: float, asked: list[str], exit_code: int
):
    hands = SimulatedHands(shares_kernel=True, image=Image(ignores_stop=ignores_stop))
    task = send(hands, "web")
    await hands.settle()
    send_stop(hands, task, may_wait=False)
    hands.pass_time(STOP_TIMEOUT_MS - 1_000)
    assert hands.machine.tasks[task.arn].has_ended() is (ignores_stop == 0)
    hands.pass_time()
    assert hands.log == ["start web", *asked]
    assert hands.machine.tasks[task.arn].has_ended()
    assert [c.exit_code for c in hands.engine.containers.values()] == [exit_code]


async def test_nothing_waits_behind_an_engine_that_was_lost():
    hands = SimulatedHands(shares_kernel=True)
    old = send(hands, "old")
    await hands.settle()
    hands.hold_starts()
    send(hands, "new")
    await hands.settle()
    send_stop(hands, old, may_wait=True)
    hands.engine.restart(down_ms=500)
    await hands.settle()
    assert hands.machine.tasks[old.arn].has_ended()
    assert "stop old" not in hands.log  # it died with the Engine


async def test_a_container_whose_creation_nobody_heard_of_is_removed_with_its_task():
    hands = SimulatedHands(shares_kernel=True, image=Image(pull_s=(0, 0)))
    task = send(hands, "web")
    hands.pass_time(1)
    assert hands.created == ["web"]
    hands.engine.hang(for_ms=600_000)
    hands.pass_time(590_000)
    assert hands.machine.tasks[task.arn].has_ended()
    hands.pass_time(20_000)
    assert len(hands.engine.containers) == 1
    hands.tell(stimuli.TimerFired(task_arn=task.arn))
    hands.pass_time(4 * 3_600_000)
    assert task.arn not in hands.machine.tasks
    assert hands.engine.containers == {}


def test_who_lets_others_go_first_does_so_for_a_while_only():
    timeline, went = Timeline(), []
    turns = Precedence(timeline, Life(), patience_s=STOP_PATIENCE_S)
    turns.begin()
    turns.wait(lambda: went.append(timeline.seconds))
    while timeline.step(timeline.now_ms + 60_000):
        continue
    turns.end()
    assert went == [STOP_PATIENCE_S]
