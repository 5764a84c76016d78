"""What RegisterTaskDefinition asks of volumes and of the mount points that use them.

Source: API:Volume, MountPoint, DockerVolumeConfiguration, EFSVolumeConfiguration.
"""

from collections.abc import Sequence

from homeport.api import ecs
from homeport.operations.names import check_name

EFS_PORT_MAX = 65_535

_SOURCES = (
    ("host", "host"),
    ("docker_volume_configuration", "dockerVolumeConfiguration"),
    ("efs_volume_configuration", "efsVolumeConfiguration"),
    ("s3files_volume_configuration", "s3filesVolumeConfiguration"),
    ("fsx_windows_file_server_volume_configuration", "fsxWindowsFileServerVolumeConfiguration"),
)


def check_volumes(
    volumes: Sequence[ecs.Volume], containers: Sequence[ecs.ContainerDefinition]
) -> None:
    """Refuse unsound volumes and mount points of unknown ones, with ClientException."""
    names: set[str] = set()
    for volume in volumes:
        name = check_name(volume.name, "Volume.name", ecs.ClientException)
        if name in names:
            raise ecs.ClientException(
                f"Volume names must be unique within a Task Definition, '{name}' is not."
            )
        names.add(name)
        _check_volume(volume)
    for container in containers:
        for mount in container.mount_points or ():
            if mount.source_volume not in names:
                raise ecs.ClientException(f"Unknown volume '{mount.source_volume}'.")
            if not mount.container_path:
                raise ecs.ClientException("MountPoint.containerPath should not be null or empty.")


def _check_volume(volume: ecs.Volume) -> None:
    given = [wire for attribute, wire in _SOURCES if getattr(volume, attribute) is not None]
    if len(given) > 1:
        raise ecs.ClientException(
            f"Volume '{volume.name}' specifies {' and '.join(given)}. Specify only one of them."
        )
    if volume.configured_at_launch and given:
        raise ecs.ClientException(
            f"Volume '{volume.name}' is configuredAtLaunch and can't specify {given[0]}."
        )
    if volume.host is not None and volume.host.source_path == "":
        raise ecs.ClientException("host.sourcePath should not be blank.")
    if volume.docker_volume_configuration is not None:
        _check_docker(volume.name, volume.docker_volume_configuration)
    if volume.efs_volume_configuration is not None:
        _check_efs(volume.name, volume.efs_volume_configuration)


def _check_docker(name: str | None, docker: ecs.DockerVolumeConfiguration) -> None:
    if docker.autoprovision and docker.scope != "shared":
        raise ecs.ClientException(
            f"Volume '{name}' specifies autoprovision, which needs the scope 'shared'."
        )


def _check_efs(name: str | None, efs: ecs.EFSVolumeConfiguration) -> None:
    encrypted = efs.transit_encryption == "ENABLED"
    access = efs.authorization_config
    if access is not None and not encrypted and (access.access_point_id or access.iam == "ENABLED"):
        raise ecs.ClientException(
            f"Volume '{name}' specifies an authorizationConfig, which needs transitEncryption "
            "ENABLED."
        )
    if (
        access is not None
        and access.access_point_id is not None
        and efs.root_directory not in (None, "", "/")
    ):
        raise ecs.ClientException(
            f"Volume '{name}' specifies an access point: rootDirectory must be omitted or '/'."
        )
    port = efs.transit_encryption_port
    if port is None:
        return
    if not encrypted:
        raise ecs.ClientException(
            f"Volume '{name}' specifies a transitEncryptionPort, which needs transitEncryption "
            "ENABLED."
        )
    if not 0 <= port <= EFS_PORT_MAX:
        raise ecs.ClientException(f"Invalid 'transitEncryptionPort' setting for volume '{name}'.")
