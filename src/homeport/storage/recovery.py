"""Recovery at start: what the journal kept becomes the state in memory."""

import gc

import msgspec

from homeport.state.invariants import find_unsound_records
from homeport.state.store import Store
from homeport.storage.sqlite import SqliteStorage

VIOLATIONS_TOLD = 20


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """A store as it was at the last durable commit.

    `violations` are sentences about what doesn't hold in it, to be logged: an unsound record must
    not keep a whole control plane from starting.
    """

    store: Store
    record_count: int
    violations: tuple[str, ...]


def recover_store(storage: SqliteStorage) -> Recovered:
    """Fill a new store from storage; raises StorageError if it can't be read."""
    store = Store()
    was_collecting = gc.isenabled()
    gc.disable()  # many young, lasting objects: collections would find nothing, again and again
    try:
        records, sequence = storage.load()
        store.restore(records)
    finally:
        if was_collecting:
            gc.enable()
    store.restored(sequence, storage.newest_at_ms())
    violations = find_unsound_records(store)
    told = violations[:VIOLATIONS_TOLD]
    if len(violations) > len(told):
        told.append(f"and {len(violations) - len(told)} more of this kind")
    return Recovered(store=store, record_count=len(records), violations=tuple(told))
