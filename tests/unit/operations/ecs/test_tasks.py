"""StopTask, DescribeTasks and ListTasks."""

import pytest

from builders import (
    NOW_MS,
    SCOPE,
    hex_id,
    make_cluster,
    make_container_instance,
    make_service,
    make_task,
    make_task_definition,
)
from desk import Desk
from homeport.api import ecs
from homeport.core.effects import SendTasks
from homeport.model.record import ResourceTags, Tag
from homeport.operations.ecs.tasks import describe_tasks, list_tasks, stop_task

WEB = make_task_definition("web")
ONE = make_container_instance("one")
CLUSTER = make_cluster()


def make_desk(*records):
    return Desk(CLUSTER, make_cluster("other"), WEB, ONE, *records)


def describe(desk, *tasks, **members):
    return desk.ask(describe_tasks, ecs.DescribeTasksRequest(tasks=list(tasks), **members))


def listed(desk, **members):
    return desk.ask(list_tasks, ecs.ListTasksRequest(**members))["taskArns"]


# StopTask


def test_a_stop_is_answered_at_once_and_its_agent_hears_of_it():
    task = make_task(last_status="RUNNING")
    desk = make_desk(task)
    decision = desk.decide(stop_task, ecs.StopTaskRequest(task=task.arn))
    assert decision.effects == (SendTasks(ONE.arn, (task.arn,)),)
    answer = decision.reply.task
    assert (answer.desired_status, answer.last_status) == ("STOPPED", "RUNNING")
    assert (answer.stop_code, answer.stopped_reason) == ("UserInitiated", "Task stopped by user")
    assert answer.stopping_at == NOW_MS / 1_000


def test_a_given_reason_is_kept():
    task = make_task()
    desk = make_desk(task)
    desk.ask(stop_task, ecs.StopTaskRequest(task=task.arn.split("/")[-1], reason="too slow"))
    assert desk.view.task(task.arn).stopped_reason == "too slow"


def test_stopping_again_succeeds_and_changes_nothing():
    task = make_task(last_status="STOPPED", stopped_reason="first")
    decision = make_desk(task).decide(stop_task, ecs.StopTaskRequest(task=task.arn, reason="2nd"))
    assert (decision.changes, decision.effects) == ((), ())
    assert decision.reply.task.stopped_reason == "first"


def test_a_stopped_task_loses_its_tags():
    task = make_task()
    desk = make_desk(task, ResourceTags(arn=task.arn, tags=(Tag("a", "b"),)))
    desk.ask(stop_task, ecs.StopTaskRequest(task=task.arn))
    assert desk.view.tags(task.arn) == ()


@pytest.mark.parametrize(
    ("error", "members"),
    [
        (ecs.InvalidParameterException, {"task": hex_id("nobody")}),
        (ecs.InvalidParameterException, {"task": ""}),
        (ecs.InvalidParameterException, {"task": make_task().arn, "reason": "x" * 1_025}),
        (ecs.InvalidParameterException, {"task": make_task().arn, "cluster": "other"}),
        (ecs.ClusterNotFoundException, {"task": make_task().arn, "cluster": "nowhere"}),
    ],
)
def test_stops_that_cannot_be_are_refused(error, members):
    with pytest.raises(error):
        make_desk(make_task()).ask(stop_task, ecs.StopTaskRequest(**members))


# DescribeTasks


def test_tasks_are_described_by_id_or_arn_in_order_and_each_once():
    first, second = make_task("1"), make_task("2")
    answer = describe(make_desk(first, second), second.arn, first.arn.split("/")[-1], second.arn)
    assert [task["taskArn"] for task in answer["tasks"]] == [second.arn, first.arn]
    assert answer["failures"] == []


def test_unknown_tasks_are_missing_under_their_full_arn_and_the_others_are_still_returned():
    task = make_task()
    answer = describe(make_desk(task), hex_id("nobody"), task.arn)
    arn = f"arn:aws:ecs:{SCOPE.region}:{SCOPE.account_id}:task/default/{hex_id('nobody')}"
    assert answer["failures"] == [{"arn": arn, "reason": "MISSING"}]
    assert len(answer["tasks"]) == 1


def test_a_task_of_another_cluster_is_missing():
    task = make_task()
    answer = describe(make_desk(task), task.arn, cluster="other")
    assert answer == {"tasks": [], "failures": [{"arn": task.arn, "reason": "MISSING"}]}


@pytest.mark.parametrize(
    "tasks", [[], ["x"] * 101, ["arn:aws:ecs:nonsense"], [make_service().arn], ["arn:"]]
)
def test_lists_that_are_empty_too_long_or_no_tasks_are_refused(tasks):
    with pytest.raises(ecs.InvalidParameterException):
        describe(make_desk(), *tasks)


def test_tags_are_shown_when_they_are_asked_for():
    task = make_task()
    desk = make_desk(task, ResourceTags(arn=task.arn, tags=(Tag("a", "b"),)))
    assert describe(desk, task.arn)["tasks"][0]["tags"] == []
    tags = describe(desk, task.arn, include=["TAGS"])["tasks"][0]["tags"]
    assert tags == [{"key": "a", "value": "b"}]


def test_a_changed_task_is_described_as_it_is_now():
    task = make_task()
    desk = make_desk(task)
    assert describe(desk, task.arn)["tasks"][0]["desiredStatus"] == "RUNNING"
    desk.ask(stop_task, ecs.StopTaskRequest(task=task.arn))
    assert describe(desk, task.arn)["tasks"][0]["desiredStatus"] == "STOPPED"


