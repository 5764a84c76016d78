"""When a connection gets its next heartbeat, and when unanswered ones mean that it is dead."""

from homeport.gateway.limits import GatewayLimits


class Heartbeats:
    """The heartbeats of one connection; times are epoch milliseconds.

    `must_answer`: with protocolVersion 2 the agent acknowledges each heartbeat, and a connection on
    which it doesn't is closed `agent_silence_ms` after the last sign of life.
    """

    def __init__(self, limits: GatewayLimits, *, now_ms: int, must_answer: bool) -> None:
        self._interval_ms = limits.heartbeat_interval_ms
        # The last sign of life came at the latest one interval before the first unanswered one.
        self._patience_ms = max(
            limits.agent_silence_ms - limits.heartbeat_interval_ms, limits.heartbeat_interval_ms
        )
        self._must_answer = must_answer
        self._next_ms = now_ms
        self._unanswered: dict[str, int] = {}

    @property
    def due_ms(self) -> int:
        """When to look again."""
        oldest_ms = next(iter(self._unanswered.values()), None)
        if oldest_ms is None:
            return self._next_ms
        return min(self._next_ms, oldest_ms + self._patience_ms)

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time for a heartbeat."""
        return now_ms >= self._next_ms

    def is_unanswered(self, now_ms: int) -> bool:
        """Whether a heartbeat has waited for its answer too long."""
        oldest_ms = next(iter(self._unanswered.values()), None)
        return oldest_ms is not None and now_ms >= oldest_ms + self._patience_ms

    def note_sent(self, message_id: str, now_ms: int) -> None:
        """Remember a heartbeat and plan the next one."""
        self._next_ms = now_ms + self._interval_ms
        if self._must_answer:
            self._unanswered[message_id] = now_ms

    def note_answered(self, message_id: str) -> None:
        """Take an answer; it covers the heartbeats before it too. A stray one means nothing."""
        if message_id not in self._unanswered:
            return
        for sent_id in list(self._unanswered):
            del self._unanswered[sent_id]
            if sent_id == message_id:
                return
