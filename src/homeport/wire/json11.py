"""AWS JSON 1.1: a request's body to its typed shape, and a reply's shape to bytes.

Members nobody knows are ignored, as AWS does and Amazon's agent needs; null means absent. Which
operation is meant is `targets`' work; values beyond their JSON type are `request_checks`'.
"""

import functools
import re
from typing import Any

import msgspec

from homeport.api.errors import SerializationException
from homeport.api.shapes import OperationModel, Shape
from homeport.wire.request_checks import check_request

CONTENT_TYPE = "application/x-amz-json-1.1"
EMPTY_REQUEST = b"{}"
EMPTY_REPLY = b"{}"

# msgspec's words for JSON types, in the words AWS's own parser uses.
_FOUND = {
    "str": "STRING_VALUE",
    "int": "NUMBER_VALUE",
    "float": "DECIMAL_VALUE",
    "bool": "BOOLEAN_VALUE",
    "array": "LIST_VALUE",
    "object": "STRUCTURE_VALUE",
    "null": "NULL_VALUE",
}
_WANTED = {
    "str": "a String",
    "int": "an Integer",
    "float": "a Double",
    "bool": "a Boolean",
    "array": "a List",
    "object": "a Structure or Map",
}
_MISMATCH = re.compile(r"Expected `(\w+)(?: \| null)?`, got `(\w+)`(?: - at `\$\.?(.*)`)?$")
_OUT_OF_RANGE = re.compile(r"Expected `int` (<=|>=) (-?\d+)(?: - at `\$\.?(.*)`)?$")

_FAR_OUT_OF_RANGE = re.compile(r"(?:Integer|Number) (?:value )?out of range(?: - at `\$\.?(.*)`)?$")

_encode = msgspec.json.Encoder().encode


def parse_request(operation: OperationModel, body: bytes) -> Shape:
    """Read a request's body into its input shape, or refuse it as AWS does.

    Raises SerializationException for what is no JSON object or has a member of the wrong type,
    naming the member; InvalidParameterException or ClientException as `check_request` says.
    """
    try:
        request: Shape = _decoder_for(operation.input_type).decode(body or EMPTY_REQUEST)
    except msgspec.ValidationError as error:
        raise SerializationException(_explain_mismatch(str(error))) from None
    except RecursionError:
        raise SerializationException("The request is nested too deeply.") from None
    except ValueError as error:  # msgspec.DecodeError and UnicodeDecodeError
        raise SerializationException(f"The request is not valid JSON: {error}") from None
    check_request(operation, request)
    return request


def render_reply(reply: Shape | None) -> bytes:
    """Write a reply's shape as JSON; members that are None are left out."""
    if reply is None:
        return EMPTY_REPLY
    return _encode(reply)


@functools.cache
def _decoder_for(shape: type[Shape]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def _explain_mismatch(complaint: str) -> str:
    mismatch = _MISMATCH.match(complaint)
    if mismatch is not None:
        wanted, found, path = mismatch.groups()
        sentence = f"{_FOUND.get(found, found)} can not be converted to {_WANTED[wanted]}"
        return f"{path}: {sentence}" if path else sentence
    out_of_range = _OUT_OF_RANGE.match(complaint)
    if out_of_range is not None:
        relation, bound, path = out_of_range.groups()
        word = "greater" if relation == "<=" else "less"
        return f"{path}: NUMBER_VALUE can not be {word} than {bound}"
    far_out_of_range = _FAR_OUT_OF_RANGE.match(complaint)
    if far_out_of_range is not None:
        return f"{far_out_of_range.group(1)}: NUMBER_VALUE is out of range"
    return complaint
