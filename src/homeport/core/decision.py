"""What every decision takes and returns; the decisions themselves live beside this module."""

import hashlib
import itertools
from collections.abc import Iterator

import msgspec

from homeport.core.effects import Effect
from homeport.state.changes import Change


class Moment(msgspec.Struct, frozen=True):
    """What a decision may not invent for itself: the time, and chance."""

    now_ms: int
    entropy: bytes

    def ids(self) -> Iterator[str]:
        """Yield identifiers of 32 hexadecimal digits, the same ones for the same moment."""
        for number in itertools.count():
            block = number.to_bytes(4, "big")
            drawn = hashlib.blake2b(block, key=self.entropy).hexdigest()  # 128 digits at once
            yield drawn[:32]
            yield drawn[32:64]
            yield drawn[64:96]
            yield drawn[96:]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What should happen next.

    `reply` is the AWS shape that a call gets, `notes` are lines for the log; both leave only
    after the changes are durable, as the effects do. `settled` is the ARN of a service that the
    changes leave with nothing to do, so that nobody looks at it because of them.
    """

    reply: object = None
    changes: tuple[Change, ...] = ()
    effects: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()
    settled: str | None = None


NOTHING = Decision()
