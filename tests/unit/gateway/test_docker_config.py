"""What Docker is told of a container, in Docker's own shapes."""

from typing import Any

import msgspec
import pytest

from homeport.api import ecs
from homeport.gateway.docker_config import render_docker_config
from homeport.wire.agent_messages import payload

MIB = 1024 * 1024


def render(
    definition: dict[str, Any],
    *,
    network_mode: str | None = None,
    memory_mib: int | None = None,
    memory_reservation_mib: int | None = None,
) -> payload.DockerConfig:
    return render_docker_config(
        msgspec.convert(definition, ecs.ContainerDefinition),
        network_mode=network_mode,
        memory_mib=memory_mib,
        memory_reservation_mib=memory_reservation_mib,
    )


def config(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(msgspec.json.decode(render(definition).config))


def host(definition: dict[str, Any], **members: Any) -> dict[str, Any]:
    return dict(msgspec.json.decode(render(definition, **members).host_config))


def test_a_plain_container_says_no_more_than_it_must() -> None:
    assert config({"name": "app"}) == {}
    assert host({"name": "app"}) == {"NetworkMode": "bridge", "CapAdd": [], "CapDrop": []}


def test_a_health_check_is_in_nanoseconds() -> None:
    check = {
        "command": ["CMD-SHELL", "wget -q -O - http://127.0.0.1/ || exit 1"],
        "interval": 5,
        "timeout": 2,
        "retries": 2,
        "startPeriod": 1,
    }
    assert config({"healthCheck": check}) == {
        "Healthcheck": {
            "Test": ["CMD-SHELL", "wget -q -O - http://127.0.0.1/ || exit 1"],
            "Interval": 5_000_000_000,
            "Timeout": 2_000_000_000,
            "Retries": 2,
            "StartPeriod": 1_000_000_000,
        }
    }


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"user": "1000:1000"}, {"User": "1000:1000"}),
        ({"workingDirectory": "/srv"}, {"WorkingDir": "/srv"}),
        ({"hostname": "web"}, {"Hostname": "web"}),
        ({"pseudoTerminal": True}, {"Tty": True}),
        ({"interactive": True}, {"OpenStdin": True}),
        ({"disableNetworking": True}, {"NetworkDisabled": True}),
        ({"dockerLabels": {"a": "1"}}, {"Labels": {"a": "1"}}),
    ],
)
def test_settings_of_the_container_are_dockers(
    definition: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert config(definition) == expected


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"privileged": True}, {"Privileged": True}),
        ({"readonlyRootFilesystem": True}, {"ReadonlyRootfs": True}),
        ({"dnsServers": ["10.0.0.2"]}, {"Dns": ["10.0.0.2"]}),
        ({"dnsSearchDomains": ["local"]}, {"DnsSearch": ["local"]}),
        (
            {"extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.9"}]},
            {"ExtraHosts": ["db:10.0.0.9"]},
        ),
        (
            {"dockerSecurityOptions": ["no-new-privileges"]},
            {"SecurityOpt": ["no-new-privileges"]},
        ),
        (
            {"logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}}},
            {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}},
        ),
        (
            {"logConfiguration": {"logDriver": "none"}},
            {"LogConfig": {"Type": "none", "Config": {}}},
        ),
        (
            {"ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}]},
            {"Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}]},
        ),
        (
            {"systemControls": [{"namespace": "net.core.somaxconn", "value": "512"}]},
            {"Sysctls": {"net.core.somaxconn": "512"}},
        ),
    ],
)
def test_settings_of_the_host_are_dockers(
    definition: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert expected.items() <= host(definition).items()


@pytest.mark.parametrize(
    ("linux", "expected"),
    [
        (
            {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
            {"CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"]},
        ),
        ({"initProcessEnabled": True}, {"Init": True}),
        ({"sharedMemorySize": 64}, {"ShmSize": 64 * MIB}),
        (
            {
                "tmpfs": [
                    {"containerPath": "/run", "size": 16, "mountOptions": ["noexec", "mode=1777"]}
                ]
            },
            {"Tmpfs": {"/run": "size=16m,noexec,mode=1777"}},
        ),
        ({"tmpfs": [{"containerPath": "/t", "size": 1}]}, {"Tmpfs": {"/t": "size=1m"}}),
        (
            {"devices": [{"hostPath": "/dev/fuse"}]},
            {
                "Devices": [
                    {
                        "PathOnHost": "/dev/fuse",
                        "PathInContainer": "/dev/fuse",
                        "CgroupPermissions": "rwm",
                    }
                ]
            },
        ),
        (
            {"devices": [{"hostPath": "/dev/a", "containerPath": "/b", "permissions": ["read"]}]},
            {
                "Devices": [
                    {
                        "PathOnHost": "/dev/a",
                        "PathInContainer": "/b",
                        "CgroupPermissions": "r",
                    }
                ]
            },
        ),
        ({"swappiness": 0}, {"MemorySwappiness": 0}),
    ],
)
def test_linux_parameters_become_settings_of_the_host(
    linux: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert expected.items() <= host({"linuxParameters": linux}).items()


def test_swap_is_counted_together_with_memory_and_needs_a_memory_limit() -> None:
    definition = {"linuxParameters": {"maxSwap": 100}}
    assert host(definition, memory_mib=28)["MemorySwap"] == 128 * MIB
    assert "MemorySwap" not in host(definition)


def test_no_swap_at_all_is_said_and_not_left_to_docker() -> None:
    assert host({"linuxParameters": {"maxSwap": 0}}, memory_mib=28)["MemorySwap"] == 28 * MIB


def test_a_memory_reservation_is_in_bytes() -> None:
    assert host({}, memory_reservation_mib=64)["MemoryReservation"] == 64 * MIB


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(None, "bridge"), ("bridge", "bridge"), ("host", "host"), ("none", "none")],
)
def test_the_network_mode_is_dockers(mode: str | None, expected: str) -> None:
    assert host({}, network_mode=mode)["NetworkMode"] == expected


def test_awsvpc_is_left_to_the_agent() -> None:
    assert "NetworkMode" not in host({}, network_mode="awsvpc")


def test_an_init_process_needs_the_newer_api_version() -> None:
    assert render({}).version == "1.24"
    assert render({"linuxParameters": {"initProcessEnabled": True}}).version == "1.25"
