"""Records that are brought up to date behind the journal: `storage.records`."""

import random
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest

from builders import make_cluster
from homeport.state.changes import Commit, Delete, Put
from homeport.storage import records
from homeport.storage.database import (
    DATABASE_FILE_NAME,
    WAL_AHEAD_BYTES,
    Database,
    JournalLimits,
)
from homeport.storage.errors import StorageCorrupt
from homeport.storage.reading import read_state
from homeport.storage.records import BUCKETS
from journal_files import make_older

NAMES = [f"c{n}" for n in range(3 * BUCKETS)]


def put(sequence: int, *names: str, status: str = "ACTIVE") -> Commit:
    return Commit(sequence, 0, "Test", tuple(Put(make_cluster(n, status=status)) for n in names))


def opened(path: Path, size_bytes: int = 1 << 30) -> Database:
    path.mkdir(exist_ok=True)
    database = Database(path, JournalLimits(size_bytes=size_bytes))
    database.replay()
    return database


def image_of(path: Path, image: Path) -> Path:
    """Copy the files as a crash would leave them: nothing is closed, nothing is checkpointed."""
    shutil.rmtree(image, ignore_errors=True)
    shutil.copytree(path, image)
    return image


def state_of(path: Path) -> tuple[dict[str, str], int]:
    """As a server and its writer read it, that open it together."""
    database = opened(path)
    found, newest, _ = read_state(path)
    database.close()
    return {record.name: record.status for record in found}, newest


def folded_through(path: Path) -> int:
    connection = sqlite3.connect(path / DATABASE_FILE_NAME)
    row = connection.execute("SELECT value FROM meta WHERE name = 'folded_through'").fetchone()
    connection.close()
    return 0 if row is None else int(row[0])


def parts_of(path: Path) -> list[bytes]:
    connection = sqlite3.connect(path / DATABASE_FILE_NAME)
    rows = connection.execute("SELECT body FROM record_parts").fetchall()
    connection.close()
    return [body for (body,) in rows]


def fold_all(database: Database) -> None:
    while database.can_fold:
        database.fold()


def test_a_commit_is_durable_before_its_records_are(tmp_path: Path):
    database = opened(tmp_path / "data")
    database.write([put(1, "a")])
    image = image_of(tmp_path / "data", tmp_path / "image")
    database.close()
    assert folded_through(image) == 0
    assert state_of(image) == ({"a": "ACTIVE"}, 1)


def test_many_changes_of_one_record_are_written_once(tmp_path: Path):
    database = opened(tmp_path)
    for sequence in range(1, 50):
        database.write([put(sequence, "a")])
    database.fold()
    assert not database.can_fold
    database.close()
    assert folded_through(tmp_path) == 49
    assert len(parts_of(tmp_path)) == 1


def test_parts_are_merged_before_they_weigh_much_more_than_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "MERGED_LEAST_BYTES", 0)
    database = opened(tmp_path)
    database.write([put(1, *NAMES)])
    fold_all(database)
    live_bytes = sum(map(len, parts_of(tmp_path)))
    chance = random.Random(0)
    for sequence in range(2, 60):
        database.write([put(sequence, *chance.sample(NAMES, 400))])
        fold_all(database)
    written_bytes = sum(map(len, parts_of(tmp_path)))
    assert live_bytes < written_bytes <= 3 * live_bytes
    database.close()
    assert state_of(tmp_path) == (dict.fromkeys(NAMES, "ACTIVE"), 59)


def test_parts_weigh_more_under_load_and_are_merged_in_the_calm_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "MERGED_LEAST_BYTES", 0)
    monkeypatch.setattr(records, "UNMERGED_LIMIT_BYTES", 0)
    database = opened(tmp_path, size_bytes=4)  # one byte of which records may lack: always due
    database.write([put(1, *NAMES)])
    fold_all(database)
    live_bytes = sum(map(len, parts_of(tmp_path)))
    heaviest_bytes = 0
    for sequence in range(2, 60):
        database.write([put(sequence, *NAMES)])
        while database.must_fold:
            database.fold()
        heaviest_bytes = max(heaviest_bytes, sum(map(len, parts_of(tmp_path))))
    assert 3 * live_bytes < heaviest_bytes <= 6 * live_bytes  # five times, and what made it due
    assert database.can_fold
    fold_all(database)
    assert sum(map(len, parts_of(tmp_path))) <= 3 * live_bytes
    database.close()
    assert state_of(tmp_path) == (dict.fromkeys(NAMES, "ACTIVE"), 59)


