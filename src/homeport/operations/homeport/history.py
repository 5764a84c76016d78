"""A resource's history as it is answered: what each commit of the journal changed in it.

Reading the journal is `storage`'s work; which resource is meant, `resources`'.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from homeport.api import homeport
from homeport.model.record import ResourceTags
from homeport.model.service import ServiceEvent
from homeport.state.changes import Change, Put, table_of

CHANGED_MEMBERS_LIMIT = 64  # of one entry
# Counters that go with every change, and what the answer says anyway.
_NOT_SHOWN = frozenset({"version", "type", "arn", "eventSequence", "fingerprint"})
# Members whose bytes are JSON themselves.
_DOCUMENTS = frozenset({"document", "overrides"})
_TAGS = "tags"
# Counts what the resource's own records have forgotten.
_NOT_TOLD = frozenset({"instance_turnover"})
_ABSENT = object()

_encode = msgspec.json.Encoder().encode


class PastChange(NamedTuple):
    """One change of one record as the journal has it."""

    sequence: int
    at_ms: int
    cause: str
    change: Change


def render_history(
    past: Sequence[PastChange], messages: Sequence[ServiceEvent], limit: int
) -> list[homeport.HistoryEntry]:
    """Return the newest `limit` entries, oldest first.

    `past` is newest first and holds one more than `limit` when there is more; `messages` are what
    a service said, in any order.
    """
    entries: list[homeport.HistoryEntry] = []
    before: dict[str, dict[str, Any]] = {}  # by table: a resource's tags are kept apart
    for number, each in enumerate(reversed(past)):
        table, after = _read(each.change)
        if table in _NOT_TOLD:
            continue
        changes = list(_compare("", before.get(table, {}), after))[:CHANGED_MEMBERS_LIMIT]
        is_end = not after and table != _TAGS
        is_only_to_compare_with = number == 0 and len(past) > limit
        if (changes or is_end) and not is_only_to_compare_with:
            entries.append(
                homeport.HistoryEntry(
                    at=each.at_ms / 1_000,
                    kind="DELETED" if is_end else "CHANGED",
                    cause=each.cause,
                    sequence=each.sequence,
                    is_first_known=not before,
                    changes=[] if is_end else changes,
                )
            )
        before[table] = after
    oldest_at = entries[0].at if entries else 0.0
    entries += [
        homeport.HistoryEntry(
            at=each.created_at_ms / 1_000,
            kind="MESSAGE",
            cause="",
            message=each.message,
            changes=[],
        )
        for each in sorted(messages, key=lambda each: each.sequence)
        if each.created_at_ms / 1_000 >= oldest_at
    ]
    entries.sort(key=lambda each: each.at)
    return entries[-limit:]


def _read(change: Change) -> tuple[str, dict[str, Any]]:
    """Return a change's table, and the members that the record has after it: none if it is gone.

    They have AWS's kind of names, documents are opened, times are text.
    """
    if not isinstance(change, Put):
        return change.table, {}
    table = table_of(change.record)
    if isinstance(change.record, ResourceTags):
        return table, {"tags": {tag.key: tag.value for tag in change.record.tags}}
    return table, _plain("", change.record)


def _plain(name: str, value: Any) -> Any:
    """Write a member's value, and what is below it, as JSON has it; defaults are written, too."""
    if isinstance(value, msgspec.Struct):
        members = msgspec.structs.asdict(value).items()
        return {
            _camel(each.removesuffix("_ms")): _plain(each, below)
            for each, below in members
            if below is not None
        }
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain("", item) for item in value]
    if isinstance(value, bytes):
        is_document = name in _DOCUMENTS and value
        return msgspec.json.decode(value) if is_document else value.decode("utf-8", "replace")
    if name.endswith("_at_ms") and value:
        moment = datetime.fromtimestamp(value / 1_000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _compare(path: str, before: Any, after: Any) -> Iterator[homeport.MemberChange]:
    """Yield what differs, as deep as both sides have the same form."""
    if before == after:
        return
    old, new = _named_parts(before), _named_parts(after)
    if old is None or new is None:
        yield homeport.MemberChange(member=path, before=_raw(before), after=_raw(after))
        return
    for name in dict.fromkeys([*old, *new]):
        below = f"{path}[{name}]" if isinstance(after, list) else f"{path}.{name}".lstrip(".")
        if name not in _NOT_SHOWN:
            yield from _compare(below, old.get(name, _ABSENT), new.get(name, _ABSENT))


def _named_parts(value: Any) -> dict[str, Any] | None:
    """Return the members of a structure, or a list's structures by their name or id."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, list) or not value:
        return None
    parts = {}
    for each in value:
        name = each.get("name") or each.get("id") if isinstance(each, Mapping) else None
        if name is None or name in parts:
            return None
        parts[str(name)] = each
    return parts


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(b"null" if value is _ABSENT else _encode(value))
