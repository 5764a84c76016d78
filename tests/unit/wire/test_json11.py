"""Request bodies to shapes, and every way a body can be wrong."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.api import ecs
from homeport.api.errors import AwsError, SerializationException
from homeport.wire.json11 import parse_request, render_reply

RUN_TASK = ecs.OPERATIONS["RunTask"]
REGISTER = ecs.OPERATIONS["RegisterTaskDefinition"]
LIST_CLUSTERS = ecs.OPERATIONS["ListClusters"]


def refusal(operation: str, body: bytes) -> AwsError:
    with pytest.raises(AwsError) as refused:
        parse_request(ecs.OPERATIONS[operation], body)
    return refused.value


def test_members_become_attributes() -> None:
    body = b'{"taskDefinition":"web:3","count":2,"tags":[{"key":"a","value":"b"}]}'
    assert parse_request(RUN_TASK, body) == ecs.RunTaskRequest(
        task_definition="web:3", count=2, tags=[ecs.Tag(key="a", value="b")]
    )


def test_null_means_absent_and_unknown_members_are_ignored() -> None:
    body = b'{"taskDefinition":"web","count":null,"notYetInvented":{"deep":[1]}}'
    assert parse_request(RUN_TASK, body) == ecs.RunTaskRequest(task_definition="web")


def test_an_empty_body_is_a_request_without_members() -> None:
    assert parse_request(LIST_CLUSTERS, b"") == ecs.ListClustersRequest()


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (b'"count":"2"', "count: STRING_VALUE can not be converted to an Integer"),
        (b'"count":1.5', "count: DECIMAL_VALUE can not be converted to an Integer"),
        (b'"count":true', "count: BOOLEAN_VALUE can not be converted to an Integer"),
        (b'"cluster":5', "cluster: NUMBER_VALUE can not be converted to a String"),
        (b'"tags":{}', "tags: STRUCTURE_VALUE can not be converted to a List"),
        (b'"tags":[null]', "tags[0]: NULL_VALUE can not be converted to a Structure or Map"),
        (b'"overrides":[]', "overrides: LIST_VALUE can not be converted to a Structure or Map"),
        (
            b'"overrides":{"containerOverrides":[{},{"cpu":{}}]}',
            "overrides.containerOverrides[1].cpu: STRUCTURE_VALUE can not be converted to "
            "an Integer",
        ),
        (b'"count":2147483648', "count: NUMBER_VALUE can not be greater than 2147483647"),
        (b'"count":-2147483649', "count: NUMBER_VALUE can not be less than -2147483648"),
        (b'"count":' + b"9" * 5000, "count: NUMBER_VALUE is out of range"),
    ],
)
def test_a_wrong_type_is_refused_naming_the_member(member: bytes, message: str) -> None:
    refused = refusal("RunTask", b'{"taskDefinition":"web",' + member + b"}")
    assert (refused.code, refused.message) == ("SerializationException", message)


def test_a_wrong_type_inside_a_map_is_refused() -> None:
    refused = refusal(
        "RegisterTaskDefinition", b'{"containerDefinitions":[{"dockerLabels":{"a":5}}]}'
    )
    assert refused.message == (
        "containerDefinitions[0].dockerLabels[...]: NUMBER_VALUE can not be converted to a String"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"{}{}",
        b'{"maxResults":NaN}',
        b'{"maxResults":Infinity}',
        b'{"cluster":"\xff"}',
        b'{"cluster":"\\ud800"}',
        b'{"cluster":"\\ud800x"}',
        b'{"cluster":"a\x00b"}',
        b"\xef\xbb\xbf{}",
        b'{"unknown":' + b"[" * 200_000,
        b'{"unknown":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b"clusters=default",
    ],
    ids=range(16),
)
def test_what_is_no_json_object_is_refused_as_serialization_exception(body: bytes) -> None:
    refused = refusal("ListServices", body)
    assert refused.code == "SerializationException"
    assert refused.http_status == 400
    assert "msgspec" not in refused.message


@given(st.binary(max_size=60))
def test_no_bytes_at_all_make_parsing_fail_otherwise(noise: bytes) -> None:
    for body in (noise, b'{"cluster":"' + noise + b'"}', b'{"maxResults":' + noise + b"}"):
        try:
            parse_request(ecs.OPERATIONS["ListServices"], body)
        except AwsError as refused:
            assert isinstance(refused, SerializationException | ecs.InvalidParameterException)


@given(st.text(max_size=40))
def test_any_text_that_is_taken_can_be_answered(text: str) -> None:
    body = msgspec.json.encode({"cluster": text.encode("utf-8", "replace").decode()})
    request = parse_request(ecs.OPERATIONS["ListServices"], body)
    assert msgspec.json.decode(render_reply(request)) == msgspec.json.decode(body)


def test_a_reply_leaves_out_what_is_none_and_keeps_what_is_empty() -> None:
    reply = ecs.DescribeTasksResponse(tasks=[ecs.Task(cpu="256", created_at=1.5)], failures=[])
    assert render_reply(reply) == b'{"tasks":[{"cpu":"256","createdAt":1.5}],"failures":[]}'


def test_a_reply_of_nothing_is_an_empty_object() -> None:
    assert render_reply(None) == b"{}"
    assert render_reply(ecs.TagResourceResponse()) == b"{}"


def test_timestamps_are_plain_seconds() -> None:
    reply = ecs.Deployment(created_at=1_700_000_000.0, updated_at=1_700_000_000.123)
    assert render_reply(reply) == b'{"createdAt":1700000000.0,"updatedAt":1700000000.123}'
