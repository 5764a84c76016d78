"""Bounds on what runs at once, and waits between tries."""

import asyncio

from homeport.agent.gate import Backoff, Precedence, SharedWork


async def test_work_under_way_is_done_once_for_all_that_ask_for_it():
    shared, done, may_end = SharedWork[str](), list[str](), asyncio.Event()

    async def work(name: str) -> str:
        await may_end.wait()
        done.append(name)
        return name.upper()

    asking = [asyncio.create_task(shared.join(name, work)) for name in ("a", "b", "a", "a")]
    await asyncio.sleep(0)
    may_end.set()
    assert await asyncio.gather(*asking) == ["A", "B", "A", "A"]
    assert sorted(done) == ["a", "b"]
    await shared.join("a", work)
    assert sorted(done) == ["a", "a", "b"]  # what has ended is done anew


async def test_who_gives_up_shared_work_leaves_it_to_the_others_and_an_error_reaches_all():
    shared, may_end = SharedWork[str](), asyncio.Event()

    async def fail(_name: str) -> str:
        await may_end.wait()
        raise ValueError

    quits, stays, too = (asyncio.create_task(shared.join("a", fail)) for _ in range(3))
    await asyncio.sleep(0)
    quits.cancel()
    may_end.set()
    ends = await asyncio.gather(quits, stays, too, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, ValueError, ValueError]


async def test_shared_work_is_given_up_as_a_whole():
    shared, never = SharedWork[bool](), asyncio.Event()
    asking = asyncio.create_task(shared.join("a", lambda _name: never.wait()))
    await asyncio.sleep(0)
    await shared.cancel()
    assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], BaseException)


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
