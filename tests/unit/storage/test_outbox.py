"""What waits for webhooks: bounded, by endpoint, and sound after whatever ends the process."""

import logging
import sqlite3
from pathlib import Path

import pytest

from homeport.storage import outbox
from homeport.storage.errors import LeaseLost, StorageUnavailable
from homeport.storage.outbox import Outbox

A, B = "http://a/", "http://b/"


def numbers(found: list[tuple[int, bytes]]) -> list[int]:
    return [sequence for sequence, _ in found]


def test_an_event_goes_when_the_last_endpoint_has_taken_it(tmp_path: Path):
    kept = Outbox(tmp_path, [A, B], known_through=0)
    assert kept.add([(1, b"one"), (2, b"two")]) == 0
    kept.note_taken(A, 2)
    assert kept.read(kept.taken(B), 2, 10) == [(1, b"one"), (2, b"two")]
    kept.note_taken(B, 1)
    assert kept.count_behind(0) == 1


def test_the_oldest_go_when_too_many_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "EVENTS_KEPT", 2)
    kept = Outbox(None, [A], known_through=0)
    assert kept.add([(1, b""), (2, b"")]) == 0
    assert kept.add([(3, b"")]) == 1
    assert numbers(kept.read(0, 9, 10)) == [2, 3]


def test_a_new_endpoint_gets_what_happens_from_now_on_and_one_that_left_holds_nothing_up(
    tmp_path: Path,
):
    kept = Outbox(tmp_path, [A], known_through=0)
    kept.add([(1, b""), (2, b"")])
    kept.close()
    kept = Outbox(tmp_path, [B], known_through=2)
    assert kept.taken(B) == 2
    assert kept.count_behind(0) == 0


def test_events_of_commits_that_a_crash_took_back_never_happened(tmp_path: Path):
    kept = Outbox(tmp_path, [A], known_through=0)
    kept.add([(1, b"durable"), (2, b"not durable")])
    kept.close()
    kept = Outbox(tmp_path, [A], known_through=1)
    assert numbers(kept.read(kept.taken(A), 9, 10)) == [1]
    kept.add([(2, b"another")])
    assert kept.read(1, 2, 10) == [(2, b"another")]


def test_a_server_that_was_taken_over_from_adds_nothing_and_notes_nothing(tmp_path: Path):
    older = Outbox(tmp_path, [A], known_through=0)
    older.add([(1, b"durable"), (2, b"not durable")])
    newer = Outbox(tmp_path, [A], known_through=1)
    assert (older.is_ours(), newer.is_ours()) == (False, True)
    assert older.add([(2, b"never durable")]) == 0
    older.note_taken(A, 1)
    assert newer.add([(2, b"durable")]) == 0
    assert newer.read(newer.taken(A), 9, 10) == [(1, b"durable"), (2, b"durable")]


def test_a_slow_server_does_not_take_it_back_from_the_one_that_has_the_journal(tmp_path: Path):
    newer = Outbox(tmp_path, [A], known_through=0)
    with pytest.raises(LeaseLost):
        Outbox(tmp_path, [A], known_through=0, holds_journal=lambda: False)
    assert newer.is_ours()


def test_a_file_of_before_there_were_owners_is_taken(tmp_path: Path):
    kept = Outbox(tmp_path, [A], known_through=0)
    kept.add([(1, b"one")])
    kept.close()
    with sqlite3.connect(tmp_path / outbox.OUTBOX_FILE_NAME) as file:
        file.execute("DROP TABLE owner")
    file.close()
    kept = Outbox(tmp_path, [A], known_through=1)
    assert kept.is_ours()
    assert numbers(kept.read(0, 9, 10)) == [1]


def test_a_disk_that_refuses_costs_events_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    kept = Outbox(tmp_path, [A], known_through=0)
    other = sqlite3.connect(tmp_path / outbox.OUTBOX_FILE_NAME, isolation_level=None)
    other.execute("DROP TABLE events")
    with caplog.at_level(logging.WARNING):
        assert kept.add([(1, b"")]) == 1
        kept.note_taken(A, 1)
    assert "the disk refuses" in caplog.text
    other.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path):
    (tmp_path / outbox.OUTBOX_FILE_NAME).write_bytes(b"nothing like it" * 100)
    with pytest.raises(StorageUnavailable, match=r"outbox\.sqlite"):
        Outbox(tmp_path, [A], known_through=0)
