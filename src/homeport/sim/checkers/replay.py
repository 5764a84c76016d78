"""Truth: the journal replayed is the live state.

After every commit the records that it touched, and how many there are of all; all of them at every
start, now and then, and at the end. What is compared was read again from the journal's bytes.
"""

from collections.abc import Mapping

from homeport.sim.checkers.counts import check_counts
from homeport.sim.disk import SimDisk, SimJournal
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put, key_of, table_of
from homeport.state.store import Store

TRUTH = "journal replay is the live state"


def check_journaled(store: Store, journal: SimJournal, commit: Commit) -> None:
    """Compare what a commit touched with what the journal's bytes say of it."""
    replica = journal.replica
    for change in commit.changes:
        if isinstance(change, Put):
            key = table_of(change.record), key_of(change.record)
        else:
            key = change.table, change.key
        if store.find(*key) != replica.get(key):
            raise Violation(TRUTH, f"{key} differs from the journal behind {commit.sequence}")
    if store.record_count != len(replica):
        counts = f"{store.record_count} records live, {len(replica)} in the journal"
        raise Violation(TRUTH, f"{counts} behind {commit.sequence}")


def check_replica(store: Store, journal: SimJournal) -> None:
    """Compare the whole live state with what the journal's bytes say."""
    _compare(_records_of(store), journal.replica, "the journal")


def check_replay(store: Store, disk: SimDisk) -> None:
    """Compare the live state with the disk's records and with the journal, all commits durable."""
    if store.sequence != disk.durable_sequence:
        return
    live = _records_of(store)
    _compare(live, disk.read_records(), "the disk's records")
    if disk.has_whole_journal:
        replayed = disk.replay()
        _compare(live, _records_of(replayed), "the journal")
        check_counts(replayed)


def _records_of(store: Store) -> dict[tuple[str, str], AnyRecord]:
    return {(table_of(record), key_of(record)): record for record in store.every_record()}


def _compare(
    live: Mapping[tuple[str, str], object], other: Mapping[tuple[str, str], object], name: str
) -> None:
    if live == other:
        return
    for key in sorted({*live, *other}):
        if live.get(key) != other.get(key):
            raise Violation(TRUTH, f"{key} differs between the live state and {name}")
