"""A table and its indexes: `state.tables`."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.state import tables
from homeport.state.tables import Table


class Row(NamedTuple):
    key: str
    group: str | None
    rank: int


def make_table() -> Table[Row]:
    return Table(
        lambda row: row.key,
        indexes={"group": lambda row: row.group},
        ordered={
            "rank": (lambda row: row.group, lambda row: row.rank),
            "name": (lambda row: row.group, None),
        },
    )


def test_putting_returns_what_was_there():
    table, old, new = make_table(), Row("a", "x", 1), Row("a", "y", 2)
    assert table.put(old) is None
    assert table.put(new) is old
    assert (table.get("a"), len(table)) == (new, 1)


def test_deleting_returns_what_was_there_and_a_missing_key_is_nothing():
    table, row = make_table(), Row("a", "x", 1)
    table.put(row)
    assert table.delete("a") is row
    assert table.delete("a") is None
    assert list(table) == []


def test_a_record_moves_between_groups():
    table = make_table()
    table.put(Row("a", "x", 1))
    table.put(Row("a", "y", 1))
    assert dict(table.group("group", "x")) == {}
    assert list(table.group("group", "y")) == ["a"]
    table.put(Row("a", None, 1))
    assert dict(table.group("group", "y")) == {}


def test_a_group_keeps_the_order_of_insertion_also_when_a_record_is_replaced():
    table = make_table()
    for key in ("c", "a", "b"):
        table.put(Row(key, "x", 1))
    table.put(Row("a", "x", 2))
    assert list(table.group("group", "x")) == ["c", "a", "b"]
    assert table.group("group", "x")["a"].rank == 2


def test_an_ordered_index_begins_just_behind_the_cursor():
    table = make_table()
    for key, rank in (("b", 2), ("a", 2), ("c", 1), ("d", 3)):
        table.put(Row(key, "x", rank))
    assert [row.key for row in table.after("rank", "x", None)] == ["c", "a", "b", "d"]
    assert [row.key for row in table.after("rank", "x", (2, "a"))] == ["b", "d"]
    assert [row.key for row in table.after("rank", "x", (2, "aa"))] == ["b", "d"]
    assert list(table.after("rank", "none such", None)) == []
    assert [row.key for row in table.before("rank", "x", None)] == ["d", "b", "a", "c"]
    assert [row.key for row in table.before("rank", "x", (2, "b"))] == ["a", "c"]
    assert list(table.before("rank", "none such", None)) == []
    assert (table.count("rank", "x"), table.count("rank", "none such")) == (4, 0)


def test_an_order_by_key_begins_just_behind_the_key_of_the_cursor():
    table = make_table()
    for key in ("b", "d", "a"):
        table.put(Row(key, "x", 1))
    assert [row.key for row in table.after("name", "x", None)] == ["a", "b", "d"]
    assert [row.key for row in table.after("name", "x", ("b", "b"))] == ["d"]
    assert [row.key for row in table.after("name", "x", ("c", "c"))] == ["d"]
    assert [row.key for row in table.before("name", "x", ("d", "d"))] == ["b", "a"]


def test_a_changed_rank_moves_the_record():
    table = make_table()
    table.put(Row("a", "x", 1))
    table.put(Row("b", "x", 2))
    table.put(Row("a", "x", 3))
    assert [row.key for row in table.after("rank", "x", None)] == ["b", "a"]


rows = st.builds(Row, st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(0, 3))


@given(st.lists(st.one_of(rows, st.sampled_from("abcd")), max_size=30), st.sampled_from([1, 256]))
def test_indexes_always_agree_with_the_rows(steps: list[Row | str], small_group: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "SMALL_GROUP", small_group)
        check_agreement(steps)


@given(st.lists(rows, max_size=30, unique_by=lambda row: row.key), st.sampled_from([1, 256]))
def test_a_table_filled_at_once_equals_one_filled_row_by_row(records: list[Row], small_group: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "SMALL_GROUP", small_group)
        filled, one_by_one = make_table(), make_table()
        filled.fill(records)
        for record in records:
            one_by_one.put(record)
        assert list(filled) == list(one_by_one)
        for group in ("x", "y", None):
            for index in ("rank", "name"):
                expected = list(one_by_one.after(index, group, None))
                assert list(filled.after(index, group, None)) == expected
            members = [list(table.group("group", group)) for table in (filled, one_by_one)]
            assert members[0] == members[1]
        for record in records:
            assert filled.delete(record.key) == record


def check_agreement(steps: list[Row | str]) -> None:
    table, model = make_table(), dict[str, Row]()
    for step in steps:
        if isinstance(step, Row):
            assert table.put(step) == model.get(step.key)
            model[step.key] = step
        else:
            assert table.delete(step) == model.pop(step, None)
    for group in ("x", "y"):
        members = [row for row in model.values() if row.group == group]
        assert sorted(table.group("group", group).values()) == sorted(members)
        ranked = sorted(members, key=lambda row: (row.rank, row.key))
        assert list(table.after("rank", group, None)) == ranked
        assert list(table.before("rank", group, None)) == ranked[::-1]
        assert table.count("rank", group) == len(members)
        assert table.last("rank", group) == (ranked[-1] if ranked else None)
        assert table.last("name", group) == max(members, default=None)
        assert list(table.after("name", group, None)) == sorted(members)
