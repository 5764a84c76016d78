"""Instance types that a local instance can pose as."""

import json
from pathlib import Path
from typing import Any

import pytest

from homeport.agent.instance_types import ARM64, find_instance_type, list_instance_types
from homeport.agent.registration import make_registration
from homeport.agent.settings import AgentSettings, AgentStartError

INFO = {"NCPU": 2, "MemTotal": 4 * 2**30, "Architecture": "x86_64"}
FACTS = {"ec2InstanceId": "i-0123456789abcdef0"}


def register(**members: Any) -> Any:
    settings = AgentSettings(endpoint="http://h", data_dir=Path("/data"), **members)
    return make_registration(settings, INFO, FACTS)


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_mib"),
    [
        ("m5.large", 2, 8_192),
        ("c5.9xlarge", 36, 73_728),
        ("r6i.2xlarge", 8, 65_536),
        ("t3.micro", 2, 1_024),
        ("t2.nano", 1, 512),
        ("p3.2xlarge", 8, 62_464),
        ("m6g.medium", 1, 4_096),
    ],
)
def test_a_type_offers_what_ec2_says(name: str, vcpus: int, memory_mib: int):
    found = find_instance_type(name)
    assert found is not None
    assert (found.cpu_units, found.memory_mib) == (vcpus * 1_024, memory_mib)


def test_graviton_types_are_arm():
    assert {find_instance_type(n).architecture for n in ("t4g.small", "c7g.large")} == {ARM64}


def test_unknown_types_are_not_guessed():
    assert find_instance_type("z9.gigantic") is None
    assert find_instance_type(None) is None
    assert "m5.large" in list_instance_types()


def test_an_instance_registers_as_the_type_it_poses_as():
    request = register(instance_type="m6g.xlarge")
    cpu, memory, *_ = request.total_resources
    assert (cpu.integer_value, memory.integer_value) == (4_096, 16_384)
    document = json.loads(request.instance_identity_document)
    assert (document["instanceType"], document["architecture"]) == ("m6g.xlarge", "arm64")


def test_what_the_settings_say_wins_over_the_type():
    cpu, memory, *_ = register(
        instance_type="m5.large", cpu_units=100, memory_mib=200
    ).total_resources
    assert (cpu.integer_value, memory.integer_value) == (100, 200)


def test_reserved_memory_is_kept_from_tasks():
    _, memory, *_ = register(reserved_memory_mib=96).total_resources
    assert memory.integer_value == 4_000
    with pytest.raises(AgentStartError, match="lower it"):
        register(reserved_memory_mib=4_096)


def test_gpus_are_declared_by_the_type_or_by_the_settings():
    of_type = register(instance_type="g4dn.12xlarge").platform_devices
    assert [(device.id, device.type) for device in of_type] == [
        (f"GPU-0123456789abcdef0-{n}", "GPU") for n in range(4)
    ]
    assert len(register(gpu_count=1).platform_devices) == 1
    assert register(instance_type="g5.xlarge", gpu_count=0).platform_devices is None
    by_id = register(instance_type="g4dn.12xlarge", gpu_ids=("GPU-a", "GPU-b")).platform_devices
    assert [device.id for device in by_id] == ["GPU-a", "GPU-b"]


def test_tags_go_with_the_registration():
    [tag] = register(instance_tags={"team": "a"}).tags
    assert (tag.key, tag.value) == ("team", "a")
