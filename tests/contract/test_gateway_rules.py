"""The rules of the agent protocol's websockets, a test each; what is said is compared by bytes.

What agents ask and report over the ECS API: `test_agent_call_rules`.

Connection
 1. ACS names `clusterArn` and `containerInstanceArn`, TCS `cluster` and `containerInstance`.
 2. versionInfo comes from the sockets' queries, in each socket's own form.
 3. A frame is the JSON text `{"type": NAME, "message": {...}}`.
 4. Signed header lines before a telemetry frame are stripped up to the blank line.
 5. A heartbeat goes on both sockets at once, and at least every 30 s.
 6. With protocolVersion 2 a connection whose heartbeats aren't acknowledged is closed.
 7. With protocolVersion 1 it isn't.
 8. Refusals are error frames of the protocol's own types.
 9. An INACTIVE instance's agent is told so by a frame and by the reason of the close.
10. A stopping control plane says CloseMessage.
Agent communication
11. A PayloadMessage: members, `overrides` and `dockerConfig` as JSON strings, `cpu` as vCPU.
12. A payload stays the connection's until its AckRequest, and is sent again without one.
13. What isn't as wanted is sent anew after a reconnect.
14. IAMRoleCredentialsAckRequest needs no answer.
15. A stop is a payload of the same task with `desiredStatus` STOPPED.
16. A TaskManifestMessage follows a connect, and lists what isn't STOPPED.
17. Its timeline is newer than the newest that the agent has seen, also after a restart.
18. TaskStopVerificationAck repeats the message id and names only what shall stop.
19. Role credentials of RUNNING tasks are sent anew after a connect.
20. Types that the gateway doesn't know are ignored.
Telemetry
21. Metrics, idle ones too, are answered with AckPublishMetric.
22. Health with AckPublishHealth.
23. Instance status with AckPublishInstanceStatus.
"""

from string import Template
from typing import Any

import msgspec
import pytest

from acs_sessions import draw_ids, make_identity, make_session
from builders import (
    NOW_MS,
    SCOPE,
    at,
    hex_id,
    make_cluster,
    make_container_instance,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.core.effects import SendTasks
from homeport.core.lifecycle.instance import connect_agent
from homeport.gateway.admission import AgentIdentity, admit_agent
from homeport.gateway.limits import GatewayLimits
from homeport.gateway.outputs import CloseConnection, KeepMetrics, Outputs, SendFrame
from homeport.gateway.session import AcsSession, SequenceNumbers
from homeport.gateway.telemetry_session import TcsSession
from homeport.model.arn import dashed_uuid
from homeport.model.resources import TaskResources
from homeport.model.task import Task
from homeport.model.task_definition import ContainerSpec
from homeport.state.store import Store
from homeport.state.view import View
from homeport.wire.agent_messages.frames import encode_frame

DESCRIBED = {
    "family": "demo",
    "revision": 1,
    "networkMode": "bridge",
    "cpu": "256",
    "memory": "128",
    "taskRoleArn": "arn:aws:iam::123456789012:role/r",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "busybox:latest",
            "command": ["httpd", "-f"],
            "cpu": 64,
            "memory": 64,
            "essential": True,
            "environment": [{"name": "A", "value": "1"}],
            "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
            "healthCheck": {
                "command": ["CMD-SHELL", "true"],
                "interval": 5,
                "timeout": 2,
                "retries": 2,
                "startPeriod": 1,
            },
        },
    ],
}
INSTANCE = make_container_instance(attributes={"stack": "prod"})
DEFINITION = make_task_definition(
    "demo",
    containers=(ContainerSpec(name="web", image="busybox:latest"),),
    document=msgspec.json.encode(DESCRIBED),
    network_mode="bridge",
    cpu="256",
    memory="128",
    resources=TaskResources(cpu_units=256, memory_mib=128),
)
TASK = make_task(instance=INSTANCE, definition=DEFINITION)
RUNNING = msgspec.structs.replace(TASK, last_status="RUNNING")
STOPPING = msgspec.structs.replace(RUNNING, desired_status="STOPPED")
NAMES = {
    "CLUSTER": INSTANCE.cluster_arn,
    "INSTANCE": INSTANCE.arn,
    "TASK": TASK.arn,
    "NOW": str(NOW_MS),
    **{f"ID{number}": dashed_uuid(hex_id(number)) for number in range(4)},
}


