"""Agents' reports in bounded numbers a turn, so that other calls aren't kept waiting by them."""

import asyncio

from homeport.server.report_turns import REPORTS_PER_TURN, ReportTurns


async def test_reports_of_a_quiet_fleet_go_through_at_once():
    turns = ReportTurns(asyncio.get_running_loop())
    for _ in range(REPORTS_PER_TURN):
        waiting = turns.wait()
        try:
            waiting.send(None)  # would suspend if it had to wait
        except StopIteration:
            continue
        raise AssertionError("a report had to wait")


async def test_a_flood_of_reports_is_spread_over_turns_in_the_order_of_its_arrival():
    turns = ReportTurns(asyncio.get_running_loop())
    done: list[int] = []

    async def report(number: int) -> None:
        await turns.wait()
        done.append(number)

    count = 5 * REPORTS_PER_TURN
    reports = [asyncio.create_task(report(number)) for number in range(count)]
    most, before = 0, 0
    while len(done) < count:
        await asyncio.sleep(0)
        most, before = max(most, len(done) - before), len(done)

    assert done == list(range(count))
    assert most == REPORTS_PER_TURN
    await asyncio.gather(*reports)


async def test_a_report_whose_client_went_away_takes_nobodys_turn():
    turns = ReportTurns(asyncio.get_running_loop())
    reports = [asyncio.create_task(turns.wait()) for _ in range(3 * REPORTS_PER_TURN)]
    await asyncio.sleep(0)
    for gone in reports[REPORTS_PER_TURN : 2 * REPORTS_PER_TURN]:
        gone.cancel()
    await asyncio.wait(reports)
    assert sum(not each.cancelled() for each in reports) == 2 * REPORTS_PER_TURN
