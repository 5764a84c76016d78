"""The control plane's disk: the engine's Journal with a latency, losses, leases and a full disk.

Commits that come while a write is under way wait and share the next one, as `storage.sqlite` does
it. A crash loses what isn't written; the write under way is lost or done as a whole. The disk is
what all control planes see, a `SimJournal` what one life of one of them has of it: by production's
leases, only the newest may write.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from homeport.sim.chance import Span, Stream
from homeport.sim.clock import Life, Timeline
from homeport.state.changes import AnyRecord, Change, Commit, Put, key_of, table_of
from homeport.state.store import Store
from homeport.storage.encoding import (
    Changed,
    EncodedCommit,
    RecordId,
    decode_changes,
    decode_record,
    encode_commit,
)
from homeport.storage.errors import StorageRefused
from homeport.storage.lease import Lease, LeaseBook

QUICK_S: Span = (0.001, 0.004)
COMMITS_PER_WRITE = 1_000
SURVIVAL_OF_A_WRITE_UNDER_WAY = 0.5
DIGEST_BYTES = 16

Then = Callable[[], None]


class Written(NamedTuple):
    """A commit as it goes to the disk, and what its bytes say when they are read again."""

    row: EncodedCommit
    latest: Changed
    changes: tuple[Change, ...]


Refused = Callable[[StorageRefused], None]


class SimDisk:
    """What is on it survives every crash; `on_crash` gets for how long its writer is to be down."""

    def __init__(self, timeline: Timeline, chance: Stream, kept_commits: int | None = None) -> None:
        self.latency_s: Span = QUICK_S
        self.is_full = False
        self.on_crash: Callable[[int], None] = lambda _down_ms: None
        self.observe_write: Callable[[int, int], None] = lambda _sequence, _epoch: None
        self.observe_durable: Callable[[int], None] = lambda _sequence: None
        self.durable_sequence = 0
        self.records: dict[RecordId, bytes] = {}
        self.journal: deque[Written] = deque(maxlen=kept_commits)
        self.timeline = timeline
        self.chance = chance
        self.leases = LeaseBook()
        self._replica = Store()
        self._decoded: dict[RecordId, tuple[bytes, AnyRecord]] = {}
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._crash_at: tuple[int, int] | None = None  # commit, how long to stay down
        self._writes_until_crash: tuple[int, int] | None = None

    @property
    def digest(self) -> str:
        """A digest of every commit that ever became durable: the same run gives the same one."""
        return self._digest.hexdigest()

    @property
    def has_whole_journal(self) -> bool:
        """Whether the journal goes back to the first commit."""
        return not self.journal or self.journal[0].row.sequence == 1

    def open(self, owner: str, on_refused: Refused) -> "SimJournal":
        """Let a process write from now on, and nobody else."""
        return SimJournal(self, self.leases.take(owner), on_refused)

    def recover(self) -> Store:
        """Fill a new store from what is on the disk, as `storage.recovery` does."""
        store = Store()
        store.restore(record for _, record in sorted(self.read_records().items()))
        newest_at_ms = self.journal[-1].row.at_ms if self.journal else 0
        store.restored(self.durable_sequence, newest_at_ms)
        return store

    def read_records(self) -> dict[RecordId, AnyRecord]:
        """Return every record on the disk; bytes that were read before aren't read again."""
        decoded: dict[RecordId, tuple[bytes, AnyRecord]] = {}
        for key, value in self.records.items():
            known = self._decoded.get(key)
            if known is None or known[0] is not value:
                known = value, decode_record(value)
            decoded[key] = known
        self._decoded = decoded
        return {key: record for key, (_, record) in decoded.items()}

    def replay(self) -> Store:
        """Return a store that every commit of the journal was applied to; needs the whole journal.

        It is the same one each time, and goes on where it was: it isn't to be altered.
        """
        replica = self._replica
        for row, _, changes in islice(self.journal, replica.sequence, None):
            replica.apply(Commit(row.sequence, row.at_ms, row.cause, changes))
        return replica

    # faults
    def crash_after_writes(self, writes: int, down_ms: int) -> None:
        """Kill the writer between one of its next writes and what that allows."""
        self._writes_until_crash = (writes, down_ms)

    def crash_at_commit(self, sequence: int, down_ms: int) -> None:
        """Kill the writer as soon as this commit is durable, before anybody hears of it."""
        self._crash_at = (sequence, down_ms)

    def heal(self) -> None:
        """Be quick and roomy, and crash no more, but for the commit that was asked for."""
        self.is_full = False
        self.latency_s = QUICK_S
        self._writes_until_crash = None

    # what journals ask of it
    @property
    def newest_epoch(self) -> int:
        """The epoch of the lease that was given last."""
        return self.leases.newest.epoch

    def keep(self, commits: list[Written], epoch: int) -> None:
        """Make commits durable as a whole."""
        self.observe_write(commits[0].row.sequence, epoch)
        for written in commits:
            row = written.row
            self._digest.update(b"%d %d %s " % (row.sequence, row.at_ms, row.cause.encode()))
            self._digest.update(row.body)
            self.journal.append(written)
            for key, value in written.latest.items():
                if value is None:
                    self.records.pop(key, None)
                else:
                    self.records[key] = value
        self.durable_sequence = commits[-1].row.sequence

    def take_planned_crash(self) -> int | None:
        """Return for how long the writer has to be down now; None when it may go on."""
        self.observe_durable(self.durable_sequence)
        if self._crash_at is not None and self.durable_sequence >= self._crash_at[0]:
            down_ms, self._crash_at = self._crash_at[1], None
            return down_ms
        if self._writes_until_crash is None:
            return None
        writes, down_ms = self._writes_until_crash
        self._writes_until_crash = (writes - 1, down_ms) if writes > 1 else None
        return down_ms if writes <= 1 else None


