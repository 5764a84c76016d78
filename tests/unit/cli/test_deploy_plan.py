"""What differs between a task definition as described and as wanted, and the plan in words."""

import json
from typing import Any

import msgspec
import pytest

from homeport.cli.deploy_plan import (
    MemberChange,
    ServicePlan,
    compare_definitions,
    plan_lines,
    plan_service,
    read_definition,
    replace_images,
)
from homeport.cli.deploy_wish import WantedService
from homeport.cli.failure import CommandFailure

WANTED: dict[str, Any] = {
    "family": "web",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "nginx:1",
            "memory": 64,
            "portMappings": [{"containerPort": 80}],
            "healthCheck": {"command": ["CMD-SHELL", "true"]},
            "environment": [{"name": "A", "value": "1"}],
        }
    ],
}
DESCRIBED: dict[str, Any] = {
    "family": "web",
    "volumes": [],
    "placementConstraints": [],
    "containerDefinitions": [
        {
            "name": "app",
            "image": "nginx:1",
            "cpu": 0,
            "memory": 64,
            "essential": True,
            "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
            "healthCheck": {
                "command": ["CMD-SHELL", "true"],
                "interval": 30,
                "timeout": 5,
                "retries": 3,
            },
            "environment": [{"name": "A", "value": "1"}],
            "mountPoints": [],
            "volumesFrom": [],
            "systemControls": [],
        }
    ],
}


def with_container(**members: Any) -> dict[str, Any]:
    return {**WANTED, "containerDefinitions": [{**WANTED["containerDefinitions"][0], **members}]}


def test_what_a_description_fills_in_is_no_difference():
    assert list(compare_definitions(DESCRIBED, WANTED)) == []


def test_a_change_is_named_by_its_place_as_deep_as_it_can_be():
    environment = [{"name": "A", "value": "2"}, {"name": "B", "value": "x"}]
    wanted = with_container(image="nginx:2", essential=False, environment=environment)
    assert list(compare_definitions(DESCRIBED, wanted)) == [
        MemberChange("containerDefinitions[app].image", "nginx:1", "nginx:2"),
        MemberChange("containerDefinitions[app].environment[A].value", "1", "2"),
        MemberChange("containerDefinitions[app].environment[B].value", None, "x"),
        MemberChange("containerDefinitions[app].essential", None, False),
    ]


def test_what_is_left_out_is_taken_away():
    wanted = with_container(memory=None, healthCheck=None)
    changes = {each.member: each.after for each in compare_definitions(DESCRIBED, wanted)}
    assert changes == {
        "containerDefinitions[app].memory": None,
        "containerDefinitions[app].healthCheck.command": None,
    }


def test_the_order_of_named_things_is_no_difference_but_that_of_a_command_is():
    two = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    before = with_container(environment=two, command=["a", "b"])
    after = with_container(environment=two[::-1], command=["b", "a"])
    assert list(compare_definitions(before, after)) == [
        MemberChange("containerDefinitions[app].command", ["a", "b"], ["b", "a"])
    ]


def test_images_are_replaced_by_container_or_alone():
    assert replace_images(WANTED, ["app=nginx:2"]) == with_container(image="nginx:2")
    assert replace_images(WANTED, ["reg:5000/nginx:2"]) == with_container(image="reg:5000/nginx:2")
    two = {"family": "x", "containerDefinitions": [{"name": "a"}, {"name": "b"}]}
    for text, complaint in (("nginx", "say NAME=nginx"), ("c=nginx", "no container is called c")):
        with pytest.raises(CommandFailure, match=complaint):
            replace_images(two, [text])


def test_the_plan_says_what_will_be_made_changed_or_left():
    new = make_plan(is_new=True, definition_changes=tuple(compare_definitions({}, WANTED)))
    lines = list(plan_lines(new))
    assert lines[:2] == ["+ service web: 0 -> 1 tasks", "+ task definition web: a new revision"]
    assert "  + containerDefinitions[app].image: nginx:1" in lines
    change = MemberChange("containerDefinitions[app].image", "a", "b")
    assert list(plan_lines(make_plan(count_before=1, definition_changes=(change,)))) == [
        "~ service web: 1 tasks",
        "~ task definition web: a new revision",
        "  ~ containerDefinitions[app].image: a -> b",
    ]
    same = make_plan(count_before=1, definition_arn="arn:aws:ecs:r:1:task-definition/web:1")
    assert same.changes_nothing
    assert list(plan_lines(same)) == ["  service web: nothing to change"]


