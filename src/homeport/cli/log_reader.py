"""Logs of many containers as one sequence of lines: merged by time, or as they are printed.

One thread a container reads while following; which containers are wanted is told by `Wanted`.
"""

import heapq
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import NamedTuple, Protocol

from homeport.cli.container_logs import (
    LogSource,
    list_sources,
    read_lines,
    watch_started,
)
from homeport.cli.engine_api import EngineApi
from homeport.cli.event_feed import SHORT_ID_CHARS
from homeport.cli.failure import CommandFailure

CONTAINERS_LIMIT = 200  # followed at the same time, a thread each
QUEUED_LINES = 10_000  # read and not yet printed; beyond, reading waits
LAST_LOOK_INTERVAL_S = 1.0  # at a task whose containers have all ended


class Wanted(Protocol):
    """Which tasks are shown."""

    def covers(self, task_arn: str) -> bool:
        """Whether this task's containers are shown."""

    def is_over(self) -> bool:
        """Whether no more containers will come."""


class ShownLine(NamedTuple):
    """One line: whose it is, when it was printed (RFC 3339), what it says."""

    prefix: str
    time: str
    text: str


class _LogEnded(NamedTuple):
    """The end of one container's log."""

    source: LogSource


_Item = ShownLine | LogSource | _LogEnded | CommandFailure


class LogReader:
    """Reads the logs of the wanted tasks' containers; for one run of the command."""

    def __init__(
        self, engine: EngineApi, wanted: Wanted, *, container: str | None, tail: int | None
    ) -> None:
        self._engine = engine
        self._wanted = wanted
        self._container = container
        self._tail = tail
        self._items: queue.Queue[_Item] = queue.Queue(QUEUED_LINES)
        self._newest: dict[str, str] = {}  # time of the newest line of each container followed
        # What is followed now, and whether it was started again meanwhile.
        self._open: dict[str, bool] = {}

    def read(self) -> Iterator[ShownLine]:
        """The lines there are, of all containers, by time."""
        logs = [self._lines(each, self._tail, follow=False) for each in list_sources(self._engine)]
        yield from heapq.merge(*logs, key=lambda line: line.time)

    def follow(self) -> Iterator[ShownLine]:
        """Lines as they are printed, with those of containers that start later."""
        # Watching begins before listing, so that no container is missed between.
        self._start(self._watch)
        for source in list_sources(self._engine):
            self._follow_source(source, self._tail)
        while self._open or not self._wanted.is_over():
            try:
                item = self._items.get(timeout=None if self._open else LAST_LOOK_INTERVAL_S)
            except queue.Empty:
                continue
            if isinstance(item, ShownLine):
                yield item
            elif isinstance(item, LogSource):
                self._follow_source(item)
            elif isinstance(item, _LogEnded):
                if self._open.pop(item.source.container_id):
                    self._follow_source(item.source)
            else:
                raise item

    def _is_wanted(self, source: LogSource) -> bool:
        is_named = self._container in (None, source.container_name)
        return is_named and self._wanted.covers(source.task_arn)

    def _follow_source(self, source: LogSource, tail: int | None = None) -> None:
        if not self._is_wanted(source):
            return
        if source.container_id in self._open:
            self._open[source.container_id] = True
            return
        if len(self._open) >= CONTAINERS_LIMIT:
            raise CommandFailure(
                f"more than {CONTAINERS_LIMIT} containers to follow; name one task or --container"
            )
        self._open[source.container_id] = False
        self._start(lambda: self._pump(source, tail))

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _watch(self) -> None:
        try:
            for source in watch_started(self._engine):
                self._items.put(source)
        except (OSError, HTTPException, CommandFailure) as trouble:
            self._items.put(CommandFailure(f"the Docker Engine's events ended: {trouble}"))
            return
        self._items.put(CommandFailure("the Docker Engine ended"))

    def _pump(self, source: LogSource, tail: int | None) -> None:
        for line in self._lines(source, tail, follow=True):
            self._items.put(line)
        self._items.put(_LogEnded(source))

    def _lines(
        self, source: LogSource, tail: int | None, *, follow: bool
    ) -> Iterator[ShownLine]:
        """A container's lines; a container that started again goes on where it was left."""
        if not follow and not self._is_wanted(source):
            return
        task = source.task_arn.rpartition("/")[2][:SHORT_ID_CHARS]
        prefix = f"{task}/{source.container_name}"
        shown_until = self._newest.get(source.container_id, "")
        try:
            for line in read_lines(self._engine, source, follow=follow, tail=tail):
                if line.time > shown_until:
                    self._newest[source.container_id] = line.time
                    yield ShownLine(prefix, line.time, line.text)
        except (OSError, HTTPException, CommandFailure) as trouble:
            # One container's log, removed meanwhile or kept elsewhere, is no reason to stop.
            print(f"homeport: the log of {prefix} cannot be read: {trouble}", file=sys.stderr)
