"""StartTask: the caller chooses the instances, what doesn't fit is a failure."""

import pytest

from builders import (
    hex_id,
    make_cluster,
    make_container_instance,
    make_task,
    make_task_definition,
)
from desk import Desk
from homeport.api import ecs
from homeport.model.placement import PlacementConstraint
from homeport.operations.ecs.start_task import start_task

WEB = make_task_definition("web")
ONE = make_container_instance("one")
CLUSTER = make_cluster()


def start(desk, *instances, **members):
    members = {"task_definition": "web", "container_instances": list(instances), **members}
    return desk.ask(start_task, ecs.StartTaskRequest(**members))


def reasons(answer):
    return [failure["reason"] for failure in answer["failures"]]


def test_a_task_starts_on_each_named_instance_by_id_or_arn():
    two = make_container_instance("two")
    desk = Desk(CLUSTER, WEB, ONE, two)
    answer = start(desk, ONE.arn, hex_id("two"))
    assert [t["containerInstanceArn"] for t in answer["tasks"]] == [ONE.arn, two.arn]
    assert answer["failures"] == []


def test_an_instance_named_twice_gets_two_tasks_as_far_as_there_is_room():
    desk = Desk(CLUSTER, make_task_definition("web", memory_mib=3_000), ONE)
    answer = start(desk, ONE.arn, ONE.arn)
    assert len(answer["tasks"]) == 1
    assert reasons(answer) == ["RESOURCE:MEMORY"]


def test_unknown_instances_are_missing_under_their_full_arn():
    answer = start(Desk(CLUSTER, WEB, ONE), hex_id("nobody"))
    assert answer["tasks"] == []
    (failure,) = answer["failures"]
    assert failure["arn"].endswith(f":container-instance/default/{hex_id('nobody')}")
    assert failure["reason"] == "MISSING"


def test_instances_of_another_cluster_are_missing():
    other = make_container_instance("other", cluster="other")
    answer = start(Desk(CLUSTER, make_cluster("other"), WEB, other), other.arn)
    assert reasons(answer) == ["MISSING"]


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (make_container_instance(status="INACTIVE"), "INACTIVE"),
        (make_container_instance(status="DRAINING"), "INACTIVE"),
        (make_container_instance(agent_connected=False), "AGENT"),
        (make_container_instance(cpu_units=100), "RESOURCE:CPU"),
        (make_container_instance(memory_mib=100), "RESOURCE:MEMORY"),
        (make_container_instance(reserved_tcp_ports=(80,)), "RESOURCE:PORTS"),
    ],
)
def test_an_instance_that_cannot_take_the_task_says_why(instance, reason):
    web = make_task_definition("web", host_ports=(80,))
    answer = start(Desk(CLUSTER, web, instance), instance.arn)
    assert (answer["tasks"], reasons(answer)) == ([], [reason])


def test_a_port_that_another_task_holds_is_taken():
    web = make_task_definition("web", host_ports=(80,))
    holder = make_task("holder", definition=web, instance=ONE)
    assert reasons(start(Desk(CLUSTER, web, ONE, holder), ONE.arn)) == ["RESOURCE:PORTS"]


def test_a_missing_attribute_is_a_failure():
    web = make_task_definition("web", requires_attributes=("ecs.capability.efs",))
    assert reasons(start(Desk(CLUSTER, web, ONE), ONE.arn)) == ["ATTRIBUTE"]


def test_placement_constraints_of_the_definition_play_no_part():
    never = PlacementConstraint("memberOf", "attribute:nowhere exists")
    web = make_task_definition("web", placement_constraints=(never,))
    assert len(start(Desk(CLUSTER, web, ONE), ONE.arn)["tasks"]) == 1


def test_tasks_on_external_instances_are_external():
    external = make_container_instance(attributes={"ecs.capability.external": None})
    (task,) = start(Desk(CLUSTER, WEB, external), external.arn)["tasks"]
    assert task["launchType"] == "EXTERNAL"


@pytest.mark.parametrize("instances", [[], [ONE.arn] * 11])
def test_a_call_names_1_to_10_instances(instances):
    with pytest.raises(ecs.InvalidParameterException):
        start(Desk(CLUSTER, WEB, ONE), *instances)


def test_started_by_has_36_characters_at_most():
    with pytest.raises(ecs.InvalidParameterException, match=r"startedBy longer than 36\."):
        start(Desk(CLUSTER, WEB, ONE), ONE.arn, started_by="x" * 37)
