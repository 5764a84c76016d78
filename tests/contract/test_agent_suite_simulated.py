"""The scenario suite with the simulated agent, which also checks the server's protocol."""

from collections.abc import Iterator
from typing import Any

import pytest

from conftest import BUSYBOX_IMAGE
from contract.agent_suite import AgentSuite, Stage
from homeport.sim.agents import SimulatedAgent
from simulated_agent import AgentThread


class SimulatedHandle:
    """The simulated agent as the suite handles it."""

    def __init__(self, stage: Stage) -> None:
        self.memory = SimulatedAgent(cluster=stage.cluster, images=frozenset({BUSYBOX_IMAGE}))
        self._endpoint = stage.endpoint

    def start(self) -> None:
        self._process = AgentThread(self._endpoint, self.memory)
        self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def crash(self) -> None:
        self._process.stop()  # its memory is what an agent has on disk: always up to date

    def lose_container(self, task: dict[str, Any], name: str) -> None:
        self._process.lose_container(task["taskArn"], name)


@pytest.mark.slow
class TestSimulatedAgent(AgentSuite):
    image = BUSYBOX_IMAGE

    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls, stage: Stage) -> Iterator[SimulatedHandle]:
        agent = SimulatedHandle(stage)
        agent.start()
        yield agent
        agent.stop()
        assert agent.memory.broken_rules == []
        assert set(agent.memory.refusals) <= {"InactiveInstanceException"}
