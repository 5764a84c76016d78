"""RunTask: what is started, what is refused, and what a token replays."""

import pytest
from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_task,
    make_task_definition,
)
from desk import Desk
from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.model.container_instance import ContainerInstance
from homeport.model.record import ResourceTags, Tag
from homeport.model.resources import InstanceResources, TaskResources
from homeport.model.task_definition import ContainerSpec
from homeport.operations.ecs.run_task import run_task
from homeport.operations.ecs.tasks import describe_tasks
from homeport.operations.render.container_instances import render_container_instance

ZONE_A = make_container_instance("a", zone="us-east-1a")
ZONE_B = make_container_instance("b", zone="us-east-1b")
WEB = make_task_definition("web")


def make_desk(*records):
    return Desk(make_cluster(), *(records or (WEB, ZONE_A, ZONE_B)))


def run(desk, **members):
    return desk.ask(run_task, ecs.RunTaskRequest(**{"task_definition": "web", **members}))


def refuse(desk, error: type[AwsError], **members) -> str:
    before = desk.store.sequence
    with pytest.raises(error) as refusal:
        run(desk, **members)
    assert desk.store.sequence == before
    return refusal.value.message


def test_a_task_is_started_where_it_fits_and_its_agent_hears_of_it():
    desk = make_desk(WEB, ZONE_A)
    decision = desk.decide(run_task, ecs.RunTaskRequest(task_definition="web:1"))
    (task,) = desk.view.live_tasks(ZONE_A.cluster_arn).values()
    (effect,) = decision.effects
    assert (effect.container_instance_arn, effect.task_arns) == (ZONE_A.arn, (task.arn,))
    assert task.task_definition_arn == WEB.arn


def test_the_answer_shows_the_task_in_the_form_of_aws():
    desk = make_desk(WEB, ZONE_A)
    (task,) = run(desk, started_by="ECS Deploy", enable_execute_command=True)["tasks"]
    assert task["lastStatus"] == "PENDING"
    assert task["desiredStatus"] == "RUNNING"
    assert task["group"] == "family:web"
    assert task["startedBy"] == "ECS Deploy"
    assert task["launchType"] == "EC2"
    assert (task["cpu"], task["memory"]) == ("128", "256")
    assert task["createdAt"] == NOW_MS / 1_000
    assert task["enableExecuteCommand"] is True
    assert task["attachments"] == task["tags"] == []
    assert task["overrides"]["containerOverrides"] == [{"name": "app"}]
    assert "startedAt" not in task
    assert "stopCode" not in task
    (container,) = task["containers"]
    assert container["taskArn"] == task["taskArn"]
    assert container["networkBindings"] == container["networkInterfaces"] == []


def test_several_tasks_spread_over_zones_and_each_agent_hears_once():
    desk = make_desk()
    decision = desk.decide(run_task, ecs.RunTaskRequest(task_definition="web", count=10))
    assert sorted(len(effect.task_arns) for effect in decision.effects) == [5, 5]


def test_what_fits_is_started_and_the_rest_is_a_failure_of_each_instance():
    desk = make_desk(make_task_definition("web", memory_mib=3_000), ZONE_A, ZONE_B)
    answer = run(desk, count=3)
    assert len(answer["tasks"]) == 2
    assert [(f["arn"], f["reason"]) for f in answer["failures"]] == [
        (arn, "RESOURCE:MEMORY") for arn in sorted((ZONE_A.arn, ZONE_B.arn))
    ]


def test_an_instance_whose_agent_is_away_is_a_failure():
    away = make_container_instance("a", agent_connected=False)
    answer = run(make_desk(WEB, away))
    assert answer["tasks"] == []
    assert [(f["arn"], f["reason"]) for f in answer["failures"]] == [(away.arn, "AGENT")]


@pytest.mark.parametrize("status", ["DRAINING", "INACTIVE"])
def test_a_cluster_without_an_active_instance_is_refused(status):
    desk = make_desk(WEB, make_container_instance(status=status))
    message = refuse(desk, ecs.InvalidParameterException)
    assert message == "No Container Instances were found in your cluster."


def test_an_unknown_cluster_is_refused():
    assert refuse(make_desk(), ecs.ClusterNotFoundException, cluster="x") == "Cluster not found."


def test_an_unknown_task_definition_is_refused():
    message = refuse(make_desk(), ecs.ClientException, task_definition="api")
    assert message == "TaskDefinition not found."


