"""`homeport bench commits` in worlds so small that they take no time."""

from msgspec.structs import replace

from homeport.bench.commits import CommitCost, growth_of, measure_commits
from homeport.bench.scale_lines import GROWTH_TARGET, commit_lines


def test_every_change_is_measured_in_every_world_and_makes_the_same_commits():
    said: list[str] = []
    found = measure_commits(said.append, sizes=(20, 40), instances=5, rounds=3, disk_commits=8)

    by_change: dict[str, list[CommitCost]] = {}
    for cost in found.costs:
        by_change.setdefault(cost.change, []).append(cost)
    assert len(by_change) == 8
    for costs in by_change.values():
        assert [cost.tasks for cost in costs] == [20, 40]
        assert [cost.services for cost in costs] == [1, 2]
        assert costs[0].commits == costs[1].commits >= 1
        assert min(cost.cpu_us for cost in costs) > 0
    assert len(said) == 4
    assert found.on_disk_cpu_us.keys() == {20, 40}
    assert min(found.on_disk_cpu_us.values()) > 0


def test_growth_is_the_largest_worlds_cost_by_the_smallests():
    costs = [
        CommitCost(change=change, tasks=tasks, services=1, cpu_us=cpu_us, commits=1)
        for change, tasks, cpu_us in (("a", 10, 4.0), ("a", 99, 9.0), ("a", 100, 5.0))
    ]
    assert growth_of(costs) == {"a": 1.25}


def test_a_change_whose_cost_grows_misses_its_target():
    found = measure_commits(lambda _: None, sizes=(10, 20), instances=5, rounds=1, disk_commits=8)
    flat, grown = (dict.fromkeys(found.growth, each) for each in (GROWTH_TARGET, 1.3))
    for growth, is_met in ((flat, True), (grown, False)):
        *lines, on_disk = commit_lines(replace(found, growth=growth))
        assert on_disk.is_met is None  # a page a record, at most: it may grow so far
        assert {line.is_met for line in lines} == {is_met}
        assert all("at 10, " in line.beside for line in lines)
