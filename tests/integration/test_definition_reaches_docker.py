"""What boto3 registers is what Docker runs: every member that a Docker Engine can carry out."""

import signal
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import boto3
import pytest

from docker_calls import call_engine, list_containers
from homeport.cli.engine_api import EngineApi
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

MIB = 2**20
TASK_LABEL = "com.amazonaws.ecs.task-arn"
WAIT = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="module")
def ecs(docker_engine: EngineApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A boto3 client of a `homeport up` with one container instance."""
    folder = tmp_path_factory.mktemp("up")
    process = HomeportProcess(["up", "--port", "0", "--instances", "1", "--data-dir", str(folder)])
    try:
        line = process.wait_line("Homeport is up at http://", limit_s=60)
        yield boto3.client(
            "ecs",
            endpoint_url=line.partition("Homeport is up at ")[2].partition(",")[0],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
    finally:
        process.send(signal.SIGINT)
        process.wait()


def app(image: str) -> dict[str, Any]:
    """A container with everything that a Linux container may have on an Engine of one machine."""
    return {
        "name": "app",
        "image": image,
        "essential": True,
        "cpu": 64,
        "memory": 64,
        "memoryReservation": 32,
        "entryPoint": ["/bin/sh", "-c"],
        "command": ["/serve"],
        "environment": [{"name": "COLOUR", "value": "blau"}, {"name": "PORT", "value": "8080"}],
        "workingDirectory": "/tmp",
        "user": "0:0",
        "hostname": "box",
        "portMappings": [
            {"containerPort": 8080, "protocol": "tcp"},
            {"containerPort": 9053, "protocol": "udp"},
            {"containerPortRange": "7000-7002", "protocol": "tcp"},
        ],
        "links": ["side:neighbour"],
        "dependsOn": [{"containerName": "side", "condition": "HEALTHY"}],
        "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/data", "readOnly": True}],
        "volumesFrom": [{"sourceContainer": "side", "readOnly": True}],
        "dnsServers": ["127.0.0.2"],
        "dnsSearchDomains": ["example.internal"],
        "dockerSecurityOptions": ["no-new-privileges"],
        "extraHosts": [{"hostname": "other", "ipAddress": "127.0.0.3"}],
        "dockerLabels": {"owner": "me"},
        "interactive": True,
        "pseudoTerminal": True,
        "readonlyRootFilesystem": True,
        "stopTimeout": 2,
        "startTimeout": 60,
        "systemControls": [{"namespace": "net.core.somaxconn", "value": "300"}],
        "ulimits": [{"name": "nofile", "softLimit": 512, "hardLimit": 1024}],
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}},
        "healthCheck": {
            "command": ["CMD-SHELL", "true"],
            "interval": 5,
            "timeout": 3,
            "retries": 2,
            "startPeriod": 1,
        },
        "linuxParameters": {
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]},
            "devices": [
                {"hostPath": "/dev/zero", "containerPath": "/dev/none", "permissions": ["read"]}
            ],
            "initProcessEnabled": True,
            "sharedMemorySize": 8,
            "tmpfs": [{"containerPath": "/run/quick", "size": 4, "mountOptions": ["noexec"]}],
        },
    }


def side(image: str) -> dict[str, Any]:
    check = {"command": ["CMD", "/bin/true"], "interval": 5}
    return {
        "name": "side",
        "image": image,
        "memory": 32,
        "command": ["/bin/sleep", "600"],
        "mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}],
        "healthCheck": check,
        "stopTimeout": 2,
    }


@pytest.fixture(scope="module")
def running(ecs: Any, docker_engine: EngineApi, busybox_image: str) -> dict[str, Any]:
    """The task as ECS describes it, and its containers as Docker does, by their names."""
    ecs.register_task_definition(
        family="everything",
        containerDefinitions=[app(busybox_image), side(busybox_image)],
        volumes=[{"name": "scratch", "host": {}}, {"name": "shared", "host": {}}],
    )
    (task,) = ecs.run_task(taskDefinition="everything")["tasks"]
    arn = task["taskArn"]
    ecs.get_waiter("tasks_running").wait(tasks=[arn], WaiterConfig=WAIT)
    (described,) = ecs.describe_tasks(tasks=[arn])["tasks"]
    found = {"task": described}
    for each in list_containers(docker_engine, {TASK_LABEL: arn}):
        shown = call_engine(docker_engine, "GET", f"/containers/{each['Id']}/json")
        found[shown["Config"]["Labels"]["com.amazonaws.ecs.container-name"]] = shown
    return found


def test_program_and_surroundings_are_as_registered(running: dict[str, Any]):
    config = running["app"]["Config"]
    assert config["Entrypoint"] == ["/bin/sh", "-c"]
    assert config["Cmd"] == ["/serve"]
    assert {"COLOUR=blau", "PORT=8080"} <= set(config["Env"])
    assert (config["WorkingDir"], config["User"], config["Hostname"]) == ("/tmp", "0:0", "box")
    assert config["Labels"]["owner"] == "me"
    assert config["OpenStdin"] and config["Tty"]
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"],
        "Interval": 5_000_000_000,
        "Timeout": 3_000_000_000,
        "Retries": 2,
        "StartPeriod": 1_000_000_000,
    }


def test_limits_and_rights_are_as_registered(running: dict[str, Any]):
    host = running["app"]["HostConfig"]
    assert (host["Memory"], host["MemoryReservation"]) == (64 * MIB, 32 * MIB)
    assert host["CpuShares"] == 64
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 512, "Hard": 1024}]
    assert (host["CapAdd"], host["CapDrop"]) == (["NET_ADMIN"], ["MKNOD"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] and host["Init"] and not host["Privileged"]
    assert host["ShmSize"] == 8 * MIB
    assert host["Tmpfs"] == {"/run/quick": "size=4m,noexec"}
    assert host["Sysctls"] == {"net.core.somaxconn": "300"}
    assert host["Devices"] == [
        {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/none", "CgroupPermissions": "r"}
    ]


def test_network_and_logs_are_as_registered(running: dict[str, Any]):
    host = running["app"]["HostConfig"]
    assert host["Dns"] == ["127.0.0.2"]
    assert host["DnsSearch"] == ["example.internal"]
    assert host["ExtraHosts"] == ["other:127.0.0.3"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert [link.rpartition("/")[2] for link in host["Links"]] == ["neighbour"]
    ports = running["app"]["NetworkSettings"]["Ports"]
    assert ports.keys() == {"8080/tcp", "9053/udp", *(f"{n}/tcp" for n in (7000, 7001, 7002))}
    assert {binding["HostIp"] for bound in ports.values() for binding in bound} == {"127.0.1.1"}


def test_volumes_are_mounted_as_registered(running: dict[str, Any]):
    mounts = {each["Destination"]: each["RW"] for each in running["app"]["Mounts"]}
    assert mounts == {"/data": False, "/shared": False}
    assert [(each["Destination"], each["RW"]) for each in running["side"]["Mounts"]] == [
        ("/shared", True)
    ]


def test_what_ecs_describes_is_where_docker_listens(running: dict[str, Any]):
    (container,) = (each for each in running["task"]["containers"] if each["name"] == "app")
    assert container["runtimeId"] == running["app"]["Id"]
    bound = running["app"]["NetworkSettings"]["Ports"]
    single = [each for each in container["networkBindings"] if "containerPort" in each]
    assert {(each["containerPort"], each["protocol"]) for each in single} == {
        (8080, "tcp"),
        (9053, "udp"),
    }
    for each in single:
        (port,) = bound[f"{each['containerPort']}/{each['protocol']}"]
        assert (each["bindIP"], str(each["hostPort"])) == (port["HostIp"], port["HostPort"])
    (ranged,) = (each for each in container["networkBindings"] if "containerPortRange" in each)
    assert ranged["containerPortRange"] == "7000-7002"
    first, last = ranged["hostPortRange"].split("-")
    assert (first, last) == (bound["7000/tcp"][0]["HostPort"], bound["7002/tcp"][0]["HostPort"])


def test_a_container_starts_after_the_one_that_it_depends_on_is_healthy(running: dict[str, Any]):
    assert running["side"]["State"]["Health"]["Status"] == "healthy"
    checked_at = running["side"]["State"]["Health"]["Log"][0]["End"]
    started_at = running["app"]["State"]["StartedAt"]
    assert datetime.fromisoformat(checked_at) <= datetime.fromisoformat(started_at)
