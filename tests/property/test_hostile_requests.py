"""Requests that nobody sane would send: every operation refuses them in AWS's terms, or does them.

The shapes are AWS's, the values are names and ARNs that exist, nearly exist, or never could.
"""

import functools
import types
import typing

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import (
    make_cluster,
    make_container_instance,
    make_store,
)
from desk import Desk
from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.api.shapes import Shape
from homeport.operations.registry import OPERATIONS
from homeport.wire.json11 import parse_request, render_reply

pytestmark = pytest.mark.slow


def make_records():
    """Make a cluster with a service and a task, by the operations that make them."""
    desk = Desk(make_cluster(), make_container_instance("one"))
    container = ecs.ContainerDefinition(name="app", image="busybox", memory=64)
    definition = ecs.RegisterTaskDefinitionRequest(family="web", container_definitions=[container])
    desk.decide(OPERATIONS["RegisterTaskDefinition"], definition)
    service = ecs.CreateServiceRequest(service_name="shop", task_definition="web", desired_count=1)
    desk.decide(OPERATIONS["CreateService"], service)
    run = ecs.RunTaskRequest(task_definition="web")
    assert desk.ask(OPERATIONS["RunTask"], run)["tasks"]
    return tuple(desk.store.every_record())


RECORDS = make_records()
ARNS = [record.arn for record in RECORDS if hasattr(record, "arn")]

KNOWN = ARNS + [arn.rsplit("/", 1)[-1] for arn in ARNS]
KNOWN += ["default", "web", "web:1", "shop", "app", "EC2", "EXTERNAL", "ACTIVE", "DRAINING", "TAGS"]
KNOWN += ["container-instance", "memberOf", "spread", "memory", "CPU", "GPU", "RUNNING", "STOPPED"]
STRANGE = ["", " ", "arn:", "arn:aws:ecs", "arn:aws:ecs:::/", "arn:aws:ecs:us-east-1:1:task/a/b/c/"]
STRANGE += ["arn:aws:ecs:us-east-1:123456789012:cluster/", "web:", "web:0", "web:99999999999999"]
STRANGE += [
    "web:-1",
    "-",
    "\x00",
    "é",
    "\U0001f600",
    "x" * 300,
    "1.5 vCPU",
    "-1",
    "1e9",
    "NaN",
    "{}",
]
TEXTS = st.one_of(st.sampled_from(KNOWN), st.sampled_from(STRANGE), st.text(max_size=8))
INTEGERS = st.sampled_from([-(2**31), -1, 0, 1, 2, 10, 11, 80, 100, 101, 65_536, 2**31 - 1])
FLOATS = st.sampled_from([-1.0, 0.0, 0.5, 1.7e9, 1e18, 1e300])
DEPTH = 4


@functools.cache
def values_of(annotation: object, depth: int) -> st.SearchStrategy:
    """Make values of one member's type; nothing for what nests deeper than `DEPTH`."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return values_of(parts[0], depth)
    if origin in (typing.Union, types.UnionType):
        inner = next(part for part in parts if part is not type(None))
        return st.one_of(st.none(), values_of(inner, depth))
    if origin is list:
        return st.lists(values_of(parts[0], depth), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXTS, values_of(parts[1], depth), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return shapes_of(annotation, depth + 1) if depth < DEPTH else st.none()
    return {bool: st.booleans(), int: INTEGERS, float: FLOATS}.get(annotation, TEXTS)


@functools.cache
def shapes_of(shape: type[Shape], depth: int = 0) -> st.SearchStrategy:
    """Make shapes with a few of their members."""
    hints = typing.get_type_hints(shape, include_extras=True)
    members = st.fixed_dictionaries(
        {}, optional={name: values_of(hint, depth) for name, hint in hints.items()}
    )
    return members.map(lambda given: shape(**given))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_operation_answers_or_refuses_and_never_breaks(name, data):
    model = ecs.OPERATIONS[name]
    given = data.draw(shapes_of(model.input_type))
    desk = Desk(*RECORDS)
    before = desk.store.sequence
    try:
        request = parse_request(model, msgspec.json.encode(given))
        decision = desk.decide(OPERATIONS[name], request)
    except AwsError as refusal:
        assert refusal.message
        assert desk.store.sequence == before
        assert refusal.http_status < 500
        return
    msgspec.json.decode(render_reply(decision.reply))
    assert make_store(*desk.store.every_record())
