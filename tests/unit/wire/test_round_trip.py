"""Every member of every request and reply survives the way over the wire, as botocore sees it."""

from typing import Any

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from homeport.api import ecs
from homeport.wire.json11 import parse_request, render_reply

MODEL = ServiceModel(
    Loader().load_service_model("ecs", "service-2", api_version="2014-11-13"), "ecs"
)
SERIALIZER = create_serializer("json", include_validation=False)
PARSER = create_parser("json")
# Deeper than any shape of ECS; a shape that nests itself would stop here.
MAX_DEPTH = 16


def fill(shape: Shape, depth: int = 0) -> Any:
    """Make a value with every member present, each different from the defaults."""
    assert depth < MAX_DEPTH
    if isinstance(shape, StructureShape):
        if shape.is_document_type:
            return {"free": ["form", 1, None]}
        return {name: fill(member, depth + 1) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [fill(shape.member, depth + 1)] * 2  # type: ignore[attr-defined]
    if shape.type_name == "map":
        value = fill(shape.value, depth + 1)  # type: ignore[attr-defined]
        return {"one": value, "two": value}
    if shape.type_name == "string":
        return shape.enum[-1] if shape.enum else f"{shape.name} ä\u2028\0"  # type: ignore[attr-defined]
    if shape.type_name == "timestamp":
        return 1_700_000_000.25
    return {"integer": 7, "long": 2**40, "double": 2.5, "float": 2.5, "boolean": True}[
        shape.type_name
    ]


# Amazon's agent sends it, the public model lacks it: see tools/generate_api.py.
UNPUBLISHED_MEMBERS = {"RegisterContainerInstance": {"client_token"}}


@pytest.mark.parametrize("name", sorted(ecs.OPERATIONS))
def test_every_member_of_a_request_arrives(name: str) -> None:
    model = MODEL.operation_model(name)
    whole = fill(model.input_shape)
    body = SERIALIZER.serialize_to_request(whole, model)["body"]
    request = parse_request(ecs.OPERATIONS[name], body)
    absent = {field for field in request.__struct_fields__ if getattr(request, field) is None}
    assert absent == UNPUBLISHED_MEMBERS.get(name, set())
    assert msgspec.json.decode(render_reply(request)) == msgspec.json.decode(body)


@pytest.mark.parametrize("name", sorted(ecs.OPERATIONS))
def test_every_member_of_a_reply_is_read_by_botocore(name: str) -> None:
    model = MODEL.operation_model(name)
    whole = fill(model.output_shape)
    reply = msgspec.convert(whole, ecs.OPERATIONS[name].output_type)
    response = {"status_code": 200, "headers": {}, "body": render_reply(reply)}
    parsed = PARSER.parse(response, model.output_shape)
    del parsed["ResponseMetadata"]
    expected = PARSER.parse({**response, "body": msgspec.json.encode(whole)}, model.output_shape)
    del expected["ResponseMetadata"]
    assert parsed == expected
    assert set(parsed) == set(whole)