def fill(text: str, **names: object) -> str:
    """An expected frame with the names of this module in it."""
    return Template(text.replace("\n", "")).substitute({**NAMES, **names})


def make_world(*tasks: Task) -> Store:
    return make_store(make_cluster(), INSTANCE, DEFINITION, *tasks)


def make_acs(*tasks: Task, **members: Any) -> AcsSession:
    return make_session(make_world(*tasks), INSTANCE, **members)


def make_tcs() -> TcsSession:
    return TcsSession(
        identity=make_identity(INSTANCE),
        view=View(make_world()),
        ids=draw_ids(),
        limits=GatewayLimits(),
        now_ms=NOW_MS,
    )


def texts(outputs: Outputs) -> list[str]:
    return [encode_frame(output.message) for output in outputs if isinstance(output, SendFrame)]


def say(session: AcsSession | TcsSession, text: str) -> Outputs:
    return session.frame_received(fill(text), NOW_MS)


def only(found: list[str], kind: str) -> str:
    (text,) = (each for each in found if each.startswith(f'{{"type":"{kind}"'))
    return text


# connection
@pytest.mark.parametrize(
    "names", [("clusterArn", "containerInstanceArn"), ("cluster", "containerInstance")]
)
def test_01_each_socket_names_cluster_and_instance_in_its_own_way(names: tuple[str, str]) -> None:
    query = f"{names[0]}=default&{names[1]}={INSTANCE.arn}"
    admitted = admit_agent(View(make_world()), query.encode(), SCOPE)
    assert isinstance(admitted, AgentIdentity)
    assert (admitted.cluster_arn, admitted.container_instance_arn) == (
        INSTANCE.cluster_arn,
        INSTANCE.arn,
    )


@pytest.mark.parametrize("docker", ["DockerVersion%3A+20.10.24%2Bdfsg1", "20.10.24%2Bdfsg1"])
def test_02_versions_come_from_the_query(docker: str) -> None:
    versions = f"agentVersion=1.105.1&agentHash=a8b3e7d3&dockerVersion={docker}"
    query = f"containerInstanceArn={INSTANCE.arn}&{versions}"
    admitted = admit_agent(View(make_world()), query.encode(), SCOPE)
    assert isinstance(admitted, AgentIdentity)
    assert (admitted.agent_version, admitted.agent_hash) == ("1.105.1", "a8b3e7d3")
    assert admitted.docker_version == "20.10.24+dfsg1"


def test_03_a_frame_is_json_text_of_type_and_message() -> None:
    (heartbeat,) = texts(make_tcs().connected(NOW_MS))
    assert list(msgspec.json.decode(heartbeat)) == ["type", "message"]


@pytest.mark.parametrize(
    "head", ["", "Host: x\r\nX-Amz-Date: y\r\n\r\n", "Host: x\n\n", "\r\n\r\n"]
)
def test_04_header_lines_before_a_telemetry_frame_are_stripped(head: str) -> None:
    text = head + '{"type":"PublishMetricsRequest","message":{"metadata":{"idle":true}}}'
    assert texts(make_tcs().frame_received(text, NOW_MS)) == [
        '{"type":"AckPublishMetric","message":{}}'
    ]


@pytest.mark.parametrize(("make", "message_id"), [(make_acs, "$ID1"), (make_tcs, "$ID0")])
def test_05_a_heartbeat_goes_at_once_and_every_30_s(make: Any, message_id: str) -> None:
    session = make()
    heartbeat = (
        f'{{"type":"HeartbeatMessage","message":{{"healthy":true,"messageId":"{message_id}"}}}}'
    )
    assert texts(session.connected(NOW_MS))[0] == fill(heartbeat)
    assert session.due_ms <= NOW_MS + 30_000
    assert only(texts(session.timer_rang(NOW_MS + 30_000)), "HeartbeatMessage")


