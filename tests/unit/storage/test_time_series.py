"""What agents publish is kept over time, within bounds."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import make_container_instance, make_service, make_task
from homeport.model.metrics import CONTAINER, TASK, TOTAL, MetricPoint, MetricsQuestion
from homeport.model.task import Task
from homeport.storage import time_series
from homeport.storage.time_series import RETENTION_MS, TimeSeries, open_time_series
from homeport.wire.agent_messages import tcs

NOW_MS = 1_700_000_040_000
PERIOD_MS = 60_000
INSTANCE, OTHER_INSTANCE = make_container_instance("one"), make_container_instance("two")
SERVICE = make_service()
ONE = make_task("one", instance=INSTANCE)
TWO = make_task("two", instance=INSTANCE, service=SERVICE)
FOREIGN = make_task("foreign", instance=OTHER_INSTANCE)
FIND_TASK = {task.arn: task for task in (ONE, TWO, FOREIGN)}.get


@pytest.fixture
def series(tmp_path: Path) -> Iterator[TimeSeries]:
    opened = TimeSeries(tmp_path, FIND_TASK)
    yield opened
    opened.close()


def publish(
    *tasks: Task, cpu: float = 10.0, names: tuple[str, ...] = ("web",)
) -> tcs.PublishMetricsRequest:
    """Averages are 1.5 times `cpu` and 2.5 MiB, maxima twice `cpu` and 4 MiB."""
    stats = tcs.StatsSet(min=cpu, max=cpu * 2, sample_count=2, sum=cpu * 3)
    containers = tuple(
        tcs.ContainerMetric(
            container_name=name,
            cpu_stats_set=stats,
            memory_stats_set=tcs.StatsSet(min=1, max=4, sample_count=4, sum=10),
        )
        for name in names
    )
    return tcs.PublishMetricsRequest(
        task_metrics=tuple(
            tcs.TaskMetric(task_arn=task.arn, container_metrics=containers) for task in tasks
        )
    )


def keep(series: TimeSeries, at_ms: int, *tasks: Task, **members: Any) -> None:
    series.keep_metrics(INSTANCE.arn, publish(*tasks, **members), at_ms)


def read(series: TimeSeries, arn: str = ONE.arn, **members: Any) -> list[MetricPoint]:
    series.flush()
    asked: dict[str, Any] = {
        "resource_arn": arn,
        "part": TOTAL,
        "since_ms": 0,
        "until_ms": 2 * NOW_MS,
        "period_ms": PERIOD_MS,
        "limit": 100,
    }
    return series.read_points(MetricsQuestion(**{**asked, **members}))


def test_a_point_has_averages_and_maxima_of_its_period(series: TimeSeries):
    keep(series, NOW_MS, ONE)
    keep(series, NOW_MS + 20_000, ONE, cpu=20.0)
    keep(series, NOW_MS + PERIOD_MS, ONE, cpu=1.0)
    first, second = read(series)
    assert (first.at_ms, second.at_ms) == (NOW_MS, NOW_MS + PERIOD_MS)
    assert (first.cpu_average_percent, first.cpu_maximum_percent) == (22.5, 40.0)
    assert (first.memory_average_mib, first.memory_maximum_mib) == (2.5, 4.0)
    assert (second.cpu_average_percent, second.tasks) == (1.5, 1)


def test_a_total_is_the_sum_over_containers_and_tasks(series: TimeSeries):
    keep(series, NOW_MS, ONE, TWO, names=("a", "b"))
    (point,) = read(series, INSTANCE.arn)
    assert (point.cpu_average_percent, point.memory_maximum_mib, point.tasks) == (60.0, 16.0, 2)
    assert (point.task_arn, point.container_name) == ("", "")


def test_points_of_tasks_and_of_containers_come_in_order(series: TimeSeries):
    keep(series, NOW_MS, ONE, TWO, names=("b", "a"))
    by_task = read(series, ONE.cluster_arn, part=TASK)
    assert [p.task_arn for p in by_task] == sorted([ONE.arn, TWO.arn])
    assert {p.cpu_average_percent for p in by_task} == {30.0}
    found = [(p.task_arn, p.container_name) for p in read(series, ONE.arn, part=CONTAINER)]
    assert found == [(ONE.arn, "a"), (ONE.arn, "b")]


@pytest.mark.parametrize(
    ("arn", "tasks"), [(ONE.arn, 1), (SERVICE.arn, 1), (INSTANCE.arn, 2), (ONE.cluster_arn, 2)]
)
def test_a_resource_has_the_points_of_its_own_tasks(series: TimeSeries, arn: str, tasks: int):
    keep(series, NOW_MS, ONE, TWO)
    assert [point.tasks for point in read(series, arn)] == [tasks]
    assert series.count_series(arn) == tasks


def test_a_page_goes_on_behind_the_last_point(series: TimeSeries):
    for number in range(3):
        keep(series, NOW_MS + number * PERIOD_MS, ONE, TWO)
    every = read(series, INSTANCE.arn, part=TASK)
    page = read(series, INSTANCE.arn, part=TASK, limit=3)
    last = page[-1]
    after = (last.at_ms, last.task_arn, last.container_name)
    assert page + read(series, INSTANCE.arn, part=TASK, after=after) == every


def test_only_the_time_that_is_asked_for_is_answered(series: TimeSeries):
    for number in range(3):
        keep(series, NOW_MS + number * PERIOD_MS, ONE)
    part = {"since_ms": NOW_MS + PERIOD_MS, "until_ms": NOW_MS + 2 * PERIOD_MS}
    assert [point.at_ms for point in read(series, **part)] == [NOW_MS + PERIOD_MS]


def test_an_agents_word_counts_for_its_own_tasks_only(series: TimeSeries):
    keep(series, NOW_MS, FOREIGN, make_task("unknown", instance=INSTANCE))
    assert read(series, FOREIGN.cluster_arn) == []


def test_what_is_not_known_is_none_and_idle_agents_leave_nothing(series: TimeSeries):
    metric = tcs.TaskMetric(
        task_arn=ONE.arn, container_metrics=(tcs.ContainerMetric(container_name="web"),)
    )
    series.keep_metrics(INSTANCE.arn, tcs.PublishMetricsRequest(task_metrics=(metric,)), NOW_MS)
    series.keep_metrics(INSTANCE.arn, tcs.PublishMetricsRequest(), NOW_MS)
    (point,) = read(series)
    assert point.cpu_average_percent is None
    assert point.memory_maximum_mib is None


def test_samples_older_than_the_retention_go_with_their_series(series: TimeSeries, tmp_path: Path):
    keep(series, NOW_MS, TWO)
    series.flush()
    keep(series, NOW_MS + RETENTION_MS + 1, ONE)
    assert len(read(series)) == 1
    assert read(series, TWO.arn) == []
    with sqlite3.connect(tmp_path / time_series.FILE_NAME) as db:
        assert db.execute("SELECT task_arn FROM series").fetchall() == [(ONE.arn,)]
    db.close()


def test_beyond_the_limit_the_oldest_go():
    series = TimeSeries(None, FIND_TASK, samples_limit=3)
    for number in range(5):
        keep(series, NOW_MS + number * PERIOD_MS, ONE)
    assert [point.at_ms - NOW_MS for point in read(series)] == [120_000, 180_000, 240_000]
    series.close()


def test_what_waits_for_the_disk_is_bounded(series: TimeSeries, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time_series, "PENDING_LIMIT", 2)
    for number in range(4):
        keep(series, NOW_MS + number * PERIOD_MS, ONE)
    assert [point.at_ms - NOW_MS for point in read(series)] == [120_000, 180_000]


def test_closing_writes_what_waits_and_a_new_server_finds_it(tmp_path: Path):
    first = TimeSeries(tmp_path, FIND_TASK)
    first.start()
    keep(first, NOW_MS, ONE)
    first.close()
    second = TimeSeries(tmp_path, FIND_TASK)
    assert len(read(second)) == 1
    second.close()


def test_metrics_of_an_older_version_are_forgotten(tmp_path: Path):
    with sqlite3.connect(tmp_path / time_series.FILE_NAME) as db:
        db.execute("CREATE TABLE series (id INTEGER PRIMARY KEY, task_arn TEXT, container TEXT)")
        db.execute("INSERT INTO series VALUES (1, 't', 'web')")
    db.close()
    series = TimeSeries(tmp_path, FIND_TASK)
    keep(series, NOW_MS, ONE)
    assert len(read(series, ONE.cluster_arn)) == 1
    series.close()


def test_a_file_that_is_no_database_keeps_no_server_from_starting(tmp_path: Path):
    (tmp_path / time_series.FILE_NAME).write_text("nonsense " * 100)
    with open_time_series(tmp_path, FIND_TASK) as series:
        keep(series, NOW_MS, ONE)
        assert len(read(series)) == 1
