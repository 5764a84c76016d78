"""Which operation an X-Amz-Target header names."""

import pytest

from homeport.api import ecs, homeport
from homeport.api.errors import UnknownOperationException
from homeport.wire.targets import find_operation


def test_every_operation_is_found_by_its_target() -> None:
    for name, operation in ecs.OPERATIONS.items():
        target = f"AmazonEC2ContainerServiceV20141113.{name}".encode()
        assert find_operation(target) is operation


def test_homeports_own_operations_are_found_under_their_own_names() -> None:
    for name, operation in homeport.OPERATIONS.items():
        assert find_operation(f"Homeport.{name}".encode()) is operation
    # The engine and the journal tell operations apart by name alone.
    assert set(homeport.OPERATIONS).isdisjoint(ecs.OPERATIONS)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"RunTask",
        b"AmazonEC2ContainerServiceV20141113.",
        b"AmazonEC2ContainerServiceV20141113.RunTasks",
        b"DynamoDB_20120810.ListTables",
        b"\xff\xfe",
    ],
)
def test_an_unknown_target_is_refused_by_name(target: bytes) -> None:
    with pytest.raises(UnknownOperationException, match="is not an operation of Amazon ECS"):
        find_operation(target)


def test_a_huge_target_is_not_echoed_whole() -> None:
    with pytest.raises(UnknownOperationException) as refused:
        find_operation(b"x" * 100_000)
    assert len(refused.value.message) < 200


def test_a_missing_target_says_which_header_to_send() -> None:
    with pytest.raises(UnknownOperationException, match="X-Amz-Target"):
        find_operation(None)