def test_06_unacknowledged_heartbeats_end_a_connection_of_protocol_version_2() -> None:
    session = make_acs()
    session.connected(NOW_MS)
    session.timer_rang(NOW_MS + 30_000)
    assert any(isinstance(o, CloseConnection) for o in session.timer_rang(NOW_MS + 90_000))
    alive = make_acs()
    alive.connected(NOW_MS)
    say(alive, '{"type":"HeartbeatAckRequest","message":{"messageId":"$ID1"}}')
    assert not any(isinstance(o, CloseConnection) for o in alive.timer_rang(NOW_MS + 90_000))


def test_07_an_agent_of_protocol_version_1_need_not_acknowledge_heartbeats() -> None:
    session = make_acs(answers_heartbeats=False)
    session.connected(NOW_MS)
    assert not any(isinstance(o, CloseConnection) for o in session.timer_rang(NOW_MS + 900_000))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "clusterArn=other&containerInstanceArn=$INSTANCE",
            '{"type":"InvalidClusterException","message":{"message":"Cluster not found."}}',
        ),
        (
            "clusterArn=default&containerInstanceArn=nonsense",
            '{"type":"InvalidInstanceException","message":'
            '{"message":"Container instance ARN is invalid."}}',
        ),
        (
            "clusterArn=default&containerInstanceArn=${INSTANCE}0",
            '{"type":"InvalidInstanceException","message":'
            '{"message":"Container instance not found in cluster default: register it first."}}',
        ),
    ],
)
def test_08_a_refusal_is_a_frame_of_the_protocols_own_type(query: str, expected: str) -> None:
    refusal = admit_agent(View(make_world()), fill(query).encode(), SCOPE)
    assert not isinstance(refusal, AgentIdentity)
    assert encode_frame(refusal) == expected


def test_09_the_agent_of_an_inactive_instance_is_told_by_frame_and_by_close() -> None:
    expected = (
        '{"type":"InactiveInstanceException","message":'
        '{"message":"Container instance is deregistered."}}'
    )
    outputs = make_acs().instance_deregistered()
    assert texts(outputs) == [expected]
    assert outputs[-1] == CloseConnection(1008, "InactiveInstanceException")
    store = make_store(make_cluster(), msgspec.structs.replace(INSTANCE, status="INACTIVE"))
    refusal = admit_agent(View(store), f"containerInstanceArn={INSTANCE.arn}".encode(), SCOPE)
    assert not isinstance(refusal, AgentIdentity)
    assert encode_frame(refusal) == expected


def test_10_a_stopping_control_plane_says_close_message() -> None:
    outputs = make_acs().server_stopping()
    assert texts(outputs) == [
        '{"type":"CloseMessage","message":{"message":"The control plane is stopping."}}'
    ]
    assert outputs[-1] == CloseConnection(1001, "control plane is stopping")


# agent communication
PAYLOAD = """
{"type":"PayloadMessage","message":{"clusterArn":"$CLUSTER","containerInstanceArn":"$INSTANCE",
"messageId":"$MESSAGE","seqNum":$SEQ,"generatedAt":$NOW,"tasks":[{"arn":"$TASK",
"taskClusterArn":"$CLUSTER","desiredStatus":"$DESIRED","family":"demo","version":"1",
"containers":[{"name":"web","image":"busybox:latest","command":["httpd","-f"],"cpu":64,"memory":64,
"essential":true,"environment":{"A":"1"},"portMappings":[{"containerPort":80,"protocol":"tcp"}],
"healthCheckType":"docker","overrides":"{}","dockerConfig":{"version":"1.24",
"config":"{\\"Healthcheck\\":{\\"Test\\":[\\"CMD-SHELL\\",\\"true\\"],\\"Interval\\":5000000000,
\\"Timeout\\":2000000000,\\"Retries\\":2,\\"StartPeriod\\":1000000000}}",
"hostConfig":"{\\"NetworkMode\\":\\"bridge\\",\\"CapAdd\\":[],\\"CapDrop\\":[]}"},
"containerArn":"$CONTAINER"}],"overrides":"{}","networkMode":"bridge","launchType":"EC2",
"cpu":0.25,"memory":128,"group":"family:demo","zone":"us-east-1a",
"taskDefinitionAccountId":"123456789012","roleCredentials":$ROLE}]}}
"""


