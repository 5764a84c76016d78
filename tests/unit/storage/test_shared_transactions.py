"""Which commits share a transaction: `storage.sqlite` and its writer, turn by turn of the loop."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import make_task
from homeport.state.changes import Commit, Put
from homeport.storage import journal_writer
from homeport.storage.database import Database
from homeport.storage.encoding import Written
from journal_writers import ManualLoop, opened_storage

LIMIT_S = 5


class Turns:
    """A loop whose turns the test ends, and a disk that writes when it says so."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []  # of the transactions, in commits
        self.answered: list[int] = []
        self._may_write = threading.Semaphore(0)
        self._is_writing = threading.Semaphore(0)
        append = Database.append

        def append_when_allowed(database: Database, batch: list[Written]) -> None:
            self.sizes.append(len(batch))
            self._is_writing.release()
            assert self._may_write.acquire(timeout=LIMIT_S)
            append(database, batch)

        monkeypatch.setattr(Database, "append", append_when_allowed)
        self._loop = ManualLoop()
        self._storage = opened_storage(path)
        self._storage.load()
        self._storage.start(self._loop, pytest.fail)
        self._appended = 0
        self.is_closed = False

    def append(self, commits: int) -> None:
        """Make commits in the present turn."""
        for _ in range(commits):
            self._appended += 1
            self._storage.append(Commit(self._appended, 0, "Test", (Put(make_task()),)))
        number = self._appended
        self._storage.when_durable(lambda: self.answered.append(number))

    def end(self) -> None:
        self._loop.end_turn()

    def wait_for_transaction(self) -> None:
        """Wait until the writer has begun with the next one, which then waits for `write`."""
        assert self._is_writing.acquire(timeout=LIMIT_S)

    def write(self) -> None:
        """Let the disk write a transaction, and the loop hear of it."""
        count = len(self.answered)
        self._may_write.release()
        self._loop.run_until(lambda: len(self.answered) > count)

    def close(self) -> None:
        for _ in range(self._appended):
            self._may_write.release()
        self._storage.close()
        self.is_closed = True


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    turns = Turns(tmp_path, monkeypatch)
    yield turns
    if not turns.is_closed:
        turns.close()


def test_a_lone_commit_waits_for_nobody(turns: Turns):
    for _ in range(2):
        turns.append(1)
        turns.end()
        turns.wait_for_transaction()
        turns.write()
    assert turns.sizes == [1, 1]
    assert turns.answered == [1, 2]


def test_commits_of_one_turn_share_a_transaction(turns: Turns):
    turns.append(1)
    turns.append(2)
    turns.end()
    turns.wait_for_transaction()
    turns.write()
    assert turns.sizes == [3]
    assert turns.answered == [1, 3]


def test_what_comes_while_a_transaction_is_written_shares_the_next(turns: Turns):
    turns.append(1)
    turns.end()
    turns.wait_for_transaction()
    for commits in (2, 1, 3):
        turns.append(commits)
        turns.end()
    turns.write()
    turns.wait_for_transaction()
    turns.write()
    assert turns.sizes == [1, 6]
    assert turns.answered == [1, 3, 4, 7]


def test_nobody_is_answered_before_the_disk_has_written(turns: Turns):
    turns.append(2)
    turns.end()
    turns.wait_for_transaction()
    assert turns.answered == []
    turns.write()
    assert turns.answered == [2]


def test_a_transaction_holds_no_more_than_its_limit_and_the_turn_that_reached_it(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal_writer, "COMMITS_PER_TRANSACTION", 4)
    turns.append(1)
    turns.end()
    turns.wait_for_transaction()
    for _ in range(3):
        turns.append(3)
        turns.end()
    turns.write()
    turns.wait_for_transaction()
    turns.write()
    turns.wait_for_transaction()
    turns.write()
    assert turns.sizes == [1, 6, 3]


def test_closing_writes_those_whose_turn_has_not_ended(turns: Turns):
    turns.append(3)
    turns.close()
    assert turns.sizes == [3]
    assert turns.answered == [3]
