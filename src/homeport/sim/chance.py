"""Chance from a seed: one stream a purpose, so that one more draw here changes nothing there."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

Span = tuple[float, float]
"""The least and the most of something drawn evenly."""

ENTROPY_BYTES = 16


class Stream:
    """A stream of chance; the same seed and name give the same draws in every process."""

    def __init__(self, seed: int, name: str) -> None:
        # A string seeds by its SHA-512: no hash of the interpreter is in it.
        self._random = random.Random(f"{seed}/{name}")
        self._next = self._random.random

    def draw(self) -> bytes:
        """Return 16 fresh bytes: the engine's `Entropy`."""
        return self._random.randbytes(ENTROPY_BYTES)

    def whole(self, span: Span) -> int:
        """Return a whole number in the span, both ends included."""
        return self._random.randint(round(span[0]), round(span[1]))

    def real(self, span: Span) -> float:
        """Return a number in the span."""
        return self._random.uniform(*span)

    def milliseconds(self, span_s: Span) -> int:
        """Return a time in the span of seconds, in milliseconds."""
        least_s, most_s = span_s
        return round((least_s + (most_s - least_s) * self._next()) * 1_000)  # as `uniform` draws

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return probability > 0 and self._next() < probability

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return self._random.choice(items)

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return so many different items, or all if there are fewer."""
        return self._random.sample(items, min(count, len(items)))


class Chance:
    """The streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Stream] = {}

    def stream(self, name: str) -> Stream:
        """Return the stream of a purpose; asked twice, it goes on where it was."""
        known = self._streams.get(name)
        if known is None:
            known = self._streams[name] = Stream(self.seed, name)
        return known
