"""Truth: what was answered or sent out is on the disk, and is there after every crash."""

from homeport.gateway.outputs import SendFrame
from homeport.sim.disk import SimDisk
from homeport.sim.violation import Violation
from homeport.wire.agent_messages import acs

TRUTH = "every acknowledged write is durable"
FENCED = "only the newest lease writes, and answers"


class AcknowledgedChecker:
    """Remembers the newest commit that anybody outside has heard of, over all lives."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk
        self._heard_sequence = 0
        disk.observe_write = self._written

    def answered(self, operation: str, sequence: int, epoch: int) -> None:
        """An answer or a refusal leaves, decided at this commit under this lease.

        It must hold for ever; who was taken over from may not even tell of what was so until then.
        """
        if epoch != self._disk.newest_epoch:
            newest = self._disk.newest_epoch
            raise Violation(FENCED, f"epoch {epoch} answers {operation}, {newest} is held")
        durable = self._disk.durable_sequence
        if sequence > durable:
            raise Violation(TRUTH, f"{operation} was answered at {sequence}, {durable} is durable")
        self._heard_sequence = max(self._heard_sequence, sequence)

    def sent(self, container_instance_arn: str, frame: SendFrame) -> None:
        """A frame leaves for an agent: the tasks that it tells of must be on the disk."""
        if not isinstance(frame.message, acs.PayloadMessage):
            return
        for task in frame.message.tasks:
            if ("task", task.arn) not in self._disk.records:
                raise Violation(TRUTH, f"{container_instance_arn} hears of {task.arn} too early")

    def recovered(self, sequence: int) -> None:
        """The control plane has started from its disk."""
        if sequence < self._heard_sequence:
            heard = self._heard_sequence
            raise Violation(TRUTH, f"commit {heard} was answered, {sequence} was recovered")

    def _written(self, sequence: int, epoch: int) -> None:
        """Commits reach the disk: they follow on those there, and their writer holds the lease."""
        if epoch != self._disk.newest_epoch:
            newest = self._disk.newest_epoch
            raise Violation(FENCED, f"epoch {epoch} writes commit {sequence}, {newest} is held")
        if sequence != self._disk.durable_sequence + 1:
            durable = self._disk.durable_sequence
            raise Violation(FENCED, f"commit {sequence} is written behind {durable}")