def test_an_inactive_revision_is_refused():
    desk = make_desk(make_task_definition("web", status="INACTIVE"), ZONE_A)
    message = refuse(desk, ecs.InvalidParameterException, task_definition="web:1")
    assert message == "TaskDefinition is inactive"


@pytest.mark.parametrize("count", [0, -1, 11])
def test_one_call_starts_1_to_10_tasks(count):
    assert "between 1 and 10" in refuse(make_desk(), ecs.InvalidParameterException, count=count)


@pytest.mark.parametrize("launch_type", ["MANAGED_INSTANCES"])
def test_launch_types_that_are_not_built_say_so(launch_type):
    message = refuse(make_desk(), ecs.UnsupportedFeatureException, launch_type=launch_type)
    assert launch_type in message


def test_unknown_capacity_providers_are_refused_and_any_beside_a_launch_type():
    item = [ecs.CapacityProviderStrategyItem(capacity_provider="cp")]
    message = refuse(make_desk(), ecs.InvalidParameterException, capacity_provider_strategy=item)
    assert "'cp' was not found" in message
    message = refuse(
        make_desk(),
        ecs.InvalidParameterException,
        capacity_provider_strategy=item,
        launch_type="EC2",
    )
    assert message == "Specify either Launch Type or Capacity Provider Strategy, but not both."


def test_a_task_definition_must_be_compatible_with_the_launch_type():
    desk = make_desk(make_task_definition("web", compatibilities=("EC2",)), ZONE_A)
    message = refuse(desk, ecs.InvalidParameterException, launch_type="EXTERNAL")
    assert message == "Task definition does not support launch_type EXTERNAL."


def test_external_tasks_go_to_external_instances_only():
    external = make_container_instance("x", attributes={"ecs.capability.external": None})
    answer = run(make_desk(WEB, ZONE_A, external), launch_type="EXTERNAL")
    assert [t["containerInstanceArn"] for t in answer["tasks"]] == [external.arn]
    assert answer["tasks"][0]["launchType"] == "EXTERNAL"


def test_awsvpc_needs_a_network():
    vpc = ecs.AwsVpcConfiguration(subnets=["subnet-1"])
    network = ecs.NetworkConfiguration(awsvpc_configuration=vpc)
    desk = make_desk(make_task_definition("web", network_mode="awsvpc"), ZONE_A)
    message = refuse(desk, ecs.InvalidParameterException)
    assert (
        message == "Network Configuration must be provided when networkMode 'awsvpc' is specified."
    )
    refuse(make_desk(), ecs.InvalidParameterException, network_configuration=network)
    external = make_container_instance(attributes={"ecs.capability.external": None})
    desk.put(external)
    message = refuse(
        desk,
        ecs.InvalidParameterException,
        network_configuration=network,
        launch_type="EXTERNAL",
    )
    assert message.startswith("The EXTERNAL launch type does not support network mode awsvpc.")


def host_with_slots(name: str, subnet: str, zone: str) -> ContainerInstance:
    return make_container_instance(
        name,
        zone=zone,
        attributes={"homeport.subnet": "10.9.0.0/24", "ecs.subnet-id": subnet},
        resources=InstanceResources(cpu_units=2_048, memory_mib=4_096, interface_slots=2),
    )


def test_tasks_in_awsvpc_take_an_interface_each_until_the_instance_has_no_more():
    task_size = TaskResources(cpu_units=1, memory_mib=1, interface_count=1)
    vpc = make_task_definition("vpc", network_mode="awsvpc", resources=task_size)
    host = host_with_slots("vpc", "subnet-a", "us-east-1a")
    desk = make_desk(vpc, host)
    network = ecs.NetworkConfiguration(
        awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-a"])
    )
    reply = run(desk, task_definition="vpc", count=3, network_configuration=network)
    addresses = [task["containers"][0]["networkInterfaces"] for task in reply["tasks"]]
    assert [each[0]["privateIpv4Address"] for each in addresses] == ["10.9.0.4", "10.9.0.5"]
    assert [task["attachments"][0]["status"] for task in reply["tasks"]] == ["ATTACHED"] * 2
    (failure,) = reply["failures"]
    assert (failure["arn"], failure["reason"]) == (host.arn, "RESOURCE:ENI")


