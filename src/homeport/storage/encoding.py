"""Records and commits as bytes: MessagePack of tagged structs.

A record is a map that names its type and omits defaults, so a later Homeport may add members
with defaults, and ignores members that it no longer knows. Not here: where the bytes go.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from homeport.state.changes import AnyRecord, Change, Commit, Put, key_of, table_of

_ENCODER = msgspec.msgpack.Encoder()
_RECORD_DECODER = msgspec.msgpack.Decoder(AnyRecord)
_CHANGES_DECODER = msgspec.msgpack.Decoder(tuple[Change, ...])
_RAW_CHANGES_DECODER = msgspec.msgpack.Decoder(list[list[msgspec.Raw]])
_TEXT_DECODER = msgspec.msgpack.Decoder(str)

RecordId = tuple[str, str]  # table and key
Entry = tuple[str, str, bytes]  # table, key and the record
Changed = dict[RecordId, bytes | None]  # what records are now; None: deleted

_ENTRIES_DECODER = msgspec.msgpack.Decoder(list[tuple[str, str, bytes | None]])


class EncodedCommit(NamedTuple):
    """One commit's journal row; a row is bound to SQL as it stands."""

    sequence: int
    at_ms: int
    cause: str
    body: bytes


Written = tuple[EncodedCommit, list[RecordId]]  # a commit, and what each of its changes is about


def encode_commit(commit: Commit) -> tuple[EncodedCommit, Changed]:
    """Return a commit's journal row, and what every record that it touches is after it.

    A record that was deleted last has None; each record is encoded once a change.
    """
    changes: list[tuple[object, ...]] = []
    latest: Changed = {}
    for change in commit.changes:
        if isinstance(change, Put):
            value = _ENCODER.encode(change.record)
            latest[table_of(change.record), key_of(change.record)] = value
            changes.append(("put", msgspec.Raw(value)))
        else:
            latest[change.table, change.key] = None
            changes.append(("delete", change.table, change.key))
    body = _ENCODER.encode(changes)
    return EncodedCommit(commit.sequence, commit.at_ms, commit.cause, body), latest


def encode_written(commit: Commit) -> Written:
    """Return a commit's journal row, the same one, in half the time; `changed_by` has the rest."""
    names = [
        (table_of(change.record), key_of(change.record))
        if isinstance(change, Put)
        else (change.table, change.key)
        for change in commit.changes
    ]
    body = _ENCODER.encode(commit.changes)
    return EncodedCommit(commit.sequence, commit.at_ms, commit.cause, body), names


def changed_by(commit: Written) -> Changed:
    """Return what every record that a commit touches is after it, as `encode_commit` does."""
    row, names = commit
    changes = _RAW_CHANGES_DECODER.decode(row.body)
    return {
        name: bytes(rest[0]) if len(rest) == 1 else None  # a Put has its record, a Delete a name
        for name, (_, *rest) in zip(names, changes, strict=True)
    }


def encode_entries(latest: Mapping[RecordId, bytes | None]) -> bytes:
    """Write what records are, or None for those that were deleted, as one piece."""
    return _ENCODER.encode([(table, key, value) for (table, key), value in latest.items()])


def decode_entries(body: bytes) -> list[tuple[str, str, bytes | None]]:
    """Read what `encode_entries` wrote; raises msgspec.MsgspecError for other bytes."""
    return _ENTRIES_DECODER.decode(body)


def decode_record(value: bytes) -> AnyRecord:
    """Read one record; raises msgspec.MsgspecError for bytes that aren't one."""
    record: AnyRecord = _RECORD_DECODER.decode(value)
    return record


def split_changes(body: bytes) -> Iterator[tuple[RecordId, AnyRecord | None, bytes | None]]:
    """Iterate the changes of one commit: each record's id, and itself and its bytes (a Put).

    Raises msgspec.MsgspecError for bytes that aren't a commit's.
    """
    for tag, *rest in _RAW_CHANGES_DECODER.decode(body):
        if _TEXT_DECODER.decode(tag) == "put":
            (value,) = map(bytes, rest)
            record = decode_record(value)
            yield (table_of(record), key_of(record)), record, value
        else:
            table, key = map(_TEXT_DECODER.decode, rest)
            yield (table, key), None, None


def decode_changes(body: bytes) -> tuple[Change, ...]:
    """Read the changes of one commit; raises msgspec.MsgspecError for bytes that aren't any."""
    return _CHANGES_DECODER.decode(body)
