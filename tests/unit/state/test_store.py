"""The sole writer: `state.store` and `state.feed`."""

import msgspec
import pytest

from builders import (
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.model.client_token import ClientToken
from homeport.model.record import Record
from homeport.state.changes import AnyRecord, Commit, Put, delete_of, key_of, table_of
from homeport.state.feed import HISTORY_COMMITS
from homeport.state.store import Store

CLUSTER = make_cluster()


def test_a_commit_applies_whole_and_numbers_the_store():
    other = make_cluster("other")
    store = make_store(CLUSTER, other)
    assert store.sequence == 1
    assert list(store.clusters) == [CLUSTER, other]


def test_a_commit_out_of_sequence_is_a_bug():
    store = make_store(CLUSTER)
    for sequence in (1, 3):
        with pytest.raises(AssertionError):
            store.apply(Commit(sequence, 0, "Test", ()))


def test_changes_of_one_commit_apply_in_order():
    store = Store()
    renamed = msgspec.structs.replace(CLUSTER, status="INACTIVE")
    store.apply(Commit(1, 0, "Test", (Put(CLUSTER), delete_of(CLUSTER), Put(renamed))))
    assert list(store.clusters) == [renamed]


def test_every_kind_of_record_has_a_table_and_a_key():
    for kind in AnyRecord.__args__:
        assert issubclass(kind, Record)
        assert table_of_class(kind) in Store()._tables


def table_of_class(kind: type[Record]) -> str:
    return str(kind.__struct_config__.tag)


def test_a_record_knows_its_table_and_key():
    assert (table_of(CLUSTER), key_of(CLUSTER)) == ("cluster", CLUSTER.arn)
    token = ClientToken(key="RunTask/x", fingerprint=b"", resource_arns=(), expires_at_ms=0)
    assert (table_of(token), key_of(token)) == ("client_token", "RunTask/x")


def test_watchers_get_the_commit_with_what_it_replaced():
    store, seen = make_store(CLUSTER), []
    store.feed.watch(lambda commit, replaced: seen.append((commit.sequence, replaced)))
    new = msgspec.structs.replace(CLUSTER, status="INACTIVE")
    store.apply(Commit(2, 0, "Test", (Put(new), Put(make_cluster("b")), delete_of(new))))
    assert seen == [(2, (CLUSTER, None, new))]


def test_the_feed_keeps_a_bounded_history():
    store = Store()
    for sequence in range(1, HISTORY_COMMITS + 11):
        store.apply(Commit(sequence, 0, "Test", ()))
    kept = [commit.sequence for commit in store.feed.since(0)]
    assert (kept[0], kept[-1]) == (11, HISTORY_COMMITS + 10)
    assert [c.sequence for c in store.feed.since(HISTORY_COMMITS + 8)] == [
        HISTORY_COMMITS + 9,
        HISTORY_COMMITS + 10,
    ]


def test_restoring_records_equals_applying_them():
    definition, instance = make_task_definition(), make_container_instance()
    service = make_service(definition=definition)
    task = make_task(definition=definition, instance=instance, service=service)
    records = (CLUSTER, definition, instance, service, task)
    live, restored = make_store(*records), Store()
    restored.restore(records)
    restored.restored(1)
    assert restored.every_record() == live.every_record()
    assert restored.sequence == live.sequence
    put(restored, make_cluster("next"))
    loads = [s.derived.instances[instance.arn].values() for s in (live, restored)]
    assert loads[0] == loads[1]