def test_tasks_in_awsvpc_go_where_their_subnets_are():
    task_size = TaskResources(cpu_units=1, memory_mib=1, interface_count=1)
    vpc = make_task_definition("vpc", network_mode="awsvpc", resources=task_size)
    here = host_with_slots("here", "subnet-a", "us-east-1a")
    there = host_with_slots("there", "subnet-b", "us-east-1b")
    desk = make_desk(vpc, here, there)
    network = ecs.NetworkConfiguration(
        awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-b"])
    )
    reply = run(desk, task_definition="vpc", count=3, network_configuration=network)
    assert {task["containerInstanceArn"] for task in reply["tasks"]} == {there.arn}
    reasons = {failure["arn"]: failure["reason"] for failure in reply["failures"]}
    assert reasons == {here.arn: "LOCATION", there.arn: "RESOURCE:ENI"}
    elsewhere = ecs.NetworkConfiguration(
        awsvpc_configuration=ecs.AwsVpcConfiguration(subnets=["subnet-b", "subnet-nobody-knows"])
    )
    (task,) = run(desk, task_definition="vpc", network_configuration=elsewhere)["tasks"]
    assert task["containerInstanceArn"] == here.arn


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"started_by": "x" * 129}, "startedBy longer than 128"),
        ({"started_by": "no:colons"}, "startedBy"),
        ({"group": "service:web"}, "Invalid namespace for group"),
        ({"group": "g" * 256}, "group longer than 255"),
        ({"propagate_tags": "SERVICE"}, "SERVICE"),
        ({"platform_version": "LATEST"}, "platform version must be null"),
        ({"client_token": "t" * 65}, "idempotency token longer than 64."),
        ({"client_token": "a b"}, "ASCII"),
        ({"tags": [ecs.Tag(key="aws:x", value="")]}, "aws:"),
    ],
)
def test_members_beyond_their_limits_are_refused(members, word):
    assert word in refuse(make_desk(), ecs.InvalidParameterException, **members)


def test_volumes_configured_at_launch_are_refused_by_name():
    volume = ecs.TaskVolumeConfiguration(name="data")
    message = refuse(make_desk(), ecs.UnsupportedFeatureException, volume_configurations=[volume])
    assert "'data'" in message


def test_constraints_of_the_definition_and_of_the_call_both_bind():
    constraint = ecs.PlacementConstraint(
        type="memberOf", expression="attribute:ecs.availability-zone == us-east-1b"
    )
    answer = run(make_desk(), placement_constraints=[constraint], count=2)
    assert {t["containerInstanceArn"] for t in answer["tasks"]} == {ZONE_B.arn}


def test_distinct_instances_leave_the_rest_unplaced():
    constraint = ecs.PlacementConstraint(type="distinctInstance")
    answer = run(make_desk(), placement_constraints=[constraint], count=3)
    assert len(answer["tasks"]) == 2
    reasons = {failure["reason"] for failure in answer["failures"]}
    assert reasons == {"DistinctInstance placement constraint unsatisfied."}


def test_a_strategy_is_followed():
    busy = make_task("busy", definition=WEB, instance=ZONE_B, last_status="RUNNING")
    desk = make_desk(WEB, ZONE_A, ZONE_B, busy)
    answer = run(desk, placement_strategy=[ecs.PlacementStrategy(type="binpack", field="memory")])
    assert answer["tasks"][0]["containerInstanceArn"] == ZONE_B.arn


def test_the_tasks_remember_what_their_call_asked_of_the_place():
    desk = make_desk()
    picky = [ecs.PlacementConstraint(type="memberOf", expression="runningTasksCount < 9")]
    packed = [ecs.PlacementStrategy(type="binpack", field="cpu")]
    run(desk, count=2, placement_constraints=picky, placement_strategy=packed)
    for task in desk.view.live_tasks(ZONE_A.cluster_arn).values():
        assert task.wish is not None
        assert [c.expression for c in task.wish.constraints] == ["runningTasksCount < 9"]
        assert [s.kind for s in task.wish.strategies] == ["binpack"]


