"""Base and weight: who gets the next task, and who gives one up."""

from hypothesis import given
from hypothesis import strategies as st

from homeport.core.capacity.strategy import split_tasks, surplus_tasks
from homeport.model.capacity_provider import StrategyItem


def test_weights_divide_tasks_in_their_ratio() -> None:
    strategy = (StrategyItem("a", weight=1), StrategyItem("b", weight=4))
    assert split_tasks(strategy, 10) == {"a": 2, "b": 8}


def test_the_base_is_filled_before_weights_count() -> None:
    strategy = (StrategyItem("a", weight=1, base=2), StrategyItem("b", weight=1))
    assert split_tasks(strategy, 2) == {"a": 2}
    assert split_tasks(strategy, 6) == {"a": 4, "b": 2}


def test_a_provider_without_weight_gets_nothing_beyond_its_base() -> None:
    strategy = (StrategyItem("a", base=1), StrategyItem("b", weight=3))
    assert split_tasks(strategy, 5) == {"a": 1, "b": 4}


def test_without_any_weight_only_the_base_is_assigned() -> None:
    assert split_tasks((StrategyItem("a", base=1),), 3) == {"a": 1}


def test_tasks_that_are_there_count_towards_the_ratio() -> None:
    strategy = (StrategyItem("a", weight=1), StrategyItem("b", weight=1))
    assert split_tasks(strategy, 2, {"a": 3, "b": 1}) == {"b": 2}


def test_scale_in_takes_what_a_provider_has_beyond_its_share() -> None:
    strategy = (StrategyItem("a", weight=1, base=1), StrategyItem("b", weight=1))
    assert surplus_tasks(strategy, {"a": 1, "b": 1}, 1) == {"b": 1}
    assert surplus_tasks(strategy, {"a": 4, "b": 1}, 1) == {"a": 1}
    assert surplus_tasks(strategy, {"a": 1}, 1) == {"a": 1}
    assert surplus_tasks(strategy, {"a": 4, "b": 1}, 0) == {"a": 1}
    assert surplus_tasks(strategy, {}, 1) == {}


def test_tasks_of_providers_that_are_no_longer_named_are_all_too_many() -> None:
    assert surplus_tasks((StrategyItem("a", weight=1),), {"a": 9, "old": 1}, 1) == {"old": 1}


items = st.lists(
    st.builds(StrategyItem, st.sampled_from("abcde"), st.integers(1, 9)),
    min_size=1,
    max_size=5,
    unique_by=lambda item: item.provider,
)


@given(items, st.integers(0, 200), st.integers(0, 50))
def test_starting_tasks_one_by_one_or_at_once_divides_them_alike(
    strategy: list[StrategyItem], first: int, second: int
) -> None:
    at_once = split_tasks(strategy, first + second)
    before = split_tasks(strategy, first)
    after = split_tasks(strategy, second, before)
    both = {p: before.get(p, 0) + after.get(p, 0) for p in {**before, **after}}
    assert both == at_once
    assert sum(at_once.values()) == first + second


@given(items, st.integers(1, 100))
def test_no_provider_is_a_whole_task_from_its_share(
    strategy: list[StrategyItem], count: int
) -> None:
    weights = sum(item.weight for item in strategy)
    shares = split_tasks(strategy, count)
    for item in strategy:
        exact = count * item.weight / weights
        assert abs(shares.get(item.provider, 0) - exact) < max(1, len(strategy))


@given(items, st.integers(0, 200), st.integers(0, 200))
def test_scale_in_takes_back_what_scale_out_has_given(
    strategy: list[StrategyItem], kept: int, gone: int
) -> None:
    before = split_tasks(strategy, kept + gone)
    over = surplus_tasks(strategy, before, gone)
    left = {p: number - over.get(p, 0) for p, number in before.items()}
    assert {p: number for p, number in left.items() if number} == split_tasks(strategy, kept)


@given(items, st.integers(0, 9), st.integers(0, 200))
def test_all_at_once_each_task_goes_where_one_by_one_it_would(
    strategy: list[StrategyItem], base: int, count: int
) -> None:
    based = [StrategyItem(strategy[0].provider, strategy[0].weight, base), *strategy[1:]]
    have: dict[str, int] = {}
    for _ in range(count):
        for provider in split_tasks(based, 1, have):
            have[provider] = have.get(provider, 0) + 1
    assert split_tasks(based, count) == have
