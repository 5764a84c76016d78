"""`Homeport.ListMetrics`: CPU and memory over time, from the series beside the state.

Samples come from agents and are kept some hours (`storage.time_series`); nothing decides by them
yet, and none of this is part of the state.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final, Protocol

import msgspec

from homeport.api import ecs, homeport
from homeport.engine.events import ApiCalled
from homeport.engine.ports import Clock
from homeport.model.arn import Scope
from homeport.model.metrics import PARTS, TOTAL, MetricPoint, MetricsQuestion
from homeport.operations.homeport.resources import find_resource_arn
from homeport.operations.lookup import find_cluster
from homeport.operations.paging import make_token, page_size, read_token
from homeport.state.view import View

POINTS_PER_PAGE: Final = 1_000
PERIOD_MIN_S: Final = 20
PERIOD_MAX_S: Final = 3 * 60 * 60
PERIOD_DEFAULT_S: Final = 60
RANGE_MAX_S: Final = 3 * 60 * 60
RANGE_DEFAULT_S: Final = 60 * 60
SAMPLE_INTERVAL_S: Final = 20
"""How often agents publish."""

SAMPLES_PER_CALL: Final = 500_000
"""Some half a second of reading, on a thread beside the event loop."""

READERS: Final = 2
"""Threads that read at the same time; others wait their turn."""

TIME_MAX_S: Final = 10_000_000_000


class MetricsReader(Protocol):
    """The side of the time series; both methods block."""

    def count_series(self, resource_arn: str, /) -> int:
        """Count the containers that a cluster, service, container instance or task has had."""

    def read_points(self, question: MetricsQuestion, /) -> Sequence[MetricPoint]:
        """Answer a question in order of time, task and container."""


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX_S * 1_000)]
    task_arn: str
    container_name: str


class MetricsCall:
    """Answers ListMetrics."""

    def __init__(self, view: View, reader: MetricsReader, clock: Clock) -> None:
        self._view = view
        self._reader = reader
        self._clock = clock
        self._turns = asyncio.Semaphore(READERS)

    async def list_metrics(self, event: ApiCalled) -> homeport.ListMetricsResponse:
        """Answer one page of points, in order of time, task and container."""
        request = event.request
        assert isinstance(request, homeport.ListMetricsRequest)
        question = self._make_question(request, Scope(event.account_id, event.region))
        async with self._turns:
            series = await asyncio.to_thread(self._reader.count_series, question.resource_arn)
            _refuse_too_much(question, series)
            # One more than is answered tells whether there is another page.
            asked = msgspec.structs.replace(question, limit=question.limit + 1)
            found = await asyncio.to_thread(self._reader.read_points, asked)
        page = found[: question.limit]
        return homeport.ListMetricsResponse(
            resource_arn=question.resource_arn,
            period_seconds=question.period_ms // 1_000,
            points=[_render(point) for point in page],
            next_token=_token_behind(page[-1]) if len(found) > len(page) else None,
        )

    def _make_question(self, request: homeport.ListMetricsRequest, scope: Scope) -> MetricsQuestion:
        part = TOTAL if request.part is None else request.part
        if part not in PARTS:
            raise ecs.InvalidParameterException(f"part should be one of [{','.join(PARTS)}]")
        period_s = _whole("periodSeconds", request.period_seconds, PERIOD_DEFAULT_S, PERIOD_MAX_S)
        until_s = _time("endTime", request.end_time, self._clock.now_ms() / 1_000)
        since_s = _time("startTime", request.start_time, until_s - RANGE_DEFAULT_S)
        if not 0 < until_s - since_s <= RANGE_MAX_S:
            raise ecs.InvalidParameterException(
                f"endTime must be behind startTime, by at most {RANGE_MAX_S} seconds."
            )
        return MetricsQuestion(
            resource_arn=self._find(request, scope),
            part=part,
            # Whole periods only: a part of one would look like a change.
            since_ms=int(since_s // period_s) * period_s * 1_000,
            until_ms=round(until_s * 1_000),
            period_ms=period_s * 1_000,
            limit=page_size(request.max_results, POINTS_PER_PAGE, POINTS_PER_PAGE),
            after=_read_cursor(request.next_token),
        )

    def _find(self, request: homeport.ListMetricsRequest, scope: Scope) -> str:
        if request.resource is None:
            return find_cluster(self._view, scope, request.cluster).arn
        return find_resource_arn(self._view, scope, request.cluster, request.resource)


def _whole(name: str, value: int | None, default: int, most: int) -> int:
    if value is None:
        return default
    if not PERIOD_MIN_S <= value <= most:
        raise ecs.InvalidParameterException(
            f"{name} must be between {PERIOD_MIN_S} and {most}, it is {value}."
        )
    return value


def _time(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not 0 <= value <= TIME_MAX_S:
        raise ecs.InvalidParameterException(f"{name} must be a time in seconds since 1970.")
    return value


def _refuse_too_much(question: MetricsQuestion, series: int) -> None:
    samples = series * ((question.until_ms - question.since_ms) // (SAMPLE_INTERVAL_S * 1_000) + 1)
    if samples > SAMPLES_PER_CALL:
        raise ecs.InvalidParameterException(
            f"That would read some {samples:,} samples of {series:,} containers, at most "
            f"{SAMPLES_PER_CALL:,} are read at once: bring startTime and endTime closer together."
        )


def _read_cursor(token: str | None) -> tuple[int, str, str] | None:
    text = read_token(token)
    if text is None:
        return None
    try:
        cursor = msgspec.json.decode(text, type=_Cursor)
    except (msgspec.DecodeError, UnicodeError):
        raise ecs.InvalidParameterException(
            "Invalid token. Pass the nextToken of the previous answer as it is."
        ) from None
    return cursor.at_ms, cursor.task_arn, cursor.container_name


def _token_behind(point: MetricPoint) -> str:
    cursor = _Cursor(point.at_ms, point.task_arn, point.container_name)
    return make_token(msgspec.json.encode(cursor).decode())


def _render(point: MetricPoint) -> homeport.MetricPoint:
    return homeport.MetricPoint(
        timestamp=point.at_ms / 1_000,
        tasks=point.tasks,
        task_arn=point.task_arn or None,
        container_name=point.container_name or None,
        cpu_average=point.cpu_average_percent,
        cpu_maximum=point.cpu_maximum_percent,
        memory_average=point.memory_average_mib,
        memory_maximum=point.memory_maximum_mib,
    )
