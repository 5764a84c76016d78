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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from homeport.wire.agent_messages import tcs

LOG: Final = logging.getLogger("homeport.storage")

FILE_NAME: Final = "metrics.sqlite3"
IN_MEMORY: Final = ":memory:"
FLUSH_INTERVAL_S: Final = 5.0
RETENTION_MS: Final = 3 * 60 * 60 * 1_000
"""Scaling looks back minutes, a person hours."""

SAMPLES_LIMIT: Final = 2_000_000
"""Some 120 MB: 3,000 containers for three hours, at a sample every 20 s."""

PENDING_LIMIT: Final = 100_000
"""Samples that wait for the disk; beyond that the oldest are dropped."""

SAMPLES_PER_READ: Final = 2_000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, task_arn TEXT NOT NULL, container TEXT NOT NULL,
    instance_arn TEXT NOT NULL, UNIQUE (task_arn, container));
CREATE TABLE IF NOT EXISTS samples (
    series INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    cpu_average REAL, cpu_maximum REAL, memory_average REAL, memory_maximum REAL,
    PRIMARY KEY (series, at_ms)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS samples_by_time ON samples (at_ms);
"""


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One container over some 20 s: CPU in percent of a core, memory in MiB; None if unknown."""

    task_arn: str
    container_name: str
    container_instance_arn: str
    at_ms: int
    cpu_average_percent: float | None
    cpu_maximum_percent: float | None
    memory_average_mib: float | None
    memory_maximum_mib: float | None


class TimeSeries:
    """Takes samples at once and writes them a little later, on a thread of its own."""

    def __init__(self, data_dir: Path | None, *, samples_limit: int = SAMPLES_LIMIT) -> None:
        """Open the file in `data_dir`, or keep everything in memory; raises sqlite3.Error."""
        path = IN_MEMORY if data_dir is None else str(data_dir / FILE_NAME)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)
        self._samples_limit = samples_limit
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
            _make_sample(container_instance_arn, task.task_arn, container, now_ms)
            for task in metrics.task_metrics
            for container in task.container_metrics
        ]
        with self._pending_lock:
            self._pending += samples
            if len(self._pending) > PENDING_LIMIT:
                del self._pending[:-PENDING_LIMIT]

    def read_task(self, task_arn: str, *, since_ms: int, until_ms: int) -> list[Sample]:
        """A task's samples in [since, until), oldest first, `SAMPLES_PER_READ` at most."""
        with self._lock:
            rows = self._db.execute(
                "SELECT task_arn, container, instance_arn, at_ms, cpu_average, cpu_maximum,"
                " memory_average, memory_maximum FROM series JOIN samples ON series.id = series"
                " WHERE task_arn = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms, container"
                " LIMIT ?",
                (task_arn, since_ms, until_ms, SAMPLES_PER_READ),
            ).fetchall()
        return [
            Sample(
                task_arn=row[0],
                container_name=row[1],
                container_instance_arn=row[2],
                at_ms=row[3],
                cpu_average_percent=row[4],
                cpu_maximum_percent=row[5],
                memory_average_mib=row[6],
                memory_maximum_mib=row[7],
            )
            for row in rows
        ]

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
                self._prune(max(sample.at_ms for sample in samples))
                self._db.execute("COMMIT")
            except sqlite3.Error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _insert(self, sample: Sample) -> None:
        names = (sample.task_arn, sample.container_name)
        self._db.execute(
            "INSERT OR IGNORE INTO series (task_arn, container, instance_arn) VALUES (?, ?, ?)",
            (*names, sample.container_instance_arn),
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
def open_time_series(data_dir: Path | None) -> Iterator[TimeSeries]:
    """Open the file and write to it in the background; a file that is unusable isn't in the way.

    Then metrics are kept in memory only, which is said in the log.
    """
    try:
        series = TimeSeries(data_dir)
    except sqlite3.Error as error:
        LOG.warning("metrics are kept in memory only: %s: %s", FILE_NAME, error)
        series = TimeSeries(None)
    series.start()
    try:
        yield series
    finally:
        series.close()


def _make_sample(
    instance_arn: str, task_arn: str, metric: tcs.ContainerMetric, at_ms: int
) -> Sample:
    cpu, memory = metric.cpu_stats_set, metric.memory_stats_set
    return Sample(
        task_arn=task_arn,
        container_name=metric.container_name,
        container_instance_arn=instance_arn,
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