def test_tasks_get_gpus_of_their_own_which_are_described():
    train = ContainerSpec(name="train", image="x", gpu_count=1)
    learn = make_task_definition("learn", containers=(train,), resources=TaskResources(gpu_count=1))
    host = make_container_instance(resources=InstanceResources(gpu_ids=("GPU-a", "GPU-b")))
    desk = make_desk(learn, host)
    reply = run(desk, task_definition="learn", count=3)
    assert [task["containers"][0]["gpuIds"] for task in reply["tasks"]] == [["GPU-a"], ["GPU-b"]]
    assert [failure["reason"] for failure in reply["failures"]] == ["RESOURCE:GPU"]
    (shown, _) = reply["tasks"]
    desk.put(replace(desk.view.task(shown["taskArn"]), last_status="STOPPED", stopped_at_ms=1))
    described = render_container_instance(desk.view, host)
    free = {each.name: each.string_set_value for each in described.remaining_resources}
    assert free["GPU"] == ["GPU-a"]


def test_tags_are_the_definitions_if_propagated_then_the_calls_then_the_managed_ones():
    tagged = ResourceTags(arn=WEB.arn, tags=(Tag("team", "web"), Tag("env", "dev")))
    desk = make_desk(WEB, ZONE_A, tagged)
    answer = run(
        desk,
        propagate_tags="TASK_DEFINITION",
        enable_ecs_managed_tags=True,
        tags=[ecs.Tag(key="env", value="prod")],
    )
    (task,) = answer["tasks"]
    assert {tag["key"]: tag["value"] for tag in task["tags"]} == {
        "team": "web",
        "env": "prod",
        "aws:ecs:clusterName": "default",
    }
    request = ecs.DescribeTasksRequest(tasks=[task["taskArn"]], include=["TAGS"])
    assert desk.ask(describe_tasks, request)["tasks"][0]["tags"] == task["tags"]


def test_overrides_change_what_the_task_holds_and_are_echoed():
    override = ecs.TaskOverride(
        container_overrides=[ecs.ContainerOverride(name="app", cpu=512, command=["true"])]
    )
    desk = make_desk(WEB, ZONE_A)
    (task,) = run(desk, overrides=override)["tasks"]
    assert task["cpu"] == task["containers"][0]["cpu"] == "512"
    assert desk.view.instance_load(ZONE_A.arn).cpu_units == 512
    assert task["overrides"]["containerOverrides"] == [
        {"name": "app", "command": ["true"], "cpu": 512}
    ]


def test_the_same_token_starts_nothing_twice():
    desk = make_desk()
    first = run(desk, client_token="once", count=2)
    assert run(desk, client_token="once", count=2) == first
    assert len(desk.view.live_tasks(ZONE_A.cluster_arn)) == 2


def test_a_token_with_other_parameters_conflicts_and_names_the_tasks():
    desk = make_desk()
    first = run(desk, client_token="once")
    with pytest.raises(ecs.ConflictException) as conflict:
        run(desk, client_token="once", count=2)
    assert conflict.value.resource_ids == (first["tasks"][0]["taskArn"],)


def test_a_replay_shows_failures_again_and_of_stopped_tasks_only_the_status():
    desk = make_desk(make_task_definition("web", memory_mib=3_000), ZONE_A)
    first = run(desk, client_token="once", count=2)
    (task,) = desk.view.live_tasks(ZONE_A.cluster_arn).values()
    desk.put(make_stopped(task))
    again = run(desk, client_token="once", count=2)
    assert again["failures"] == first["failures"] != []
    assert again["tasks"] == [
        {"taskArn": task.arn, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}
    ]


def make_stopped(task):
    return replace(task, last_status="STOPPED", desired_status="STOPPED", stopped_at_ms=NOW_MS)


def test_a_token_is_new_again_after_its_day_or_after_its_tasks_are_forgotten():
    desk = make_desk()
    first = run(desk, client_token="once")
    desk.now_ms += 86_400_000
    second = run(desk, client_token="once")
    assert second["tasks"][0]["taskArn"] != first["tasks"][0]["taskArn"]
    desk.forget("task", second["tasks"][0]["taskArn"])
    third = run(desk, client_token="once")
    assert third["tasks"][0]["taskArn"] != second["tasks"][0]["taskArn"]


def test_tokens_are_separate_in_each_cluster():
    desk = make_desk(
        WEB, ZONE_A, make_cluster("other"), make_container_instance("o", cluster="other")
    )
    first = run(desk, client_token="once")
    second = run(desk, client_token="once", cluster="other")
    assert first["tasks"][0]["clusterArn"] != second["tasks"][0]["clusterArn"]
