"""Bounds on what runs at once, and waits between tries."""

import asyncio

import pytest

from homeport.agent.gate import Backoff, Precedence, PriorityGate


async def hold(gate: PriorityGate, name: str, priority: int, log: list[str]) -> None:
    async with gate.slot(priority):
        log.append(name)
        await asyncio.sleep(0)


async def test_of_those_that_wait_the_lowest_number_goes_first():
    gate, log = PriorityGate(1), list[str]()
    async with gate.slot(0):
        waiting = [
            asyncio.create_task(hold(gate, name, priority, log))
            for name, priority in (("late", 1), ("first", 0), ("later", 1), ("second", 0))
        ]
        await asyncio.sleep(0)
        assert log == []
    await asyncio.gather(*waiting)
    assert log == ["first", "second", "late", "later"]


async def test_no_more_than_its_size_is_let_in_and_every_slot_comes_back():
    gate, inside, most = PriorityGate(3), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with gate.slot(0):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3
    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3


async def test_a_wait_that_is_given_up_costs_no_slot():
    gate, log = PriorityGate(1), list[str]()
    async with gate.slot(0):
        quits = asyncio.create_task(hold(gate, "quits", 0, log))
        stays = asyncio.create_task(hold(gate, "stays", 1, log))
        await asyncio.sleep(0)
        quits.cancel()
    # The slot was handed to the first just before its cancellation arrived, or not: never lost.
    await asyncio.gather(quits, stays, return_exceptions=True)
    assert log == ["stays"]
    await asyncio.wait_for(hold(gate, "after", 0, log), timeout=1)


async def test_an_error_inside_gives_the_slot_back():
    gate = PriorityGate(1)
    with pytest.raises(RuntimeError):
        async with gate.slot(0):
            raise RuntimeError
    await asyncio.wait_for(hold(gate, "after", 0, []), timeout=1)


def test_waits_grow_to_a_limit_and_start_over():
    backoff = Backoff(first_s=1.0, last_s=4.0, factor=2.0)
    waits = [backoff.next_s() for _ in range(5)]
    for wait, middle in zip(waits, (1.0, 2.0, 4.0, 4.0, 4.0), strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle
    backoff.reset()
    assert backoff.next_s() <= 1.2


async def test_what_waits_goes_on_once_nothing_goes_first_any_more():
    precedence = Precedence(patience_s=60)
    precedence.begin()
    precedence.begin()
    waiting = asyncio.create_task(precedence.wait())
    precedence.end()
    await asyncio.sleep(0)
    assert not waiting.done()
    precedence.end()
    await asyncio.wait_for(waiting, 1)


async def test_nobody_waits_when_nothing_goes_first():
    await asyncio.wait_for(Precedence(patience_s=60).wait(), 1)


async def test_what_waits_goes_on_when_its_patience_is_at_its_end():
    precedence = Precedence(patience_s=0.001)
    precedence.begin()
    await asyncio.wait_for(precedence.wait(), 1)
