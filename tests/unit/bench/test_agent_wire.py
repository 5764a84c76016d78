"""What played agents hear and say, in the protocol's words."""

import msgspec

from homeport.bench.agent_wire import (
    PlayedContainer,
    PlayedTask,
    read_frame,
    render_acknowledgement,
    render_running,
    render_stopped,
)

CONTAINERS = [PlayedContainer("web"), PlayedContainer("log")]
TASK = PlayedTask(arn=f"arn:task/{'7' * 32}", desired_status="RUNNING", containers=CONTAINERS)


def frame_of(kind: str, **message: object) -> bytes:
    return msgspec.json.encode({"type": kind, "message": message})


def test_a_payload_hands_over_tasks_and_is_acknowledged_by_its_id():
    tasks = [{"arn": TASK.arn, "desiredStatus": "RUNNING", "containers": [{"name": "web"}]}]
    frame = read_frame(frame_of("PayloadMessage", messageId="m1", tasks=tasks))
    assert [(task.arn, task.containers) for task in frame.tasks] == [(TASK.arn, CONTAINERS[:1])]
    answer = render_acknowledgement(frame, "arn:i")
    assert answer is not None
    assert msgspec.json.decode(answer) == {
        "type": "AckRequest",
        "message": {"cluster": "default", "containerInstance": "arn:i", "messageId": "m1"},
    }


def test_a_manifest_names_tasks_and_hands_none_over():
    named = [{"arn": TASK.arn, "desiredStatus": "RUNNING"}]
    frame = read_frame(frame_of("TaskManifestMessage", messageId="m2", tasks=named))
    assert frame.tasks == []
    assert render_acknowledgement(frame, "arn:i") is not None


def test_a_frame_that_wants_no_answer_gets_none():
    frame = read_frame(frame_of("HeartbeatMessage", messageId="m3"))
    assert '"HeartbeatAckRequest"' in (render_acknowledgement(frame, "arn:i") or "")
    assert render_acknowledgement(read_frame(frame_of("ErrorMessage")), "arn:i") is None


def test_a_start_is_reported_with_the_ports_of_every_container():
    report = msgspec.json.decode(msgspec.json.encode(render_running(TASK)))
    assert (report["task"], report["status"]) == (TASK.arn, "RUNNING")
    assert [each["containerName"] for each in report["containers"]] == ["web", "log"]
    assert {each["networkBindings"][0]["containerPort"] for each in report["containers"]} == {80}


def test_an_end_is_reported_with_its_exit_code():
    report = render_stopped(TASK, exit_code=137, reason="killed")
    assert report["reason"] == "killed"
    assert report["containers"] == [
        {"containerName": name, "status": "STOPPED", "exitCode": 137} for name in ("web", "log")
    ]
