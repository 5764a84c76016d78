"""RegisterContainerInstance and DeregisterContainerInstance."""

import msgspec
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
from homeport.core.effects import DisconnectAgent
from homeport.model.arn import make_container_instance_arn
from homeport.operations.ecs.container_instances import describe_container_instances
from homeport.operations.ecs.registration import (
    deregister_container_instance,
    register_container_instance,
)

CLUSTER = make_cluster()
IDENTITY = {
    "accountId": "123456789012",
    "architecture": "x86_64",
    "availabilityZone": "us-east-1c",
    "billingProducts": None,
    "imageId": "ami-0abc",
    "instanceId": "i-0123456789abcdef0",
    "instanceType": "m5.large",
    "region": "us-east-1",
}


def integer(name, value):
    return ecs.Resource(name=name, type="INTEGER", integer_value=value)


def strings(name, *values):
    return ecs.Resource(name=name, type="STRINGSET", string_set_value=list(values))


def make_request(*, cpu=2_048, memory=3_800, ports=("22", "2375"), attributes=None, **members):
    resources = [integer("CPU", cpu), integer("MEMORY", memory)]
    resources += [strings("PORTS", *ports), strings("PORTS_UDP")]
    given = attributes if attributes is not None else {"stack": "prod", "ecs.os-type": "linux"}
    return ecs.RegisterContainerInstanceRequest(
        total_resources=resources,
        attributes=[ecs.Attribute(name=name, value=value) for name, value in given.items()],
        **members,
    )


def register(desk, request=None, **members):
    answer = desk.ask(register_container_instance, request or make_request(**members))
    return answer["containerInstance"]


def refuse(desk, error, **members):
    before = desk.store.sequence
    with pytest.raises(error) as refusal:
        register(desk, **members)
    assert desk.store.sequence == before
    return refusal.value.message


def values_of(instance):
    return {a["name"]: a.get("value") for a in instance["attributes"]}


def resource(instance, kind, name):
    (found,) = (r for r in instance[kind] if r["name"] == name)
    return found["stringSetValue"] if found["type"] == "STRINGSET" else found["integerValue"]


def test_a_new_instance_is_active_and_gets_an_arn():
    instance = register(Desk(CLUSTER))
    prefix, id_hex = instance["containerInstanceArn"].rsplit("/", 1)
    assert prefix == "arn:aws:ecs:us-east-1:123456789012:container-instance/default"
    assert len(id_hex) == 32
    assert instance["status"] == "ACTIVE"
    assert instance["agentConnected"] is False
    assert (instance["runningTasksCount"], instance["pendingTasksCount"]) == (0, 0)
    assert instance["registeredAt"] == NOW_MS / 1_000
    assert instance["version"] == 1


def test_every_attribute_that_was_sent_comes_back_with_its_value():
    sent = {
        "ecs.capability.execution-role-awslogs": None,
        "com.amazonaws.ecs.capability.docker-remote-api.1.17": None,
        "ecs.capability.cni-plugin-version": "21f9c9a4-2022.07.0",
        "ecs.os-family": "LINUX",
        "rack": "a 1/2",
    }
    instance = register(Desk(CLUSTER), attributes=sent)
    assert values_of(instance) == sent
    assert {"name": "ecs.capability.execution-role-awslogs"} in instance["attributes"]


def test_an_empty_value_is_no_value():
    instance = register(Desk(CLUSTER), attributes={"ecs.capability.full-sync": ""})
    assert instance["attributes"] == [{"name": "ecs.capability.full-sync"}]


def test_the_identity_document_names_instance_type_zone_image_and_architecture():
    document = msgspec.json.encode(IDENTITY).decode()
    instance = register(Desk(CLUSTER), instance_identity_document=document, attributes={})
    assert instance["ec2InstanceId"] == "i-0123456789abcdef0"
    assert values_of(instance) == {
        "ecs.ami-id": "ami-0abc",
        "ecs.availability-zone": "us-east-1c",
        "ecs.instance-type": "m5.large",
        "ecs.cpu-architecture": "x86_64",
    }


def test_what_the_agent_sends_wins_over_the_document():
    document = msgspec.json.encode(IDENTITY).decode()
    sent = {"ecs.availability-zone": "us-east-1a"}
    instance = register(Desk(CLUSTER), instance_identity_document=document, attributes=sent)
    assert values_of(instance)["ecs.availability-zone"] == "us-east-1a"


