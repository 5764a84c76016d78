"""Required members and enumerated values, beyond what JSON types say."""

import msgspec
import pytest

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.wire.json11 import parse_request


def refusal(operation: str, **members: object) -> AwsError:
    with pytest.raises(AwsError) as refused:
        parse_request(ecs.OPERATIONS[operation], msgspec.json.encode(members))
    return refused.value


@pytest.mark.parametrize(
    ("operation", "members", "code", "message"),
    [
        ("StopTask", {}, "InvalidParameterException", "task is missing."),
        ("StopTask", {"task": None}, "InvalidParameterException", "task is missing."),
        ("RunTask", {}, "InvalidParameterException", "taskDefinition is missing."),
        ("DescribeTasks", {}, "InvalidParameterException", "Tasks cannot be empty."),
        (
            "DescribeContainerInstances",
            {},
            "ClientException",
            "Container Instances cannot be empty.",
        ),
        ("CreateService", {}, "InvalidParameterException", "Invalid service name."),
        (
            "RegisterTaskDefinition",
            {"family": "web", "containerDefinitions": [{}, {"ulimits": [{"name": "nofile"}]}]},
            "ClientException",
            "containerDefinitions[1].ulimits[0].softLimit is missing.",
        ),
        (
            "PutAttributes",
            {"attributes": [{"name": "a"}, {"value": "b"}]},
            "InvalidParameterException",
            "attributes[1].name is missing.",
        ),
        (
            "CreateService",
            {"serviceName": "web", "deploymentConfiguration": {"alarms": {"enable": True}}},
            "InvalidParameterException",
            "deploymentConfiguration.alarms.alarmNames is missing.",
        ),
    ],
)
def test_a_missing_required_member_is_named(
    operation: str, members: dict[str, object], code: str, message: str
) -> None:
    refused = refusal(operation, **members)
    assert (refused.code, refused.message) == (code, message)


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        (
            "CreateService",
            {"serviceName": "web", "launchType": "MOON"},
            "launch type should be one of [EC2,FARGATE,EXTERNAL,FMI,MANAGED_INSTANCES]",
        ),
        (
            "CreateService",
            {"serviceName": "web", "schedulingStrategy": "replica"},
            "Scheduling strategy should be one of [REPLICA,DAEMON]",
        ),
        (
            "PutAccountSetting",
            {"name": "unknown", "value": "enabled"},
            "unknown should be one of [" + ",".join(ecs.ENUM_VALUES["SettingName"]) + "]",
        ),
        (
            "DescribeTasks",
            {"tasks": [], "include": ["TAGS", "tags"]},
            "include[1] should be one of [TAGS]",
        ),
        (
            "ListTasks",
            {"desiredStatus": ""},
            "desiredStatus should be one of [RUNNING,PENDING,STOPPED]",
        ),
    ],
)
def test_an_unknown_value_is_answered_with_the_known_ones(
    operation: str, members: dict[str, object], message: str
) -> None:
    refused = refusal(operation, **members)
    assert (refused.code, refused.message) == ("InvalidParameterException", message)


def test_an_unknown_value_in_a_task_definition_is_a_client_exception_with_its_path() -> None:
    container = {"name": "a", "logConfiguration": {"logDriver": "carrier-pigeon"}}
    refused = refusal("RegisterTaskDefinition", family="f", containerDefinitions=[container])
    assert refused.code == "ClientException"
    assert refused.message.startswith(
        "containerDefinitions[0].logConfiguration.logDriver should be one of [json-file,"
    )


def test_a_huge_setting_name_is_not_echoed_whole() -> None:
    refused = refusal("PutAccountSetting", name="x" * 500_000, value="y")
    assert len(refused.message) < 1_000


@pytest.mark.parametrize("operation", sorted(ecs.OPERATIONS))
def test_every_operation_answers_an_empty_request_with_a_shape_or_a_refusal(operation: str) -> None:
    model = ecs.OPERATIONS[operation]
    required = ecs.REQUIRED_MEMBERS.get(model.input_type, ())
    if required:
        assert refusal(operation).message
    else:
        assert parse_request(model, b"{}") == model.input_type()


@pytest.mark.parametrize("launch_type", ecs.ENUM_VALUES["LaunchType"])
def test_every_known_value_is_taken(launch_type: str) -> None:
    body = msgspec.json.encode({"taskDefinition": "web", "launchType": launch_type})
    request = parse_request(ecs.OPERATIONS["RunTask"], body)
    assert request == ecs.RunTaskRequest(task_definition="web", launch_type=launch_type)
