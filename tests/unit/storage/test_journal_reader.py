"""Reading a journal that belongs to somebody else."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from builders import NOW_MS, make_cluster, make_service
from homeport.state.changes import Commit, Put
from homeport.storage.database import DATABASE_FILE_NAME, Database, JournalLimits
from homeport.storage.errors import StorageCorrupt, StorageUnavailable, StorageVersionUnknown
from homeport.storage.journal_reader import JournalReader
from journal_files import alter_records, make_older, write_journal

COMMITS = [
    Commit(1, NOW_MS, "CreateCluster", (Put(make_cluster()),)),
    Commit(2, NOW_MS + 5, "CreateService", (Put(make_service()),)),
    Commit(3, NOW_MS + 9, "UpdateService", (Put(make_service(desired_count=4)),)),
]


def files_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What lies in a folder: to see that reading alters nothing."""
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()
    }


def alter(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / DATABASE_FILE_NAME, isolation_level=None)
    connection.execute(statement)
    connection.close()


def test_commits_come_as_they_were_written_from_a_directory_and_from_its_file(tmp_path):
    folder = write_journal(tmp_path / "data", COMMITS)
    for path in (folder, folder / DATABASE_FILE_NAME):
        with JournalReader(path) as journal:
            assert list(journal.commits()) == COMMITS
            assert [commit.sequence for commit in journal.commits("UpdateService")] == [3]
            assert list(journal.records("cluster")) == [make_cluster()]
            assert len(list(journal.records())) == 2


def test_a_closed_journal_is_read_without_making_or_altering_a_file(tmp_path):
    folder = write_journal(tmp_path / "data", COMMITS)
    before = files_in(folder)
    with JournalReader(folder) as journal:
        assert len(list(journal.commits())) == 3
        assert files_in(folder) == before
    assert files_in(folder) == before


def test_a_running_servers_journal_is_read_while_it_goes_on_writing(tmp_path):
    database = Database(tmp_path, JournalLimits())
    database.replay()
    database.write(COMMITS[:2])
    with JournalReader(tmp_path) as journal:
        database.write(COMMITS[2:])
        assert list(journal.commits()) == COMMITS[:2]
    with JournalReader(tmp_path) as journal:
        assert list(journal.commits()) == COMMITS
    database.close()


def test_a_copy_with_its_log_alone_is_read_without_touching_it(tmp_path):
    database = Database(tmp_path / ".", JournalLimits())
    database.replay()
    database.write(COMMITS)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (DATABASE_FILE_NAME, f"{DATABASE_FILE_NAME}-wal"):
        shutil.copyfile(tmp_path / name, copy / name)
    database.close()
    before = files_in(copy)
    with JournalReader(copy) as journal:
        assert list(journal.commits()) == COMMITS
    assert files_in(copy) == before


def test_a_quiet_journal_that_is_written_meanwhile_is_refused(tmp_path):
    folder = write_journal(tmp_path / "data", COMMITS)
    with JournalReader(folder) as journal:
        write = Database(folder, JournalLimits())
        write.replay()
        write.write([Commit(4, NOW_MS, "Reconcile", (Put(make_service()),))])
        write.close()
        with pytest.raises(StorageUnavailable, match="changed while it was read"):
            list(journal.commits())


def test_nothing_there_is_said_in_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(StorageUnavailable, match="there is no journal at"):
            JournalReader(path)


def test_what_is_no_journal_is_refused(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be looked at " * 40)
    with pytest.raises(StorageCorrupt, match="damaged or isn't a database"):
        JournalReader(text)
    other = tmp_path / "other.sqlite3"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(StorageCorrupt, match="isn't a Homeport database"):
        JournalReader(other)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_homeports_journal_is_read_and_stays_what_it_is(tmp_path, version):
    folder = write_journal(tmp_path / "data", COMMITS)
    with JournalReader(folder) as journal:
        records = list(journal.records())
    make_older(folder, version)
    before = files_in(folder)
    with JournalReader(folder) as journal:
        assert list(journal.commits()) == COMMITS
        assert sorted(map(repr, journal.records())) == sorted(map(repr, records)) != []
    assert files_in(folder) == before


@pytest.mark.parametrize("version", ["99", "0", "two"])
def test_a_version_that_nobody_knows_is_refused(tmp_path, version):
    folder = write_journal(tmp_path / "data", COMMITS)
    alter(folder, f"UPDATE meta SET value = '{version}' WHERE name = 'schema_version'")
    with pytest.raises(StorageVersionUnknown, match=f"has schema version {version}"):
        JournalReader(folder)


def test_a_journal_with_a_gap_or_an_unreadable_commit_is_refused(tmp_path):
    gap = write_journal(tmp_path / "gap", COMMITS)
    alter(gap, "DELETE FROM journal WHERE sequence = 2")
    with JournalReader(gap) as journal, pytest.raises(StorageCorrupt, match="lacks commit 2"):
        list(journal.commits())
    broken = write_journal(tmp_path / "broken", COMMITS)
    alter(broken, "UPDATE journal SET body = x'00' WHERE sequence = 2")
    with JournalReader(broken) as journal, pytest.raises(StorageCorrupt, match="commit 2 is"):
        list(journal.commits())
    alter_records(broken, lambda _: b"\0")
    with JournalReader(broken) as journal, pytest.raises(StorageCorrupt, match="record is unread"):
        list(journal.records())
    alter(broken, "UPDATE record_parts SET body = x'00'")
    with JournalReader(broken) as journal, pytest.raises(StorageCorrupt, match="record is unread"):
        list(journal.records())


def test_a_file_that_is_cut_short_is_refused_in_one_line(tmp_path):
    folder = write_journal(tmp_path / "data", COMMITS)
    path = folder / DATABASE_FILE_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StorageCorrupt, match="damaged"), JournalReader(folder) as journal:
        list(journal.commits())


def test_a_pruned_journal_begins_where_it_begins(tmp_path):
    folder = write_journal(tmp_path / "data", COMMITS, first=3)
    with JournalReader(folder) as journal:
        assert list(journal.commits()) == COMMITS[2:]
        assert list(journal.records("cluster")) == [make_cluster()]
