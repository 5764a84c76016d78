"""Which capacity provider the next task goes to, and which one gives one up: base and weight.

Reference: capacity-and-scaling §2. Whether a provider may be named at all is decided by the
operations; where on its container instances a task goes, by placement.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from homeport.model.capacity_provider import StrategyItem


def split_tasks(
    strategy: Sequence[StrategyItem], count: int, known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Divide `count` new tasks among a strategy's providers; `known` tasks are there already.

    First every provider gets its base; then each task goes where tasks beyond the base are fewest
    for the weight, the earlier item first. Providers that get none are left out. If all weights
    are 0, what is beyond the bases is left over.
    """
    have = {item.provider: (known or {}).get(item.provider, 0) for item in strategy}
    before = dict(have)
    left = count
    for item in strategy:
        based = min(left, max(0, item.base - have[item.provider]))
        have[item.provider] += based
        left -= based
    weighted = [item for item in strategy if item.weight > 0]
    if all(have[item.provider] <= item.base for item in weighted):
        for provider, number in _first_shares(weighted, left).items():
            have[provider] += number
            left -= number
    for _ in range(left if weighted else 0):
        least = min(weighted, key=lambda each: _beyond_base(each, have))
        have[least.provider] += 1
    return {p: number - before[p] for p, number in have.items() if number > before[p]}


def surplus_tasks(
    strategy: Sequence[StrategyItem], known: Mapping[str, int], count: int
) -> dict[str, int]:
    """Return how many tasks each provider has that it hadn't if there were `count` fewer.

    So scale-in takes back what scale-out has given, in whatever steps. Tasks of providers that the
    strategy doesn't name are all too many.
    """
    fewer = split_tasks(strategy, max(0, sum(known.values()) - count))
    over = {provider: number - fewer.get(provider, 0) for provider, number in known.items()}
    return {provider: number for provider, number in over.items() if number > 0}


def _first_shares(weighted: Sequence[StrategyItem], count: int) -> dict[str, int]:
    """Divide almost all of `count` tasks beyond the bases at once, as one by one would.

    Every provider that has fewer for its weight than some level is served before any that has as
    many: so all may be filled up to a level that `count` certainly reaches.
    """
    total = sum(item.weight for item in weighted)
    level = max(0, count - len(weighted))
    return {item.provider: -(-level * item.weight // total) for item in weighted}


def _beyond_base(item: StrategyItem, have: Mapping[str, int]) -> Fraction:
    return Fraction(have[item.provider] - item.base, item.weight)
