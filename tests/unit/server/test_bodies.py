"""Reading bodies: what is kept, what is read away, what is not read at all."""

import asyncio

import pytest
from starlette.types import Message

from homeport.api.errors import RequestEntityTooLargeException, RequestTimeoutException
from homeport.server.bodies import ClientGone, read_body
from homeport.server.limits import ServerLimits

LIMITS = ServerLimits(body_bytes=10, drained_bytes=40, body_timeout_s=0.01)


class Sender:
    """A client that sends its pieces, then ends, leaves, or says nothing more."""

    def __init__(self, *pieces: bytes, then: str = "end") -> None:
        self.left = list(pieces)
        self._then = then

    async def receive(self) -> Message:
        if self.left:
            piece = self.left.pop(0)
            has_more = bool(self.left) or self._then != "end"
            return {"type": "http.request", "body": piece, "more_body": has_more}
        if self._then == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}


@pytest.mark.parametrize("pieces", [(b"",), (b"0123456789",), (b"01234", b"", b"56789")])
async def test_a_body_up_to_the_limit_is_put_together(pieces: tuple[bytes, ...]) -> None:
    assert await read_body(Sender(*pieces).receive, None, LIMITS) == b"".join(pieces)


async def test_one_byte_too_many_is_too_large() -> None:
    for declared in (None, b"11"):
        sender = Sender(b"0123456789a")
        with pytest.raises(RequestEntityTooLargeException, match="10 bytes"):
            await read_body(sender.receive, declared, LIMITS)


@pytest.mark.parametrize("declared", [b"40", None])
async def test_a_body_too_large_is_read_away(declared: bytes | None) -> None:
    sender = Sender(*[b"0123456789"] * 4)
    with pytest.raises(RequestEntityTooLargeException):
        await read_body(sender.receive, declared, LIMITS)
    assert sender.left == []


@pytest.mark.parametrize(("declared", "left"), [(b"41", 9), (None, 5)])
async def test_a_body_far_too_large_is_not_read_to_its_end(
    declared: bytes | None, left: int
) -> None:
    sender = Sender(*[b"0123456789"] * 9)
    with pytest.raises(RequestEntityTooLargeException):
        await read_body(sender.receive, declared, LIMITS)
    assert len(sender.left) == left


async def test_a_client_that_leaves_while_its_body_is_read_away_still_ends_it() -> None:
    with pytest.raises(RequestEntityTooLargeException):
        await read_body(Sender(b"0123456789", then="leave").receive, b"30", LIMITS)


async def test_a_client_that_leaves_in_mid_body_is_gone() -> None:
    with pytest.raises(ClientGone):
        await read_body(Sender(b"01", then="leave").receive, b"9", LIMITS)


@pytest.mark.parametrize("declared", [b"9", b"30", None])
async def test_a_body_that_stops_coming_is_too_late(declared: bytes | None) -> None:
    with pytest.raises(RequestTimeoutException, match=r"within 0\.01 seconds"):
        await read_body(Sender(b"01", then="silence").receive, declared, LIMITS)
