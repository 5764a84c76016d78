"""Fencing: of two servers with one journal, only the newer one writes."""

import sqlite3
import threading
from pathlib import Path

import pytest

from builders import make_cluster
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.storage.database import DATABASE_FILE_NAME, Database, JournalLimits
from homeport.storage.directory import LOCK_FILE_NAME
from homeport.storage.errors import LeaseLost, StorageRefused
from homeport.storage.lease import LeaseBook
from homeport.storage.memory import MemoryStorage
from homeport.storage.sqlite import SqliteStorage

ONE, TWO, THREE = (make_cluster(name) for name in ("one", "two", "three"))


def put(sequence: int, *records: AnyRecord) -> Commit:
    return Commit(sequence, 0, "Test", tuple(Put(record) for record in records))


def opened(path: Path) -> Database:
    database = Database(path, JournalLimits())
    database.load()
    return database


def held(path: Path) -> tuple[list[AnyRecord], int]:
    database = Database(path, JournalLimits())
    records, sequence = database.load()
    database.close()
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
    told: list[StorageRefused] = []
    has_failed, was_answered = threading.Event(), threading.Event()
    older = SqliteStorage(tmp_path)
    older.load()

    def fail(error: StorageRefused) -> None:
        told.append(error)
        has_failed.set()

    older.start(lambda then: then(), fail)
    (tmp_path / LOCK_FILE_NAME).unlink()
    newer = SqliteStorage(tmp_path)
    assert newer.load() == ([], 0)
    older.append(put(1, ONE))
    older.when_durable(was_answered.set)
    assert has_failed.wait(5)
    with pytest.raises(LeaseLost):
        older.close()
    newer.close()
    assert isinstance(told[0], LeaseLost)
    assert "has taken this journal over" in str(told[0])
    assert str(tmp_path) in str(told[0])
    assert not was_answered.is_set()
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