@pytest.mark.parametrize("document", ["{", "[]", '{"instanceId": 5}', "x" * 20_000])
def test_a_document_that_is_none_is_refused(document):
    message = refuse(
        Desk(CLUSTER), ecs.InvalidParameterException, instance_identity_document=document
    )
    assert "identity document" in message


def test_agents_outside_of_ec2_send_an_empty_document():
    instance = register(Desk(CLUSTER), instance_identity_document="")
    assert "ec2InstanceId" not in instance


def test_resources_are_those_registered_and_ports_are_the_used_ones():
    instance = register(Desk(CLUSTER), ports=("51678", "22"))
    for kind in ("registeredResources", "remainingResources"):
        assert resource(instance, kind, "CPU") == 2_048
        assert resource(instance, kind, "MEMORY") == 3_800
        assert resource(instance, kind, "PORTS") == ["22", "51678"]
        assert resource(instance, kind, "PORTS_UDP") == []
    cpu = instance["registeredResources"][0]
    assert (cpu["type"], cpu["doubleValue"], cpu["longValue"]) == ("INTEGER", 0.0, 0)


def test_an_instance_with_a_subnet_has_as_many_interfaces_for_tasks_as_its_type():
    desk = Desk(CLUSTER)
    identity = msgspec.json.encode(IDENTITY).decode()
    subnet = {"homeport.subnet": "10.9.0.0/24"}
    shown = register(desk, attributes=subnet, instance_identity_document=identity)
    instance = desk.view.container_instance(shown["containerInstanceArn"])
    assert instance is not None
    assert instance.resources.interface_slots == 2


def test_gpus_become_a_resource():
    devices = [ecs.PlatformDevice(id="gpu-1", type="GPU")]
    instance = register(Desk(CLUSTER), platform_devices=devices)
    assert resource(instance, "registeredResources", "GPU") == ["gpu-1"]


def test_versions_are_kept_if_they_are_sent():
    version = ecs.VersionInfo(agent_version="1.1", agent_hash="abc", docker_version="24.0")
    instance = register(Desk(CLUSTER), version_info=version)
    assert instance["versionInfo"] == {
        "agentVersion": "1.1",
        "agentHash": "abc",
        "dockerVersion": "DockerVersion: 24.0",
    }


def test_tags_are_given_at_registration():
    desk = Desk(CLUSTER)
    instance = register(desk, tags=[ecs.Tag(key="team", value="a")])
    assert instance["tags"] == [{"key": "team", "value": "a"}]
    (tag,) = desk.view.tags(instance["containerInstanceArn"])
    assert (tag.key, tag.value) == ("team", "a")


def test_an_unknown_cluster_is_refused_in_the_words_agents_look_for():
    message = refuse(Desk(), ecs.ClusterNotFoundException)
    assert "Cluster not found." in message


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"cpu": -1}, "CPU must not be negative"),
        ({"memory": -1}, "MEMORY must not be negative"),
        ({"ports": ("0",)}, "Reserved port '0'"),
        ({"ports": ("65536",)}, "Reserved port '65536'"),
        ({"ports": ("ssh",)}, "Reserved port 'ssh'"),
        ({"ports": tuple(str(n) for n in range(1, 102))}, "at most 100 ports"),
        ({"attributes": {"bad name": "x"}}, "Invalid attribute name"),
        ({"attributes": {"rack": " x"}}, "Invalid value of attribute 'rack'"),
        ({"attributes": {"ecs.os-type": "x" * 256}}, "longer than 255"),
        ({"attributes": {f"a{n}": "x" for n in range(11)}}, "at most 10 custom"),
        ({"attributes": {f"ecs.a{n}": "x" for n in range(501)}}, "at most 500 attributes"),
        ({"platform_devices": [ecs.PlatformDevice(id="g", type="GPU")] * 65}, "at most 64 GPUs"),
        ({"tags": [ecs.Tag(key="aws:a", value="x")]}, "aws:"),
        ({"container_instance_arn": "arn:aws:ecs:nonsense"}, "not a container instance's ARN"),
        ({"container_instance_arn": "0123"}, "not a container instance's ARN"),
    ],
)
def test_registrations_beyond_the_limits_are_refused(members, text):
    assert text in refuse(Desk(CLUSTER), ecs.InvalidParameterException, **members)


