"""The base of every stored record; what each record holds lives in its own module."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A frozen value that the store keeps; a change replaces the whole record."""


class Tag(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One tag of a resource."""

    key: str
    value: str = ""


class ResourceTags(Record, frozen=True, kw_only=True, tag="tags"):
    """All tags of the resource that `arn` names; no record means no tags."""

    arn: str
    tags: tuple[Tag, ...]
