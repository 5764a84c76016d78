"""Who is best among the container instances that can take (or give up) a task.

A chain of strategies ranks by its first entry; each later one breaks the ties that are left
(reference: placement §5). Ties that are left in the end go by ARN. An instance that lacks a
spread attribute counts into a bucket of its own kind: all that lack it, together.
"""

import hashlib
import heapq
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from homeport.core.placement.candidate import Candidate
from homeport.model.container_instance import ATTRIBUTE_AVAILABILITY_ZONE
from homeport.model.placement import PlacementStrategy

SPREAD = "spread"
BINPACK = "binpack"
RANDOM = "random"
FIELD_INSTANCE = "instanceId"
INSTANCE_FIELDS = (FIELD_INSTANCE, "host")
ATTRIBUTE_PREFIX = "attribute:"

SPREAD_ZONES = PlacementStrategy(SPREAD, ATTRIBUTE_PREFIX + ATTRIBUTE_AVAILABILITY_ZONE)
SPREAD_INSTANCES = PlacementStrategy(SPREAD, FIELD_INSTANCE)
LEAST_LOADED = PlacementStrategy("least-loaded")  # Homeport's own last word before the ARN

_RANDOM_STEPS = 2**64
_WAIT_STEPS = 1_000_000

Key = tuple[int, ...]
LocalRule = Callable[[Candidate], int]


class Ranking:
    """Ranks candidates by a chain; the lowest key is the best.

    With `sign` 1 it finds where to place: the emptiest bucket, the least room left for binpack.
    With -1 it finds where to stop: the fullest bucket, the most room left.

    Candidates with the same spread attributes share those parts of their keys, so each such group
    has a heap ordered by the other parts: finding and changing the best one costs a look at each
    group's top, not at each instance.
    """

    def __init__(
        self,
        chain: Sequence[PlacementStrategy],
        candidates: Iterable[Candidate],
        counts: Mapping[str, Mapping[str | None, int]],
        *,
        sign: int,
        entropy: bytes,
    ) -> None:
        """`counts` gives, for each spread attribute of the chain, the tasks in each bucket."""
        self._attributes = spread_attributes(chain)
        self.counts = {name: dict(counts[name]) for name in self._attributes}
        self._chance = _Chance(entropy)
        self._sign = sign
        # A rule that all of a group share is an attribute's name, any other a function.
        self._rules: list[str | LocalRule] = [self._rule(strategy) for strategy in chain]
        self._heaps: dict[Hashable, list[tuple[Key, str, Candidate]]] = {}
        for candidate in candidates:
            self._heaps.setdefault(self._group(candidate), []).append(self._entry(candidate))
        for heap in self._heaps.values():
            heapq.heapify(heap)

    def take_best(self) -> Candidate | None:
        """Remove and return the best candidate; `put_back` returns it to the ranking."""
        best = min(self._heaps.items(), key=self._top_key, default=None)
        if best is None:
            return None
        group, heap = best
        candidate = heapq.heappop(heap)[2]
        if not heap:
            del self._heaps[group]
        return candidate

    def count(self, candidate: Candidate) -> None:
        """Count a task into (`sign` 1) or out of (-1) the buckets of a candidate."""
        for name, counts in self.counts.items():
            bucket = bucket_of(candidate, name)
            counts[bucket] = counts.get(bucket, 0) + self._sign

    def put_back(self, candidate: Candidate) -> None:
        """Rank a candidate again, as it is now."""
        heap = self._heaps.setdefault(self._group(candidate), [])
        heapq.heappush(heap, self._entry(candidate))

    def _group(self, candidate: Candidate) -> Hashable:
        return tuple(bucket_of(candidate, name) for name in self._attributes)

    def _entry(self, candidate: Candidate) -> tuple[Key, str, Candidate]:
        key = tuple(rule(candidate) for rule in self._rules if not isinstance(rule, str))
        return key, candidate.arn, candidate

    def _top_key(self, item: tuple[Hashable, list[tuple[Key, str, Candidate]]]) -> tuple[Key, str]:
        local, arn, candidate = item[1][0]
        own = iter(local)
        key = tuple(
            self._sign * self.counts[rule].get(bucket_of(candidate, rule), 0)
            if isinstance(rule, str)
            else next(own)
            for rule in self._rules
        )
        return key, arn

    def _rule(self, strategy: PlacementStrategy) -> str | LocalRule:
        sign = self._sign
        if strategy == LEAST_LOADED:
            return lambda candidate: sign * candidate.load_permille()
        if strategy.kind == RANDOM:
            return self._chance.next_turn
        field = strategy.field or ""
        if strategy.kind == BINPACK and field.lower() == "cpu":
            return lambda candidate: sign * candidate.free_cpu_units
        if strategy.kind == BINPACK:
            return lambda candidate: sign * candidate.free_memory_mib
        if field in INSTANCE_FIELDS:
            return lambda candidate: sign * candidate.counted
        return field.removeprefix(ATTRIBUTE_PREFIX)


class _Chance:
    """Gives each candidate a series of random turns such that the next one is anybody's.

    The steps between the turns of one candidate are exponentially distributed: that process has
    no memory, so whoever has just had a turn is as likely as the others to have the next.
    """

    def __init__(self, entropy: bytes) -> None:
        self._entropy = entropy
        self._turns: dict[str, tuple[int, int]] = {}

    def next_turn(self, candidate: Candidate) -> int:
        number, turn = self._turns.get(candidate.arn, (0, 0))
        message = f"{number}/{candidate.arn}".encode()
        digest = hashlib.blake2b(message, key=self._entropy, digest_size=8).digest()
        chance = (int.from_bytes(digest, "big") + 1) / _RANDOM_STEPS
        turn += int(-math.log(chance) * _WAIT_STEPS)
        self._turns[candidate.arn] = (number + 1, turn)
        return turn


def bucket_of(candidate: Candidate, attribute: str) -> str | None:
    """Return the bucket of a spread attribute into which a candidate's tasks count."""
    attributes = candidate.instance.attributes
    return attributes[attribute] or "" if attribute in attributes else None


def spread_attributes(chain: Sequence[PlacementStrategy]) -> tuple[str, ...]:
    """Return the attributes over which a chain spreads, in its order, each once."""
    fields = [strategy.field or "" for strategy in chain if strategy.kind == SPREAD]
    names = [
        field.removeprefix(ATTRIBUTE_PREFIX) for field in fields if field not in INSTANCE_FIELDS
    ]
    return tuple(dict.fromkeys(names))


def count_buckets(
    chain: Sequence[PlacementStrategy], hosts: Iterable[Candidate]
) -> dict[str, dict[str | None, int]]:
    """Count the tasks that hosts hold by bucket of each attribute over which the chain spreads."""
    names = spread_attributes(chain)
    counts: dict[str, dict[str | None, int]] = {name: {} for name in names}
    for host in hosts:
        for name in names:
            bucket = bucket_of(host, name)
            counts[name][bucket] = counts[name].get(bucket, 0) + host.counted
    return counts
