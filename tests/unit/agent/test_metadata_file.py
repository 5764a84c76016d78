"""The file in which a container reads about itself."""

import json
from pathlib import Path
from typing import Any

from agent_builders import make_container, make_task
from homeport.agent.container_spec import InstanceFacts, make_engine_config
from homeport.agent.metadata_file import FILE_NAME, MetadataFiles, path_inside, task_folder
from homeport.agent.task_state import Binding, ContainerState, TaskState

TASK = make_task(make_container("web:1"), zone="us-east-1a")
BINDING = Binding(bind_ip="0.0.0.0", protocol="tcp", container_port=80, host_port=8080)
STATE = TaskState(task=TASK, containers=(ContainerState(name="web", bindings=(BINDING,)),))
SHOWN = {
    "Id": "abc",
    "Name": "/ecs-demo-1-web",
    "Image": "sha256:1",
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
}


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (folder / task_folder(TASK.arn) / "web" / FILE_NAME).read_text()
    )
    return found


def make_files(folder: Path) -> MetadataFiles:
    return MetadataFiles(folder, cluster="default", container_instance_arn="arn:i")


def test_before_the_container_exists_its_task_is_known(tmp_path: Path):
    make_files(tmp_path).prepare(STATE, "web")
    known = read(tmp_path)
    assert (known["TaskARN"], known["ContainerName"]) == (TASK.arn, "web")
    assert known["ContainerInstanceARN"] == "arn:i"
    assert "MetadataFileStatus" not in known


def test_once_it_runs_the_file_is_ready(tmp_path: Path):
    files = make_files(tmp_path)
    files.prepare(STATE, "web")
    files.complete(STATE, "web", SHOWN)
    known = read(tmp_path)
    assert known["MetadataFileStatus"] == "READY"
    assert (known["ContainerID"], known["ImageName"]) == ("abc", "web:1")
    assert known["PortMappings"] == [
        {"ContainerPort": 80, "HostPort": 8080, "BindIp": "0.0.0.0", "Protocol": "tcp"}
    ]
    assert known["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.2"]}]


def test_files_go_with_their_task(tmp_path: Path):
    files = make_files(tmp_path)
    files.prepare(STATE, "web")
    files.remove(TASK.arn)
    files.remove(TASK.arn)
    assert list(tmp_path.iterdir()) == []


def test_the_container_is_told_where_its_file_is_and_cannot_write_to_it(tmp_path: Path):
    facts = InstanceFacts(
        cluster_name="default",
        container_instance_arn="arn:i",
        bind_address="0.0.0.0",
        engine_cpus=1,
        metadata_folder=str(tmp_path),
    )
    config = make_engine_config(STATE, TASK.containers[0], facts, {})
    inside = path_inside(TASK.arn)
    assert f"ECS_CONTAINER_METADATA_FILE={inside}" in config["Env"]
    [bind] = config["HostConfig"]["Binds"]
    source, target, mode = bind.split(":")
    assert (source, mode) == (str(tmp_path / task_folder(TASK.arn) / "web"), "ro")
    assert inside == f"{target}/{FILE_NAME}"