def test_as_long_as_little_is_to_be_merged_it_waits_for_the_calm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "MERGED_LEAST_BYTES", 0)
    database = opened(tmp_path, size_bytes=4)  # one byte of which records may lack: always due
    for sequence in range(1, 20):
        database.write([put(sequence, *NAMES)])
        while database.must_fold:
            database.fold()
    assert len(parts_of(tmp_path)) == 19 * BUCKETS
    fold_all(database)
    assert len(parts_of(tmp_path)) == BUCKETS
    database.close()
    assert state_of(tmp_path) == (dict.fromkeys(NAMES, "ACTIVE"), 19)


def test_what_was_deleted_takes_no_room_once_it_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "MERGED_LEAST_BYTES", 1_000)
    database = opened(tmp_path)
    arn = make_cluster("a" * 255).arn
    for sequence in range(1, 60, 2):
        deletion = Commit(sequence + 1, 0, "Test", (Delete("cluster", arn),))
        database.write([put(sequence, "a" * 255)])
        fold_all(database)
        database.write([deletion])
        fold_all(database)
    database.close()
    assert sum(map(len, parts_of(tmp_path))) < 3_000
    assert state_of(tmp_path) == ({}, 60)


def test_more_is_folded_at_a_time_than_came_in_meanwhile(tmp_path: Path):
    database = opened(tmp_path)
    names = [f"{'x' * 200}{n}" for n in range(4_000)]  # 3 parts of them, each time
    sequence = folds = 0
    while folded_through(tmp_path) == 0:
        sequence += 1
        database.write([put(sequence, *names, status=f"S{sequence}")])
        database.fold()
        folds += 1
    database.close()
    assert folds < 5


def test_what_was_gathered_before_a_crash_is_folded_after_it(tmp_path: Path):
    database = opened(tmp_path)
    database.write([put(1, "a", "b")])
    database.close()
    again = opened(tmp_path)
    assert again.can_fold
    again.fold()
    again.close()
    assert folded_through(tmp_path) == 1
    assert state_of(tmp_path) == ({"a": "ACTIVE", "b": "ACTIVE"}, 1)


