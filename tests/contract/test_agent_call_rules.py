"""The rules of what agents ask and report over the ECS API, a test each.

1. DiscoverPollEndpoint answers three endpoints to which the agent appends `ws?…`.
2. `Cluster not found.` is what makes the agent create the default cluster.
3. A container that has ended is reported RUNNING and STOPPED in one list.
4. SubmitContainerStateChange reports one container, the task stays as it is.
5. SubmitAttachmentStateChanges is acknowledged.
6. A container's reason is kept.
7. Whoever registers with its ARN gets it back, with its custom attributes.
8. Another size is refused with the words that the agent knows.
"""

from typing import Any

import pytest

from builders import make_cluster, make_container_instance, make_task, make_task_definition
from desk import Desk
from homeport.api import ecs
from homeport.model.task_definition import ContainerSpec
from homeport.operations.ecs.agent_reports import (
    submit_attachment_state_changes,
    submit_container_state_change,
    submit_task_state_change,
)
from homeport.operations.ecs.poll_endpoint import discover_poll_endpoint
from homeport.operations.ecs.registration import register_container_instance

INSTANCE = make_container_instance(attributes={"stack": "prod"})
DEFINITION = make_task_definition(containers=(ContainerSpec(name="web", image="busybox:latest"),))
TASK = make_task(instance=INSTANCE, definition=DEFINITION)


def test_1_discover_poll_endpoint_answers_three_endpoints() -> None:
    answer = Desk().ask(discover_poll_endpoint, ecs.DiscoverPollEndpointRequest(cluster="default"))
    assert answer == {
        "endpoint": "http://127.0.0.1:4566/acs/",
        "telemetryEndpoint": "http://127.0.0.1:4566/tcs/",
        "serviceConnectEndpoint": "http://127.0.0.1:4566/sc/",
    }


def test_2_a_missing_cluster_is_refused_in_the_words_that_make_the_agent_create_it() -> None:
    with pytest.raises(ecs.ClusterNotFoundException, match=r"Cluster not found\."):
        Desk().ask(register_container_instance, ecs.RegisterContainerInstanceRequest())


def report(desk: Desk, **members: Any) -> dict[str, Any]:
    request = ecs.SubmitTaskStateChangeRequest(cluster="default", task=TASK.arn, **members)
    return desk.ask(submit_task_state_change, request)


def make_desk() -> Desk:
    return Desk(make_cluster(), INSTANCE, DEFINITION, TASK)


def test_3_an_ended_container_is_reported_running_and_stopped_in_one_list() -> None:
    desk = make_desk()
    changes = [
        ecs.ContainerStateChange(container_name="web", status=status, exit_code=0)
        for status in ("RUNNING", "STOPPED")
    ]
    assert report(desk, status="RUNNING", containers=changes) == {"acknowledgment": "ok"}
    (task,) = desk.view.tasks_of_instance(INSTANCE.arn).values()
    assert (task.last_status, task.containers[0].last_status) == ("RUNNING", "STOPPED")
    assert task.containers[0].exit_code == 0


def test_4_one_container_can_be_reported_without_its_task() -> None:
    desk = make_desk()
    request = ecs.SubmitContainerStateChangeRequest(
        cluster="default", task=TASK.arn, container_name="web", status="RUNNING", runtime_id="abc"
    )
    assert desk.ask(submit_container_state_change, request) == {"acknowledgment": "ok"}
    (task,) = desk.view.tasks_of_instance(INSTANCE.arn).values()
    assert (task.last_status, task.containers[0].last_status) == ("PENDING", "RUNNING")
    assert task.containers[0].runtime_id == "abc"


def test_5_attachments_are_acknowledged() -> None:
    request = ecs.SubmitAttachmentStateChangesRequest(
        cluster="default",
        attachments=[ecs.AttachmentStateChange(attachment_arn="arn:a", status="ATTACHED")],
    )
    assert make_desk().ask(submit_attachment_state_changes, request) == {"acknowledgment": "ok"}


def test_6_a_containers_reason_is_kept() -> None:
    desk, reason = make_desk(), "CannotPullImageManifestError: no such image"
    change = ecs.ContainerStateChange(container_name="web", status="STOPPED", reason=reason)
    report(desk, status="STOPPED", containers=[change])
    task = desk.view.task(TASK.arn)
    assert task is not None
    assert (task.containers[0].reason, task.stop_code) == (reason, "TaskFailedToStart")


def register(desk: Desk, cpu_units: int) -> dict[str, Any]:
    resources = [
        ecs.Resource(name=name, type="INTEGER", integer_value=value)
        for name, value in (("CPU", cpu_units), ("MEMORY", INSTANCE.resources.memory_mib))
    ]
    request = ecs.RegisterContainerInstanceRequest(
        container_instance_arn=INSTANCE.arn, total_resources=resources, attributes=[]
    )
    return desk.ask(register_container_instance, request)["containerInstance"]  # type: ignore[no-any-return]


def test_7_whoever_registers_with_its_arn_gets_it_back_with_its_custom_attributes() -> None:
    instance = register(make_desk(), INSTANCE.resources.cpu_units)
    assert instance["containerInstanceArn"] == INSTANCE.arn
    assert {"name": "stack", "value": "prod"} in instance["attributes"]


def test_8_another_size_is_refused_in_the_words_that_the_agent_knows() -> None:
    with pytest.raises(
        ecs.ClientException, match="Container instance type changes are not supported\\."
    ):
        register(make_desk(), INSTANCE.resources.cpu_units + 1_024)
