"""A chain of strategies as what is compared: buckets of attributes, and numbers of single rows.

The numbers of a row, in the order of the chain and with its place in the order of ARNs last, are
packed into one integer, so that a heap of integers is a ranking. `shelf` makes them for all rows
at once, `picking` for one row at a time.
"""

import hashlib
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from homeport.core.placement.strategies import (
    ATTRIBUTE_PREFIX,
    BINPACK,
    INSTANCE_FIELDS,
    LEAST_LOADED,
    RANDOM,
)
from homeport.model.placement import PlacementStrategy
from homeport.state.fleet import Ints

# The numbers that a row can be ranked by; the lowest is the best.
TASKS = "tasks"  # wanted tasks of the group
CPU = "cpu"  # CPU units left
MEMORY = "memory"  # MiB left
LOAD = "load"  # how full, in permille
TURN = "turn"  # a lot drawn

CHAINS = 256  # whose rules are kept
LOAD_STEPS = 1_000
LOAD_BITS = 10
TURN_BITS = 36
TURN_STEPS = 65_536
_MASK_64 = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


class Rules(NamedTuple):
    """What a chain compares, in its order: an attribute's name, or one of the numbers above."""

    sequence: tuple[str, ...]
    attributes: tuple[str, ...]
    numbers: tuple[str, ...]

    has_attributes_first: bool  # every bucket is compared before any number


@lru_cache(maxsize=CHAINS)
def rules_of(chain: tuple[PlacementStrategy, ...]) -> Rules:
    """Return what a chain compares; what comes behind a lot can't matter any more."""
    sequence: dict[str, None] = {}
    attributes: list[str] = []
    for strategy in chain:
        rule, is_attribute = _rule_of(strategy)
        if rule in sequence:
            continue
        sequence[rule] = None
        if is_attribute:
            attributes.append(rule)
        if rule == TURN:
            break
    numbers = tuple(rule for rule in sequence if rule not in attributes)
    is_first = tuple(sequence) == (*attributes, *numbers)
    return Rules(tuple(sequence), tuple(attributes), numbers, is_first)


def _rule_of(strategy: PlacementStrategy) -> tuple[str, bool]:
    if strategy == LEAST_LOADED:
        return LOAD, False
    if strategy.kind == RANDOM:
        return TURN, False
    field = strategy.field or ""
    if strategy.kind == BINPACK:
        return (CPU if field.lower() == "cpu" else MEMORY), False
    if field in INSTANCE_FIELDS:
        return TASKS, False
    return ATTRIBUTE_PREFIX + field.removeprefix(ATTRIBUTE_PREFIX), True


def load_permille(cpu_units: int, free_cpu_units: int, memory_mib: int, free_mib: int) -> int:
    """Return how full a row is: the fuller one of CPU and memory."""
    return max(
        (cpu_units - free_cpu_units) * LOAD_STEPS // (cpu_units or 1),
        (memory_mib - free_mib) * LOAD_STEPS // (memory_mib or 1),
    )


class Chance:
    """Gives each row a series of lots such that the next turn is anybody's.

    The steps between the turns of one row are exponentially distributed: that process has no
    memory, so whoever has just had a turn is as likely as the others to have the next.
    """

    def __init__(self, entropy: bytes) -> None:
        digest = hashlib.blake2b(entropy, digest_size=8).digest()
        self._seed = int.from_bytes(digest, "big")

    def first_turns(self, ranks: Ints) -> Ints:
        """Draw the first lot of many rows."""
        numbers = ranks.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(self._seed)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(_MIX_1)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(_MIX_2)
        numbers ^= numbers >> np.uint64(31)
        return np.array([_wait(number) for number in numbers.tolist()], np.int64)

    def turn_after(self, turn: int, rank: int, number: int) -> int:
        """Draw the lot of a row that follows `turn`, the `number`-th of this call."""
        mixed = (rank * _GOLDEN + self._seed + number * _MIX_1) & _MASK_64
        mixed = ((mixed ^ (mixed >> 30)) * _MIX_1) & _MASK_64
        mixed = ((mixed ^ (mixed >> 27)) * _MIX_2) & _MASK_64
        return turn + _wait(mixed ^ (mixed >> 31))


def _wait(number: int) -> int:
    return int(-math.log((number + 1) / 2**64) * TURN_STEPS)
