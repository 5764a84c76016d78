"""The control plane's disk: the engine's Journal with a latency, losses and a full disk.

Commits that come while a write is under way wait and share the next one, as `storage.sqlite` does
it. A crash loses what isn't written; the write under way is lost or done as a whole.
"""

import hashlib
from collections import deque
from collections.abc import Callable

from homeport.sim.chance import Span, Stream
from homeport.sim.clock import Life, Timeline
from homeport.state.changes import Commit
from homeport.state.store import Store
from homeport.storage.encoding import RecordId, decode_changes, decode_record, encode_commits

QUICK_S: Span = (0.001, 0.004)
COMMITS_PER_WRITE = 1_000
SURVIVAL_OF_A_WRITE_UNDER_WAY = 0.5
DIGEST_BYTES = 16

Then = Callable[[], None]


class SimDisk:
    """What is on it survives every crash; `on_full` is called when it refuses a commit."""

    def __init__(self, timeline: Timeline, chance: Stream, kept_commits: int | None = None) -> None:
        self.latency_s: Span = QUICK_S
        self.is_full = False
        self.on_full: Then = lambda: None
        self.writes_until_crash: int | None = None
        self.on_crash: Then = lambda: None
        self.durable_sequence = 0
        self.records: dict[RecordId, bytes] = {}
        self.journal: deque[tuple[int, int, str, bytes]] = deque(maxlen=kept_commits)
        self._timeline = timeline
        self._chance = chance
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._life = Life()
        self._appended = 0
        self._queue: deque[Commit] = deque()
        self._writing: list[Commit] = []
        self._waiting: deque[tuple[int, Then]] = deque()

    @property
    def digest(self) -> str:
        """A digest of every commit that ever became durable: the same run gives the same one."""
        return self._digest.hexdigest()

    def append(self, commit: Commit) -> None:
        """Take a commit to be made durable; returns at once."""
        self._appended = commit.sequence
        self._queue.append(commit)
        if not self._writing:
            self._write()

    def when_durable(self, then: Then) -> None:
        """Call `then` once everything appended so far is durable: at once if it already is."""
        if self.durable_sequence == self._appended and not self._waiting:
            then()
        else:
            self._waiting.append((self._appended, then))

    def crash(self) -> None:
        """The control plane is killed: nobody hears of what wasn't acknowledged yet."""
        self._life.end()
        self._life = Life()
        if self._writing and self._chance.happens(SURVIVAL_OF_A_WRITE_UNDER_WAY):
            self._keep(self._writing)
        self._writing = []
        self._queue.clear()
        self._waiting.clear()
        self._appended = self.durable_sequence

    def recover(self) -> Store:
        """Fill a new store from what is on the disk, as `storage.recovery` does."""
        store = Store()
        for _, value in sorted(self.records.items()):
            store.restore(decode_record(value))
        newest_at_ms = self.journal[-1][1] if self.journal else 0
        store.restored(self.durable_sequence, newest_at_ms)
        return store

    def replay(self) -> Store:
        """Fill a new store by applying every commit of the journal; needs the whole journal."""
        store = Store()
        for sequence, at_ms, cause, body in self.journal:
            store.apply(Commit(sequence, at_ms, cause, decode_changes(body)))
        return store

    @property
    def has_whole_journal(self) -> bool:
        """Whether the journal goes back to the first commit."""
        return not self.journal or self.journal[0][0] == 1

    def _write(self) -> None:
        for _ in range(min(len(self._queue), COMMITS_PER_WRITE)):
            self._writing.append(self._queue.popleft())
        delay_ms = self._chance.milliseconds(self.latency_s)
        self._timeline.after(delay_ms, self._written, self._life)

    def _written(self) -> None:
        if self.is_full:
            self.on_full()
            return
        written, self._writing = self._writing, []
        self._keep(written)
        if self._is_time_to_crash():
            self.on_crash()
            return
        if self._queue:
            self._write()
        life = self._life
        while self._waiting and self._waiting[0][0] <= self.durable_sequence:
            self._waiting.popleft()[1]()
            if life.is_over:
                return

    def _is_time_to_crash(self) -> bool:
        """Whether the process is to be killed between this write and what it allows."""
        if self.writes_until_crash is None:
            return False
        self.writes_until_crash -= 1
        if self.writes_until_crash > 0:
            return False
        self.writes_until_crash = None
        return True

    def _keep(self, commits: list[Commit]) -> None:
        rows, latest = encode_commits(commits)
        for row in rows:
            self._digest.update(b"%d %d %s " % (row.sequence, row.at_ms, row.cause.encode()))
            self._digest.update(row.body)
            self.journal.append((row.sequence, row.at_ms, row.cause, row.body))
        for key, value in latest.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        self.durable_sequence = commits[-1].sequence
