"""A task that asks too often is held back; others aren't."""

from homeport.agent import request_rate
from homeport.agent.request_rate import RequestRate


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_admitted_and_then_the_steady_rate():
    clock = Clock()
    rate = RequestRate(per_second=2, burst=3, clock=clock)
    assert [rate.admits("t") for _ in range(4)] == [True, True, True, False]
    clock.now_s = 0.5
    assert [rate.admits("t") for _ in range(2)] == [True, False]
    clock.now_s = 100
    assert [rate.admits("t") for _ in range(4)] == [True, True, True, False]


def test_one_tasks_haste_does_not_slow_another():
    rate = RequestRate(per_second=1, burst=1, clock=Clock())
    assert rate.admits("a")
    assert not rate.admits("a")
    assert rate.admits("b")


def test_callers_are_forgotten_rather_than_kept_without_end(monkeypatch):
    monkeypatch.setattr(request_rate, "MAX_CALLERS", 2)
    rate = RequestRate(per_second=1, burst=1, clock=Clock())
    assert all(rate.admits(name) for name in ("a", "b", "c"))
    assert rate.admits("a")  # forgotten, so that it begins anew
