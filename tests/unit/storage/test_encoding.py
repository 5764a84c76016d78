"""Commits as bytes: `storage.encoding`."""

from builders import make_cluster, make_task
from homeport.state.changes import Commit, Put, delete_of
from homeport.storage.encoding import changed_by, decode_changes, encode_commit, encode_written

TASK, CLUSTER = make_task(), make_cluster()
COMMITS = [
    Commit(1, 5, "Nothing", ()),
    Commit(2, 6, "RunTask", (Put(CLUSTER), Put(TASK))),
    Commit(3, 7, "Delete", (delete_of(TASK), Put(CLUSTER))),
    Commit(4, 8, "PutAndDelete", (Put(TASK), delete_of(TASK))),
    Commit(5, 9, "DeleteAndPut", (delete_of(TASK), Put(TASK))),
]


def test_both_ways_of_encoding_a_commit_are_the_same():
    for commit in COMMITS:
        written = encode_written(commit)
        assert (written[0], changed_by(written)) == encode_commit(commit)


def test_what_was_encoded_is_what_is_decoded():
    for commit in COMMITS:
        assert decode_changes(encode_written(commit)[0].body) == commit.changes