class SimJournal:
    """The engine's Journal of one life; `on_refused` is called when it can't write any more."""

    def __init__(self, disk: SimDisk, lease: Lease, on_refused: Refused) -> None:
        self.lease = lease
        self.replica = disk.read_records()
        """What the disk held when this life began, and all bytes that were handed over since."""
        self._disk = disk
        self._on_refused = on_refused
        self._life = Life()
        self._appended = disk.durable_sequence
        self._written_through = disk.durable_sequence
        self._queue: deque[Written] = deque()
        self._writing: list[Written] = []
        self._waiting: deque[tuple[int, Then]] = deque()

    @property
    def is_held(self) -> bool:
        """Whether no other process has taken the journal over."""
        return self._disk.leases.is_newest(self.lease)

    def append(self, commit: Commit) -> None:
        """Take a commit to be made durable; returns at once. It is encoded here and now."""
        row, latest = encode_commit(commit)
        changes = decode_changes(row.body)
        for change in changes:
            if isinstance(change, Put):
                self.replica[table_of(change.record), key_of(change.record)] = change.record
            else:
                self.replica.pop((change.table, change.key), None)
        self._appended = commit.sequence
        self._queue.append(Written(row, latest, changes))
        if not self._writing:
            self._write()

    def when_durable(self, then: Then) -> None:
        """Call `then` once everything appended so far is durable: at once if it already is.

        As in `storage.sqlite`, who was taken over from lets nothing out any more.
        """
        is_written = self._written_through == self._appended and not self._waiting
        if is_written and self.is_held:
            then()
        else:
            self._waiting.append((self._appended, then))

    def crash(self) -> None:
        """The process is killed: nobody hears of what wasn't acknowledged yet."""
        self._life.end()
        is_done = self._writing and self._disk.chance.happens(SURVIVAL_OF_A_WRITE_UNDER_WAY)
        if is_done and self._refusal() is None:
            self._disk.keep(self._writing, self.lease.epoch)
        self._writing = []
        self._queue.clear()
        self._waiting.clear()

    def _write(self) -> None:
        for _ in range(min(len(self._queue), COMMITS_PER_WRITE)):
            self._writing.append(self._queue.popleft())
        disk = self._disk
        disk.timeline.after(disk.chance.milliseconds(disk.latency_s), self._written, self._life)

    def _written(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self._on_refused(refusal)
            return
        written, self._writing = self._writing, []
        self._disk.keep(written, self.lease.epoch)
        self._written_through = written[-1].row.sequence
        down_ms = self._disk.take_planned_crash()
        if down_ms is not None:
            self._disk.on_crash(down_ms)
            return
        if self._queue:
            self._write()
        while self._waiting and self._waiting[0][0] <= self._written_through:
            self._waiting.popleft()[1]()
            if self._life.is_over:
                return

    def _refusal(self) -> StorageRefused | None:
        try:
            self._disk.leases.check(self.lease)
        except StorageRefused as lost:
            return lost
        return StorageRefused("the disk is full") if self._disk.is_full else None