# Registering again


def test_a_returning_instance_keeps_its_arn_time_and_custom_attributes():
    desk = Desk(CLUSTER)
    first = register(desk, attributes={"stack": "prod", "ecs.os-type": "linux"})
    desk.now_ms += 60_000
    arn = first["containerInstanceArn"]
    again = register(desk, attributes={"ecs.os-type": "linux"}, container_instance_arn=arn)
    assert again["containerInstanceArn"] == arn
    assert again["registeredAt"] == first["registeredAt"]
    assert values_of(again) == {"stack": "prod", "ecs.os-type": "linux"}
    assert again["version"] == first["version"] + 1


def test_a_returning_instance_states_its_capabilities_and_ports_anew():
    desk = Desk(CLUSTER)
    arn = register(desk, attributes={"ecs.capability.efs": None})["containerInstanceArn"]
    again = register(
        desk,
        attributes={"ecs.capability.full-sync": None},
        ports=("2222",),
        container_instance_arn=arn,
    )
    assert values_of(again) == {"ecs.capability.full-sync": None}
    assert resource(again, "registeredResources", "PORTS") == ["2222"]


def test_a_returning_instance_without_its_document_keeps_type_and_zone():
    desk = Desk(CLUSTER)
    document = msgspec.json.encode(IDENTITY).decode()
    first = register(desk, instance_identity_document=document)
    arn = first["containerInstanceArn"]
    again = register(desk, instance_identity_document="", container_instance_arn=arn)
    assert values_of(again)["ecs.instance-type"] == "m5.large"
    assert again["ec2InstanceId"] == first["ec2InstanceId"]


def test_a_returning_instance_keeps_its_tasks_and_connection():
    instance = make_container_instance(cpu_units=2_048, memory_mib=3_800)
    task = make_task(instance=instance, last_status="RUNNING")
    desk = Desk(CLUSTER, make_task_definition(), instance, task)
    again = register(desk, container_instance_arn=instance.arn)
    assert again["agentConnected"] is True
    assert again["runningTasksCount"] == 1
    assert resource(again, "remainingResources", "CPU") == 2_048 - 128


@pytest.mark.parametrize("changed", [{"cpu": 4_096}, {"memory": 7_600}])
def test_another_size_is_refused_in_the_words_agents_look_for(changed):
    desk = Desk(CLUSTER)
    arn = register(desk)["containerInstanceArn"]
    message = refuse(desk, ecs.ClientException, container_instance_arn=arn, **changed)
    assert message.startswith("Container instance type changes are not supported.")
    assert "2048 CPU units and 3800 MiB" in message


def test_another_type_is_refused_and_the_old_one_named():
    desk = Desk(CLUSTER)
    arn = register(desk, attributes={"ecs.instance-type": "m5.large"})["containerInstanceArn"]
    message = refuse(
        desk,
        ecs.ClientException,
        attributes={"ecs.instance-type": "m5.xlarge"},
        container_instance_arn=arn,
    )
    assert message == (
        "Container instance type changes are not supported. Container instance "
        f"{arn.split('/')[-1]} was previously registered as m5.large."
    )


def test_an_instance_cannot_move_to_another_cluster():
    desk = Desk(CLUSTER, make_cluster("other"))
    arn = register(desk)["containerInstanceArn"]
    message = refuse(
        desk, ecs.InvalidParameterException, cluster="other", container_instance_arn=arn
    )
    assert "Identifier is for cluster default" in message


def test_a_deregistered_instance_cannot_return():
    gone = make_container_instance(status="INACTIVE", deregistered_at_ms=NOW_MS)
    message = refuse(Desk(CLUSTER, gone), ecs.ClientException, container_instance_arn=gone.arn)
    assert "data directory" in message


def test_an_arn_that_the_control_plane_has_lost_is_taken_as_it_is():
    arn = make_container_instance_arn(SCOPE, "default", hex_id("lost"))
    instance = register(Desk(CLUSTER), container_instance_arn=arn)
    assert instance["containerInstanceArn"] == arn


