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
    answer; one not here in time as RequestTimeoutException.
    """
    length = _parse_length(declared)
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            return await _read(receive, length, limits)
    except TimeoutError:
        raise RequestTimeoutException(
            f"The request's body did not arrive within {limits.body_timeout_s:g} seconds."
        ) from None


async def _read(receive: Receive, length: int | None, limits: ServerLimits) -> bytes:
    if length is not None and length > limits.body_bytes:
        if length <= limits.drained_bytes:
            await _drain(receive, limits.drained_bytes)
        raise _too_large(limits)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) + len(piece) > limits.body_bytes:
            if has_more:
                await _drain(receive, limits.drained_bytes - len(body) - len(piece))
            raise _too_large(limits)
        if not has_more:
            return bytes(body) + piece if body else piece
        body += piece


async def _drain(receive: Receive, bytes_left: int) -> None:
    """Read and forget until the body ends, the client goes, or `bytes_left` are used up."""
    while bytes_left > 0:
        message = await receive()
        bytes_left -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return


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
