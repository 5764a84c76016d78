"""How many tasks in awsvpc an instance can have: `operations.ecs.interface_slots`."""

import pytest

from homeport.operations.ecs.interface_slots import count_interface_slots

SUBNET: dict[str, str | None] = {"homeport.subnet": "10.9.0.0/24"}


@pytest.mark.parametrize(
    ("instance_type", "slots"),
    [("c5.large", 2), ("m5.4xlarge", 7), ("t3.micro", 1), ("g4dn.xlarge", 2), ("x.unknown", 251)],
)
def test_a_type_keeps_one_interface_for_itself(instance_type: str, slots: int):
    assert count_interface_slots(SUBNET, instance_type) == slots


def test_a_trunk_has_branches_but_not_on_every_family():
    trunked = {**SUBNET, "ecs.awsvpc-trunk-id": "eni-1"}
    assert count_interface_slots(trunked, "c5.large") == 10
    assert count_interface_slots(trunked, "t3.large") == 2


def test_the_subnet_bounds_what_the_type_allows():
    assert count_interface_slots({"homeport.subnet": "10.9.0.0/29"}, "m5.24xlarge") == 3
    assert count_interface_slots({"homeport.subnet": "10.9.0.0/29"}, None) == 3


@pytest.mark.parametrize("subnet", [None, "", "none", "10.9.0.1/24"])
def test_without_a_subnet_there_are_none(subnet: str | None):
    assert count_interface_slots({"homeport.subnet": subnet}, "m5.large") == 0
    assert count_interface_slots({}, "m5.large") == 0
