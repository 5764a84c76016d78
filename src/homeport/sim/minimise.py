"""Makes a failing scenario smaller, piece by piece, as long as the same truth still fails."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from homeport.sim.scenario import Scenario
from homeport.sim.world import Outcome

T = TypeVar("T")
Run = Callable[[Scenario], Outcome]
TRIES_LIMIT = 400
SHORTER = 0.5


def minimise(scenario: Scenario, truth: str, run: Run) -> Scenario:
    """Return the smallest scenario found that fails the same truth; runs it many times."""
    tries = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in _smaller(scenario):
            tries += 1
            if tries > TRIES_LIMIT:
                return scenario
            failure = run(candidate).failure
            if failure is not None and failure.truth == truth:
                scenario, is_smaller = candidate, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Yield scenarios with one thing less, the big cuts first."""
    for faults in _shorter(scenario.faults):
        yield replace(scenario, faults=faults)
    for deeds in _shorter(scenario.deeds):
        yield replace(scenario, deeds=deeds)
    for name in scenario.services:
        services = {other: wish for other, wish in scenario.services.items() if other != name}
        kept = tuple(deed for deed in scenario.deeds if deed.service != name)
        yield replace(scenario, services=services, deeds=kept)
    count = scenario.fleet.instances
    for fewer in dict.fromkeys((count // 2, count - 1)):
        if fewer:
            yield replace(scenario, fleet=replace(scenario.fleet, instances=fewer))
    for number, fault in enumerate(scenario.faults):
        if fault.every_s is not None:
            faults = _with(scenario.faults, number, replace(fault, every_s=None))
            yield replace(scenario, faults=faults)
    for number, deed in enumerate(scenario.deeds):
        if deed.every_s is not None:
            deeds = _with(scenario.deeds, number, replace(deed, every_s=None))
            yield replace(scenario, deeds=deeds)
    if scenario.safety_s > 1:
        yield replace(scenario, safety_s=scenario.safety_s * SHORTER)


def _shorter(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Yield both halves, then all but one."""
    middle = len(items) // 2
    if middle:
        yield items[:middle]
        yield items[middle:]
    for number in range(len(items)):
        yield items[:number] + items[number + 1 :]


def _with(items: tuple[T, ...], number: int, item: T) -> tuple[T, ...]:
    return (*items[:number], item, *items[number + 1 :])
