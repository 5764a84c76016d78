"""How a refusal looks on the wire: AWS JSON's status, headers and body.

Deciding to refuse is `operations`' work; this is the only place that renders a refusal.
"""

from typing import NamedTuple

import msgspec

from homeport.api.errors import AwsError, InternalFailure

INTERNAL_FAILURE_MESSAGE = "Homeport failed on this request; its log tells why by the request id."

_encode = msgspec.json.Encoder().encode


class ErrorReply(NamedTuple):
    """A rendered refusal: HTTP status, headers beside the usual ones, and the body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def render_error(error: BaseException) -> ErrorReply:
    """Render any error as AWS JSON does; what is no AwsError shows as InternalFailure, no more.

    Source: reference api-errors-and-limits, section 1.
    """
    if not isinstance(error, AwsError):
        error = InternalFailure(INTERNAL_FAILURE_MESSAGE)
    body = {"__type": error.code, "message": error.message, **error.extra_members()}
    headers = ((b"x-amzn-errortype", error.code.encode()),)
    return ErrorReply(error.http_status, headers, _encode(body))