class Server:
    """A service on revision 1, and the revisions there are."""

    def __init__(
        self, *revisions: dict[str, Any], status: str = "ACTIVE", rollout: str = "COMPLETED"
    ) -> None:
        self.revisions = [{**each, "revision": n} for n, each in enumerate(revisions, 1)]
        self.status = status
        self.rollout = rollout

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "DescribeServices":
            service = {"status": self.status, "taskDefinition": "r/web:1", "desiredCount": 2}
            deployment = {"status": "PRIMARY", "rolloutState": self.rollout}
            return {"services": [{**service, "deployments": [deployment]}]}
        if operation == "ListTaskDefinitions":
            return {"taskDefinitionArns": [f"r/web:{len(self.revisions)}"][: len(self.revisions)]}
        number = int(request["taskDefinition"].rpartition(":")[2])
        return {"taskDefinition": self.revisions[number - 1]}

    def plan(self, definition: dict[str, Any], count: int | None = None) -> ServicePlan:
        wanted = WantedService(name="web", definition=definition, desired_count=count)
        return plan_service(self, "default", wanted)  # type: ignore[arg-type]


def test_a_service_that_is_as_wanted_is_left_alone_and_keeps_its_count():
    plan = Server(DESCRIBED).plan(WANTED)
    assert plan.changes_nothing
    assert (plan.count_before, plan.count_after) == (2, 2)
    assert not Server(DESCRIBED).plan(WANTED, count=3).changes_nothing


def test_a_service_whose_deployment_has_failed_is_started_anew_though_nothing_has_changed():
    plan = Server(DESCRIBED, rollout="FAILED").plan(WANTED)
    assert plan.is_forced
    assert next(iter(plan_lines(plan))) == "~ service web: 2 tasks, started anew"


def test_a_revision_that_was_rolled_back_from_is_used_again_and_not_registered_twice():
    other = with_container(image="nginx:2")
    plan = Server(DESCRIBED, other).plan(other)
    assert plan.definition_arn == "r/web:2"
    assert not plan.changes_nothing
    assert "~ task definition web:2, which is there already" in list(plan_lines(plan))
    assert Server(DESCRIBED, DESCRIBED).plan(other).definition_arn is None


def test_a_service_that_is_gone_is_made_again_and_one_that_is_going_is_refused():
    plan = Server(DESCRIBED, status="INACTIVE").plan(WANTED)
    assert (plan.is_new, plan.definition_arn, plan.count_after) == (True, "r/web:1", 1)
    assert Server(status="INACTIVE").plan(WANTED).definition_arn is None
    with pytest.raises(CommandFailure, match="is being deleted"):
        Server(DESCRIBED, status="DRAINING").plan(WANTED)


def make_plan(**members: Any) -> ServicePlan:
    wanted = WantedService(name="web", definition=WANTED)
    return ServicePlan(
        **{"wanted": wanted, "is_new": False, "definition_arn": None, "count_after": 1, **members}
    )


def test_a_definition_may_be_what_was_described(tmp_path):
    path = tmp_path / "web.json"
    described = {**WANTED, "revision": 3, "status": "ACTIVE", "registeredAt": 1.0}
    path.write_text(json.dumps({"taskDefinition": described}))
    assert read_definition(path) == WANTED
    path.write_text(json.dumps(WANTED))
    assert read_definition(path) == WANTED


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"family": 1}', "[" * 100_000])
def test_what_is_no_definition_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "web.json"
    path.write_text(text)
    with pytest.raises(CommandFailure, match=r"web\.json: ") as refused:
        read_definition(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("ports", "mode", "count", "percent"),
    [
        ([{"containerPort": 80, "hostPort": 8080}], "bridge", 2, 50),
        ([{"containerPort": 80, "hostPort": 8080}], "bridge", 1, 0),
        ([{"containerPort": 80}], "host", 3, 50),
        ([{"containerPort": 80, "hostPort": 0}], "bridge", 2, None),
        ([{"containerPort": 80, "hostPort": 80}], "awsvpc", 2, None),
        ([], "host", 2, None),
    ],
)
def test_a_new_service_with_fixed_host_ports_may_free_them_in_a_rollout(
    ports, mode, count, percent
):
    definition = {
        "family": "web",
        "networkMode": mode,
        "containerDefinitions": [{"name": "app", "portMappings": ports}],
    }
    wanted = WantedService(name="web", definition=definition)
    plan = ServicePlan(wanted=wanted, is_new=True, definition_arn=None, count_after=count)
    assert plan.minimum_healthy_percent == percent
    assert any("minimumHealthyPercent" in line for line in plan_lines(plan)) == (
        percent is not None
    )
    assert msgspec.structs.replace(plan, is_new=False).minimum_healthy_percent is None
