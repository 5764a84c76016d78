"""Records that are brought up to date behind the journal: `storage.records`."""

import random
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest

from builders import make_cluster
from homeport.state.changes import Commit, Delete, Put
from homeport.storage.database import (
    DATABASE_FILE_NAME,
    WAL_AHEAD_BYTES,
    Database,
    JournalLimits,
)
from homeport.storage.errors import StorageCorrupt
from homeport.storage.records import ROWS_PER_PART

NAMES = [f"c{n}" for n in range(3 * ROWS_PER_PART)]


def put(sequence: int, *names: str, status: str = "ACTIVE") -> Commit:
    return Commit(sequence, 0, "Test", tuple(Put(make_cluster(n, status=status)) for n in names))


def opened(path: Path, size_bytes: int = 1 << 30) -> Database:
    path.mkdir(exist_ok=True)
    database = Database(path, JournalLimits(size_bytes=size_bytes))
    database.load()
    return database


def image_of(path: Path, image: Path) -> Path:
    """Copy the files as a crash would leave them: nothing is closed, nothing is checkpointed."""
    shutil.rmtree(image, ignore_errors=True)
    shutil.copytree(path, image)
    return image


def state_of(path: Path) -> tuple[dict[str, str], int]:
    database = Database(path, JournalLimits())
    records, newest = database.load()
    database.close()
    return {record.name: record.status for record in records}, newest


def folded_through(path: Path) -> int:
    connection = sqlite3.connect(path / DATABASE_FILE_NAME)
    row = connection.execute("SELECT value FROM meta WHERE name = 'folded_through'").fetchone()
    connection.close()
    return 0 if row is None else int(row[0])


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


def test_commits_are_taken_between_the_parts_of_a_fold(tmp_path: Path):
    database = opened(tmp_path)
    database.write([put(1, *NAMES)])
    database.fold()
    database.write([put(2, NAMES[0], NAMES[-1], status="INACTIVE")])
    while database.can_fold:
        database.fold()
    database.close()
    state, newest = state_of(tmp_path)
    assert newest == folded_through(tmp_path) == 2
    changed = {name for name, status in state.items() if status == "INACTIVE"}
    assert changed == {NAMES[0], NAMES[-1]}
    assert len(state) == len(NAMES)


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_any_moment_of_writing_and_folding_loses_nothing(tmp_path: Path, seed: int):
    chance = random.Random(seed)
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


def make_second_version(folder: Path) -> sqlite3.Connection:
    """Write two clusters, as the second version of the schema had them, in the order of keys."""
    database = opened(folder)
    database.write([put(1, "a"), put(2, "b")])
    while database.can_fold:
        database.fold()
    database.close()
    connection = sqlite3.connect(folder / DATABASE_FILE_NAME, isolation_level=None)
    for statement in (
        "CREATE TABLE of_2 (kind TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, key))"
        " WITHOUT ROWID",
        "INSERT INTO of_2 SELECT kind, key, value FROM records",
        "DROP TABLE records",
        "ALTER TABLE of_2 RENAME TO records",
        "UPDATE meta SET value = '2' WHERE name = 'schema_version'",
    ):
        connection.execute(statement)
    return connection


def test_a_file_of_the_second_version_is_taken_over_and_goes_on(tmp_path: Path):
    make_second_version(tmp_path).close()
    database = opened(tmp_path)
    assert {record.name for record in database.load()[0]} == {"a", "b"}
    database.write([put(3, "b", status="INACTIVE"), put(4, "c")])
    while database.can_fold:
        database.fold()
    database.close()
    assert state_of(tmp_path) == ({"a": "ACTIVE", "b": "INACTIVE", "c": "ACTIVE"}, 4)
    assert folded_through(tmp_path) == 4


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path):
    connection = make_second_version(tmp_path)
    connection.execute("DELETE FROM meta WHERE name = 'folded_through'")
    connection.execute("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
    connection.close()
    assert state_of(tmp_path) == ({"a": "ACTIVE", "b": "ACTIVE"}, 2)
    assert folded_through(tmp_path) == 2


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
