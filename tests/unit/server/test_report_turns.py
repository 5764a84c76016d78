"""Agents' reports in bounded numbers a turn, so that other calls aren't kept waiting by them."""

import asyncio
from functools import partial

from homeport.server.report_turns import REPORTS_PER_TURN, ReportTurns


async def test_reports_of_a_quiet_fleet_go_through_at_once():
    turns = ReportTurns(asyncio.get_running_loop())
    done: list[int] = []
    for number in range(REPORTS_PER_TURN):
        turns.take(partial(done.append, number))
    assert done == list(range(REPORTS_PER_TURN))


async def test_a_flood_of_reports_is_spread_over_turns_in_the_order_of_its_arrival():
    turns = ReportTurns(asyncio.get_running_loop())
    done: list[int] = []
    count = 5 * REPORTS_PER_TURN
    for number in range(count):
        turns.take(partial(done.append, number))
    most, before = len(done), len(done)
    while len(done) < count:
        await asyncio.sleep(0)
        most, before = max(most, len(done) - before), len(done)

    assert done == list(range(count))
    assert most == REPORTS_PER_TURN
