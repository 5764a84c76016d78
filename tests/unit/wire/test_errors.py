"""How refusals look on the wire."""

import msgspec
import pytest

from homeport.api import ecs
from homeport.api.errors import AwsError, RequestEntityTooLargeException, UnknownOperationException
from homeport.wire.errors import render_error


def test_a_refusal_has_its_code_message_and_status() -> None:
    reply = render_error(ecs.ClusterNotFoundException("Cluster not found."))
    assert reply.status == 400
    assert reply.headers == ((b"x-amzn-errortype", b"ClusterNotFoundException"),)
    assert msgspec.json.decode(reply.body) == {
        "__type": "ClusterNotFoundException",
        "message": "Cluster not found.",
    }


def test_a_conflict_carries_its_resource_ids() -> None:
    reply = render_error(ecs.ConflictException("taken", resource_ids=["arn:a"]))
    assert msgspec.json.decode(reply.body)["resourceIds"] == ["arn:a"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ecs.ServerException("x"), 500),
        (UnknownOperationException("x"), 404),
        (RequestEntityTooLargeException("x"), 413),
    ],
)
def test_the_status_is_the_errors_own(error: AwsError, status: int) -> None:
    assert render_error(error).status == status


def test_a_bug_shows_as_internal_failure_without_its_text() -> None:
    reply = render_error(KeyError("secret"))
    assert reply.status == 500
    assert msgspec.json.decode(reply.body)["__type"] == "InternalFailure"
    assert b"secret" not in reply.body
    assert b"KeyError" not in reply.body
