"""CPU and memory of containers over time: what agents published, bounded by age and number.

In a database file of its own beside the state, since no answer waits for it and no commit may wait
behind it: a crash loses the last few seconds. Not here: what metrics mean to scaling.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from homeport.model.arn import parse_arn
from homeport.model.metrics import CONTAINER, TOTAL, MetricPoint, MetricsQuestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from homeport.model.task import Task
    from homeport.wire.agent_messages import tcs

    FindTask = Callable[[str], Task | None]

LOG: Final = logging.getLogger("homeport.storage")

FILE_NAME: Final = "metrics.sqlite3"
IN_MEMORY: Final = ":memory:"
FLUSH_INTERVAL_S: Final = 5.0
PRUNE_INTERVAL_MS: Final = 60_000
RETENTION_MS: Final = 3 * 60 * 60 * 1_000
"""Scaling looks back minutes, a person hours."""

SAMPLES_LIMIT: Final = 2_000_000
"""Some 120 MB: 3,000 containers for three hours, at a sample every 20 s."""

PENDING_LIMIT: Final = 100_000
"""Samples that wait for the disk; beyond that the oldest are dropped."""

SCHEMA_VERSION: Final = 2
"""Metrics of another version are forgotten: hours of them aren't worth a migration."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, task_arn TEXT NOT NULL, container TEXT NOT NULL,
    instance_arn TEXT NOT NULL, service_arn TEXT, cluster_arn TEXT NOT NULL,
    UNIQUE (task_arn, container));
