"""Fencing: of two servers with one journal, only the newer one writes, and answers."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from builders import make_cluster
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.storage.database import DATABASE_FILE_NAME, Database, JournalLimits
from homeport.storage.directory import LOCK_FILE_NAME
from homeport.storage.errors import LeaseLost, StorageError, StorageUnavailable
from homeport.storage.lease import MARK_FILE_NAME, LeaseBook, LeaseMark, mark_newest, take_lease
from homeport.storage.memory import MemoryStorage
from homeport.storage.reading import read_state
from homeport.storage.sqlite import SqliteStorage
from journal_writers import ManualLoop, opened_storage

ONE, TWO, THREE = (make_cluster(name) for name in ("one", "two", "three"))


def put(sequence: int, *records: AnyRecord) -> Commit:
    return Commit(sequence, 0, "Test", tuple(Put(record) for record in records))


def opened(path: Path) -> Database:
    database = Database(path, JournalLimits())
    database.replay()
    return database


def held(path: Path) -> tuple[list[AnyRecord], int]:
    records, sequence, _ = read_state(path)
    return sorted(records, key=str), sequence


def test_the_older_of_two_writers_is_refused_and_writes_nothing(tmp_path: Path):
    older = opened(tmp_path)
    older.write([put(1, ONE)])
    newer = opened(tmp_path)
    with pytest.raises(LeaseLost, match=r"process \d+ on .* \(epoch 2, here 1\)"):
        older.write([put(2, TWO)])
    newer.write([put(2, THREE)])
    older.close()
    newer.close()
    assert held(tmp_path) == ([ONE, THREE], 2)


def test_a_batch_of_several_statements_is_refused_whole(tmp_path: Path):
    older, newer = opened(tmp_path), opened(tmp_path)
    batch = [put(number, make_cluster(f"c{number}")) for number in range(1, 200)]
    with pytest.raises(LeaseLost):
        older.write(batch)
    older.close()
    newer.write(batch)
    newer.close()
    assert held(tmp_path)[1] == 199


def test_the_older_writer_cannot_fold_its_old_values_over_newer_ones(tmp_path: Path):
    older = opened(tmp_path)
    older.write([put(1, ONE)])
    newer = opened(tmp_path)
    while newer.can_fold:
        newer.fold()
    with pytest.raises(LeaseLost):
        older.fold()
    older.close()
    newer.close()
    assert held(tmp_path) == ([ONE], 1)


def test_every_opening_raises_the_epoch(tmp_path: Path):
    for _ in range(3):
        opened(tmp_path).close()
    connection = sqlite3.connect(tmp_path / DATABASE_FILE_NAME)
    ((epoch, owner),) = connection.execute("SELECT epoch, owner FROM lease").fetchall()
    connection.close()
    assert epoch == 3
    assert owner.startswith("process ")


def test_a_server_that_lost_its_lease_is_told_and_acknowledges_nothing(tmp_path: Path):
    """Both are whole storages: the lock that keeps them apart on one machine has been deleted."""
    told: list[StorageError] = []
    answered: list[str] = []
    older, loop = opened_storage(tmp_path), ManualLoop()
    older.load()
    older.start(loop, told.append)
    (tmp_path / LOCK_FILE_NAME).unlink()
    newer = opened_storage(tmp_path)
    assert newer.load() == ([], 0)
    older.append(put(1, ONE))
    older.when_durable(lambda: answered.append("older"))
    loop.run_until(lambda: told)
    with pytest.raises(LeaseLost):
        older.close()
    newer.close()
    assert isinstance(told[0], LeaseLost)
    assert "has taken this journal over" in str(told[0])
    assert str(tmp_path) in str(told[0])
    assert answered == []
    assert held(tmp_path) == ([], 0)


def test_in_memory_the_older_writer_is_refused_too():
    older = MemoryStorage()
    older.append(put(1, ONE))
    newer = older.take_over("another")
    with pytest.raises(LeaseLost, match="another has taken this journal over"):
        older.append(put(2, TWO))
    newer.append(put(2, THREE))
    assert [commit.sequence for commit in newer.commits] == [1, 2]
    assert newer.history(THREE.arn)


def test_a_lease_is_lost_to_the_next_one_only():
    book = LeaseBook()
    first = book.take("one")
    book.check(first)
    second = book.take("two")
    book.check(second)
    with pytest.raises(LeaseLost, match=r"two has taken this journal over \(epoch 2, here 1\)"):
        book.check(first)


def started(path: Path) -> tuple[SqliteStorage, ManualLoop, list[str]]:
    """A storage, its loop, and what its failure says."""
    failures: list[str] = []
    storage, loop = opened_storage(path), ManualLoop()
    storage.load()
    storage.start(loop, lambda error: failures.append(str(error)))
    return storage, loop, failures


def taken_over(path: Path) -> SqliteStorage:
    """Another storage, that takes the journal over."""
    (path / LOCK_FILE_NAME).unlink()
    return opened_storage(path)


def test_what_needs_no_commit_is_answered_by_the_newest_writer_only(tmp_path: Path):
    answered: list[str] = []
    older, _, _ = started(tmp_path)
    newer = taken_over(tmp_path)
    older.when_durable(lambda: answered.append("older"))
    newer.load()
    newer.when_durable(lambda: answered.append("newer"))
    with pytest.raises(LeaseLost):
        older.append(put(1, ONE))
        older.close()
    newer.close()
    assert answered == ["newer"]


def test_what_was_durable_before_the_take_over_is_not_told_after_it(tmp_path: Path):
    """Among those who wait for a commit there may be one that called since."""
    answered: list[str] = []
    older, loop, _ = started(tmp_path)
    older.append(put(1, ONE))
    older.when_durable(lambda: answered.append("written"))
    loop.end_turn()
    loop.wait_for_writer()  # it is written, but nobody has been told yet
    newer = taken_over(tmp_path)
    older.when_durable(lambda: answered.append("read"))
    loop.hear()
    assert answered == []
    newer.close()
    with contextlib.suppress(LeaseLost):
        older.close()
    assert answered == []


def test_a_writer_that_nobody_asks_finds_out_by_itself(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("homeport.storage.journal_writer.LEASE_WATCH_S", 0.001)
    older, loop, failures = started(tmp_path)
    newer = taken_over(tmp_path)
    loop.run_until(lambda: failures)
    assert "has taken this journal over (epoch 2, here 1)" in failures[0]
    with pytest.raises(LeaseLost):
        older.close()
    newer.close()


def test_a_data_directory_that_is_removed_ends_its_writer(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("homeport.storage.journal_writer.LEASE_WATCH_S", 0.001)
    storage, loop, failures = started(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    loop.run_until(lambda: failures)
    assert "was moved away or removed while the server ran" in failures[0]
    with pytest.raises(LeaseLost):
        storage.close()


def test_of_two_that_take_the_journal_at_once_the_newer_one_is_marked(tmp_path: Path):
    """The older one writes its mark last, having been slow."""
    database = opened(tmp_path)
    connection = sqlite3.connect(tmp_path / DATABASE_FILE_NAME, isolation_level=None)
    slow = take_lease(connection)
    newest = opened(tmp_path)
    mark_newest(connection, tmp_path)
    epochs = database.epoch, slow.epoch, newest.epoch
    assert [LeaseMark(tmp_path, epoch).is_held for epoch in epochs] == [False, False, True]
    connection.close()
    for each in (database, newest):
        each.close()


def test_a_directory_that_cannot_be_written_to_is_said_before_anything_is_answered(tmp_path: Path):
    (tmp_path / MARK_FILE_NAME).mkdir()
    with pytest.raises(StorageUnavailable, match="--data-dir"):
        opened_storage(tmp_path)


def test_in_memory_the_older_writer_answers_nothing():
    older = MemoryStorage()
    older.take_over("another")
    with pytest.raises(LeaseLost, match="another has taken this journal over"):
        older.when_durable(lambda: None)
