"""The simulated disk: what is durable, when that is told, and what a crash leaves."""

import pytest

import builders
from homeport.sim.chance import Stream
from homeport.sim.clock import START_MS, Timeline
from homeport.sim.disk import SimDisk
from homeport.state.changes import Commit, Put


def make_commit(sequence: int) -> Commit:
    return Commit(sequence, START_MS, "Test", (Put(builders.make_cluster(f"c-{sequence}")),))


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def disk(timeline: Timeline) -> SimDisk:
    return SimDisk(timeline, Stream(1, "disk"))


def pass_time(timeline: Timeline) -> None:
    while timeline.step(timeline.now_ms + 10_000):
        pass


def test_nobody_hears_of_a_commit_before_it_is_durable(timeline, disk):
    heard: list[int] = []
    disk.append(make_commit(1))
    disk.when_durable(lambda: heard.append(disk.durable_sequence))
    assert heard == []
    pass_time(timeline)
    assert heard == [1]


def test_what_is_durable_already_is_told_at_once(timeline, disk):
    heard: list[str] = []
    disk.when_durable(lambda: heard.append("nothing to wait for"))
    disk.append(make_commit(1))
    pass_time(timeline)
    disk.when_durable(lambda: heard.append("all written"))
    assert heard == ["nothing to wait for", "all written"]


def test_commits_that_come_during_a_write_share_the_next_one(timeline, disk):
    order: list[int] = []
    for sequence in (1, 2, 3):
        disk.append(make_commit(sequence))
        disk.when_durable(lambda sequence=sequence: order.append(sequence))
    steps = timeline.steps
    pass_time(timeline)
    assert order == [1, 2, 3]
    assert timeline.steps - steps == 2


def test_a_crash_loses_what_was_not_written_and_tells_nobody(timeline, disk):
    heard: list[int] = []
    disk.append(make_commit(1))
    pass_time(timeline)
    disk.append(make_commit(2))
    disk.append(make_commit(3))
    disk.when_durable(lambda: heard.append(3))
    disk.crash()
    pass_time(timeline)
    assert heard == []
    # The write under way may have been done; what waited behind it was not.
    assert disk.durable_sequence in (1, 2)
    store = disk.recover()
    assert store.sequence == disk.durable_sequence
    assert len(store.clusters) == disk.durable_sequence


def test_recovery_and_replay_of_the_journal_give_the_same_state(timeline, disk):
    for sequence in range(1, 6):
        disk.append(make_commit(sequence))
    pass_time(timeline)
    recovered, replayed = disk.recover(), disk.replay()
    assert recovered.every_record() == replayed.every_record()
    assert recovered.sequence == replayed.sequence == 5


def test_a_full_disk_refuses_and_says_so(timeline, disk):
    refused: list[str] = []
    disk.is_full = True
    disk.on_full = lambda: refused.append("refused")
    disk.append(make_commit(1))
    pass_time(timeline)
    assert refused == ["refused"]
    assert disk.durable_sequence == 0


def test_a_planned_crash_comes_between_a_write_and_its_answers(timeline, disk):
    heard: list[str] = []
    disk.writes_until_crash = 1
    disk.on_crash = lambda: (heard.append("killed"), disk.crash())
    disk.append(make_commit(1))
    disk.when_durable(lambda: heard.append("answered"))
    pass_time(timeline)
    assert heard == ["killed"]
    assert disk.durable_sequence == 1


def test_the_digest_depends_on_every_commit(timeline, disk):
    digests = [disk.digest]
    for sequence in (1, 2):
        disk.append(make_commit(sequence))
        pass_time(timeline)
        digests.append(disk.digest)
    assert len(set(digests)) == 3
