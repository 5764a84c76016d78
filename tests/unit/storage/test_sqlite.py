"""The durable journal: `storage.sqlite`."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from builders import make_cluster, make_container_instance, make_task, make_task_definition
from homeport.model.record import ResourceTags, Tag
from homeport.state.changes import AnyRecord, Commit, Delete, Put, delete_of
from homeport.storage import sqlite
from homeport.storage.database import DATABASE_FILE_NAME, Database, JournalLimits
from homeport.storage.errors import (
    StorageCorrupt,
    StorageInUse,
    StorageRefused,
    StorageUnavailable,
    StorageVersionUnknown,
)
from homeport.storage.reading import read_history
from homeport.storage.sqlite import FAILURE_EXIT_CODE
from journal_files import alter_records
from journal_writers import ManualLoop, opened_storage

TASK = make_task()


def commit(sequence: int, *changes: Put | Delete, at_ms: int = 0, cause: str = "Test") -> Commit:
    return Commit(sequence, at_ms, cause, changes)


def put(sequence: int, *records: AnyRecord) -> Commit:
    return commit(sequence, *(Put(record) for record in records))


def never(error: StorageRefused) -> None:
    raise AssertionError(error)


def reopened(path: Path) -> tuple[list[AnyRecord], int]:
    storage = opened_storage(path)
    try:
        return storage.load()
    finally:
        storage.close()


def write(path: Path, *commits: Commit, limits: JournalLimits | None = None) -> None:
    storage = opened_storage(path, limits)
    storage.load()
    loop = ManualLoop()
    storage.start(loop, never)
    for each in commits:
        storage.append(each)
        loop.end_turn()
    storage.close()


def append_in_another_thread(path: Path, commits: list[Commit]) -> threading.Thread:
    """Write commits as a loop does that would hang with its storage, were it to hang."""
    thread = threading.Thread(target=write, args=(path, *commits), daemon=True)
    thread.start()
    thread.join(timeout=5)
    return thread


def test_a_journal_with_more_commits_than_may_wait_is_not_far_behind_when_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, *(put(number, TASK) for number in range(1, 9)))
    monkeypatch.setattr(sqlite, "PENDING_COMMITS", 4)
    assert not append_in_another_thread(tmp_path, [put(9, TASK)]).is_alive()
    assert reopened(tmp_path)[1] == 9


def test_a_loop_that_is_far_ahead_of_the_disk_waits_for_it_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite, "PENDING_COMMITS", 4)
    commits = [put(number, TASK) for number in range(1, 201)]
    assert not append_in_another_thread(tmp_path, commits).is_alive()
    assert reopened(tmp_path)[1] == 200


def test_a_new_directory_is_made_and_holds_nothing(tmp_path: Path):
    assert reopened(tmp_path / "new" / "data") == ([], 0)


def test_records_come_back_as_they_were(tmp_path: Path):
    records = [
        make_cluster(settings=(("containerInsights", "disabled"),)),
        make_container_instance(attributes={"none": None, "some": "x"}),
        make_task_definition(host_ports=(80,)),
        TASK,
        ResourceTags(arn="arn:x", tags=(Tag("k", "v"), Tag("empty"))),
    ]
    write(tmp_path, put(1, *records))
    loaded, sequence = reopened(tmp_path)
    assert sequence == 1
    assert sorted(loaded, key=repr) == sorted(records, key=repr)


def test_the_last_put_of_a_key_wins_and_a_delete_forgets(tmp_path: Path):
    running = msgspec.structs.replace(TASK, last_status="RUNNING")
    doomed = make_cluster("doomed")
    write(tmp_path, put(1, TASK, doomed), commit(2, Put(running), delete_of(doomed)))
    assert reopened(tmp_path) == ([running], 2)


def test_a_record_deleted_and_put_again_in_one_batch_stays(tmp_path: Path):
    write(tmp_path, put(1, TASK), commit(2, delete_of(TASK)), put(3, TASK))
    assert reopened(tmp_path) == ([TASK], 3)


def test_more_rows_than_fit_a_statement_are_all_written(tmp_path: Path):
    clusters = [make_cluster(f"c{n}") for n in range(150)]
    write(tmp_path, put(1, *clusters), commit(2, *(delete_of(c) for c in clusters[:70])))
    records, _ = reopened(tmp_path)
    assert sorted(records, key=repr) == sorted(clusters[70:], key=repr)


def test_a_callback_waits_for_its_commit_and_only_for_that(tmp_path: Path):
    storage, loop, order = opened_storage(tmp_path), ManualLoop(), []
    storage.load()
    storage.start(loop, never)
    storage.when_durable(lambda: order.append("nothing pending"))
    assert order == ["nothing pending"]
    storage.append(put(1, TASK))
    storage.when_durable(lambda: order.append("first"))
    storage.when_durable(lambda: order.append("second"))
    assert order == ["nothing pending"]
    loop.run_until(lambda: len(order) > 1)
    assert order == ["nothing pending", "first", "second"]
    storage.close()


def test_a_callback_never_overtakes_one_that_waits(tmp_path: Path):
    storage, loop, order = opened_storage(tmp_path), ManualLoop(), []
    storage.load()
    storage.start(loop, never)
    storage.append(put(1, TASK))
    storage.when_durable(lambda: storage.when_durable(lambda: order.append("third")))
    storage.when_durable(lambda: order.append("second"))
    loop.run_until(lambda: order)
    assert order == ["second", "third"]
    storage.close()


def test_a_callback_that_raises_does_not_hold_up_the_next(tmp_path: Path):
    storage, loop, order = opened_storage(tmp_path), ManualLoop(), []
    storage.load()
    storage.start(loop, never)
    storage.append(put(1, TASK))
    storage.when_durable(lambda: 1 // 0)
    storage.when_durable(lambda: order.append("next"))
    with pytest.raises(ZeroDivisionError):
        loop.run_until(lambda: order)
    assert order == []
    loop.run_until(lambda: order)
    assert order == ["next"]
    storage.close()


def test_closing_writes_what_is_queued_and_answers_it(tmp_path: Path):
    storage, order = opened_storage(tmp_path), []
    storage.load()
    storage.start(ManualLoop(), never)
    for sequence in range(1, 200):
        storage.append(put(sequence, make_cluster(f"c{sequence}")))
    storage.when_durable(lambda: order.append("answered"))
    storage.close()
    assert order == ["answered"]
    assert reopened(tmp_path)[1] == 199


async def test_it_works_with_a_real_event_loop(tmp_path: Path):
    storage, loop = opened_storage(tmp_path), asyncio.get_running_loop()
    storage.load()
    storage.start(loop, never)
    answers = []
    for sequence in range(1, 50):
        storage.append(put(sequence, make_cluster(f"c{sequence}")))
        answer = loop.create_future()
        storage.when_durable(lambda n=sequence, a=answer: a.set_result(n))
        answers.append(answer)
    assert await asyncio.gather(*answers) == list(range(1, 50))
    storage.close()


def test_numbering_continues_after_a_restart(tmp_path: Path):
    write(tmp_path, put(1, TASK))
    write(tmp_path, commit(2, delete_of(TASK)))
    assert reopened(tmp_path) == ([], 2)


def test_history_tells_every_change_of_a_record_newest_first(tmp_path: Path):
    running = msgspec.structs.replace(TASK, last_status="RUNNING")
    storage = opened_storage(tmp_path)
    storage.load()
    storage.start(ManualLoop(), never)
    storage.append(commit(1, Put(TASK), at_ms=5, cause="RunTask"))
    storage.append(put(2, make_cluster("other")))
    storage.append(commit(3, Put(running), at_ms=6, cause="SubmitTaskStateChange"))
    storage.append(commit(4, delete_of(TASK), at_ms=7, cause="Expire"))
    storage.close()
    entries = storage.history(TASK.arn)
    assert [(e.sequence, e.at_ms, e.cause) for e in entries] == [
        (4, 7, "Expire"),
        (3, 6, "SubmitTaskStateChange"),
        (1, 5, "RunTask"),
    ]
    assert entries[1].change == Put(running)
    assert storage.history(TASK.arn, limit=1) == entries[:1]
    assert storage.history("arn:of:nothing") == []


def test_another_process_may_read_history_while_the_server_writes(tmp_path: Path):
    storage, loop = opened_storage(tmp_path), ManualLoop()
    storage.load()
    storage.start(loop, never)
    storage.append(put(1, TASK))
    written: list[bool] = []
    storage.when_durable(lambda: written.append(True))
    loop.run_until(lambda: written)
    assert [entry.sequence for entry in read_history(tmp_path, TASK.arn, 10)] == [1]
    storage.append(put(2, TASK))
    storage.close()
    assert [entry.sequence for entry in read_history(tmp_path, TASK.arn, 10)] == [2, 1]


def test_a_commit_returns_only_after_its_fsync(tmp_path: Path):
    database = Database(tmp_path, JournalLimits())
    full = 2
    assert database._connection.execute("PRAGMA synchronous").fetchone() == (full,)
    assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def _sequences(path: Path) -> list[int]:
    connection = sqlite3.connect(path / DATABASE_FILE_NAME)
    try:
        return [row[0] for row in connection.execute("SELECT sequence FROM journal")]
    finally:
        connection.close()


def _journal_bytes(path: Path) -> int:
    with sqlite3.connect(path / DATABASE_FILE_NAME) as connection:
        (size_bytes,) = connection.execute("SELECT SUM(LENGTH(body)) FROM journal").fetchone()
    connection.close()
    return int(size_bytes or 0)


def test_the_journal_forgets_what_is_too_old_but_never_the_newest(tmp_path: Path):
    limits = JournalLimits(retention_s=10)
    write(tmp_path, commit(1, Put(TASK), at_ms=0), commit(2, Put(TASK), at_ms=1_000), limits=limits)
    write(tmp_path, commit(3, Put(TASK), at_ms=10_500), limits=limits)
    assert _sequences(tmp_path) == [2, 3]
    write(tmp_path, commit(4, Put(TASK), at_ms=90_000), limits=limits)
    assert _sequences(tmp_path) == [4]
    assert reopened(tmp_path) == ([TASK], 4)


def test_the_journal_keeps_within_its_size(tmp_path: Path):
    limits = JournalLimits(size_bytes=3_000)
    for start in range(1, 100, 10):
        write(tmp_path, *(put(start + n, TASK) for n in range(10)), limits=limits)
    kept = _sequences(tmp_path)
    assert kept[-1] == 100
    assert 0 < len(kept) < 20
    assert kept == list(range(kept[0], 101))


def test_what_is_beyond_the_journals_size_goes_in_the_calm(tmp_path: Path):
    database = Database(tmp_path, JournalLimits(size_bytes=100_000))
    sequence = 0
    while not database.can_prune:
        sequence += 1
        database.write([put(sequence, TASK)])
    assert _sequences(tmp_path) == list(range(1, sequence + 1))
    while database.can_fold:
        database.fold()
    database.prune()
    assert not database.can_prune
    assert 90_000 < _journal_bytes(tmp_path) <= 100_000
    database.close()


def test_what_is_a_quarter_beyond_the_journals_size_goes_under_load(tmp_path: Path):
    database = Database(tmp_path, JournalLimits(size_bytes=100_000))
    heaviest_bytes = sequence = 0
    while not sequence or _sequences(tmp_path)[0] == 1:
        sequence += 1
        heaviest_bytes = _journal_bytes(tmp_path)
        database.write([put(sequence, TASK)])
        database.fold()
    database.close()
    assert 120_000 < heaviest_bytes <= 125_000


def test_a_journal_of_which_nothing_may_go_is_not_looked_at_again(tmp_path: Path):
    database = Database(tmp_path, JournalLimits(size_bytes=1))
    database.write([put(1, TASK)])
    database.prune()
    assert not database.can_prune
    database.write([put(2, TASK)])
    assert database.can_prune
    database.close()


def test_one_directory_belongs_to_one_server(tmp_path: Path):
    storage = opened_storage(tmp_path)
    with pytest.raises(StorageInUse, match=r"in use by process \d+; stop that server"):
        opened_storage(tmp_path)
    storage.close()
    opened_storage(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="Not a directory; choose another"):
        opened_storage(tmp_path / "file" / "data")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / DATABASE_FILE_NAME).write_text("something else entirely " * 100)
    with pytest.raises(StorageCorrupt, match="move it away"):
        opened_storage(tmp_path)


def test_another_applications_database_is_refused(tmp_path: Path):
    with sqlite3.connect(tmp_path / DATABASE_FILE_NAME) as connection:
        connection.execute("CREATE TABLE cats (name)")
    connection.close()
    with pytest.raises(StorageCorrupt, match="isn't a Homeport database"):
        opened_storage(tmp_path)


def _alter(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path / DATABASE_FILE_NAME, isolation_level=None)
    connection.execute(statement, values)
    connection.close()


def test_a_newer_schema_is_refused_and_the_lock_let_go(tmp_path: Path):
    write(tmp_path, put(1, TASK))
    _alter(tmp_path, "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    for _ in range(2):
        with pytest.raises(StorageVersionUnknown, match="schema version 99, this Homeport knows 4"):
            opened_storage(tmp_path)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path):
    write(tmp_path, put(1, TASK))
    alter_records(tmp_path, lambda _: b"\x81")
    with pytest.raises(StorageCorrupt, match=f"task {TASK.arn} is unreadable"):
        reopened(tmp_path)
    alter_records(tmp_path, lambda _: msgspec.msgpack.encode(make_cluster()))
    with pytest.raises(StorageCorrupt, match="holds another record"):
        reopened(tmp_path)
    _alter(tmp_path, "UPDATE record_parts SET body = ?", b"\x81")
    with pytest.raises(StorageCorrupt, match="the records are unreadable"):
        reopened(tmp_path)


def test_a_record_of_a_later_homeport_with_more_members_is_read(tmp_path: Path):
    write(tmp_path, put(1, TASK))
    document = msgspec.msgpack.decode(msgspec.msgpack.encode(TASK))
    document["invented_later"] = 1
    alter_records(tmp_path, lambda _: msgspec.msgpack.encode(document))
    assert reopened(tmp_path) == ([TASK], 1)


REFUSING_DISK = """
import resource, sys, threading
from pathlib import Path
from builders import make_cluster
from homeport.state.changes import Commit, Put
from homeport.storage import sqlite
from journal_writers import ManualLoop, opened_storage

