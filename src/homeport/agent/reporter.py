"""Delivers reports to the control plane: in order per task, again and again until accepted.

Reports are on disk before they get here and leave it once accepted, or once refused for a reason
that no repetition changes. Not here: what is reported (`reporting`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from homeport.agent.gate import Backoff
from homeport.agent.link import CONCURRENT_CALLS, ControlPlaneRefusal, ControlPlaneUnavailable

if TYPE_CHECKING:
    from homeport.agent.link import Link
    from homeport.agent.state_file import StateFile, StoredReport

LOG: Final = logging.getLogger("homeport.agent")

FIRST_RETRY_S: Final = 0.25
LAST_RETRY_S: Final = 30.0


class Reporter:
    """One queue a task; tasks report side by side."""

    def __init__(self, link: Link, state_file: StateFile, tasks: asyncio.TaskGroup) -> None:
        self._link = link
        self._state_file = state_file
        self._tasks = tasks
        self._queues: dict[str, deque[StoredReport]] = {}
        self._gate = asyncio.Semaphore(CONCURRENT_CALLS)

    def send(self, report: StoredReport) -> None:
        """Queue a report behind the earlier ones of its task."""
        queue = self._queues.get(report.task_arn)
        if queue is not None:
            queue.append(report)
            return
        self._queues[report.task_arn] = deque([report])
        self._tasks.create_task(self._deliver(report.task_arn))

    async def _deliver(self, task_arn: str) -> None:
        queue = self._queues[task_arn]
        while queue:
            await self._deliver_one(queue[0])
            self._state_file.drop_report(queue[0].number)
            queue.popleft()
        del self._queues[task_arn]

    async def _deliver_one(self, report: StoredReport) -> None:
        backoff = Backoff(first_s=FIRST_RETRY_S, last_s=LAST_RETRY_S)
        while True:
            try:
                async with self._gate:
                    await self._link.call_raw(report.operation, report.body)
            except ControlPlaneUnavailable as trouble:
                LOG.info("%s will be repeated: %s", report.operation, trouble)
            except ControlPlaneRefusal as refusal:
                if not refusal.is_retryable:
                    LOG.error("%s of %s refused: %s", report.operation, report.task_arn, refusal)
                    return
                LOG.warning("%s will be repeated: %s", report.operation, refusal)
            else:
                return
            await asyncio.sleep(backoff.next_s())
