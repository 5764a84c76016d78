"""Removes images that the agent pulled and no task has used for a while, as Amazon's agent does.

docs.aws.amazon.com/AmazonECS/latest/developerguide/automated_image_cleanup.html. An image that was
on the machine before, or that any container uses, is never touched. Not here: pulling (`docker`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from homeport.agent.docker import EngineRefusal, EngineUnavailable
from homeport.agent.runner import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from homeport.agent.docker import Engine
    from homeport.agent.settings import AgentSettings
    from homeport.agent.state_file import StateFile
    from homeport.agent.task_machine import TaskMachine

LOG: Final = logging.getLogger("homeport.agent")


class ImageCleanup:
    """Knows which images the agent pulled and when each was last used."""

    def __init__(
        self,
        *,
        settings: AgentSettings,
        engine: Engine,
        machine: TaskMachine,
        state_file: StateFile,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._machine = machine
        self._state_file = state_file
        engine.on_pulled = self._note_pulled

    async def run(self) -> None:
        """Clean up at each interval, for as long as the agent lives."""
        while True:
            await asyncio.sleep(self._settings.image_cleanup_interval_s)
            await self.clean_up(now_ms())

    async def clean_up(self, at_ms: int) -> list[str]:
        """Remove the images whose time has come, the longest unused first; answers which."""
        used = self._list_used()
        known = self._state_file.read_images()
        for image in sorted(used & known.keys()):
            self._state_file.write_image(image, at_ms)
        removed: list[str] = []
        minimum_age_ms = self._settings.image_minimum_age_s * 1_000
        for image in choose_images(known, used, before_ms=at_ms - minimum_age_ms):
            if len(removed) == self._settings.images_per_cleanup:
                break
            if await self._remove(image):
                removed.append(image)
        return removed

    async def _remove(self, image: str) -> bool:
        try:
            await self._engine.remove_image(image)
        except EngineRefusal as refusal:
            LOG.info("keeping image %s: %s", image, refusal)
            return False
        except EngineUnavailable as trouble:
            LOG.warning("Docker: %s", trouble)
            return False
        self._state_file.drop_image(image)
        LOG.info("removed image %s: no task has used it for a while", image)
        return True

    def _note_pulled(self, image: str) -> None:
        self._state_file.write_image(image, now_ms())

    def _list_used(self) -> set[str]:
        """The images of all tasks whose containers are still kept, ended ones too."""
        return {
            container.image
            for state in self._machine.tasks.values()
            for container in state.task.containers
        }


def choose_images(
    last_used_ms: Mapping[str, int], used: Iterable[str], *, before_ms: int
) -> list[str]:
    """The images that may go, the longest unused first."""
    in_use = frozenset(used)
    due = [
        (at_ms, image)
        for image, at_ms in last_used_ms.items()
        if at_ms <= before_ms and image not in in_use
    ]
    return [image for _, image in sorted(due)]
