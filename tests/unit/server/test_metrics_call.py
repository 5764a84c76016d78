"""Homeport.ListMetrics: what is asked of the time series, and what of it is refused."""

from collections.abc import Sequence
from typing import Any

import pytest

from builders import NOW_MS, make_cluster, make_container_instance, make_service, make_store
from homeport.api import ecs, homeport
from homeport.engine.events import ApiCalled
from homeport.model.metrics import TASK, TOTAL, MetricPoint, MetricsQuestion
from homeport.server.metrics_call import POINTS_PER_PAGE, SAMPLES_PER_CALL, MetricsCall
from homeport.state.view import View

CLUSTER, SERVICE, INSTANCE = make_cluster(), make_service(), make_container_instance()
NOW_S = NOW_MS / 1_000


def make_point(at_ms: int, task_arn: str = "") -> MetricPoint:
    return MetricPoint(
        at_ms=at_ms,
        task_arn=task_arn,
        container_name="",
        tasks=1,
        cpu_average_percent=1.5,
        cpu_maximum_percent=2.0,
        memory_average_mib=None,
        memory_maximum_mib=None,
    )


class Reader:
    """Answers with the points that it was given, from behind the cursor."""

    def __init__(self, *points: MetricPoint, series: int = 1) -> None:
        self.points = points
        self.series = series
        self.asked: list[MetricsQuestion] = []

    def count_series(self, resource_arn: str) -> int:
        return self.series

    def read_points(self, question: MetricsQuestion) -> Sequence[MetricPoint]:
        self.asked.append(question)
        after = question.after or (-1, "", "")
        left = [p for p in self.points if (p.at_ms, p.task_arn, p.container_name) > after]
        return left[: question.limit]


class FixedClock:
    def now_ms(self) -> int:
        return NOW_MS


async def ask(reader: Reader, **members: Any) -> homeport.ListMetricsResponse:
    call = MetricsCall(View(make_store(CLUSTER, SERVICE, INSTANCE)), reader, FixedClock())
    event = ApiCalled(
        operation="ListMetrics",
        request=homeport.ListMetricsRequest(**members),
        account_id="123456789012",
        region="us-east-1",
        endpoint="http://127.0.0.1:4566",
    )
    return await call.list_metrics(event)


async def test_without_more_words_the_last_hour_of_the_whole_cluster_is_meant_by_the_minute():
    reader = Reader(make_point(NOW_MS))
    answer = await ask(reader)
    (asked,) = reader.asked
    assert (asked.resource_arn, asked.part, asked.period_ms) == (CLUSTER.arn, TOTAL, 60_000)
    assert asked.until_ms == NOW_MS
    assert 3_600_000 <= asked.until_ms - asked.since_ms < 3_660_000
    assert asked.since_ms % 60_000 == 0
    assert answer.points[0].timestamp == NOW_S
    assert answer.points[0].memory_average is None
    assert answer.next_token is None


@pytest.mark.parametrize(("resource", "arn"), [("web", SERVICE.arn), (INSTANCE.arn, INSTANCE.arn)])
async def test_a_resource_is_found_by_its_name_or_arn(resource: str, arn: str):
    reader = Reader()
    assert (await ask(reader, resource=resource, part=TASK)).resource_arn == arn
    assert (reader.asked[0].resource_arn, reader.asked[0].part) == (arn, TASK)


async def test_pages_lead_to_every_point_once():
    points = [make_point(NOW_MS + n * 60_000, task) for n in range(3) for task in ("a", "b")]
    found, token = [], None
    for _ in range(3):
        page = await ask(Reader(*points), max_results=2, next_token=token)
        found += [(point.timestamp, point.task_arn) for point in page.points]
        token = page.next_token
    assert token is None
    assert found == [(p.at_ms / 1_000, p.task_arn) for p in points]


@pytest.mark.parametrize(
    "members",
    [
        {"part": "SUM"},
        {"period_seconds": 19},
        {"period_seconds": 10_801},
        {"max_results": 0},
        {"max_results": POINTS_PER_PAGE + 1},
        {"start_time": NOW_S + 1},
        {"start_time": NOW_S - 10_801},
        {"end_time": -1.0},
        {"end_time": float("inf")},
        {"next_token": "nonsense"},
        {"next_token": "WzEsMl0="},
        {"next_token": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5LCIiLCIiXQ=="},
        {"resource": ""},
    ],
)
async def test_what_has_no_meaning_is_refused(members: dict[str, Any]):
    reader = Reader()
    with pytest.raises(ecs.InvalidParameterException):
        await ask(reader, **members)
    assert reader.asked == []


async def test_what_would_read_too_much_is_refused_before_it_is_read():
    reader = Reader(series=SAMPLES_PER_CALL // 4)
    with pytest.raises(ecs.InvalidParameterException, match="closer together"):
        await ask(reader)
    assert reader.asked == []
    assert (await ask(reader, start_time=NOW_S - 1, period_seconds=20)).points == []


async def test_an_unknown_resource_and_an_unknown_cluster_are_named():
    with pytest.raises(ecs.ClientException, match="nothing-here"):
        await ask(Reader(), resource="nothing-here")
    with pytest.raises(ecs.ClusterNotFoundException):
        await ask(Reader(), cluster="other")
