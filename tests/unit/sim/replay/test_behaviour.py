"""How simulated tasks behave: as those of the journal did."""

from homeport.sim.chance import Stream
from homeport.sim.replay.behaviour import (
    NEAR_MS,
    NEIGHBOURS,
    START_DEFAULT_MS,
    STOP_DEFAULT_MS,
    WAIT_FACTOR,
    Behaviours,
)
from homeport.sim.replay.lives import TaskLife

BEGINS_MS = 1_000_000
ENDS_MS = 9_000_000
WEB = ("service", "web:1")


def make_life(number: int, **members) -> TaskLife:
    """A task of the service that was placed at once, and RUNNING a second later."""
    created_ms = members.pop("created_ms", BEGINS_MS + number * 10_000)
    fields = {
        "arn": f"task-{number}",
        "service_arn": "service",
        "definition_arn": "web:1",
        "images": "web",
        "cpu_units": 1,
        "memory_mib": 1,
        "created_ms": created_ms,
        "placed_ms": created_ms,
        "started_ms": created_ms + 1_000,
        "instance_arn": "one",
    }
    return TaskLife(**{**fields, **members})


def learn(*lives: TaskLife) -> Behaviours:
    return Behaviours(lives, begins_ms=BEGINS_MS, ends_ms=ENDS_MS, chance=Stream(1, "test"))


def plan(known: Behaviours, **members):
    usual = {"images": "web", "is_cold": False, "now_ms": BEGINS_MS}
    return known.plan(WEB, **{**usual, **members})


def test_the_nth_task_of_a_service_and_revision_behaves_as_the_nth_one_did():
    lives = [make_life(n, started_ms=BEGINS_MS + n * 10_000 + 100 * (n + 1)) for n in range(3)]
    known = learn(*reversed(lives))
    plans = [plan(known, is_cold=n == 0) for n in range(3)]
    assert [each.start_ms for each in plans] == [100, 200, 300]
    assert [each.source_arn for each in plans] == ["task-0", "task-1", "task-2"]


def test_tasks_beyond_those_of_the_journal_are_drawn_from_them_and_are_nobodys():
    known = learn(make_life(1, started_ms=BEGINS_MS + 10_700))
    plan(known, is_cold=True)
    for _ in range(5):
        drawn = plan(known, is_cold=True)
        assert (drawn.start_ms, drawn.source_arn) == (700, None)


def test_what_a_task_does_is_what_one_on_its_container_instance_did():
    places = ("one", "two", "two")
    known = learn(*(make_life(n, instance_arn=name) for n, name in enumerate(places)))
    placed = [plan(known, instance_arn=name).source_arn for name in ("two", "one", "three", "two")]
    assert placed == ["task-1", "task-0", "task-2", None]


def test_a_task_behaves_as_one_that_was_made_at_about_its_time():
    lives = [make_life(n, created_ms=BEGINS_MS + n * NEAR_MS) for n in range(5)]
    known = learn(*lives)
    assert plan(known, now_ms=BEGINS_MS + 3 * NEAR_MS).source_arn == "task-3"
    # Whatever was the matter then doesn't come later, nor does what comes later come now.
    assert plan(known, now_ms=BEGINS_MS + 3 * NEAR_MS).source_arn == "task-4"
    assert plan(known, now_ms=BEGINS_MS + 3 * NEAR_MS).source_arn is None


def test_one_task_too_many_is_like_those_just_before_it():
    broken = [
        make_life(
            n,
            created_ms=BEGINS_MS,
            started_ms=None,
            stopped_ms=BEGINS_MS + 9,
            stop_code="TaskFailedToStart",
        )
        for n in range(NEIGHBOURS)
    ]
    mended = [make_life(9, created_ms=BEGINS_MS + 2 * NEAR_MS)] * 20
    known = learn(*broken, *mended)
    drawn = [plan(known, now_ms=BEGINS_MS + 1) for _ in range(3 * NEIGHBOURS)]
    assert {each.fails_ms for each in drawn} == {9}


def test_a_stop_that_its_agent_could_not_hear_yet_took_no_longer_than_from_then():
    late = make_life(
        1,
        stopping_ms=BEGINS_MS + 20_000,
        told_ms=BEGINS_MS + 50_000,
        stopped_ms=BEGINS_MS + 50_300,
        stop_code="UserInitiated",
    )
    assert plan(learn(late), is_cold=True).stop_ms == 300


