"""Whatever a client sends is answered or refused in AWS's terms, and the state stays sound."""

import functools
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import (
    SCOPE,
    apply,
    at,
    make_cluster,
    make_container_instance,
    make_store,
)
from calls import call
from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.api.shapes import Shape
from homeport.operations.context import CallContext
from homeport.operations.registry import OPERATIONS
from homeport.state.changes import AnyRecord
from homeport.state.invariants import find_violations
from homeport.state.view import View
from homeport.wire.json11 import render_reply
from homeport.wire.request_checks import check_request
from task_definition_requests import types_of

APP = {"name": "app", "image": "busybox", "memory": 64, "portMappings": [{"containerPort": 80}]}


def make_records() -> list[AnyRecord]:
    """Make one of everything, as the operations make it."""
    store = make_store(make_cluster(), make_container_instance())
    call(store, "RegisterTaskDefinition", family="web", containerDefinitions=[APP])
    call(store, "CreateService", serviceName="web", taskDefinition="web", desiredCount=1)
    call(store, "RunTask", taskDefinition="web")
    return store.every_record()


RECORDS = make_records()

# Text that means something somewhere, so that calls come far; and text that means nothing.
KNOWN_TEXT = [
    *(record.arn for record in RECORDS if hasattr(record, "arn")),
    *("default", "web", "web:1", "app", "busybox", "", "arn:aws:ecs:::", "0", "1 GB", "x" * 300),
    *("a:b", "attribute:a == b", "CPU", "80-90", "ecs.x", "\x00", "\ud7ff", "१"),
]
TEXT = st.one_of(st.sampled_from(KNOWN_TEXT), st.text(max_size=5))
NUMBERS = st.one_of(st.integers(-2, 100), st.sampled_from([2**31 - 1, -(2**31), 65_536]))


@functools.cache
def shapes(shape: type[Shape]) -> st.SearchStrategy[Any]:
    required = ecs.REQUIRED_MEMBERS.get(shape, ())
    members = {
        name: values(shape, name, kind)
        if name in required
        else st.one_of(st.none(), values(shape, name, kind))
        for name, kind in types_of(shape).items()
    }
    return st.builds(shape, **members)


def values(shape: type[Shape], name: str, kind: Any) -> st.SearchStrategy[Any]:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    origin = typing.get_origin(kind)
    if origin is list:
        return st.lists(values(shape, name, typing.get_args(kind)[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(TEXT, values(shape, name, typing.get_args(kind)[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Shape):
        return st.deferred(lambda: shapes(kind))
    enum = ecs.ENUM_MEMBERS.get(shape, {}).get(name)
    if enum is not None:
        return st.sampled_from(ecs.ENUM_VALUES[enum])
    finite = st.floats(allow_nan=False, allow_infinity=False)
    simple = {str: TEXT, bool: st.booleans(), int: NUMBERS, float: finite, Any: TEXT}
    return simple[kind]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_any_request_is_answered_or_refused(name, data):
    model = ecs.OPERATIONS[name]
    request = data.draw(shapes(model.input_type))
    store = make_store(*RECORDS)
    context = CallContext(scope=SCOPE, moment=at(), endpoint="http://127.0.0.1:4566")
    try:
        check_request(model, request)
        decision = OPERATIONS[name](View(store), request, context)
    except AwsError as refusal:
        assert refusal.message
        assert refusal.http_status < 500
        return
    apply(store, decision)
    assert find_violations(store) == []
    assert render_reply(decision.reply).startswith(b"{")
