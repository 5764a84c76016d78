"""From storage to a store: `storage.recovery`."""

from pathlib import Path

from builders import (
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.state.changes import Commit, Put
from homeport.storage.recovery import VIOLATIONS_TOLD, recover_store
from journal_writers import ManualLoop, opened_storage

DEFINITION = make_task_definition()
INSTANCE = make_container_instance()
SERVICE = make_service(definition=DEFINITION)


def write(path: Path, commit: Commit) -> None:
    storage = opened_storage(path)
    storage.load()
    storage.start(ManualLoop(), lambda error: None)
    storage.append(commit)
    storage.close()


def recovered(path: Path):
    storage = opened_storage(path)
    try:
        return recover_store(storage)
    finally:
        storage.close()


def test_an_empty_directory_gives_an_empty_store(tmp_path: Path):
    found = recovered(tmp_path)
    assert (found.record_count, found.violations, found.store.sequence) == (0, (), 0)


def test_tables_indexes_and_counts_are_as_before(tmp_path: Path):
    tasks = [make_task(n, definition=DEFINITION, instance=INSTANCE) for n in range(3)]
    records = [make_cluster(), DEFINITION, INSTANCE, SERVICE, *tasks]
    write(tmp_path, Commit(1, 77, "Test", tuple(Put(record) for record in records)))
    found, live = recovered(tmp_path), make_store(*records)
    assert found.store.at_ms == 77
    assert found.violations == ()
    assert found.record_count == len(records)
    assert found.store.sequence == 1
    assert sorted(map(repr, found.store.every_record())) == sorted(map(repr, records))
    load, before = (s.derived.instances[INSTANCE.arn] for s in (found.store, live))
    assert load.values() == before.values()


def test_what_does_not_hold_is_told_and_does_not_stop_the_start(tmp_path: Path):
    task = make_task(definition=DEFINITION, instance=INSTANCE)
    write(tmp_path, Commit(1, 0, "Test", (Put(task),)))
    found = recovered(tmp_path)
    assert found.record_count == 1
    assert f"{task.arn} is in a cluster that doesn't exist" in found.violations


def test_of_many_violations_only_some_are_told(tmp_path: Path):
    tasks = [make_task(n, definition=DEFINITION, instance=INSTANCE) for n in range(60)]
    write(tmp_path, Commit(1, 0, "Test", tuple(Put(task) for task in tasks)))
    violations = recovered(tmp_path).violations
    assert len(violations) == VIOLATIONS_TOLD + 1
    assert violations[-1].endswith("more of this kind")
