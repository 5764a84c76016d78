"""What the engine needs from the world, as Protocols that the edges implement."""

from collections.abc import Callable
from typing import Protocol

from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.state.changes import Commit


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""


class Entropy(Protocol):
    """Gives chance."""

    def draw(self) -> bytes:
        """Return 16 fresh bytes."""


class Journal(Protocol):
    """Makes commits durable in order; several that come close together share one transaction.

    If the disk refuses a commit, the journal stops the process: state in memory is already ahead.
    """

    def append(self, commit: Commit) -> None:
        """Take a commit to be made durable; returns at once."""

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` once everything appended so far is durable: at once if it already is.

        Never when another server has taken the journal over: what is known here may be outdated.
        """


class Outlet(Protocol):
    """Carries effects and notes out."""

    def send_tasks(self, effect: SendTasks) -> None:
        """Send an agent what is wanted of its tasks."""

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Tell an agent that its container instance is gone."""

    def note(self, text: str) -> None:
        """Log one line."""

    def work_waits(self) -> None:
        """Hear that `Engine.run_due` has something to do; called when the agenda fills."""