ROLE = """
{"credentialsId":"$CREDENTIALS","roleArn":"arn:aws:iam::123456789012:role/r",
"accessKeyId":"123456789012","secretAccessKey":"$SECRET","sessionToken":"homeport-local-stand-in",
"expiration":"$EXPIRATION"}
"""


def make_role(found: dict[str, str]) -> str:
    """The expected credentials; what is digested from the task is taken from those found."""
    return fill(
        ROLE,
        CREDENTIALS=found["credentialsId"],
        SECRET=found["secretAccessKey"],
        EXPIRATION=found["expiration"],
    )


def expect_payload(found: str, desired: str, *, at_ms: int = NOW_MS) -> None:
    """Compare a payload's text; ids that are drawn for the task are taken from it."""
    message = msgspec.json.decode(found)["message"]
    (task,) = message["tasks"]
    expected = fill(
        PAYLOAD,
        DESIRED=desired,
        NOW=at_ms,
        MESSAGE=message["messageId"],
        SEQ=message["seqNum"],
        CONTAINER=TASK.containers[0].arn,
        ROLE=make_role(task["roleCredentials"]),
    )
    assert found == expected


def test_11_a_payload_has_its_members_in_the_protocols_form() -> None:
    (text,) = texts(make_acs(TASK).tasks_wanted((TASK.arn,), NOW_MS))
    expect_payload(text, "RUNNING")


def test_12_a_payload_is_sent_again_until_it_is_acknowledged() -> None:
    session = make_acs(TASK)
    session.connected(NOW_MS)
    session.tasks_wanted((TASK.arn,), NOW_MS)
    later = texts(session.timer_rang(NOW_MS + 15_000))
    expect_payload(only(later, "PayloadMessage"), "RUNNING", at_ms=NOW_MS + 15_000)
    message_id = msgspec.json.decode(only(later, "PayloadMessage"))["message"]["messageId"]
    say(
        session,
        '{"type":"AckRequest","message":{"cluster":"$CLUSTER","containerInstance":'
        f'"$INSTANCE","messageId":"{message_id}"}}}}',
    )
    assert "PayloadMessage" not in "".join(texts(session.timer_rang(NOW_MS + 80_000)))


def test_13_what_is_not_as_wanted_is_asked_for_anew_after_a_reconnect() -> None:
    session = make_acs(TASK)
    (announced,) = (o for o in session.connected(NOW_MS) if type(o).__name__ == "ObserveEvent")
    assert announced.event.container_instance_arn == INSTANCE.arn  # type: ignore[union-attr]
    decision = connect_agent(
        View(make_world(TASK)),
        INSTANCE.arn,
        at(),
        agent_version=None,
        agent_hash=None,
        docker_version=None,
    )
    assert decision.effects == (SendTasks(INSTANCE.arn, (TASK.arn,)),)


def test_14_credentials_are_acknowledged_without_an_answer() -> None:
    assert (
        say(
            make_acs(),
            '{"type":"IAMRoleCredentialsAckRequest","message":'
            '{"credentialsId":"cred-1","expiration":"2026-11-22T21:00:00Z","messageId":"m1"}}',
        )
        == []
    )


def test_15_a_stop_is_a_payload_of_the_same_task() -> None:
    (text,) = texts(make_acs(STOPPING).tasks_wanted((TASK.arn,), NOW_MS))
    expect_payload(text, "STOPPED")


def test_16_a_manifest_follows_a_connect() -> None:
    ended = make_task("ended", instance=INSTANCE, definition=DEFINITION, last_status="STOPPED")
    found = texts(make_acs(STOPPING, ended).connected(NOW_MS))
    assert only(found, "TaskManifestMessage") == fill(
        '{"type":"TaskManifestMessage","message":{"clusterArn":"$CLUSTER",'
        '"containerInstanceArn":"$INSTANCE","messageId":"$ID0","generatedAt":$NOW,'
        '"timeline":$NOW,"tasks":[{"taskArn":"$TASK","taskClusterArn":"$CLUSTER",'
        '"desiredStatus":"STOPPED"}]}}',
    )


