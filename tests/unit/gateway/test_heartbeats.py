"""When heartbeats go out, and when a silent agent is given up."""

from homeport.gateway.heartbeats import Heartbeats
from homeport.gateway.limits import GatewayLimits

LIMITS = GatewayLimits(heartbeat_interval_ms=30_000, agent_silence_ms=90_000)


def make(*, must_answer: bool = True) -> Heartbeats:
    return Heartbeats(LIMITS, now_ms=0, must_answer=must_answer)


def test_the_first_heartbeat_is_due_at_once_and_the_next_one_interval_later() -> None:
    heartbeats = make()
    assert heartbeats.is_due(0)
    heartbeats.note_sent("a", 0)
    assert not heartbeats.is_due(29_999)
    assert heartbeats.is_due(30_000)
    assert heartbeats.due_ms == 30_000


def test_an_agent_is_given_up_one_silence_after_its_last_sign_of_life() -> None:
    heartbeats = make()
    heartbeats.note_sent("a", 0)
    heartbeats.note_answered("a")
    for at_ms in (30_000, 60_000):
        heartbeats.note_sent(str(at_ms), at_ms)
    assert not heartbeats.is_unanswered(89_999)
    assert heartbeats.is_unanswered(90_000)
    assert heartbeats.due_ms == 90_000


def test_an_answer_covers_the_heartbeats_before_it() -> None:
    heartbeats = make()
    for number, name in enumerate("abc"):
        heartbeats.note_sent(name, number * 30_000)
    heartbeats.note_answered("b")
    assert not heartbeats.is_unanswered(60_000 + 59_999)
    assert heartbeats.is_unanswered(60_000 + 60_000)


def test_a_stray_answer_means_nothing() -> None:
    heartbeats = make()
    heartbeats.note_sent("a", 0)
    heartbeats.note_answered("z")
    assert heartbeats.is_unanswered(60_000)


def test_an_agent_of_the_first_protocol_version_need_not_answer() -> None:
    heartbeats = make(must_answer=False)
    heartbeats.note_sent("a", 0)
    assert not heartbeats.is_unanswered(10_000_000)
    assert heartbeats.due_ms == 30_000


def test_a_silence_shorter_than_two_intervals_still_leaves_one_interval_to_answer() -> None:
    limits = GatewayLimits(heartbeat_interval_ms=30_000, agent_silence_ms=10_000)
    heartbeats = Heartbeats(limits, now_ms=0, must_answer=True)
    heartbeats.note_sent("a", 0)
    assert not heartbeats.is_unanswered(29_999)
    assert heartbeats.is_unanswered(30_000)
