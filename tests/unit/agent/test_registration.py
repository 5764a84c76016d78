"""What the agent says of itself when it registers."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from homeport.agent import registration
from homeport.agent.link import ControlPlaneUnavailable
from homeport.agent.registration import (
    list_capabilities,
    make_registration,
    refuse_other_cluster,
)
from homeport.agent.settings import AgentSettings, AgentStartError, make_settings
from homeport.config import AgentConfig
from homeport.operations.ecs.registration import CLIENT_TOKEN_LENGTH_CHARACTERS

INFO: dict[str, Any] = {
    "NCPU": 4,
    "MemTotal": 8 * 2**30,
    "Architecture": "aarch64",
    "Plugins": {"Log": ["json-file", "fluentd"], "Volume": ["local"]},
    "SecurityOptions": ["name=seccomp,profile=default", "name=apparmor"],
}
FACTS = {"ec2InstanceId": "i-0123456789abcdef0"}


def make_agent(**members: Any) -> AgentSettings:
    return AgentSettings(endpoint="http://h", data_dir=Path("/data"), **members)


def test_resources_are_the_engines_unless_told_otherwise():
    request = make_registration(make_agent(), INFO, FACTS)
    assert request.total_resources is not None
    cpu, memory, ports, ports_udp = request.total_resources
    assert (cpu.name, cpu.type, cpu.integer_value) == ("CPU", "INTEGER", 4096)
    assert memory.integer_value == 8192
    assert ports.string_set_value == ["22", "2375", "2376", "51678", "51679"]
    assert ports_udp.string_set_value == []
    told = make_registration(make_agent(cpu_units=512, memory_mib=256), INFO, FACTS)
    assert told.total_resources is not None
    assert [r.integer_value for r in told.total_resources[:2]] == [512, 256]


def test_the_machine_is_described_in_an_identity_document():
    agent = make_agent(availability_zone="us-east-1b", instance_type="my.box")
    document = json.loads(make_registration(agent, INFO, FACTS).instance_identity_document or "")
    assert document["instanceId"] == "i-0123456789abcdef0"
    assert document["availabilityZone"] == "us-east-1b"
    assert document["instanceType"] == "my.box"
    assert document["architecture"] == "arm64"
    bare = json.loads(make_registration(make_agent(), INFO, FACTS).instance_identity_document or "")
    assert "instanceType" not in bare


def test_custom_attributes_go_with_the_first_registration_only():
    agent = make_agent(attributes={"stack": "prod"})
    first = make_registration(agent, INFO, FACTS)
    assert first.container_instance_arn is None
    assert ("stack", "prod") in [(a.name, a.value) for a in first.attributes or []]
    again = make_registration(agent, INFO, {**FACTS, "containerInstanceArn": "arn:i"})
    assert again.container_instance_arn == "arn:i"
    assert "stack" not in [a.name for a in again.attributes or []]


def test_capabilities_follow_from_the_engines_drivers():
    names = list_capabilities(make_agent(), INFO)
    assert "com.amazonaws.ecs.capability.logging-driver.fluentd" in names
    assert "com.amazonaws.ecs.capability.logging-driver.none" in names
    assert "ecs.capability.docker-plugin.local" in names
    assert "com.amazonaws.ecs.capability.apparmor" in names
    assert "com.amazonaws.ecs.capability.selinux" not in names
    assert len(names) == len(set(names))


def test_what_the_agent_cannot_do_is_not_claimed():
    claimed = " ".join(list_capabilities(make_agent(), INFO))
    for name in ("secrets", "task-eni", "env-files", "firelens", "efs", "execute-command"):
        assert name not in claimed


def test_only_the_log_drivers_that_were_named_and_exist_are_offered():
    agent = make_agent(logging_drivers=("json-file", "splunk"))
    drivers = [name for name in list_capabilities(agent, INFO) if "logging-driver" in name]
    assert drivers == ["com.amazonaws.ecs.capability.logging-driver.json-file"]


def test_an_agent_may_refuse_privileged_containers():
    privileged = "com.amazonaws.ecs.capability.privileged-container"
    assert privileged in list_capabilities(make_agent(), INFO)
    assert privileged not in list_capabilities(make_agent(disable_privileged=True), INFO)


def test_another_cluster_than_the_saved_one_is_refused_with_advice():
    refuse_other_cluster(make_agent(), {})
    refuse_other_cluster(make_agent(), {"cluster": "default"})
    with pytest.raises(AgentStartError, match="saved cluster 'blue' does not match configured"):
        refuse_other_cluster(make_agent(), {"cluster": "blue"})


def test_settings_come_from_the_configuration_record():
    config = AgentConfig(endpoint="http://h:1/", data_dir="/d", task_cleanup_wait_s=5)
    settings = make_settings(config)
    assert settings.endpoint == "http://h:1"
    assert settings.data_dir == Path("/d")
    assert settings.task_cleanup_wait_s == 5


def test_an_agent_with_a_subnet_for_tasks_says_that_it_can_do_awsvpc():
    agent = make_agent(attributes={"homeport.subnet": "10.9.0.0/24"})
    for facts in (FACTS, {**FACTS, "containerInstanceArn": "arn:i"}):
        names = [a.name for a in make_registration(agent, INFO, facts).attributes or []]
        assert "ecs.capability.task-eni" in names
    names = [a.name for a in make_registration(make_agent(), INFO, FACTS).attributes or []]
    assert "ecs.capability.task-eni" not in names


def test_the_first_registration_has_a_token_that_stays_the_same_until_the_request_changes():
    token = make_registration(make_agent(), INFO, FACTS).client_token
    assert token is not None
    assert 1 <= len(token) <= CLIENT_TOKEN_LENGTH_CHARACTERS
    assert make_registration(make_agent(), INFO, FACTS).client_token == token
    for other in (
        make_registration(make_agent(attributes={"a": "b"}), INFO, FACTS),
        make_registration(make_agent(), INFO, {"ec2InstanceId": "i-0123456789abcdef1"}),
    ):
        assert other.client_token not in (None, token)


def test_a_registration_that_names_its_arn_needs_no_token():
    again = make_registration(make_agent(), INFO, {**FACTS, "containerInstanceArn": "arn:i"})
    assert again.client_token is None


async def test_what_an_agent_waits_for_is_said_once_until_it_is_something_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    troubles = ["refused", "refused", "refused", "not found", "refused"]

    class Away:
        async def call(self, *_what: object) -> None:
            if not troubles:
                raise ValueError
            raise ControlPlaneUnavailable(troubles.pop(0))

    monkeypatch.setattr(registration, "FIRST_RETRY_S", 0.0)
    link: Any = Away()
    request = make_registration(make_agent(), INFO, FACTS)
    with caplog.at_level(logging.INFO, "homeport.agent"), pytest.raises(ValueError):
        await registration._register_until_answered(make_agent(), link, request)
    assert [line.rpartition(": ")[2] for line in caplog.messages] == [
        "refused",
        "not found",
        "refused",
    ]
