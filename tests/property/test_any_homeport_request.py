"""Whatever is asked of Homeport's own namespace: an answer or AWS's kind of refusal, no bug."""

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    put,
)
from homeport.api import homeport
from homeport.api.errors import AwsError
from homeport.engine.events import ApiCalled
from homeport.model.metrics import PARTS
from homeport.operations.paging import make_token
from homeport.server.calls import Answer
from homeport.server.event_stream import EventStream
from homeport.server.homeport_calls import HomeportCalls
from homeport.server.metrics_call import MetricsCall
from homeport.state.view import View
from homeport.storage.memory import MemoryStorage
from homeport.storage.time_series import TimeSeries
from homeport.wire.agent_messages import tcs
from homeport.wire.json11 import parse_request, render_reply
from served_api import ask as ask_start

INSTANCE = make_container_instance()
TASK = make_task(instance=INSTANCE)
SERVICE = make_service()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
numbers = st.integers(-2, 1_100) | st.integers()
names = st.sampled_from(["web", "default", "", TASK.arn, TASK.arn[-32:-20], SERVICE.arn, "-"])
events_requests = st.fixed_dictionaries(
    {},
    optional={
        "after": numbers,
        "tail": numbers,
        "limit": numbers,
        "detailTypes": st.lists(st.sampled_from([*homeport.DETAIL_TYPES, "x"]), max_size=2),
        "waitTimeSeconds": st.sampled_from([-1, 0, 21]) | json_values,
    },
)
history_requests = st.fixed_dictionaries(
    {},
    optional={
        "resource": names | st.text() | json_values,
        "cluster": names | st.text(),
        "limit": numbers,
    },
)


metrics_requests = st.fixed_dictionaries(
    {},
    optional={
        "resource": names | st.text() | json_values,
        "cluster": names | st.text(),
        "part": st.sampled_from([*PARTS, "SUM"]) | json_values,
        "startTime": st.floats() | numbers | json_values,
        "endTime": st.floats() | numbers | json_values,
        "periodSeconds": numbers,
        "maxResults": numbers,
        "nextToken": st.text() | st.builds(make_token, st.text() | json_values.map(json.dumps)),
    },
)


class Clock:
    def now_ms(self) -> int:
        return NOW_MS


METRICS = TimeSeries(None, {TASK.arn: TASK}.get)
METRICS.keep_metrics(
    INSTANCE.arn,
    tcs.PublishMetricsRequest(
        task_metrics=(
            tcs.TaskMetric(
                task_arn=TASK.arn,
                container_metrics=(tcs.ContainerMetric(container_name="web"),),
            ),
        )
    ),
    NOW_MS - 1,
)
METRICS.flush()


def make_calls() -> HomeportCalls:
    """A server's own calls over a store with one of everything, and the journal of that."""
    store, journal = make_store(), MemoryStorage()
    store.feed.watch(lambda commit, _: journal.append(commit))
    stream = EventStream(View(store), journal, commit_sequence=0)
    store.feed.watch(stream.follow)
    put(store, make_cluster(), INSTANCE, TASK, SERVICE)

    def refuse(event: ApiCalled, answer: Answer) -> None:
        raise AssertionError(f"{event.operation} is none of the engine's")

    return HomeportCalls(
        refuse,
        view=View(store),
        stream=stream,
        when_durable=journal.when_durable,
        read_history=journal.history,
        others={"ListMetrics": MetricsCall(View(store), METRICS, Clock()).list_metrics},
    )


def ask(operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer as a client reads it, None for a refusal."""

    async def call() -> object:
        try:
            shape = parse_request(homeport.OPERATIONS[operation], msgspec.json.encode(request))
        except AwsError:
            return None
        event = ApiCalled(
            operation=operation,
            request=shape,
            account_id="123456789012",
            region="us-east-1",
            endpoint="http://127.0.0.1:4566",
        )
        try:
            async with asyncio.timeout(0.05):
                return await ask_start(make_calls().start, event)
        except (AwsError, TimeoutError):  # refused, or waiting as it was asked to
            return None

    reply = asyncio.run(call())
    if reply is None:
        return None
    answer: dict[str, Any] = msgspec.json.decode(render_reply(reply))  # type: ignore[arg-type]
    return answer


@settings(max_examples=100, deadline=None)
@given(events_requests)
def test_any_question_for_events_is_answered_or_refused(request):
    answer = ask("ListEvents", request)
    if answer is not None:
        sequences = [each["sequence"] for each in answer["events"]]
        assert sequences == sorted(sequences)
        assert len(sequences) <= request.get("limit", 100)


@settings(max_examples=100, deadline=None)
@given(history_requests)
def test_any_question_for_history_is_answered_or_refused(request):
    answer = ask("ListHistory", request)
    if answer is not None:
        assert answer["resourceArn"] in (TASK.arn, SERVICE.arn, INSTANCE.arn)
        assert 1 <= len(answer["entries"]) <= request.get("limit", 100)


@settings(max_examples=200, deadline=None)
@given(metrics_requests)
def test_any_question_for_metrics_is_answered_or_refused(request):
    answer = ask("ListMetrics", request)
    if answer is not None:
        assert 20 <= answer["periodSeconds"] <= 10_800
        assert len(answer["points"]) <= 1
