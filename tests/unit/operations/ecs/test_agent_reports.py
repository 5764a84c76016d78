"""What agents submit, as the recorded agent sends it."""

import pytest

from builders import NOW_MS, hex_id, make_cluster, make_task, make_task_definition
from desk import Desk
from homeport.api import ecs
from homeport.operations.ecs.agent_reports import (
    CONTAINERS_PER_REPORT,
    NETWORK_BINDINGS_PER_CONTAINER,
    submit_attachment_state_changes,
    submit_container_state_change,
    submit_task_state_change,
)

TASK = make_task()
BINDING = ecs.NetworkBinding(bind_ip="0.0.0.0", container_port=80, host_port=32_768, protocol="tcp")
TOO_MANY_BINDINGS = [BINDING] * (NETWORK_BINDINGS_PER_CONTAINER + 1)


def make_desk():
    return Desk(make_cluster(), make_cluster("other"), make_task_definition(), TASK)


def submit(desk, **members):
    members = {"task": TASK.arn, "cluster": "default", **members}
    return desk.ask(submit_task_state_change, ecs.SubmitTaskStateChangeRequest(**members))


def change(**members):
    return ecs.ContainerStateChange(**{"container_name": "app", **members})


def test_a_running_task_is_recorded_and_acknowledged():
    desk = make_desk()
    containers = [change(status="RUNNING", runtime_id="abc", network_bindings=[BINDING])]
    answer = submit(desk, status="RUNNING", reason="", containers=containers)
    assert answer == {"acknowledgment": "ok"}
    task = desk.view.task(TASK.arn)
    assert task.last_status == "RUNNING"
    assert task.containers[0].network_bindings[0].host_port == 32_768


def test_a_task_that_could_not_pull_its_image_keeps_reason_and_times():
    desk = make_desk()
    submit(
        desk,
        status="STOPPED",
        reason="",
        containers=[change(status="STOPPED", reason="CannotPullContainerError: no such host")],
        pull_started_at=1795295128.885,
        pull_stopped_at=1795295143.084,
        execution_stopped_at=1795295143.119,
    )
    task = desk.view.task(TASK.arn)
    assert task.stop_code == "TaskFailedToStart"
    assert task.stopped_reason == "CannotPullContainerError: no such host"
    assert task.pull_started_at_ms == 1_795_295_128_885
    assert task.execution_stopped_at_ms == 1_795_295_143_119
    assert task.stopped_at_ms == NOW_MS


def test_a_pending_report_brings_image_digests():
    desk = make_desk()
    submit(desk, status="PENDING", containers=[change(image_digest="sha256:1")])
    task = desk.view.task(TASK.arn)
    assert (task.last_status, task.containers[0].image_digest) == ("PENDING", "sha256:1")


@pytest.mark.parametrize("task", [hex_id("nobody"), make_task("unknown").arn])
def test_reports_on_unknown_tasks_are_acknowledged_without_a_change(task):
    desk = make_desk()
    request = ecs.SubmitTaskStateChangeRequest(task=task, status="RUNNING")
    decision = desk.decide(submit_task_state_change, request)
    assert decision.reply.acknowledgment == "ok"
    assert decision.changes == ()


def test_a_repeated_report_is_acknowledged_again():
    desk = make_desk()
    submit(desk, status="RUNNING")
    sequence = desk.store.sequence
    assert submit(desk, status="RUNNING") == {"acknowledgment": "ok"}
    assert desk.store.sequence == sequence


def test_a_report_of_one_container_leaves_the_tasks_status():
    desk = make_desk()
    request = ecs.SubmitContainerStateChangeRequest(
        cluster="default",
        task=TASK.arn,
        container_name="app",
        status="RUNNING",
        runtime_id="x" * 300,
        network_bindings=[BINDING],
    )
    answer = desk.ask(submit_container_state_change, request)
    assert answer == {"acknowledgment": "ok"}
    task = desk.view.task(TASK.arn)
    assert task.last_status == "PENDING"
    assert task.containers[0].last_status == "RUNNING"
    assert len(task.containers[0].runtime_id) == 255


def test_attachments_are_acknowledged():
    change = ecs.AttachmentStateChange(attachment_arn="arn:x", status="ATTACHED")
    request = ecs.SubmitAttachmentStateChangesRequest(attachments=[change])
    answer = make_desk().ask(submit_attachment_state_changes, request)
    assert answer == {"acknowledgment": "ok"}


@pytest.mark.parametrize(
    ("error", "members"),
    [
        (ecs.ClusterNotFoundException, {"cluster": "nowhere"}),
        (ecs.InvalidParameterException, {"cluster": "other"}),
        (ecs.InvalidParameterException, {"task": None}),
        (ecs.InvalidParameterException, {"task": "arn:aws:ecs:nonsense"}),
        (ecs.InvalidParameterException, {"containers": [change(container_name="")]}),
        (
            ecs.InvalidParameterException,
            {"containers": [change() for _ in range(CONTAINERS_PER_REPORT + 1)]},
        ),
        (
            ecs.InvalidParameterException,
            {
                "containers": [
                    change(network_bindings=[BINDING] * (NETWORK_BINDINGS_PER_CONTAINER + 1))
                ]
            },
        ),
        (
            ecs.InvalidParameterException,
            {"containers": [change(network_bindings=[ecs.NetworkBinding(host_port=70_000)])]},
        ),
        (ecs.InvalidParameterException, {"pull_started_at": -1.0}),
        (ecs.InvalidParameterException, {"execution_stopped_at": 1e300}),
    ],
)
def test_reports_that_cannot_be_are_refused(error, members):
    desk = make_desk()
    with pytest.raises(error):
        submit(desk, status="RUNNING", **members)
    assert desk.view.task(TASK.arn) == TASK
