"""What the Engine is asked to create for a payload's container."""

import json
from typing import Any

import msgspec
import pytest

from agent_builders import make_container, make_task
from homeport.agent import container_spec
from homeport.agent.container_spec import (
    InstanceFacts,
    SpecError,
    list_task_volumes,
    list_volumes,
    make_engine_config,
    name_container,
)
from homeport.agent.task_cgroup import FILES_V1
from homeport.agent.task_state import ContainerState, TaskState
from homeport.wire.agent_messages import payload

FACTS = InstanceFacts(
    cluster_name="default", container_instance_arn="arn:i", bind_address="127.0.1.1", engine_cpus=2
)
MIB = 1024 * 1024


def make(container: payload.Container, **task_members: Any) -> dict[str, Any]:
    task = make_task(container, **task_members)
    state = TaskState(task=task, containers=(ContainerState(name=container.name),))
    return make_engine_config(state, container, FACTS, {})


def docker(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None) -> Any:
    return payload.DockerConfig(config=json.dumps(config or {}), host_config=json.dumps(host or {}))


def test_image_command_entry_point_and_environment_are_passed_on():
    config = make(
        make_container(
            "web:1", command=("serve", "80"), entry_point=("/run",), environment={"A": "1"}
        )
    )
    assert config["Image"] == "web:1"
    assert config["Cmd"] == ["serve", "80"]
    assert config["Entrypoint"] == ["/run"]
    assert config["Env"] == ["A=1"]


def test_what_is_not_given_is_left_to_the_image():
    config = make(make_container("i"))
    assert "Cmd" not in config
    assert "Entrypoint" not in config


def test_a_command_override_wins():
    config = make(make_container("i", command=("a",), overrides='{"command":["b"]}'))
    assert config["Cmd"] == ["b"]


def test_labels_say_what_a_container_belongs_to_and_users_cannot_change_that():
    users = {"Labels": {"team": "blue", container_spec.INSTANCE_LABEL: "forged"}}
    labels = make(make_container("i", docker_config=docker(users)))["Labels"]
    assert labels["team"] == "blue"
    assert labels["homeport.container-instance"] == "arn:i"
    assert labels["com.amazonaws.ecs.cluster"] == "default"
    assert labels["com.amazonaws.ecs.container-name"] == "web"
    assert labels["com.amazonaws.ecs.task-definition-family"] == "demo"
    assert labels["com.amazonaws.ecs.task-definition-version"] == "1"


def test_names_are_readable_and_the_same_every_time_and_differ_between_tasks():
    task, other = make_task(make_container("i")), make_task(make_container("i"))
    name = name_container(task, "web")
    assert name.startswith("ecs-demo-1-web-")
    assert name == name_container(task, "web")
    assert name != name_container(other, "web")


def test_dockers_own_settings_are_kept():
    config = make(
        make_container(
            "i",
            docker_config=docker(
                {"User": "1000", "Healthcheck": {"Test": ["CMD", "true"]}, "Env": ["B=2"]},
                {"Dns": ["10.0.0.2"], "LogConfig": {"Type": "none"}, "MemoryReservation": 8 * MIB},
            ),
            environment={"A": "1"},
        )
    )
    assert config["User"] == "1000"
    assert config["Healthcheck"] == {"Test": ["CMD", "true"]}
    assert config["Env"] == ["B=2", "A=1"]
    assert config["HostConfig"]["Dns"] == ["10.0.0.2"]
    assert config["HostConfig"]["LogConfig"] == {"Type": "none"}
    assert config["HostConfig"]["MemoryReservation"] == 8 * MIB


def test_an_images_own_health_check_is_ignored():
    assert make(make_container("i"))["Healthcheck"] == {"Test": ["NONE"]}


@pytest.mark.parametrize(("cpu", "shares"), [(0, 2), (1, 2), (256, 256), (300_000, 262_144)])
def test_cpu_shares_stay_within_the_kernels_bounds(cpu: int, shares: int):
    assert make(make_container("i", cpu=cpu))["HostConfig"]["CpuShares"] == shares


@pytest.mark.parametrize(
    ("container_mib", "task_mib", "expected"),
    [(64, None, 64 * MIB), (64, 32, 32 * MIB), (0, 32, 32 * MIB), (0, None, None)],
)
def test_memory_is_bound_by_container_and_task(
    container_mib: int, task_mib: int | None, expected: int | None
):
    host = make(make_container("i", memory=container_mib), memory=task_mib)["HostConfig"]
    assert host.get("Memory") == expected


@pytest.mark.parametrize(("vcpus", "nano"), [(0.25, 250_000_000), (8.0, 2_000_000_000)])
def test_task_cpu_is_bound_by_what_the_engine_has(vcpus: float, nano: int):
    assert make(make_container("i"), cpu=vcpus)["HostConfig"]["NanoCpus"] == nano


def test_ports_are_bound_to_the_instances_address():
    mappings = (
        payload.PortMapping(container_port=80, protocol="tcp"),
        payload.PortMapping(container_port=53, host_port=5353, protocol="udp"),
    )
    config = make(make_container("i", port_mappings=mappings))
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert config["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.1.1", "HostPort": ""}],
        "53/udp": [{"HostIp": "127.0.1.1", "HostPort": "5353"}],
    }


@pytest.mark.parametrize("mode", ["host", "none"])
def test_without_a_bridge_no_port_is_bound(mode: str):
    mapping = payload.PortMapping(container_port=80)
    config = make(make_container("i", port_mappings=(mapping,)), network_mode=mode)
    assert "PortBindings" not in config["HostConfig"]
    assert config["HostConfig"]["NetworkMode"] == mode


