"""Whose turn it is when a whole fleet reports at once: agents' reports step back for other calls.

Hundreds of agents that report at the same time fill every turn of the event loop, and a call that
needs several turns waits for all of them each time. So a turn takes a bounded number of reports,
first come first served; the others wait for the next turn, behind whatever else is ready by then.
How many can wait is the server's limit of requests in flight.
"""

import asyncio
from collections import deque
from collections.abc import Callable

REPORT_OPERATIONS = frozenset(
    {"SubmitTaskStateChange", "SubmitContainerStateChange", "SubmitAttachmentStateChanges"}
)
REPORTS_PER_TURN = 64  # some 10 ms of the loop's time

TakeIn = Callable[[], None]


class ReportTurns:
    """Lets a bounded number of reports through in each turn of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[TakeIn] = deque()
        self._taken = 0
        self._next_is_due = False

    def take(self, take_in: TakeIn) -> None:
        """Take a report in: at once, or in a later turn when too many came in this one."""
        if self._taken < REPORTS_PER_TURN and not self._waiting:
            self._count()
            take_in()
        else:
            self._waiting.append(take_in)

    def _count(self) -> None:
        self._taken += 1
        if not self._next_is_due:
            self._next_is_due = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._taken, self._next_is_due = 0, False
        while self._waiting and self._taken < REPORTS_PER_TURN:
            self._count()
            self._waiting.popleft()()