CREATE INDEX IF NOT EXISTS series_by_instance ON series (instance_arn);
CREATE INDEX IF NOT EXISTS series_by_service ON series (service_arn);
CREATE INDEX IF NOT EXISTS series_by_cluster ON series (cluster_arn);
CREATE TABLE IF NOT EXISTS samples (
    series INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    cpu_average REAL, cpu_maximum REAL, memory_average REAL, memory_maximum REAL,
    PRIMARY KEY (series, at_ms)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS samples_by_time ON samples (at_ms);
"""
_POINTS: Final = """
WITH part AS (
    SELECT at_ms / :period * :period AS period, {task} AS task, {container} AS name, task_arn,
        avg(cpu_average) AS cpu_average, max(cpu_maximum) AS cpu_maximum,
        avg(memory_average) AS memory_average, max(memory_maximum) AS memory_maximum
    FROM series JOIN samples ON series.id = samples.series
    WHERE {column} = :resource AND at_ms >= :since AND at_ms < :until
    GROUP BY 1, series.id)
SELECT period, task, name, count(DISTINCT task_arn),
    sum(cpu_average), sum(cpu_maximum), sum(memory_average), sum(memory_maximum)
FROM part WHERE (period, task, name) > (:after_ms, :after_task, :after_name)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT :limit
"""
_CURSOR: Final = ("after_ms", "after_task", "after_name")
_POINT_MEMBERS: Final = MetricPoint.__struct_fields__
_COLUMNS: Final = {
    "task": "task_arn",
    "service": "service_arn",
    "container-instance": "instance_arn",
    "cluster": "cluster_arn",
}


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One container over some 20 s: CPU in percent of a core, memory in MiB; None if unknown."""

    task_arn: str
    container_name: str
    container_instance_arn: str
    service_arn: str | None
    cluster_arn: str
    at_ms: int
    cpu_average_percent: float | None
    cpu_maximum_percent: float | None
    memory_average_mib: float | None
    memory_maximum_mib: float | None


class TimeSeries:
    """Takes samples at once and writes them a little later, on a thread of its own."""

    def __init__(
        self, data_dir: Path | None, find_task: FindTask, *, samples_limit: int = SAMPLES_LIMIT
    ) -> None:
        """Open the file in `data_dir`, or keep everything in memory; raises sqlite3.Error.

        `find_task` says whose task it is: an agent's word counts for its own tasks only.
        """
        path = IN_MEMORY if data_dir is None else str(data_dir / FILE_NAME)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        _prepare(self._db)
        self._find_task = find_task
        self._samples_limit = samples_limit
        self._pruned_ms = 0
        self._lock = threading.Lock()  # of the database
        self._pending_lock = threading.Lock()
        self._pending: list[Sample] = []
        self._is_closing = threading.Event()
        self._is_failing = False
        self._writer = threading.Thread(target=self._write_on, name="time series", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()

    def close(self) -> None:
        """Write what waits and close the file."""
        self._is_closing.set()
        if self._writer.is_alive():
            self._writer.join()
        self._db.close()

    def keep_metrics(
        self, container_instance_arn: str, metrics: tcs.PublishMetricsRequest, now_ms: int
    ) -> None:
        """Take one message of one container instance; returns at once."""
        samples = [
            _make_sample(task, container, now_ms)
            for metric in metrics.task_metrics
            if (task := self._find_task(metric.task_arn)) is not None
            and task.container_instance_arn == container_instance_arn
            for container in metric.container_metrics
        ]
        with self._pending_lock:
            self._pending += samples
            if len(self._pending) > PENDING_LIMIT:
                del self._pending[:-PENDING_LIMIT]

    def count_series(self, resource_arn: str) -> int:
        """Count the containers of a cluster, service, container instance or task; it blocks."""
        column = _column_of(resource_arn)
        with self._lock:
            found = self._db.execute(
                f"SELECT count(*) FROM series WHERE {column} = ?", (resource_arn,)
            )
            (count,) = found.fetchone()
        return int(count)

    def read_points(self, question: MetricsQuestion) -> list[MetricPoint]:
        """Answer a question in order of time, task and container; it blocks."""
        query = _POINTS.format(
            column=_column_of(question.resource_arn),
            task="''" if question.part == TOTAL else "task_arn",
            container="container" if question.part == CONTAINER else "''",
        )
        with self._lock:
            rows = self._db.execute(
                query,
                {
                    "period": question.period_ms,
                    "resource": question.resource_arn,
                    "since": question.since_ms,
                    "until": question.until_ms,
                    "limit": question.limit,
                    **dict(zip(_CURSOR, question.after or (-1, "", ""), strict=True)),
                },
            ).fetchall()
        return [MetricPoint(**dict(zip(_POINT_MEMBERS, row, strict=True))) for row in rows]

    def flush(self) -> None:
        """Write what waits, and drop what is too old or too much; raises sqlite3.Error."""
        with self._pending_lock:
            samples, self._pending = self._pending, []
        if not samples:
            return
        with self._lock:
            self._db.execute("BEGIN")
            try:
                for sample in samples:
                    self._insert(sample)
                self._prune_seldom(max(sample.at_ms for sample in samples))
                self._db.execute("COMMIT")
            except sqlite3.Error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _insert(self, sample: Sample) -> None:
        names = (sample.task_arn, sample.container_name)
        self._db.execute(
            "INSERT OR IGNORE INTO series"
            " (task_arn, container, instance_arn, service_arn, cluster_arn)"
            " VALUES (?, ?, ?, ?, ?)",
            (*names, sample.container_instance_arn, sample.service_arn, sample.cluster_arn),
        )
        self._db.execute(
            "INSERT OR REPLACE INTO samples SELECT id, ?, ?, ?, ?, ? FROM series"
            " WHERE task_arn = ? AND container = ?",
            (
                sample.at_ms,
                sample.cpu_average_percent,
                sample.cpu_maximum_percent,
                sample.memory_average_mib,
                sample.memory_maximum_mib,
                *names,
            ),
        )

    def _prune_seldom(self, newest_ms: int) -> None:
        # It looks at every sample, so not after each few seconds.
        if abs(newest_ms - self._pruned_ms) >= PRUNE_INTERVAL_MS:
            self._prune(newest_ms)
            self._pruned_ms = newest_ms

    def _prune(self, newest_ms: int) -> None:
        self._db.execute("DELETE FROM samples WHERE at_ms < ?", (newest_ms - RETENTION_MS,))
        (count,) = self._db.execute("SELECT count(*) FROM samples").fetchone()
        if count > self._samples_limit:
            (limit_ms,) = self._db.execute(
                "SELECT at_ms FROM samples ORDER BY at_ms LIMIT 1 OFFSET ?",
                (count - self._samples_limit,),
            ).fetchone()
            self._db.execute("DELETE FROM samples WHERE at_ms < ?", (limit_ms,))
        self._db.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM samples)")

    def _write_on(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._is_closing.wait(FLUSH_INTERVAL_S)
            try:
                self.flush()
            except sqlite3.Error as error:
                # Metrics are no promise: what can't be written is gone, said once.
                if not self._is_failing:
                    LOG.warning("metrics can't be written and are lost: %s", error)
                self._is_failing = True
            else:
                self._is_failing = False


@contextlib.contextmanager
def open_time_series(data_dir: Path | None, find_task: FindTask) -> Iterator[TimeSeries]:
    """Open the file and write to it in the background; a file that is unusable isn't in the way.

    Then metrics are kept in memory only, which is said in the log.
    """
    try:
        series = TimeSeries(data_dir, find_task)
    except sqlite3.Error as error:
        LOG.warning("metrics are kept in memory only: %s: %s", FILE_NAME, error)
        series = TimeSeries(None, find_task)
    series.start()
    try:
        yield series
    finally:
        series.close()


def _prepare(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        database.execute("DROP TABLE IF EXISTS samples")
        database.execute("DROP TABLE IF EXISTS series")
    database.executescript(_SCHEMA)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _column_of(resource_arn: str) -> str:
    parsed = parse_arn(resource_arn)
    assert parsed is not None, resource_arn
    return _COLUMNS[parsed.kind]


def _make_sample(task: Task, metric: tcs.ContainerMetric, at_ms: int) -> Sample:
    assert task.container_instance_arn is not None
    cpu, memory = metric.cpu_stats_set, metric.memory_stats_set
    return Sample(
        task_arn=task.arn,
        container_name=metric.container_name,
        container_instance_arn=task.container_instance_arn,
        service_arn=task.service_arn,
        cluster_arn=task.cluster_arn,
        at_ms=at_ms,
        cpu_average_percent=_average(cpu),
        cpu_maximum_percent=None if cpu is None else cpu.max,
        memory_average_mib=_average(memory),
        memory_maximum_mib=None if memory is None else memory.max,
    )


def _average(stats: tcs.StatsSet | None) -> float | None:
    if stats is None or not stats.sample_count:
        return None
    return stats.sum / stats.sample_count
