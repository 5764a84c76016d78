"""Keeps the task machine in touch with Docker: survey, then events, and again after each loss.

The stream is opened before the survey, so that nothing falls between them. While Docker is away no
task is called stopped; when it is back, every container is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from homeport.agent import stimuli
from homeport.agent.docker import EngineRefusal, EngineUnavailable
from homeport.agent.docker_events import EventStream, open_events
from homeport.agent.gate import Backoff
from homeport.agent.runner import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeport.agent.container_spec import InstanceFacts
    from homeport.agent.docker import Engine
    from homeport.agent.runner import Runner

LOG: Final = logging.getLogger("homeport.agent")

FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 5.0


class EngineWatch:
    """Whether Docker answers, since when, and if not, why."""

    def __init__(self, engine: Engine, runner: Runner, facts: InstanceFacts) -> None:
        self.is_ok = True
        self.reason = ""
        self.changed_at_ms = now_ms()
        self.on_change: Callable[[], None] = lambda: None
        self.first_survey = asyncio.Event()
        self._engine = engine
        self._runner = runner
        self._facts = facts
        self._stream: EventStream | None = None
        self._backoff = Backoff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
        runner.on_engine_trouble = self.look_again

    def look_again(self) -> None:
        """A call failed without an answer: break the stream off, which leads to a new survey."""
        if self._stream is not None:
            self._stream.close()

    async def run(self) -> None:
        """Watch for as long as the agent lives."""
        while True:
            try:
                await self._watch_once()
            except (EngineUnavailable, EngineRefusal) as trouble:
                self._set(False, str(trouble))
            finally:
                if self._stream is not None:
                    self._stream.close()
                    self._stream = None
            self._runner.tell(stimuli.EngineLost())
            await self._runner.cancel_steps()
            await asyncio.sleep(self._backoff.next_s())

    async def _watch_once(self) -> None:
        arn = self._facts.container_instance_arn
        self._stream = await open_events(self._engine.docker, arn)
        found = await self._engine.survey(arn, self._runner.machine.tasks, self._facts.bind_address)
        self._set(True, "")
        self._runner.tell(stimuli.EngineSurveyed(found=found))
        self.first_survey.set()
        async for stimulus in self._stream.read():
            self._backoff.reset()
            await self._runner.tell_event(stimulus)

    def _set(self, is_ok: bool, reason: str) -> None:
        if is_ok == self.is_ok:
            return
        self.is_ok, self.reason, self.changed_at_ms = is_ok, reason, now_ms()
        if is_ok:
            LOG.warning("Docker answers again: all containers were looked at")
        else:
            LOG.error("Docker doesn't answer, trying again until it does: %s", reason)
        self.on_change()
