"""The scenario suite with the real `homeport agent` process on a real Docker Engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import BUSYBOX_IMAGE
from contract.agent_suite import AgentSuite, Stage, container_of
from docker_calls import remove_containers
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

INSTANCE_LABEL = "homeport.container-instance"


class ProcessHandle:
    """A `homeport agent` process as the suite handles it."""

    def __init__(self, stage: Stage, engine: EngineApi, data_dir: Path) -> None:
        self._engine = engine
        self._arguments = [
            *("agent", "--endpoint", stage.endpoint, "--cluster", stage.cluster),
            *("--availability-zone", "us-east-1a", "--bind-address", "127.0.0.1"),
            *("--cpu", "4096", "--memory", "2048", "--data-dir", str(data_dir)),
            *("--image-pull-behavior", "prefer-cached", "--task-cleanup-wait-s", "1"),
        ]

    def start(self) -> None:
        self._process = HomeportProcess(self._arguments)

    def stop(self) -> None:
        assert self._process.stop() == 0, "\n".join(self._process.lines)

    def crash(self) -> None:
        self._process.kill()

    def lose_container(self, task: dict[str, Any], name: str) -> None:
        runtime_id = container_of(task, name)["runtimeId"]
        self._engine.kill_container(runtime_id)


@pytest.mark.docker
@pytest.mark.slow
class TestHomeportAgent(AgentSuite):
    image = BUSYBOX_IMAGE

    @pytest.fixture(scope="class")
    @classmethod
    def agent(
        cls,
        stage: Stage,
        docker_engine: EngineApi,
        busybox_image: str,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[ProcessHandle]:
        agent = ProcessHandle(stage, docker_engine, tmp_path_factory.mktemp("agent"))
        agent.start()
        instance = stage.wait_connected()
        yield agent
        agent.stop()
        remove_containers(docker_engine, {INSTANCE_LABEL: instance["containerInstanceArn"]})
