"""The container metadata file: what a container may read about itself, in a folder mounted into it.

docs.aws.amazon.com/AmazonECS/latest/developerguide/container-metadata.html. Written before the
container is created and completed when it has started. Not here: metadata over HTTP (`metadata`).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from homeport.agent.task_state import TaskState

FILE_NAME: Final = "ecs-container-metadata.json"
CONTAINER_FOLDER: Final = "/opt/ecs/metadata"
VARIABLE: Final = "ECS_CONTAINER_METADATA_FILE"
READY: Final = "READY"


class MetadataFiles:
    """All metadata files of one agent, under its data directory."""

    def __init__(self, folder: Path, *, cluster: str, container_instance_arn: str) -> None:
        self._folder = folder
        self._cluster = cluster
        self._container_instance_arn = container_instance_arn

    def prepare(self, state: TaskState, name: str) -> None:
        """Write what is known before the container exists; raises OSError."""
        folder = self._folder / task_folder(state.arn) / name
        folder.mkdir(parents=True, exist_ok=True)
        self._write(state, name, self._known(state, name))

    def complete(self, state: TaskState, name: str, shown: dict[str, Any]) -> None:
        """Add what the Engine knows of the started container; raises OSError."""
        container = state.container(name)
        bindings = () if container is None else container.bindings
        networks = (shown.get("NetworkSettings") or {}).get("Networks") or {}
        whole = {
            **self._known(state, name),
            "ContainerID": shown.get("Id"),
            "DockerContainerName": str(shown.get("Name") or ""),
            "ImageID": shown.get("Image"),
            "ImageName": state.definition(name).image,
            "PortMappings": [
                {
                    "ContainerPort": binding.container_port,
                    "HostPort": binding.host_port,
                    "BindIp": binding.bind_ip,
                    "Protocol": binding.protocol,
                }
                for binding in bindings
            ],
            "Networks": [
                {
                    "NetworkMode": state.task.network_mode or network,
                    "IPv4Addresses": [found["IPAddress"]] if found.get("IPAddress") else [],
                }
                for network, found in sorted(networks.items())
            ],
            "MetadataFileStatus": READY,
        }
        self._write(state, name, whole)

    def remove(self, task_arn: str) -> None:
        """Remove an ended task's files; gone already is fine."""
        shutil.rmtree(self._folder / task_folder(task_arn), ignore_errors=True)

    def _known(self, state: TaskState, name: str) -> dict[str, Any]:
        return {
            "Cluster": self._cluster,
            "ContainerInstanceARN": self._container_instance_arn,
            "TaskARN": state.arn,
            "TaskDefinitionFamily": state.task.family,
            "TaskDefinitionRevision": state.task.version,
            "ContainerName": name,
            "AvailabilityZone": state.task.zone,
        }

    def _write(self, state: TaskState, name: str, content: dict[str, Any]) -> None:
        """Replace the file as a whole: a container never reads half of it."""
        target = self._folder / task_folder(state.arn) / name / FILE_NAME
        draft = target.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(content))
        draft.chmod(0o644)
        draft.replace(target)


def task_folder(task_arn: str) -> str:
    """The folder of a task: its id."""
    return task_arn.rpartition("/")[2]


def bind_folder(folder: str, task_arn: str, name: str) -> str:
    """The Engine's bind of a container's folder, read only."""
    return f"{folder}/{task_folder(task_arn)}/{name}:{CONTAINER_FOLDER}/{task_folder(task_arn)}:ro"


def path_inside(task_arn: str) -> str:
    """Where the container finds its file."""
    return f"{CONTAINER_FOLDER}/{task_folder(task_arn)}/{FILE_NAME}"