def test_tags_sent_again_replace_those_of_the_same_key():
    desk = Desk(CLUSTER)
    tags = [ecs.Tag(key="a", value="1"), ecs.Tag(key="b", value="1")]
    arn = register(desk, tags=tags)["containerInstanceArn"]
    register(desk, tags=[ecs.Tag(key="a", value="2")], container_instance_arn=arn)
    assert {tag.key: tag.value for tag in desk.view.tags(arn)} == {"a": "2", "b": "1"}


# Deregistering


def test_a_registration_tried_again_with_its_token_gives_the_same_instance():
    desk = Desk(CLUSTER)
    first = register(desk, client_token="attempt-1")
    desk.now_ms += 60_000
    assert register(desk, client_token="attempt-1") == first
    assert register(desk, client_token="attempt-2") != first
    assert len(desk.view.container_instances(CLUSTER.arn)) == 2


def test_a_token_with_another_registration_conflicts():
    desk = Desk(CLUSTER)
    register(desk, client_token="attempt-1")
    refused = make_request(cpu=1_024, client_token="attempt-1")
    with pytest.raises(ecs.ConflictException):
        desk.decide(register_container_instance, refused)
    assert len(desk.view.container_instances(CLUSTER.arn)) == 1


def test_a_token_of_an_instance_that_was_deregistered_registers_a_new_one():
    desk = Desk(CLUSTER)
    first = register(desk, client_token="attempt-1")
    deregister(desk, container_instance=first["containerInstanceArn"])
    second = register(desk, client_token="attempt-1")
    assert second["containerInstanceArn"] != first["containerInstanceArn"]


def deregister(desk, **members):
    return desk.decide(
        deregister_container_instance, ecs.DeregisterContainerInstanceRequest(**members)
    )


def test_an_empty_instance_becomes_inactive_at_once_and_its_agent_is_disconnected():
    instance = make_container_instance()
    desk = Desk(CLUSTER, instance)
    decision = deregister(desk, container_instance=hex_id("one"))
    described = decision.reply.container_instance
    assert (described.status, described.agent_connected) == ("INACTIVE", False)
    assert decision.effects == (DisconnectAgent(instance.arn),)
    assert instance.arn not in desk.view.container_instances(CLUSTER.arn)


def test_an_inactive_instance_is_still_described():
    instance = make_container_instance()
    desk = Desk(CLUSTER, instance)
    deregister(desk, container_instance=instance.arn)
    answer = desk.ask(
        describe_container_instances,
        ecs.DescribeContainerInstancesRequest(container_instances=[instance.arn]),
    )
    assert answer["containerInstances"][0]["status"] == "INACTIVE"


def test_tasks_on_the_instance_forbid_it_without_force():
    task = make_task()
    desk = Desk(CLUSTER, make_task_definition(), make_container_instance(), task)
    with pytest.raises(ecs.InvalidParameterException) as refusal:
        deregister(desk, container_instance=task.container_instance_arn)
    assert refusal.value.message == "Found running tasks on the instance."


def test_force_orphans_the_tasks_and_frees_the_counts():
    service = make_service()
    task = make_task(service=service, last_status="RUNNING")
    desk = Desk(CLUSTER, make_task_definition(), make_container_instance(), service, task)
    decision = deregister(desk, container_instance=task.container_instance_arn, force=True)
    orphan = desk.view.task(task.arn)
    assert orphan.last_status == orphan.desired_status == "STOPPED"
    assert orphan.stopped_reason == "Container instance deregistration forced by user"
    assert desk.view.tasks_of_service(service.arn) == {}
    assert decision.reply.container_instance.running_tasks_count == 0


def test_deregistering_again_succeeds_and_changes_nothing():
    gone = make_container_instance(status="INACTIVE", deregistered_at_ms=NOW_MS)
    decision = deregister(Desk(CLUSTER, gone), container_instance=gone.arn)
    assert (decision.changes, decision.effects) == ((), ())


@pytest.mark.parametrize("identifier", ["", hex_id("nobody"), "arn:aws:ecs:x"])
def test_an_unknown_instance_is_refused(identifier):
    with pytest.raises(ecs.InvalidParameterException):
        deregister(Desk(CLUSTER), container_instance=identifier)
