"""Tags: the rules for them, and TagResource, UntagResource and ListTagsForResource.

Tags live in a table of their own, by the ARN of the resource; which operations take tags along is
their own business. Reference: api-errors-and-limits §6.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from homeport.api import ecs
from homeport.model.record import ResourceTags, Tag
from homeport.state.changes import Change, Put

TAGS_PER_RESOURCE = 50
TAG_KEY_LENGTH_CHARACTERS = 128
TAG_VALUE_LENGTH_CHARACTERS = 256
RESERVED_KEY_PREFIX = "aws:"

_is_plain = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*").fullmatch
_PUNCTUATION = frozenset("_.:/=+-@")


def check_tags(tags: Sequence[ecs.Tag] | None) -> tuple[Tag, ...]:
    """Return the tags of a request, or refuse them with InvalidParameterException.

    At most 50, keys of 1 to 128 characters, none twice, none in AWS's own `aws:` space, values of
    0 to 256 (reference: api-errors-and-limits §6; API:Tag).
    """
    if not tags:
        return ()
    if len(tags) > TAGS_PER_RESOURCE:
        raise ecs.InvalidParameterException(
            f"A resource can have at most {TAGS_PER_RESOURCE} tags, the request has {len(tags)}."
        )
    checked = tuple(Tag(_check_key(tag.key), _check_value(tag)) for tag in tags)
    if len({tag.key for tag in checked}) != len(checked):
        raise ecs.InvalidParameterException("Duplicate tag keys found. Tag keys must be unique.")
    return checked


def put_tags(arn: str, tags: tuple[Tag, ...]) -> tuple[Change, ...]:
    """Make the changes that give a new resource its tags; none when there are none."""
    return (Put(ResourceTags(arn=arn, tags=tags)),) if tags else ()


def render_tags(tags: Iterable[Tag]) -> list[ecs.Tag]:
    """Render tags as AWS shows them; no tags are an empty list."""
    return [ecs.Tag(key=tag.key, value=tag.value) for tag in tags]


def _check_key(key: str | None) -> str:
    if not key:
        raise ecs.InvalidParameterException("Tag key should not be null or empty.")
    if len(key) > TAG_KEY_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"Tag key must be {TAG_KEY_LENGTH_CHARACTERS} characters or less, it is {len(key)}."
        )
    if key[: len(RESERVED_KEY_PREFIX)].lower() == RESERVED_KEY_PREFIX:
        raise ecs.InvalidParameterException(
            "aws: prefixed tag key names are not allowed for external use."
        )
    _check_characters(key, "key")
    return key


def _check_value(tag: ecs.Tag) -> str:
    value = tag.value or ""
    if len(value) > TAG_VALUE_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"The value of tag '{tag.key}' must be {TAG_VALUE_LENGTH_CHARACTERS} characters or "
            f"less, it is {len(value)}."
        )
    _check_characters(value, "value")
    return value


def _check_characters(text: str, part: str) -> None:
    """Refuse what isn't a letter, digit or space in Unicode's sense, or one of `_.:/=+-@`."""
    if _is_plain(text) is not None:
        return
    for character in text:
        if character not in _PUNCTUATION and unicodedata.category(character)[0] not in "LNZ":
            raise ecs.InvalidParameterException(
                f"Tag {part} contains invalid characters. Use letters, digits, spaces and "
                "_ . : / = + - @ only."
            )
