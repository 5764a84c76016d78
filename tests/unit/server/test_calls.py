"""Calls in flight: answered once, counted, and refused when the server has failed."""

from collections.abc import Callable

import msgspec
import pytest

from homeport.api import ecs
from homeport.engine.events import ApiCalled
from homeport.server.calls import Answer, ApiCalls, Request, Response

TARGET = b"AmazonEC2ContainerServiceV20141113.ListClusters"
REQUEST = Request(TARGET, None, None, "localhost", "", "http", "127.0.0.1:4566")
REPLY = ecs.ListClustersResponse(cluster_arns=[])


class Engine:
    """Keeps who waits for an answer."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[object], None]] = []

    def start(self, event: ApiCalled, answer: Answer) -> None:
        self.waiting.append(answer)


def make_calls(start: Callable[[ApiCalled, Answer], None], most_in_flight: int = 8) -> ApiCalls:
    return ApiCalls(
        start,
        default_account_id="123456789012",
        default_region="eu-west-1",
        most_in_flight=most_in_flight,
    )


def kind_of(response: Response) -> str:
    kind = msgspec.json.decode(response.body)["__type"]
    assert isinstance(kind, str)
    return kind


def test_a_call_that_waits_when_the_server_fails_hears_that_it_is_unavailable() -> None:
    engine, responses = Engine(), list[Response]()
    calls = make_calls(engine.start)
    calls.carry_out(REQUEST, b"", responses.append)
    calls.refuse_calls("it failed")
    calls.carry_out(REQUEST, b"", responses.append)
    assert [kind_of(each) for each in responses] == ["ServiceUnavailable"] * 2
    assert b"it failed" in responses[0].body
    assert len(engine.waiting) == 1


def test_a_reply_that_comes_too_late_is_not_given() -> None:
    engine, responses = Engine(), list[Response]()
    calls = make_calls(engine.start)
    calls.carry_out(REQUEST, b"", responses.append)
    calls.refuse_calls("it failed")
    engine.waiting[0](REPLY)
    assert [response.status for response in responses] == [503]


def test_one_call_too_many_is_refused_until_another_is_answered() -> None:
    engine, responses = Engine(), list[Response]()
    calls = make_calls(engine.start, most_in_flight=2)
    for _ in range(3):
        calls.carry_out(REQUEST, b"", responses.append)
    assert [kind_of(each) for each in responses] == ["ServiceUnavailable"]
    engine.waiting[0](REPLY)
    calls.carry_out(REQUEST, b"", responses.append)
    assert len(engine.waiting) == 3


def test_a_bug_is_logged_by_the_id_that_its_caller_gets(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: ApiCalled, answer: Answer) -> None:
        raise ZeroDivisionError("a bug")

    responses: list[Response] = []
    make_calls(fail).carry_out(REQUEST, b"", responses.append)
    (response,) = responses
    request_id = dict(response.headers)[b"x-amzn-requestid"].decode()
    assert (response.status, kind_of(response)) == (500, "InternalFailure")
    assert b"a bug" not in response.body
    assert request_id in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_what_is_no_shape_of_the_api_is_a_bug_too() -> None:
    engine, responses = Engine(), list[Response]()
    make_calls(engine.start).carry_out(REQUEST, b"", responses.append)
    engine.waiting[0]("text")
    assert kind_of(responses[0]) == "InternalFailure"
