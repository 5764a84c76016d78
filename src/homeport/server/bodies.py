"""Reading a request's body without trusting its client: bounded in size and in time."""

import asyncio

from starlette.types import Receive

from homeport.api.errors import (
    AwsError,
    RequestEntityTooLargeException,
    RequestTimeoutException,
    SerializationException,
)
from homeport.server.limits import ServerLimits


class ClientGone(Exception):
    """The client went away before its request was whole; there is nobody to answer."""


async def read_body(receive: Receive, declared: bytes | None, limits: ServerLimits) -> bytes:
    """Read a whole body of at most `limits.body_bytes`.

    `declared` is the Content-Length header. A larger body is refused as
    RequestEntityTooLargeException after being read away unkept, so that the client sees the
    answer; one that does not arrive in time as RequestTimeoutException.
    """
    length = _parse_length(declared)
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            if length is not None and length > limits.body_bytes:
                if length <= limits.drained_bytes:
                    await _drain(receive, limits.drained_bytes)
                raise _too_large(limits)
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                return _checked(message.get("body", b""), limits)
            return await _read_rest(receive, message, limits)
    except TimeoutError:
        raise RequestTimeoutException(
            f"The request's body did not arrive within {limits.body_timeout_s:g} seconds."
        ) from None


async def _read_rest(receive: Receive, message: object, limits: ServerLimits) -> bytes:
    body = bytearray()
    while True:
        assert isinstance(message, dict)
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limits.body_bytes:
            if message.get("more_body", False):
                await _drain(receive, limits.drained_bytes - len(body))
            raise _too_large(limits)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


async def _drain(receive: Receive, bytes_left: int) -> None:
    """Read and forget until the body ends, the client goes, or `bytes_left` are used up."""
    while bytes_left > 0:
        message = await receive()
        bytes_left -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return


def _checked(body: bytes, limits: ServerLimits) -> bytes:
    if len(body) > limits.body_bytes:
        raise _too_large(limits)
    return body


def _parse_length(declared: bytes | None) -> int | None:
    if declared is None:
        return None
    if not declared.isdigit():
        raise SerializationException("The Content-Length header is not a number.")
    return int(declared)


def _too_large(limits: ServerLimits) -> AwsError:
    return RequestEntityTooLargeException(
        f"The request is larger than the {limits.body_bytes} bytes this server takes."
    )
