"""The journal that keeps nothing: `storage.memory`."""

from builders import make_cluster
from homeport.state.changes import Commit, Put, delete_of
from homeport.storage.memory import MemoryStorage

CLUSTER = make_cluster()


def test_everything_is_durable_at_once():
    storage, order = MemoryStorage(), []
    storage.append(Commit(1, 0, "CreateCluster", (Put(CLUSTER),)))
    storage.when_durable(lambda: order.append("now"))
    assert order == ["now"]


def test_only_the_newest_commits_are_kept():
    storage = MemoryStorage(kept_commits=2)
    for sequence in (1, 2, 3):
        storage.append(Commit(sequence, 0, "Test", ()))
    assert [commit.sequence for commit in storage.commits] == [2, 3]


def test_history_is_newest_first():
    storage = MemoryStorage()
    storage.append(Commit(1, 5, "CreateCluster", (Put(CLUSTER), Put(make_cluster("other")))))
    storage.append(Commit(2, 6, "Expire", (delete_of(CLUSTER),)))
    entries = storage.history(CLUSTER.arn)
    assert [(e.sequence, e.cause) for e in entries] == [(2, "Expire"), (1, "CreateCluster")]
    assert storage.history(CLUSTER.arn, limit=1) == entries[:1]
