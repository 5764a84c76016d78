"""Which capacity provider the next task goes to, and which one gives one up: base and weight.

Reference: capacity-and-scaling §2. Whether a provider may be named at all is decided by the
operations; where on its container instances a task goes, by placement.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from homeport.model.capacity_provider import StrategyItem

_Share = tuple[Fraction, int]


def split_tasks(
    strategy: Sequence[StrategyItem], count: int, known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Divide `count` new tasks among a strategy's providers; `known` tasks are there already.

    First every provider gets its base; then each task goes where tasks beyond the base are fewest
    for the weight, the earlier item first. Providers that get none are left out. If all weights
    are 0, what is beyond the bases is left over.
    """
    have = {item.provider: (known or {}).get(item.provider, 0) for item in strategy}
    added = dict.fromkeys(have, 0)
    for _ in range(count):
        item = _next_item(strategy, have)
        if item is None:
            break
        have[item.provider] += 1
        added[item.provider] += 1
    return {provider: number for provider, number in added.items() if number}


def surplus_provider(strategy: Sequence[StrategyItem], known: Mapping[str, int]) -> str | None:
    """Return the provider that is most over its share, whose task goes first at scale-in.

    Tasks of providers that the strategy doesn't name go before all others. None when there is no
    task.
    """
    named = {item.provider for item in strategy}
    strangers = sorted(p for p, number in known.items() if number and p not in named)
    if strangers:
        return strangers[0]
    best: tuple[_Share, str] | None = None
    for index, item in enumerate(strategy):
        if not known.get(item.provider):
            continue
        beyond = known[item.provider] - item.base
        # Within its base a provider gives up its tasks last; without a weight, first beyond it.
        share = Fraction(beyond, item.weight) if item.weight else Fraction(beyond * 1_001)
        candidate = ((share if beyond > 0 else Fraction(-1), index), item.provider)
        if best is None or candidate > best:
            best = candidate
    return None if best is None else best[1]


def _next_item(strategy: Sequence[StrategyItem], have: Mapping[str, int]) -> StrategyItem | None:
    for item in strategy:
        if have[item.provider] < item.base:
            return item
    weighted = [item for item in strategy if item.weight > 0]
    if not weighted:
        return None
    return min(weighted, key=lambda item: Fraction(have[item.provider] - item.base, item.weight))
