"""Virtual time: order, cancelling, and processes that die."""

from homeport.sim.clock import START_MS, Life, SkewedClock, Stop, Timeline


def run_all(timeline: Timeline, until_ms: int = START_MS + 10_000) -> None:
    while timeline.step(until_ms):
        pass


def test_what_is_planned_for_one_millisecond_happens_in_the_order_of_planning():
    timeline = Timeline()
    seen: list[str] = []
    timeline.after(5, lambda: seen.append("second"))
    timeline.after(1, lambda: seen.append("first"))
    timeline.after(5, lambda: seen.append("third"))
    run_all(timeline)
    assert seen == ["first", "second", "third"]
    assert timeline.steps == 3


def test_time_jumps_to_what_happens_next_and_ends_at_the_bound():
    timeline = Timeline()
    seen: list[int] = []
    timeline.after(700, lambda: seen.append(timeline.now_ms))
    run_all(timeline)
    assert seen == [START_MS + 700]
    assert timeline.now_ms == START_MS + 10_000
    assert timeline.seconds == 10


def test_a_cancelled_action_does_not_happen():
    timeline = Timeline()
    seen: list[int] = []
    timer = timeline.after(1, lambda: seen.append(1))
    timer.cancel()
    run_all(timeline)
    assert seen == []
    assert timeline.steps == 0


def test_what_a_process_planned_dies_with_it():
    timeline = Timeline()
    life = Life()
    seen: list[str] = []
    timeline.after(1, lambda: seen.append("alive"), life)
    timeline.after(2, life.end)
    timeline.after(3, lambda: seen.append("undead"), life)
    run_all(timeline)
    assert seen == ["alive"]


def test_the_past_means_now_behind_what_waits():
    timeline = Timeline()
    seen: list[str] = []
    timeline.soon(lambda: seen.append("waits"))
    timeline.at(START_MS - 50, lambda: seen.append("late"))
    run_all(timeline)
    assert seen == ["waits", "late"]


def test_a_skewed_clock_is_off_by_its_offset():
    timeline = Timeline()
    clock = SkewedClock(timeline)
    clock.offset_ms = -300
    assert clock.now_ms() == START_MS - 300


def test_a_run_ends_at_the_moment_or_behind_the_step_that_was_asked_for():
    timeline = Timeline()
    seen: list[int] = []
    for number in range(4):
        timeline.after(10 * number, lambda number=number: seen.append(number))
    assert timeline.run(START_MS + 20, until_step=2, steps_per_moment=9) is Stop.AT_STEP
    assert seen == [0, 1]
    assert timeline.run(START_MS + 25, until_step=9, steps_per_moment=9) is Stop.AT_MOMENT
    assert (seen, timeline.now_ms, timeline.steps) == ([0, 1, 2], START_MS + 25, 3)


def test_what_plans_itself_for_the_same_moment_for_ever_ends_a_run():
    timeline = Timeline()

    def again() -> None:
        timeline.soon(again)

    again()
    assert timeline.run(START_MS + 1, until_step=999, steps_per_moment=50) is Stop.IN_A_LOOP
    assert timeline.now_ms == START_MS