def test_mounts_name_host_paths_and_volumes():
    volumes = (
        payload.Volume(name="etc", host=payload.HostVolumeProperties(source_path="/etc")),
        payload.Volume(name="scratch", type="host", host=payload.HostVolumeProperties()),
        payload.Volume(
            name="pool",
            type="docker",
            docker_volume_configuration=payload.DockerVolumeConfiguration(scope="shared"),
        ),
    )
    mounts = (
        payload.MountPoint(source_volume="etc", container_path="/host", read_only=True),
        payload.MountPoint(source_volume="scratch", container_path="/tmp"),
        payload.MountPoint(source_volume="pool", container_path="/pool"),
    )
    container = make_container("i", mount_points=mounts)
    etc, scratch, pool = make(container, volumes=volumes)["HostConfig"]["Binds"]
    assert etc == "/etc:/host:ro"
    assert scratch.startswith("ecs-demo-1-scratch-")
    assert pool == "pool:/pool"
    task = make_task(container, volumes=volumes)
    assert [(v.is_task_scoped, v.may_create) for v in list_volumes(task, container)] == [
        (True, True),
        (False, False),
    ]
    assert [name.startswith("ecs-demo-1-scratch-") for name in list_task_volumes(task)] == [True]


def test_a_mount_of_an_unknown_volume_is_refused():
    mount = payload.MountPoint(source_volume="ghost", container_path="/x")
    with pytest.raises(SpecError, match="'ghost', which the task doesn't have"):
        make(make_container("i", mount_points=(mount,)))


def test_links_and_volumes_from_name_the_tasks_own_containers():
    db = make_container("i", "db")
    web = make_container(
        "i",
        links=("db:database", "cache"),
        volumes_from=(payload.VolumeFrom(source_container="db", read_only=True),),
    )
    task = make_task(db, web)
    state = TaskState(task=task, containers=(ContainerState(name="web"),))
    host = make_engine_config(state, web, FACTS, {})["HostConfig"]
    assert host["Links"] == [
        f"{name_container(task, 'db')}:database",
        f"{name_container(task, 'cache')}:cache",
    ]
    assert host["VolumesFrom"] == [f"{name_container(task, 'db')}:ro"]


def test_linux_parameters_are_translated():
    linux = payload.LinuxParameters(
        capabilities=payload.KernelCapabilities(add=("NET_ADMIN",), drop=("CHOWN",)),
        devices=(payload.Device(host_path="/dev/null", permissions=("read", "write")),),
        init_process_enabled=True,
        shared_memory_size=64,
    )
    host = make(make_container("i", linux_parameters=linux, privileged=True))["HostConfig"]
    assert host["CapAdd"] == ["NET_ADMIN"]
    assert host["CapDrop"] == ["CHOWN"]
    assert host["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rw"}
    ]
    assert host["Init"] is True
    assert host["ShmSize"] == 64 * MIB
    assert host["Privileged"] is True


def test_a_container_gets_its_own_gpus_through_the_engines_runtime():
    train, watch = make_container("i", name="train"), make_container("i", name="watch")
    gpus = [
        payload.Association(name=name, type="gpu", containers=("train",))
        for name in ("GPU-a", "GPU-b")
    ]
    task = make_task(train, watch, associations=tuple(gpus))
    state = TaskState(task=task, containers=(ContainerState(name="train"),))
    facts = msgspec.structs.replace(FACTS, gpu_runtime="nvidia")
    config = make_engine_config(state, train, facts, {})
    assert config["Env"] == ["NVIDIA_VISIBLE_DEVICES=GPU-a,GPU-b"]
    assert config["HostConfig"]["Runtime"] == "nvidia"
    assert "Runtime" not in make_engine_config(state, train, FACTS, {})["HostConfig"]
    other = make_engine_config(state, watch, facts, {})
    assert other["Env"] == []
    assert "Runtime" not in other["HostConfig"]


def test_namespaces_of_the_host_are_shared_when_asked_for():
    host = make(make_container("i"), pid_mode="host", ipc_mode="none")["HostConfig"]
    assert (host["PidMode"], host["IpcMode"]) == ("host", "none")


def test_docker_settings_that_are_not_json_are_refused_by_name():
    broken = payload.DockerConfig(config="{", host_config="")
    with pytest.raises(SpecError, match=r"container web: dockerConfig\.config can't be read"):
        make(make_container("i", docker_config=broken))


def test_where_the_task_has_a_cgroup_its_cpu_bounds_no_single_container():
    facts = msgspec.structs.replace(FACTS, cgroup_scheme=FILES_V1)
    container = make_container("i", memory=64)
    task = make_task(container, cpu=0.5, memory=128)
    state = TaskState(task=task, containers=(ContainerState(name=container.name),))
    host = make_engine_config(state, container, facts, {})["HostConfig"]
    assert host["CgroupParent"] == "/ecs/" + task.arn.rpartition("/")[2]
    assert "NanoCpus" not in host
    assert host["Memory"] == 64 * MIB


def test_a_task_without_limits_stays_below_dockers_own_parent():
    facts = msgspec.structs.replace(FACTS, cgroup_scheme=FILES_V1)
    container = make_container("i", memory=64)
    state = TaskState(task=make_task(container), containers=(ContainerState(name="web"),))
    assert "CgroupParent" not in make_engine_config(state, container, facts, {})["HostConfig"]