if sys.argv[3] == "ignored":
    sqlite.FAILURE_GRACE_S = 0.01
storage = opened_storage(Path(sys.argv[1]))
storage.load()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
loop = ManualLoop()
failed = []
def on_failure(error):
    print("told:", error, flush=True)
    if sys.argv[3] == "handled":
        failed.append(error)
storage.start(loop, on_failure)
for n in range(1, 2_000):
    storage.append(Commit(n, 0, "Test", (Put(make_cluster(f"{n:0200}")),)))
    if n == 1_999:
        storage.when_durable(lambda: print("ANSWERED", flush=True))
loop.end_turn()
if sys.argv[2] == "deliver":
    loop.run_until(lambda: failed)
if sys.argv[3] == "handled":
    try:
        storage.close()
    except sqlite.StorageRefused as error:
        print("closed:", error, flush=True)
        sys.exit(3)
threading.Event().wait(10)
"""


def _run_refusing(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", REFUSING_DISK, str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
        check=False,
    )


@pytest.mark.slow
def test_when_the_disk_refuses_the_app_is_told_and_nothing_is_answered(tmp_path: Path):
    ended = _run_refusing(tmp_path, "deliver", "handled")
    assert ended.returncode == 3, ended.stderr
    assert "told: the disk refused a commit" in ended.stdout
    assert "closed: the disk refused a commit" in ended.stdout
    assert "ANSWERED" not in ended.stdout
    records, sequence = reopened(tmp_path)
    assert len(records) == sequence < 1_999


@pytest.mark.slow
def test_when_the_app_does_not_end_the_process_storage_does(tmp_path: Path):
    ended = _run_refusing(tmp_path, "hang", "ignored")
    assert ended.returncode == FAILURE_EXIT_CODE, ended.stderr
    assert "homeport: the disk refused a commit" in ended.stderr
    assert "ANSWERED" not in ended.stdout
