"""The simulated disk: what is durable, when that is told, and what a crash leaves."""

import pytest

import builders
from homeport.sim.chance import Stream
from homeport.sim.clock import START_MS, Timeline
from homeport.sim.disk import SimDisk, SimJournal
from homeport.state.changes import Commit, Put
from homeport.storage.errors import LeaseLost, StorageRefused


def make_commit(sequence: int) -> Commit:
    return Commit(sequence, START_MS, "Test", (Put(builders.make_cluster(f"c-{sequence}")),))


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def disk(timeline: Timeline) -> SimDisk:
    return SimDisk(timeline, Stream(1, "disk"))


@pytest.fixture
def refusals() -> list[StorageRefused]:
    return []


@pytest.fixture
def journal(disk: SimDisk, refusals: list[StorageRefused]) -> SimJournal:
    return disk.open("a", refusals.append)


def pass_time(timeline: Timeline) -> None:
    while timeline.step(timeline.now_ms + 10_000):
        pass


def test_nobody_hears_of_a_commit_before_it_is_durable(timeline, disk, journal):
    heard: list[int] = []
    journal.append(make_commit(1))
    journal.when_durable(lambda: heard.append(disk.durable_sequence))
    assert heard == []
    pass_time(timeline)
    assert heard == [1]


def test_what_is_durable_already_is_told_at_once(timeline, disk, journal):
    heard: list[str] = []
    journal.when_durable(lambda: heard.append("nothing to wait for"))
    journal.append(make_commit(1))
    pass_time(timeline)
    journal.when_durable(lambda: heard.append("all written"))
    assert heard == ["nothing to wait for", "all written"]


def test_commits_that_come_during_a_write_share_the_next_one(timeline, disk, journal):
    order: list[int] = []
    for sequence in (1, 2, 3):
        journal.append(make_commit(sequence))
        journal.when_durable(lambda sequence=sequence: order.append(sequence))
    steps = timeline.steps
    pass_time(timeline)
    assert order == [1, 2, 3]
    assert timeline.steps - steps == 2


def test_a_crash_loses_what_was_not_written_and_tells_nobody(timeline, disk, journal):
    heard: list[int] = []
    journal.append(make_commit(1))
    pass_time(timeline)
    journal.append(make_commit(2))
    journal.append(make_commit(3))
    journal.when_durable(lambda: heard.append(3))
    journal.crash()
    pass_time(timeline)
    assert heard == []
    # The write under way may have been done; what waited behind it was not.
    assert disk.durable_sequence in (1, 2)
    store = disk.recover()
    assert store.sequence == disk.durable_sequence
    assert len(store.clusters) == disk.durable_sequence


def test_recovery_and_replay_of_the_journal_give_the_same_state(timeline, disk, journal):
    for sequence in range(1, 6):
        journal.append(make_commit(sequence))
    pass_time(timeline)
    recovered, replayed = disk.recover(), disk.replay()
    assert recovered.every_record() == replayed.every_record()
    assert recovered.sequence == replayed.sequence == 5


def test_a_full_disk_refuses_and_says_so(timeline, disk, journal, refusals):
    disk.is_full = True
    journal.append(make_commit(1))
    pass_time(timeline)
    assert [str(refusal) for refusal in refusals] == ["the disk is full"]
    assert disk.durable_sequence == 0


def test_a_planned_crash_comes_between_a_write_and_its_answers(timeline, disk, journal):
    heard: list[str] = []
    disk.crash_after_writes(1, 20)
    disk.on_crash = lambda down_ms: (heard.append(f"down {down_ms}"), journal.crash())
    journal.append(make_commit(1))
    journal.when_durable(lambda: heard.append("answered"))
    pass_time(timeline)
    assert heard == ["down 20"]
    assert disk.durable_sequence == 1


def test_a_crash_can_be_planned_for_one_commit(timeline, disk, journal):
    killed: list[int] = []
    disk.crash_at_commit(2, 20)
    disk.on_crash = lambda _down_ms: killed.append(disk.durable_sequence)
    for sequence in (1, 2, 3):
        journal.append(make_commit(sequence))
        pass_time(timeline)
    assert killed == [2]


def test_who_was_taken_over_from_writes_nothing_and_tells_nobody(timeline, disk, journal, refusals):
    heard: list[str] = []
    journal.append(make_commit(1))
    journal.when_durable(lambda: heard.append("the old one's"))
    successor = disk.open("b", refusals.append)
    successor.append(make_commit(1))
    successor.when_durable(lambda: heard.append("the new one's"))
    pass_time(timeline)
    assert heard == ["the new one's"]
    assert [type(refusal) for refusal in refusals] == [LeaseLost]


def test_who_was_taken_over_from_answers_no_question_either(timeline, disk, journal):
    heard: list[str] = []
    journal.when_durable(lambda: heard.append("before"))
    disk.open("b", lambda _refusal: None)
    journal.when_durable(lambda: heard.append("after"))
    pass_time(timeline)
    assert heard == ["before"]


def test_the_digest_depends_on_every_commit(timeline, disk, journal):
    digests = [disk.digest]
    for sequence in (1, 2):
        journal.append(make_commit(sequence))
        pass_time(timeline)
        digests.append(disk.digest)
    assert len(set(digests)) == 3
