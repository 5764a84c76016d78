"""Which images go, in which order, and which never do."""

from pathlib import Path
from typing import Any

from agent_builders import make_container, make_task
from homeport.agent.docker import EngineRefusal
from homeport.agent.image_cleanup import ImageCleanup, choose_images
from homeport.agent.settings import AgentSettings
from homeport.agent.state_file import StateFile
from homeport.agent.stimuli import TaskSent
from homeport.agent.task_machine import TaskMachine

HOUR_MS = 3_600_000


class FakeEngine:
    def __init__(self) -> None:
        self.on_pulled: Any = None
        self.removed: list[str] = []
        self.refused: set[str] = set()

    async def remove_image(self, image: str) -> None:
        if image in self.refused:
            raise EngineRefusal(f"conflict: {image} is used")
        self.removed.append(image)


def make(tmp_path: Path, **members: Any) -> tuple[ImageCleanup, FakeEngine, StateFile, TaskMachine]:
    engine = FakeEngine()
    state_file = StateFile(tmp_path)
    machine = TaskMachine(stop_timeout_s=1, cleanup_delay_s=1)
    settings = AgentSettings(endpoint="http://h", data_dir=tmp_path, **members)
    cleanup = ImageCleanup(
        settings=settings,
        engine=engine,  # type: ignore[arg-type]
        machine=machine,
        state_file=state_file,
    )
    return cleanup, engine, state_file, machine


def test_the_longest_unused_images_go_first_and_used_ones_never():
    last_used = {"b": 5, "a": 7, "young": 11, "used": 1}
    assert choose_images(last_used, ["used"], before_ms=10) == ["b", "a"]


async def test_only_what_the_agent_pulled_and_nobody_used_for_an_hour_goes(tmp_path: Path):
    cleanup, engine, state_file, _ = make(tmp_path)
    engine.on_pulled("pulled:1")
    pulled_at_ms = state_file.read_images()["pulled:1"]
    assert await cleanup.clean_up(pulled_at_ms + HOUR_MS - 1) == []
    assert await cleanup.clean_up(pulled_at_ms + HOUR_MS) == ["pulled:1"]
    assert engine.removed == ["pulled:1"]
    assert state_file.read_images() == {}
    state_file.close()


async def test_a_tasks_image_stays_and_its_age_counts_from_its_last_use(tmp_path: Path):
    cleanup, _, state_file, machine = make(tmp_path)
    state_file.write_image("web:1", 0)
    machine.handle(TaskSent(task=make_task(make_container("web:1"))), 0)
    assert await cleanup.clean_up(5 * HOUR_MS) == []
    assert state_file.read_images() == {"web:1": 5 * HOUR_MS}
    machine.tasks.clear()
    assert await cleanup.clean_up(6 * HOUR_MS - 1) == []
    assert await cleanup.clean_up(6 * HOUR_MS) == ["web:1"]
    state_file.close()


async def test_one_cleanup_removes_a_few_only_and_an_image_that_is_refused_is_kept(tmp_path: Path):
    cleanup, engine, state_file, _ = make(tmp_path, images_per_cleanup=2)
    for number in range(4):
        state_file.write_image(f"i{number}", number)
    engine.refused = {"i0"}
    assert await cleanup.clean_up(2 * HOUR_MS) == ["i1", "i2"]
    assert set(state_file.read_images()) == {"i0", "i3"}
    state_file.close()
