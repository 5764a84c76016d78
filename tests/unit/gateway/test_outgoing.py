"""Which tasks wait for a payload, and which payloads are sent again."""

from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outgoing import Outgoing

LIMITS = GatewayLimits(
    tasks_per_payload=2,
    unacknowledged_payloads=2,
    payload_resend_ms=1_000,
    payload_resend_max_ms=3_000,
)


def test_tasks_go_in_batches_each_once_in_the_order_in_which_they_were_wanted() -> None:
    outgoing = Outgoing(LIMITS)
    outgoing.want(("a", "b"))
    outgoing.want(("b", "c"))
    assert outgoing.take_batch() == (("a", "b"), 1_000)
    assert outgoing.take_batch() == (("c",), 1_000)
    assert outgoing.take_batch() == ((), 0)


def test_too_many_unacknowledged_payloads_hold_the_rest_back() -> None:
    outgoing = Outgoing(LIMITS)
    outgoing.want(tuple("abcdef"))
    for number in range(2):
        arns, wait_ms = outgoing.take_batch()
        outgoing.note_sent(str(number), arns, wait_ms=wait_ms, now_ms=0)
    assert outgoing.take_batch() == ((), 0)
    outgoing.note_acknowledged("0")
    assert outgoing.take_batch() == (("e", "f"), 1_000)


def test_a_lost_payload_comes_again_later_and_later_up_to_a_bound() -> None:
    outgoing = Outgoing(LIMITS)
    outgoing.want(("a",))
    waits = []
    now_ms = 0
    for number in range(4):
        arns, wait_ms = outgoing.take_batch()
        outgoing.note_sent(str(number), arns, wait_ms=wait_ms, now_ms=now_ms)
        assert outgoing.due_ms == now_ms + wait_ms
        assert outgoing.requeue_lost(now_ms + wait_ms - 1) == 0
        now_ms += wait_ms
        assert outgoing.requeue_lost(now_ms) == 1
        waits.append(wait_ms)
    assert waits == [1_000, 2_000, 3_000, 3_000]


def test_an_acknowledged_payload_is_forgotten_and_a_stray_acknowledgement_ignored() -> None:
    outgoing = Outgoing(LIMITS)
    outgoing.want(("a",))
    arns, wait_ms = outgoing.take_batch()
    outgoing.note_sent("m", arns, wait_ms=wait_ms, now_ms=0)
    outgoing.note_acknowledged("other")
    outgoing.note_acknowledged("m")
    assert outgoing.requeue_lost(1_000_000) == 0
    assert outgoing.due_ms is None


def test_a_task_wanted_anew_while_its_payload_is_lost_waits_the_short_time_again() -> None:
    outgoing = Outgoing(LIMITS)
    outgoing.want(("a",))
    arns, _ = outgoing.take_batch()
    outgoing.note_sent("m", arns, wait_ms=2_000, now_ms=0)
    outgoing.want(("a",))
    outgoing.requeue_lost(2_000)
    assert outgoing.take_batch() == (("a",), 1_000)