def test_a_revision_that_the_journal_never_ran_behaves_as_its_image_did():
    known = learn(make_life(1, started_ms=BEGINS_MS + 10_700))
    drawn = known.plan(("service", "web:2"), images="web", is_cold=True, now_ms=BEGINS_MS)
    assert drawn.start_ms == 700
    unknown = known.plan(("service", "other:1"), images="other", is_cold=True, now_ms=BEGINS_MS)
    assert (unknown.start_ms, unknown.stop_ms) == (START_DEFAULT_MS, STOP_DEFAULT_MS)
    assert unknown.runs_ms is None


def test_an_image_is_pulled_by_the_first_task_of_each_instance_only():
    first = make_life(1, pull_ms=800)
    second = make_life(2, pull_ms=5)
    known = learn(first, second)
    assert plan(known, is_cold=False).start_ms == 200 + 5  # the first one's start, the other's pull
    assert plan(known, is_cold=True).start_ms == 995 + 800


def test_a_task_that_ended_by_itself_ends_again_with_the_same_exit_code():
    ended = make_life(
        1,
        stopped_ms=BEGINS_MS + 15_000,
        stop_code="EssentialContainerExited",
        exits=(("app", 3, None),),
        reason="Essential container in task exited",
    )
    again = plan(learn(ended), is_cold=True)
    assert again.runs_ms == 4_000
    assert again.exits == (("app", 3, None),)
    assert again.fails_ms is None


def test_a_task_that_failed_to_start_fails_again_after_as_long():
    failed = make_life(
        1, started_ms=None, stopped_ms=BEGINS_MS + 12_500, stop_code="TaskFailedToStart"
    )
    again = plan(learn(failed), is_cold=True)
    assert (again.fails_ms, again.runs_ms) == (2_500, None)


def test_a_task_that_was_stopped_might_have_run_for_ever_and_takes_as_long_to_stop():
    stopped = make_life(
        1,
        stopping_ms=BEGINS_MS + 20_000,
        stopped_ms=BEGINS_MS + 20_300,
        stop_code="UserInitiated",
    )
    again = plan(learn(stopped), is_cold=True)
    assert (again.runs_ms, again.stop_ms) == (None, 300)


def test_a_stop_that_nobody_waited_for_teaches_nothing():
    orphaned = make_life(1, stopping_ms=BEGINS_MS + 20_000, stopped_ms=BEGINS_MS + 20_000)
    assert plan(learn(orphaned), is_cold=True).stop_ms == STOP_DEFAULT_MS


def test_a_task_that_was_stopped_before_it_ran_would_have_needed_longer():
    quick = make_life(1)
    waiting = make_life(
        2,
        started_ms=None,
        stopping_ms=BEGINS_MS + 60_000,
        stopped_ms=BEGINS_MS + 60_000,
        stop_code="ServiceSchedulerInitiated",
    )
    known = learn(quick, waiting)
    assert plan(known, is_cold=True).start_ms == 1_000
    assert plan(known).start_ms == WAIT_FACTOR * 40_000


def test_health_comes_as_long_after_running_as_it_did():
    began_ms = BEGINS_MS + 10_000
    lived = make_life(1, health=((began_ms + 3_000, "HEALTHY"), (began_ms + 9_000, "UNHEALTHY")))
    assert plan(learn(lived), is_cold=True).health == ((2_000, "HEALTHY"), (8_000, "UNHEALTHY"))


def test_a_standalone_task_has_the_life_of_the_one_that_it_stands_for():
    slow = make_life(1, service_arn=None, started_ms=BEGINS_MS + 17_000)
    quick = make_life(2, service_arn=None, started_ms=BEGINS_MS + 20_500)
    known = learn(slow, quick)
    asked = known.plan(
        (None, "web:1"), images="web", is_cold=False, now_ms=BEGINS_MS, source_arn="task-2"
    )
    assert asked.start_ms == 500


def test_a_task_that_ran_before_the_journal_begins_runs_at_once_and_ends_when_it_did():
    before = make_life(
        1,
        created_ms=BEGINS_MS - 50_000,
        stopped_ms=BEGINS_MS + 4_000,
        stop_code="EssentialContainerExited",
    )
    plan = learn(before).plan_base(WEB, images="web", early_ms=600_000)
    assert (plan.start_ms, plan.runs_ms) == (0, 604_000)


def test_a_task_that_was_pending_when_the_journal_begins_starts_when_it_did():
    pending = make_life(1, created_ms=BEGINS_MS - 2_000, started_ms=BEGINS_MS + 3_000)
    known = learn(pending)
    assert known.plan_base(WEB, images="web", early_ms=600_000).start_ms == 603_000
