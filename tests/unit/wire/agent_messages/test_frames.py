"""Frames of the agent protocol: what is written, what is understood, what is refused."""

import json
from pathlib import Path

import pytest

from homeport.wire.agent_messages import acs, payload, tcs
from homeport.wire.agent_messages.frames import (
    MAX_FRAME_BYTES,
    MESSAGE_TYPES,
    FrameError,
    UnknownMessage,
    decode_frame,
    encode_frame,
)

TRANSCRIPT = Path(__file__).parents[3] / "contract/fixtures/amazon_agent_run.jsonl"

FRAMES = [
    '{"type":"HeartbeatMessage","message":{"healthy":true,"messageId":"hb1"}}',
    '{"type":"AckRequest","message":{"cluster":"c","containerInstance":"i","messageId":"m1"}}',
    '{"type":"NackRequest","message":{"cluster":"c","containerInstance":"i","messageId":"m1",'
    '"reason":"no"}}',
    '{"type":"IAMRoleCredentialsAckRequest","message":{"messageId":"m1","expiration":"2026",'
    '"credentialsId":"x"}}',
    '{"type":"TaskManifestMessage","message":{"clusterArn":"c","containerInstanceArn":"i",'
    '"messageId":"tm2","generatedAt":5,"timeline":1,"tasks":[{"taskArn":"t","taskClusterArn":"c",'
    '"desiredStatus":"RUNNING"}]}}',
    '{"type":"PublishMetricsRequest","message":{"metadata":{"cluster":"c","containerInstance":"i",'
    '"messageId":"1","idle":false,"fin":true},"taskMetrics":[{"taskArn":"t","containerMetrics":[{'
    '"containerName":"web","cpuStatsSet":{"min":0.0,"max":1.5,"sampleCount":2,"sum":1.5}}]}],'
    '"timestamp":1795295015.37}}',
    '{"type":"InactiveInstanceException","message":{"message":"gone"}}',
]


@pytest.mark.parametrize("text", FRAMES)
def test_a_frame_read_and_written_again_is_the_same_text(text: str):
    assert encode_frame(decode_frame(text)) == text


@pytest.mark.parametrize("name", sorted(MESSAGE_TYPES))
def test_every_message_type_makes_the_round_trip_when_empty(name: str):
    message = MESSAGE_TYPES[name]()
    assert decode_frame(encode_frame(message)) == message


def test_a_payload_carries_docker_settings_as_text():
    text = json.dumps(
        {
            "type": "PayloadMessage",
            "message": {
                "clusterArn": "arn:cluster",
                "messageId": "m1",
                "seqNum": 1,
                "generatedAt": 1795295016372,
                "tasks": [
                    {
                        "arn": "arn:task",
                        "desiredStatus": "RUNNING",
                        "cpu": 0.25,
                        "memory": 128,
                        "containers": [
                            {
                                "name": "web",
                                "essential": True,
                                "portMappings": [{"containerPort": 80, "protocol": "tcp"}],
                                "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
                                "dockerConfig": {"hostConfig": '{"CapAdd":[]}', "config": "{}"},
                            }
                        ],
                    }
                ],
            },
        }
    )
    message = decode_frame(text)
    assert isinstance(message, acs.PayloadMessage)
    container = message.tasks[0].containers[0]
    assert message.tasks[0].cpu == 0.25
    assert container.docker_config == payload.DockerConfig(config="{}", host_config='{"CapAdd":[]}')
    assert container.depends_on[0].condition == "SUCCESS"
    assert container.port_mappings[0].host_port == 0
    assert decode_frame(encode_frame(message)) == message


def test_a_type_from_a_newer_peer_is_kept_as_unknown():
    message = decode_frame('{"type":"TomorrowMessage","message":{"a":[1]}}')
    assert message == UnknownMessage("TomorrowMessage", {"a": [1]})
    assert encode_frame(message) == '{"type":"TomorrowMessage","message":{"a":[1]}}'


def test_members_from_a_newer_peer_are_ignored():
    text = '{"type":"AckRequest","extra":1,"message":{"messageId":"m","tomorrow":{"x":1}}}'
    assert decode_frame(text) == acs.AckRequest(message_id="m")


def test_null_counts_as_absent_wherever_it_stands():
    task = '{"arn":"t","volumes":null}'
    text = '{"type":"PayloadMessage","message":{"seqNum":null,"tasks":[' + task + "]}}"
    assert decode_frame(text) == acs.PayloadMessage(tasks=(payload.Task(arn="t"),))


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_header_lines_before_a_telemetry_frame_are_dropped(line_end: str):
    headers = line_end.join(["POST / HTTP/1.1", "Host: x", "Authorization: AWS4 {a}", "", ""])
    text = headers + '{"type":"AckPublishMetric","message":{}}'
    assert decode_frame(text) == tcs.AckPublishMetric()


def test_bytes_are_taken_like_text():
    assert decode_frame(b'{"type":"CloseMessage"}') == acs.CloseMessage()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a frame"),
        ("hello", "not a frame"),
        ('{"type":"AckRequest","message":', "not a frame"),
        ('{"message":{}}', "type"),
        ('{"type":7,"message":{}}', "type"),
        ('{"type":"AckRequest","message":[]}', "AckRequest"),
        ('{"type":"AckRequest","message":{"messageId":7}}', "messageId"),
        ('{"type":"NewMessage","message":7}', "NewMessage"),
        ('{"type":"NewMessage","message":' + "[" * 100_000 + "]" * 100_000 + "}", "recursion"),
        (b'{"type":"AckRequest","message":{"messageId":"\xff"}}', "AckRequest"),
    ],
)
def test_a_broken_frame_is_refused_with_what_is_wrong(text: str | bytes, complaint: str):
    with pytest.raises(FrameError, match=complaint):
        decode_frame(text)


def test_a_frame_above_the_limit_is_refused_unread():
    text = encode_frame(acs.CloseMessage(message="x" * MAX_FRAME_BYTES))
    with pytest.raises(FrameError, match="exceeds"):
        decode_frame(text)


def test_a_part_of_a_message_is_not_a_frame():
    with pytest.raises(FrameError, match="StatsSet"):
        encode_frame(tcs.StatsSet())


def test_secrets_do_not_show_when_a_message_is_printed():
    credentials = payload.IamRoleCredentials(credentials_id="c1", secret_access_key="hush")
    assert "hush" not in repr(acs.IAMRoleCredentialsMessage(role_credentials=credentials))


def test_every_recorded_frame_is_known_and_loses_nothing_but_defaults():
    lines = [json.loads(line) for line in TRANSCRIPT.read_text().splitlines()]
    frames = [line["frame"] for line in lines if "frame" in line]
    assert frames
    for frame in frames:
        message = decode_frame(json.dumps(frame))
        assert not isinstance(message, UnknownMessage)
        assert _significant(json.loads(encode_frame(message))) == _significant(frame)


def _significant(value: object) -> object:
    """Drop what equals a default (or is no member of the model), so the rest can be compared."""
    if isinstance(value, dict):
        kept = {k: _significant(v) for k, v in value.items() if k != "roleType"}
        return {k: v for k, v in kept.items() if v not in (0, "", [], {}, None, False)}
    if isinstance(value, list):
        return [_significant(item) for item in value]
    return value
