"""A warning is logged once an hour, whoever repeats what leads to it."""

from homeport.gateway.log_once import KEYS_LIMIT, REPEAT_AFTER_MS, LogOnce


def test_the_same_warning_is_news_again_after_an_hour_only():
    log = LogOnce()
    assert log.is_news("peer", "bad frame", 0)
    assert not log.is_news("peer", "bad frame", REPEAT_AFTER_MS - 1)
    assert log.is_news("peer", "bad frame", REPEAT_AFTER_MS)


def test_others_and_other_troubles_are_news_of_their_own():
    log = LogOnce()
    assert all(log.is_news(who, what, 0) for who in "ab" for what in "xy")


def test_what_is_remembered_is_bounded():
    log = LogOnce()
    for number in range(KEYS_LIMIT + 1):
        assert log.is_news(str(number), "x", 0)
    assert not log.is_news(str(KEYS_LIMIT), "x", 0)
    assert log.is_news("0", "x", 0)
