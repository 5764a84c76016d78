"""What agents publish is kept over time, within bounds."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.storage import time_series
from homeport.storage.time_series import RETENTION_MS, TimeSeries, open_time_series
from homeport.wire.agent_messages import tcs

NOW_MS = 1_700_000_000_000
INSTANCE = "arn:i"


@pytest.fixture
def series(tmp_path: Path) -> Iterator[TimeSeries]:
    opened = TimeSeries(tmp_path)
    yield opened
    opened.close()


def publish(*tasks: str, cpu: float = 10.0, names: tuple[str, ...] = ("web",)):
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
            tcs.TaskMetric(task_arn=task, container_metrics=containers) for task in tasks
        )
    )


def read(series: TimeSeries, task: str = "t"):
    series.flush()
    return series.read_task(task, since_ms=0, until_ms=2 * NOW_MS)


def test_a_sample_has_averages_and_maxima(series: TimeSeries):
    series.keep_metrics(INSTANCE, publish("t"), NOW_MS)
    [sample] = read(series)
    assert (sample.container_name, sample.container_instance_arn) == ("web", INSTANCE)
    assert (sample.cpu_average_percent, sample.cpu_maximum_percent) == (15.0, 20.0)
    assert (sample.memory_average_mib, sample.memory_maximum_mib) == (2.5, 4.0)


def test_samples_come_in_order_of_time_and_of_one_task_only(series: TimeSeries):
    series.keep_metrics(INSTANCE, publish("t", "other", names=("b", "a")), NOW_MS + 20_000)
    series.keep_metrics(INSTANCE, publish("t"), NOW_MS)
    found = [(s.at_ms - NOW_MS, s.container_name) for s in read(series)]
    assert found == [(0, "web"), (20_000, "a"), (20_000, "b")]
    part = series.read_task("t", since_ms=NOW_MS + 1, until_ms=NOW_MS + 20_001)
    assert len(part) == 2


def test_what_is_not_known_is_none_and_idle_agents_leave_nothing(series: TimeSeries):
    metric = tcs.TaskMetric(
        task_arn="t", container_metrics=(tcs.ContainerMetric(container_name="web"),)
    )
    series.keep_metrics(INSTANCE, tcs.PublishMetricsRequest(task_metrics=(metric,)), NOW_MS)
    series.keep_metrics(INSTANCE, tcs.PublishMetricsRequest(), NOW_MS)
    [sample] = read(series)
    assert sample.cpu_average_percent is None
    assert sample.memory_maximum_mib is None


def test_samples_older_than_the_retention_go_with_their_series(series: TimeSeries, tmp_path: Path):
    series.keep_metrics(INSTANCE, publish("old"), NOW_MS)
    series.flush()
    series.keep_metrics(INSTANCE, publish("t"), NOW_MS + RETENTION_MS + 1)
    assert len(read(series)) == 1
    assert read(series, "old") == []
    with sqlite3.connect(tmp_path / time_series.FILE_NAME) as db:
        assert db.execute("SELECT task_arn FROM series").fetchall() == [("t",)]
    db.close()


def test_beyond_the_limit_the_oldest_go(tmp_path: Path):
    series = TimeSeries(None, samples_limit=3)
    for number in range(5):
        series.keep_metrics(INSTANCE, publish("t"), NOW_MS + number)
    assert [sample.at_ms - NOW_MS for sample in read(series)] == [2, 3, 4]
    series.close()


def test_what_waits_for_the_disk_is_bounded(series: TimeSeries, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time_series, "PENDING_LIMIT", 2)
    for number in range(4):
        series.keep_metrics(INSTANCE, publish("t"), NOW_MS + number)
    assert [sample.at_ms - NOW_MS for sample in read(series)] == [2, 3]


def test_closing_writes_what_waits_and_a_new_server_finds_it(tmp_path: Path):
    first = TimeSeries(tmp_path)
    first.start()
    first.keep_metrics(INSTANCE, publish("t"), NOW_MS)
    first.close()
    second = TimeSeries(tmp_path)
    assert len(second.read_task("t", since_ms=0, until_ms=NOW_MS + 1)) == 1
    second.close()


def test_a_file_that_is_no_database_keeps_no_server_from_starting(tmp_path: Path):
    (tmp_path / time_series.FILE_NAME).write_text("nonsense " * 100)
    with open_time_series(tmp_path) as series:
        series.keep_metrics(INSTANCE, publish("t"), NOW_MS)
        assert len(read(series)) == 1
