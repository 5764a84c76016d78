"""Pages of List operations: opaque tokens and page sizes (reference: api-errors §7)."""

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import TypeVar

from homeport.api import ecs

R = TypeVar("R")

PAGE_SIZE_MAX = 100
TOKEN_LENGTH_CHARACTERS = 2_048


def page_size(
    requested: int | None, default: int = PAGE_SIZE_MAX, most: int = PAGE_SIZE_MAX
) -> int:
    """Return how many results a page holds, or raise InvalidParameterException."""
    if requested is None:
        return default
    if not 1 <= requested <= most:
        raise ecs.InvalidParameterException(
            f"maxResults must be between 1 and {most}, it is {requested}."
        )
    return requested


def read_token(token: str | None) -> str | None:
    """Return the cursor in a nextToken, or raise InvalidParameterException."""
    if token is None:
        return None
    if len(token) > TOKEN_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException("Invalid token. nextToken is too long.")
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise ecs.InvalidParameterException(
            "Invalid token. Pass the nextToken of the previous answer as it is."
        ) from None


def make_token(cursor: str) -> str:
    """Return the nextToken that continues behind `cursor`."""
    return base64.urlsafe_b64encode(cursor.encode()).decode()


def take_page(
    items: Iterator[R], size: int, cursor_of: Callable[[R], str]
) -> tuple[list[R], str | None]:
    """Return the first `size` items, and a token when there are more."""
    page: list[R] = []
    for item in items:
        if len(page) == size:
            return page, make_token(cursor_of(page[-1]))
        page.append(item)
    return page, None