def test_17_a_manifest_is_newer_than_the_newest_that_the_agent_has_seen() -> None:
    def timeline(sequence: SequenceNumbers, now_ms: int) -> int:
        found = texts(make_acs(sequence=sequence).connected(now_ms))
        return int(msgspec.json.decode(only(found, "TaskManifestMessage"))["message"]["timeline"])

    before = SequenceNumbers()
    seen = [timeline(before, NOW_MS), timeline(before, NOW_MS - 60_000)]
    after_restart = SequenceNumbers(NOW_MS)  # the newest commit's time; the clock was set back
    assert seen[0] < seen[1] < timeline(after_restart, NOW_MS - 60_000)


def test_18_only_what_shall_stop_is_confirmed_under_the_same_message_id() -> None:
    candidates = ",".join(
        f'{{"taskArn":"{arn}","taskClusterArn":"$CLUSTER","desiredStatus":"STOPPED"}}'
        for arn in (TASK.arn, f"{TASK.arn}0")
    )
    outputs = say(
        make_acs(RUNNING),
        '{"type":"TaskStopVerificationMessage","message":'
        f'{{"messageId":"m7","stopCandidates":[{candidates}]}}}}',
    )
    assert texts(outputs) == [
        fill(
            '{"type":"TaskStopVerificationAck","message":{"messageId":"m7","generatedAt":$NOW,'
            '"stopTasks":[{"taskArn":"${TASK}0","taskClusterArn":"$CLUSTER",'
            '"desiredStatus":"STOPPED"}]}}'
        )
    ]


def test_19_role_credentials_of_running_tasks_are_sent_anew_after_a_connect() -> None:
    text = only(texts(make_acs(RUNNING).connected(NOW_MS)), "IAMRoleCredentialsMessage")
    message = msgspec.json.decode(text)["message"]
    assert text == fill(
        '{"type":"IAMRoleCredentialsMessage","message":{"messageId":"$MESSAGE","taskArn":"$TASK",'
        '"taskClusterArn":"$CLUSTER","roleType":"TaskApplication","roleCredentials":$ROLE}}',
        MESSAGE=message["messageId"],
        ROLE=make_role(message["roleCredentials"]),
    )


@pytest.mark.parametrize("make", [make_acs, make_tcs])
def test_20_an_unknown_type_is_ignored(make: Any) -> None:
    outputs = say(make(), '{"type":"FutureMessage","message":{"a":[1]}}')
    assert texts(outputs) == []
    assert not any(isinstance(output, CloseConnection) for output in outputs)


# telemetry
@pytest.mark.parametrize("is_idle", ["true", "false"])
def test_21_metrics_are_acknowledged(is_idle: str) -> None:
    outputs = say(
        make_tcs(),
        '{"type":"PublishMetricsRequest","message":{"metadata":'
        f'{{"idle":{is_idle},"fin":true,"messageId":"1"}},"timestamp":1.5}}}}',
    )
    assert isinstance(outputs[0], KeepMetrics)
    assert texts(outputs) == ['{"type":"AckPublishMetric","message":{}}']


def test_22_health_is_acknowledged() -> None:
    outputs = say(
        make_tcs(), '{"type":"PublishHealthRequest","message":{"metadata":{},"tasks":[]}}'
    )
    assert texts(outputs) == ['{"type":"AckPublishHealth","message":{}}']


def test_23_instance_status_is_acknowledged() -> None:
    outputs = say(
        make_tcs(),
        '{"type":"PublishInstanceStatusRequest","message":{"metadata":{},'
        '"statuses":[{"type":"ContainerRuntime","status":"OK"}],"timestamp":1.5}}',
    )
    assert texts(outputs) == ['{"type":"AckPublishInstanceStatus","message":{}}']
