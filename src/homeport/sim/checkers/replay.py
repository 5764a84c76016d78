"""Truth: the journal replayed is the live state."""

from collections.abc import Mapping

from homeport.sim.checkers.counts import check_counts
from homeport.sim.disk import SimDisk
from homeport.sim.violation import Violation
from homeport.state.changes import key_of, table_of
from homeport.state.store import Store

TRUTH = "journal replay is the live state"


def check_replay(store: Store, disk: SimDisk) -> None:
    """Compare the live state with the disk's records and with the journal, all commits durable."""
    if store.sequence != disk.durable_sequence:
        return
    live = {(table_of(record), key_of(record)): record for record in store.every_record()}
    _compare(live, disk.read_records(), "the disk's records")
    if disk.has_whole_journal:
        replayed = disk.replay()
        again = {(table_of(record), key_of(record)): record for record in replayed.every_record()}
        _compare(live, again, "the journal")
        check_counts(replayed)


def _compare(
    live: Mapping[tuple[str, str], object], other: Mapping[tuple[str, str], object], name: str
) -> None:
    if live == other:
        return
    for key in sorted({*live, *other}):
        if live.get(key) != other.get(key):
            raise Violation(TRUTH, f"{key} differs between the live state and {name}")
