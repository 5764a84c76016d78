"""PutAttributes, DeleteAttributes and ListAttributes."""

import pytest

from builders import NOW_MS, hex_id, make_cluster, make_container_instance
from desk import Desk
from homeport.api import ecs
from homeport.operations.ecs.attributes import delete_attributes, list_attributes, put_attributes

CLUSTER = make_cluster()
ONE = make_container_instance("one", attributes={"stack": "prod"})


def attribute(name, value=None, target=ONE.arn, target_type=None):
    return ecs.Attribute(name=name, value=value, target_id=target, target_type=target_type)


def put(desk, *attributes, **members):
    return desk.ask(
        put_attributes, ecs.PutAttributesRequest(attributes=list(attributes), **members)
    )


def delete(desk, *attributes):
    return desk.ask(delete_attributes, ecs.DeleteAttributesRequest(attributes=list(attributes)))


def listed(desk, **members):
    request = ecs.ListAttributesRequest(target_type="container-instance", **members)
    answer = desk.ask(list_attributes, request)
    return [(a["targetId"], a["name"], a.get("value")) for a in answer["attributes"]]


def values_of(desk, instance=ONE):
    return desk.view.container_instance(instance.arn).attributes


def test_attributes_are_created_and_replaced():
    desk = Desk(CLUSTER, ONE)
    answer = put(desk, attribute("stack", "test"), attribute("rack"))
    assert answer["attributes"] == [
        {"name": "stack", "value": "test", "targetId": ONE.arn},
        {"name": "rack", "targetId": ONE.arn},
    ]
    assert values_of(desk)["stack"] == "test"
    assert values_of(desk)["rack"] is None


def test_a_short_target_id_needs_the_target_type():
    desk = Desk(CLUSTER, ONE)
    put(desk, attribute("rack", "1", hex_id("one"), "container-instance"))
    assert values_of(desk)["rack"] == "1"
    with pytest.raises(ecs.InvalidParameterException, match="Target type"):
        put(desk, attribute("rack", "2", hex_id("one")))


def test_an_instance_has_10_custom_attributes_at_most_and_built_in_ones_do_not_count():
    desk = Desk(CLUSTER, ONE)
    put(desk, *(attribute(f"a{number}", "x") for number in range(9)))
    with pytest.raises(ecs.AttributeLimitExceededException):
        put(desk, attribute("a9", "x"))
    put(desk, attribute("a8", "y"))
    assert values_of(desk)["a8"] == "y"


def test_a_call_that_exceeds_the_limit_puts_none():
    desk = Desk(CLUSTER, ONE)
    with pytest.raises(ecs.AttributeLimitExceededException):
        put(desk, *(attribute(f"a{number}", "x") for number in range(10)))
    assert "a0" not in values_of(desk)


@pytest.mark.parametrize(
    "target", [hex_id("nobody"), "arn:aws:ecs:us-east-1:123456789012:container-instance/x/y"]
)
def test_an_unknown_target_is_refused(target):
    with pytest.raises(ecs.TargetNotFoundException):
        put(Desk(CLUSTER, ONE), attribute("a", "x", target, "container-instance"))


def test_an_inactive_target_is_not_found():
    gone = make_container_instance(status="INACTIVE", deregistered_at_ms=NOW_MS)
    with pytest.raises(ecs.TargetNotFoundException):
        put(Desk(CLUSTER, gone), attribute("a", "x", gone.arn))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        (None, "x"),
        ("a b", "x"),
        ("a" * 129, "x"),
        ("ecs.availability-zone", "us-east-1z"),
        ("com.amazonaws.ecs.capability.x", None),
        ("a", " x"),
        ("a", "x "),
        ("a", "x" * 129),
        ("a", "ü"),
        ("a", "x\n"),
    ],
)
def test_names_and_values_beyond_the_rules_are_refused(name, value):
    with pytest.raises(ecs.InvalidParameterException):
        put(Desk(CLUSTER, ONE), attribute(name, value))


@pytest.mark.parametrize(("name", "value"), [("a/b\\c.d-e_F0", "a b@c:d/e\\f.g-h_I"), ("a", "b")])
def test_names_and_values_within_the_rules_are_taken(name, value):
    desk = Desk(CLUSTER, ONE)
    put(desk, attribute(name, value))
    assert values_of(desk)[name] == value


@pytest.mark.parametrize("operation", [put, delete])
@pytest.mark.parametrize("count", [0, 11])
def test_a_call_names_1_to_10_attributes(operation, count):
    with pytest.raises(ecs.InvalidParameterException):
        operation(Desk(CLUSTER, ONE), *(attribute(f"a{n}") for n in range(count)))


def test_attributes_are_deleted_by_name():
    desk = Desk(CLUSTER, ONE)
    answer = delete(desk, attribute("stack"), attribute("never-there"))
    assert answer["attributes"] == [{"name": "stack", "value": "prod", "targetId": ONE.arn}]
    assert "stack" not in values_of(desk)


def test_a_value_must_match_to_be_deleted():
    desk = Desk(CLUSTER, ONE)
    assert delete(desk, attribute("stack", "test"))["attributes"] == []
    assert len(delete(desk, attribute("stack", "prod"))["attributes"]) == 1


def test_built_in_attributes_cannot_be_deleted():
    with pytest.raises(ecs.InvalidParameterException, match="built in"):
        delete(Desk(CLUSTER, ONE), attribute("ecs.availability-zone"))


def test_putting_what_is_there_changes_nothing():
    request = ecs.PutAttributesRequest(attributes=[attribute("stack", "prod")])
    assert Desk(CLUSTER, ONE).decide(put_attributes, request).changes == ()


def test_attributes_are_listed_by_instance_and_name_built_in_ones_too():
    two = make_container_instance("two", zone="us-east-1b")
    desk = Desk(CLUSTER, ONE, two)
    zone = "ecs.availability-zone"
    expected = [(ONE.arn, zone, "us-east-1a"), (ONE.arn, "stack", "prod")]
    expected += [(two.arn, zone, "us-east-1b")]
    assert listed(desk) == sorted(expected)
    assert listed(desk, attribute_name="stack") == [(ONE.arn, "stack", "prod")]
    assert listed(desk, attribute_name=zone, attribute_value="us-east-1b") == [
        (two.arn, zone, "us-east-1b")
    ]
    assert listed(desk, attribute_name="stack", attribute_value="test") == []


def test_pages_cover_every_attribute_once():
    instances = [
        make_container_instance(number, attributes={"a": "1", "b": None}) for number in range(3)
    ]
    desk = Desk(CLUSTER, *instances)
    found, token = [], None
    for _ in range(5):
        request = ecs.ListAttributesRequest(
            target_type="container-instance", max_results=2, next_token=token
        )
        page = desk.ask(list_attributes, request)
        found += [(a["targetId"], a["name"]) for a in page["attributes"]]
        token = page.get("nextToken")
    assert token is None
    assert found == sorted(found)
    assert len(set(found)) == len(found) == 9


def test_every_change_of_attributes_counts_the_version_up_and_a_repetition_does_not():
    desk = Desk(CLUSTER, ONE)
    put(desk, attribute("rack", "1"))
    put(desk, attribute("rack", "1"))
    delete(desk, attribute("rack"))
    delete(desk, attribute("rack"))
    assert desk.view.container_instance(ONE.arn).version == ONE.version + 2
