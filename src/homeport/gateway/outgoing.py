"""Payloads on their way to one agent: which tasks wait, which messages aren't acknowledged yet.

Only task ARNs are kept: a payload is built from the state as it is when it is sent, also when it is
sent again, so that an agent never hears what is no longer wanted.
"""

import msgspec

from homeport.gateway.limits import GatewayLimits


class Unacknowledged(msgspec.Struct, frozen=True, gc=False):
    """A payload that was sent and not yet taken over."""

    task_arns: tuple[str, ...]
    due_ms: int
    wait_ms: int


class Outgoing:
    """The bounded bookkeeping of payloads for one connection; times are epoch milliseconds."""

    def __init__(self, limits: GatewayLimits) -> None:
        self._limits = limits
        self._waiting: dict[str, int] = {}  # task ARN -> how long to wait for its acknowledgement
        self._unacknowledged: dict[str, Unacknowledged] = {}

    @property
    def due_ms(self) -> int | None:
        """When the next payload counts as lost."""
        return min((sent.due_ms for sent in self._unacknowledged.values()), default=None)

    def want(self, task_arns: tuple[str, ...]) -> None:
        """Take in tasks to be sent, each once."""
        for arn in task_arns:
            self._waiting[arn] = self._limits.payload_resend_ms

    def requeue_lost(self, now_ms: int) -> int:
        """Take payloads that weren't acknowledged in time for lost; returns how many."""
        lost = [key for key, sent in self._unacknowledged.items() if sent.due_ms <= now_ms]
        for message_id in lost:
            sent = self._unacknowledged.pop(message_id)
            wait_ms = min(2 * sent.wait_ms, self._limits.payload_resend_max_ms)
            for arn in sent.task_arns:
                self._waiting.setdefault(arn, wait_ms)
        return len(lost)

    def take_batch(self) -> tuple[tuple[str, ...], int]:
        """Take the tasks of the next payload and how long to wait for its acknowledgement.

        Empty when nothing waits or too many payloads are unacknowledged.
        """
        if len(self._unacknowledged) >= self._limits.unacknowledged_payloads:
            return (), 0
        arns: list[str] = []
        for arn in self._waiting:
            arns.append(arn)
            if len(arns) == self._limits.tasks_per_payload:
                break
        wait_ms = max((self._waiting.pop(arn) for arn in arns), default=0)
        return tuple(arns), wait_ms

    def note_sent(
        self, message_id: str, task_arns: tuple[str, ...], *, wait_ms: int, now_ms: int
    ) -> None:
        """Remember a payload until it is acknowledged."""
        self._unacknowledged[message_id] = Unacknowledged(task_arns, now_ms + wait_ms, wait_ms)

    def note_acknowledged(self, message_id: str) -> None:
        """Forget a payload that the agent took over; a stray acknowledgement means nothing."""
        self._unacknowledged.pop(message_id, None)
