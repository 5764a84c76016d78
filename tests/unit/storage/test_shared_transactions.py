"""Which commits share a transaction: `storage.sqlite`, as the loop's turns end one by one."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders import make_task
from homeport.state.changes import Commit, Put
from homeport.storage.database import Database
from homeport.storage.sqlite import COMMITS_WAITED, TURNS_WAITED, SqliteStorage, Written


class Turns:
    """A loop whose turns the test ends; it notes how many commits each transaction had."""

    def __init__(self, path: Path, sizes: list[int]) -> None:
        self.sizes = sizes
        self._storage = SqliteStorage(path)
        self._storage.load()
        self._ends: list[Callable[[], None]] = []
        self._durable = threading.Semaphore(0)
        self._appended = 0
        self._storage.start(
            lambda _then: self._durable.release(), pytest.fail, after_turn=self._ends.append
        )

    def append(self, commits: int) -> None:
        """Make commits in the present turn."""
        for _ in range(commits):
            self._appended += 1
            self._storage.append(Commit(self._appended, 0, "Test", (Put(make_task()),)))

    def end(self) -> bool:
        """End the turn; says whether its commits wait for another one's."""
        ends, self._ends[:] = list(self._ends), []
        for each in ends:
            each()
        return bool(self._ends)

    def wait(self) -> None:
        """Wait for one transaction."""
        assert self._durable.acquire(timeout=5)

    def close(self) -> int:
        """Close, and return what the journal has now."""
        self._storage.close()
        return sum(self.sizes)


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    sizes: list[int] = []
    append = Database.append

    def noting(database: Database, batch: list[Written]) -> None:
        sizes.append(len(batch))
        append(database, batch)

    monkeypatch.setattr(Database, "append", noting)
    turns = Turns(tmp_path, sizes)
    yield turns
    turns.close()


def bring_company(turns: Turns) -> None:
    turns.append(2)
    assert not turns.end()
    turns.wait()
    turns.sizes.clear()


def test_a_lone_commit_waits_for_nobody(turns: Turns):
    for _ in range(2):
        turns.append(1)
        assert not turns.end()
        turns.wait()
    assert turns.sizes == [1, 1]


def test_after_several_at_once_the_next_waits_as_long_as_turns_bring_more(turns: Turns):
    bring_company(turns)
    turns.append(1)
    assert turns.end()
    turns.append(1)
    assert turns.end()
    assert not turns.end()  # which brought no more
    turns.wait()
    assert turns.sizes == [2]


def test_one_that_waited_in_vain_was_the_last_that_waits(turns: Turns):
    bring_company(turns)
    turns.append(1)
    assert turns.end()
    assert not turns.end()
    turns.wait()
    turns.append(1)
    assert not turns.end()


def test_no_commit_waits_for_more_turns_than_it_may(turns: Turns):
    bring_company(turns)
    for _ in range(TURNS_WAITED):
        turns.append(1)
        assert turns.end()
    turns.append(1)
    assert not turns.end()
    turns.wait()
    assert turns.sizes == [TURNS_WAITED + 1]


def test_enough_commits_for_a_transaction_do_not_wait(turns: Turns):
    bring_company(turns)
    turns.append(COMMITS_WAITED)
    assert not turns.end()


def test_closing_writes_those_that_wait(turns: Turns):
    bring_company(turns)
    turns.append(3)
    assert turns.end()
    assert turns.close() == 3
