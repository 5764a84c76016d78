"""Answers about tasks and container instances fit AWS's published model, member for member."""

import functools

import botocore.session
import pytest
from botocore.validate import ParamValidator
from msgspec.structs import replace

from builders import (
    make_cluster,
    make_container_instance,
    make_service,
    make_task,
    make_task_definition,
)
from desk import Desk
from homeport.api import ecs
from homeport.model.record import ResourceTags, Tag
from homeport.model.task import NetworkBinding
from homeport.operations.registry import OPERATIONS

WEB = make_task_definition("web")
ONE = make_container_instance(
    "one",
    attributes={"ecs.cpu-architecture": "x86_64", "ecs.capability.efs": None, "rack": "1"},
    agent_version="1.105.1",
    docker_version="24.0.7",
    runtime_status="OK",
    runtime_status_changed_at_ms=1,
    runtime_status_reported_at_ms=2,
    ec2_instance_id="i-1",
)
SERVICE = make_service(definition=WEB)


def make_full_task():
    """Make a STOPPED task that has every member a task on EC2 can have."""
    task = make_task(
        "full",
        definition=WEB,
        instance=ONE,
        service=SERVICE,
        last_status="STOPPED",
        stop_code="EssentialContainerExited",
        stopped_reason="Essential container in task exited",
        started_at_ms=1,
        stopping_at_ms=2,
        pull_started_at_ms=3,
        pull_stopped_at_ms=4,
        execution_stopped_at_ms=5,
    )
    container = replace(
        task.containers[0],
        exit_code=1,
        reason="OutOfMemoryError: Container killed due to memory usage",
        runtime_id="abc",
        image_digest="sha256:1",
        memory_reservation="64",
        network_bindings=(NetworkBinding(container_port_range="1-2", host_port_range="3-4"),),
    )
    return replace(task, containers=(container,))


FULL = make_full_task()
CALLS = {
    "RunTask": ecs.RunTaskRequest(task_definition="web", tags=[ecs.Tag(key="a", value="b")]),
    "StartTask": ecs.StartTaskRequest(
        task_definition="web", container_instances=[ONE.arn, "0" * 32]
    ),
    "StopTask": ecs.StopTaskRequest(task=make_task("plain").arn),
    "DescribeTasks": ecs.DescribeTasksRequest(tasks=[FULL.arn, "0" * 32], include=["TAGS"]),
    "ListTasks": ecs.ListTasksRequest(max_results=1),
    "RegisterContainerInstance": ecs.RegisterContainerInstanceRequest(
        platform_devices=[ecs.PlatformDevice(id="gpu", type="GPU")]
    ),
    "DescribeContainerInstances": ecs.DescribeContainerInstancesRequest(
        container_instances=[ONE.arn, "0" * 32], include=["TAGS", "CONTAINER_INSTANCE_HEALTH"]
    ),
    "ListContainerInstances": ecs.ListContainerInstancesRequest(),
    "UpdateContainerInstancesState": ecs.UpdateContainerInstancesStateRequest(
        container_instances=[ONE.arn, "0" * 32], status="DRAINING"
    ),
    "DeregisterContainerInstance": ecs.DeregisterContainerInstanceRequest(
        container_instance=ONE.arn, force=True
    ),
    "PutAttributes": ecs.PutAttributesRequest(
        attributes=[ecs.Attribute(name="a", value="b", target_id=ONE.arn)]
    ),
    "DeleteAttributes": ecs.DeleteAttributesRequest(
        attributes=[ecs.Attribute(name="rack", target_id=ONE.arn)]
    ),
    "ListAttributes": ecs.ListAttributesRequest(target_type="container-instance"),
    "SubmitTaskStateChange": ecs.SubmitTaskStateChangeRequest(task=FULL.arn, status="STOPPED"),
    "SubmitContainerStateChange": ecs.SubmitContainerStateChangeRequest(
        task=FULL.arn, container_name="app"
    ),
    "SubmitAttachmentStateChanges": ecs.SubmitAttachmentStateChangesRequest(attachments=[]),
    "DiscoverPollEndpoint": ecs.DiscoverPollEndpointRequest(),
}


@functools.cache
def service_model():
    return botocore.session.get_session().get_service_model("ecs")


def unknown_members(shape, answer, path=""):
    """List the members that the model doesn't know, which botocore's validator lets pass."""
    if shape.type_name == "structure":
        found = [f"{path}.{name}" for name in answer if name not in shape.members]
        for name in answer:
            if name in shape.members:
                found += unknown_members(shape.members[name], answer[name], f"{path}.{name}")
        return found
    if shape.type_name == "list":
        return [m for item in answer for m in unknown_members(shape.member, item, f"{path}[]")]
    return []


@pytest.mark.parametrize("operation", sorted(CALLS))
def test_the_answer_has_only_members_of_the_model_with_the_models_types(operation):
    desk = Desk(
        make_cluster(),
        WEB,
        ONE,
        SERVICE,
        FULL,
        make_task("plain"),
        ResourceTags(arn=ONE.arn, tags=(Tag("a", "b"),)),
    )
    answer = desk.ask(OPERATIONS[operation], CALLS[operation])
    shape = service_model().operation_model(operation).output_shape
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()
    assert unknown_members(shape, answer) == []
    assert answer


def test_a_full_task_shows_every_member_that_a_task_on_ec2_has():
    desk = Desk(make_cluster(), WEB, ONE, SERVICE, FULL)
    request = ecs.DescribeTasksRequest(tasks=[FULL.arn])
    (task,) = desk.ask(OPERATIONS["DescribeTasks"], request)["tasks"]
    shape = service_model().shape_for("Task")
    elsewhere = {
        "capacityProviderName",
        "ephemeralStorage",
        "fargateEphemeralStorage",
        "inferenceAccelerators",
        "platformFamily",
        "platformVersion",
        "trustedExecutionSummary",
    }
    assert set(shape.members) - set(task) == elsewhere
    container = service_model().shape_for("Container")
    accelerated = {"gpuIds", "neuronDeviceIds", "gpuSharingStrategy", "managedAgents"}
    assert set(container.members) - set(task["containers"][0]) == accelerated