def test_connectivity_is_that_of_the_instances_agent_until_the_task_has_stopped():
    running = make_task("r", last_status="RUNNING")
    stopped = make_task("s", last_status="STOPPED")
    desk = make_desk(running, stopped)
    assert describe(desk, running.arn)["tasks"][0]["connectivity"] == "CONNECTED"
    desk.put(make_container_instance("one", agent_connected=False))
    answer = describe(desk, running.arn, stopped.arn)
    assert [t["connectivity"] for t in answer["tasks"]] == ["DISCONNECTED", "CONNECTED"]


def test_the_cpu_architecture_is_an_attribute_of_the_task():
    arm = make_container_instance("arm", attributes={"ecs.cpu-architecture": "arm64"})
    task = make_task(instance=arm)
    attributes = describe(make_desk(arm, task), task.arn)["tasks"][0]["attributes"]
    assert attributes == [{"name": "ecs.cpu-architecture", "value": "arm64"}]


# ListTasks


def test_tasks_that_are_wanted_are_listed_by_default_and_stopped_ones_on_request():
    running, stopped = make_task("r", last_status="RUNNING"), make_task("s", last_status="STOPPED")
    desk = make_desk(running, stopped)
    assert listed(desk) == [running.arn]
    assert listed(desk, desired_status="STOPPED") == [stopped.arn]
    assert listed(desk, desired_status="PENDING") == []
    assert listed(desk, cluster="other") == []


def test_filters_must_all_hold():
    two, api = make_container_instance("two"), make_task_definition("api")
    service = make_service("shop", desired_count=1)
    mine = make_task("a", service=service, definition=WEB)
    by_hand = make_task("b", definition=api, instance=two, started_by="me")
    external = make_task("c", definition=api, launch_type="EXTERNAL")
    desk = make_desk(two, api, service, mine, by_hand, external)
    both = sorted((by_hand.arn, external.arn))
    assert listed(desk, family="api") == both
    assert listed(desk, family="ap") == []
    assert listed(desk, service_name="shop") == [mine.arn]
    assert listed(desk, service_name=service.arn, family="api") == []
    assert listed(desk, container_instance=two.arn) == [by_hand.arn]
    assert listed(desk, container_instance=hex_id("two"), family="web") == []
    assert listed(desk, launch_type="EXTERNAL") == [external.arn]
    assert listed(desk, started_by="me") == [by_hand.arn]
    assert listed(desk, started_by="me", desired_status="STOPPED") == []


def test_tasks_of_a_deregistered_revision_are_still_of_its_family():
    old, new = (
        make_task_definition("api", n, status=s) for n, s in ((1, "INACTIVE"), (2, "ACTIVE"))
    )
    tasks = [make_task(definition.arn, definition=definition) for definition in (old, new)]
    assert listed(make_desk(old, new, *tasks), family="api") == sorted(t.arn for t in tasks)


def test_stopped_tasks_are_found_by_instance_and_service_too():
    service = make_service("shop")
    gone = make_task(service=service, last_status="STOPPED")
    desk = make_desk(service, gone)
    assert listed(desk, container_instance=ONE.arn, desired_status="STOPPED") == [gone.arn]
    assert listed(desk, service_name="shop", desired_status="STOPPED") == [gone.arn]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"family": "web"},
        {"service_name": "shop"},
        {"container_instance": ONE.arn},
        {"launch_type": "EC2"},
    ],
)
def test_pages_cover_every_task_once(members):
    service = make_service("shop", desired_count=7)
    tasks = [make_task(number, service=service, definition=WEB) for number in range(7)]
    desk = make_desk(service, *tasks)
    found, token = [], None
    for _ in range(4):
        request = ecs.ListTasksRequest(max_results=2, next_token=token, **members)
        page = desk.ask(list_tasks, request)
        found += page["taskArns"]
        token = page.get("nextToken")
    assert token is None
    assert found == sorted(task.arn for task in tasks)


def test_a_page_continues_behind_a_task_that_is_gone():
    tasks = sorted((make_task(number) for number in range(4)), key=lambda task: task.arn)
    desk = make_desk(*tasks)
    page = desk.ask(list_tasks, ecs.ListTasksRequest(max_results=2))
    desk.forget("task", tasks[1].arn)
    assert listed(desk, next_token=page["nextToken"]) == [task.arn for task in tasks[2:]]


@pytest.mark.parametrize(
    ("error", "members"),
    [
        (ecs.ClusterNotFoundException, {"cluster": "nowhere"}),
        (ecs.ServiceNotFoundException, {"service_name": "nobody"}),
        (ecs.InvalidParameterException, {"container_instance": hex_id("nobody")}),
        (ecs.InvalidParameterException, {"max_results": 0}),
        (ecs.InvalidParameterException, {"max_results": 101}),
        (ecs.InvalidParameterException, {"next_token": "not a token"}),
        (ecs.InvalidParameterException, {"started_by": "me", "family": "web"}),
        (ecs.InvalidParameterException, {"desired_status": "GONE"}),
        (ecs.UnsupportedFeatureException, {"daemon_name": "d"}),
    ],
)
def test_filters_that_cannot_be_are_refused(error, members):
    with pytest.raises(error):
        listed(make_desk(), **members)