def test_commits_are_taken_between_the_parts_of_a_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(records, "PART_BYTES", 10_000)
    database = opened(tmp_path)
    database.write([put(1, *NAMES)])
    database.fold()
    database.write([put(2, NAMES[1])])
    database.fold()
    assert folded_through(tmp_path) == 0
    database.write([put(3, NAMES[2])])
    assert len(parts_of(tmp_path)) < BUCKETS
    database.write([put(4, NAMES[0], NAMES[-1], status="INACTIVE")])
    while database.can_fold:
        database.fold()
    database.close()
    state, newest = state_of(tmp_path)
    assert newest == folded_through(tmp_path) == 4
    changed = {name for name, status in state.items() if status == "INACTIVE"}
    assert changed == {NAMES[0], NAMES[-1]}
    assert len(state) == len(NAMES)


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_any_moment_of_writing_and_folding_loses_nothing(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    chance = random.Random(seed)
    if seed % 2:  # many small parts, and much to merge
        monkeypatch.setattr(records, "PART_BYTES", 8_000)
        monkeypatch.setattr(records, "MERGED_LEAST_BYTES", 100)
    database = opened(tmp_path / "data", size_bytes=200_000)  # pruned while it goes on
    expected: dict[str, str] = {}
    sequence = 0
    for step in range(60):
        if chance.random() < 0.5:
            sequence += 1
            names = chance.sample(NAMES, chance.choice((1, 5, 400)))
            status = chance.choice(("ACTIVE", "INACTIVE"))
            commit = put(sequence, *names, status=status)
            doomed = [name for name in chance.sample(NAMES, 20) if name in expected]
            deletes = tuple(Delete("cluster", make_cluster(name).arn) for name in doomed)
            database.write([Commit(sequence, 0, "Test", (*commit.changes, *deletes))])
            expected |= dict.fromkeys(names, status)
            for name in doomed:
                del expected[name]
        elif database.can_fold:
            database.fold()
        if step % 5 == 0:
            image = image_of(tmp_path / "data", tmp_path / "image")
            assert state_of(image) == (expected, sequence), step
    database.close()
    assert state_of(tmp_path / "data") == (expected, sequence)


def test_a_commit_that_records_lack_is_never_pruned(tmp_path: Path):
    database = opened(tmp_path, size_bytes=1_000)
    for sequence in range(1, 40):
        database.write([put(sequence, f"c{sequence}")])
    database.close()
    assert len(state_of(tmp_path)[0]) == 39
    again = opened(tmp_path, size_bytes=1_000)
    again.fold()
    again.write([put(40, "last")])
    again.close()
    state, newest = state_of(tmp_path)
    assert (len(state), newest) == (40, 40)


def test_a_journal_with_a_gap_is_refused(tmp_path: Path):
    database = opened(tmp_path)
    database.write([put(1, "a"), put(2, "b"), put(3, "c")])
    database.close()
    connection = sqlite3.connect(tmp_path / DATABASE_FILE_NAME, isolation_level=None)
    connection.execute("DELETE FROM journal WHERE sequence = 2")
    connection.close()
    with pytest.raises(StorageCorrupt, match="the journal lacks commit 2"):
        state_of(tmp_path)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\x91\xa3put", b"\x91\x92\xa3put\x01"])
def test_a_commit_that_cannot_be_read_is_named(tmp_path: Path, body: bytes):
    database = opened(tmp_path)
    database.write([put(1, "a"), put(2, "b")])
    database.close()
    connection = sqlite3.connect(tmp_path / DATABASE_FILE_NAME, isolation_level=None)
    connection.execute("UPDATE journal SET body = ? WHERE sequence = 2", (body,))
    connection.close()
    with pytest.raises(StorageCorrupt, match="commit 2 is unreadable"):
        state_of(tmp_path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_an_earlier_version_is_taken_over_and_goes_on(tmp_path: Path, version: int):
    database = opened(tmp_path)
    database.write([put(1, "a"), put(2, "b")])
    database.fold_to_close()
    database.close()
    make_older(tmp_path, version)
    database = opened(tmp_path)
    assert {record.name for record in read_state(tmp_path).records} == {"a", "b"}
    assert not database.can_fold
    database.write([put(3, "b", status="INACTIVE"), put(4, "c")])
    database.fold_to_close()
    database.close()
    assert state_of(tmp_path) == ({"a": "ACTIVE", "b": "INACTIVE", "c": "ACTIVE"}, 4)
    assert folded_through(tmp_path) == 4


def test_a_file_of_an_earlier_version_whose_records_are_behind_is_taken_over(tmp_path: Path):
    database = opened(tmp_path)
    database.write([put(1, *NAMES)])
    database.fold_to_close()
    database.write([put(2, "last", NAMES[0], status="INACTIVE")])
    database.close()
    make_older(tmp_path, 3)
    expected = dict.fromkeys(NAMES, "ACTIVE") | {"last": "INACTIVE", NAMES[0]: "INACTIVE"}
    assert state_of(tmp_path) == (expected, 2)
    assert state_of(tmp_path) == (expected, 2)


def test_lengthening_the_log_keeps_nothing_but_its_length(tmp_path: Path):
    database = opened(tmp_path / "data")
    database.write([put(1, "a")])
    database.lengthen_log()
    log = tmp_path / "data" / f"{DATABASE_FILE_NAME}-wal"
    assert log.stat().st_size > 0.9 * WAL_AHEAD_BYTES  # what the cache held never got there
    database.write([put(2, "b")])
    assert state_of(image_of(tmp_path / "data", tmp_path / "image")) == (
        {"a": "ACTIVE", "b": "ACTIVE"},
        2,
    )
    database.close()
    assert (tmp_path / "data" / DATABASE_FILE_NAME).stat().st_size < WAL_AHEAD_BYTES
    assert state_of(tmp_path / "data")[1] == 2


def test_a_disk_without_room_for_a_long_log_still_takes_commits(tmp_path: Path):
    database = opened(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        database.lengthen_log()
        database.write([put(1, "a")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    database.close()
    assert state_of(tmp_path) == ({"a": "ACTIVE"}, 1)
