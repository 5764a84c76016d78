"""Which payloads an agent takes over, and how sockets are named and ended."""

import msgspec
import pytest

from agent_builders import make_container, make_task
from homeport.agent.control_session import MAX_TASKS, refuse_payload
from homeport.agent.link import ControlPlaneRefusal, ControlPlaneUnavailable
from homeport.agent.sockets import Ending, make_url, read_refusal
from homeport.wire.agent_messages import acs, payload

TASK = make_task(make_container("i"))


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        (msgspec.structs.replace(TASK, arn=""), "no arn"),
        (msgspec.structs.replace(TASK, desired_status="PAUSED"), "'PAUSED' isn't RUNNING"),
        (msgspec.structs.replace(TASK, containers=()), "containers must be there"),
        (make_task(make_container("i", "a"), make_container("i", "a")), "named differently"),
        (make_task(make_container("i", "")), "named"),
    ],
)
def test_a_payload_that_makes_no_sense_is_refused_whole(task: payload.Task, complaint: str):
    refusal = refuse_payload(acs.PayloadMessage(tasks=(TASK, task)), 0)
    assert refusal is not None
    assert complaint in refusal


def test_a_payload_beyond_the_limit_is_refused():
    message = acs.PayloadMessage(tasks=(TASK,))
    assert refuse_payload(message, MAX_TASKS - 1) is None
    assert f"{MAX_TASKS} tasks at most" in (refuse_payload(message, MAX_TASKS) or "")


@pytest.mark.parametrize(
    ("message", "ending"),
    [
        (acs.CloseMessage(), Ending.CLEAN),
        (acs.InactiveInstanceException(), Ending.INACTIVE),
        (acs.InvalidClusterException(), Ending.BROKEN),
        (acs.ServerException(), Ending.BROKEN),
        (acs.HeartbeatMessage(), None),
    ],
)
def test_an_error_frame_ends_the_session_in_its_own_way(message: object, ending: Ending | None):
    assert read_refusal(message) is ending  # type: ignore[arg-type]


def test_a_sockets_url_has_every_query_value_encoded():
    url = make_url("http://h:1/acs/", {"clusterArn": "arn:a/b", "dockerVersion": "Docker: 20+x"})
    assert url == "http://h:1/acs/ws?clusterArn=arn%3Aa%2Fb&dockerVersion=Docker%3A%2020%2Bx"


def test_an_endpoint_that_is_not_named_is_trouble_not_a_crash():
    with pytest.raises(ControlPlaneUnavailable):
        make_url(None, {})


@pytest.mark.parametrize(
    ("code", "status", "is_retryable"),
    [
        ("ThrottlingException", 400, True),
        ("ServerException", 500, True),
        ("Whatever", 503, True),
        ("InvalidParameterException", 400, False),
        ("ClientException", 400, False),
    ],
)
def test_only_passing_troubles_are_worth_a_repetition(code: str, status: int, is_retryable: bool):
    assert ControlPlaneRefusal(code, "x", status).is_retryable is is_retryable
