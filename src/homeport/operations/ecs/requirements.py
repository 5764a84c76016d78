"""What a task definition needs of a container instance: resources, host ports, capabilities.

Whether an instance has them is placement's matter. Source: reference container-instances §2 and §3.
"""

import re
from collections.abc import Iterator, Sequence

from homeport.api import ecs
from homeport.model.placement import Requirement
from homeport.model.resources import HostPort, TaskResources
from homeport.model.task_definition import ContainerSpec
from homeport.operations.ecs.task_definition_rules_ports import host_port_of
from homeport.operations.ecs.task_definition_rules_sizes import TaskSize

DOCKER_API = "com.amazonaws.ecs.capability.docker-remote-api"
AGENT = "com.amazonaws.ecs.capability"
CAPABILITY = "ecs.capability"
SECRETS_MANAGER = ":secretsmanager:"

_is_ecr_image = re.compile(r"[0-9]{12}\.dkr[.-]ecr[.-][a-z0-9.-]+/.+").match

# A container's member, and the attribute that it needs when it is there.
_MEMBER_ATTRIBUTES = (
    ("memory_reservation", f"{DOCKER_API}.1.21"),
    ("mount_points", f"{DOCKER_API}.1.21"),
    ("docker_labels", f"{DOCKER_API}.1.18"),
    ("ulimits", f"{DOCKER_API}.1.18"),
    ("privileged", f"{AGENT}.privileged-container"),
    ("health_check", f"{CAPABILITY}.container-health-check"),
    ("depends_on", f"{CAPABILITY}.container-ordering"),
    ("environment_files", f"{CAPABILITY}.env-files.s3"),
    ("repository_credentials", f"{CAPABILITY}.private-registry-authentication.secretsmanager"),
)


def list_container_specs(
    containers: Sequence[ecs.ContainerDefinition],
) -> tuple[ContainerSpec, ...]:
    """Return what decisions need to know of each container definition."""
    return tuple(
        ContainerSpec(
            name=container.name or "",
            image=container.image or "",
            essential=container.essential is not False,
            cpu_units=container.cpu or 0,
            memory_mib=container.memory,
            memory_reservation_mib=container.memory_reservation,
            has_health_check=container.health_check is not None,
            pins_image=container.version_consistency != "disabled",
            gpu_count=_count_gpus(container),
        )
        for container in containers
    )


def sum_resources(
    containers: Sequence[ecs.ContainerDefinition], size: TaskSize, network_mode: str | None
) -> TaskResources:
    """Return what one task subtracts from its container instance.

    CPU units and MiB: the task-level size if there is one, else the containers' sum, of whose
    memory the reservation counts first. With awsvpc a task has ports of its own, and a network
    interface.
    """
    cpu_units, memory_mib = size
    if cpu_units is None:
        cpu_units = sum(container.cpu or 0 for container in containers)
    if memory_mib is None:
        memory_mib = sum(c.memory_reservation or c.memory or 0 for c in containers)
    return TaskResources(
        cpu_units=cpu_units,
        memory_mib=memory_mib,
        host_ports=() if network_mode == "awsvpc" else _list_host_ports(containers, network_mode),
        gpu_count=sum(_count_gpus(container) for container in containers),
        interface_count=1 if network_mode == "awsvpc" else 0,
    )


def list_required_attributes(request: ecs.RegisterTaskDefinitionRequest) -> tuple[str, ...]:
    """Return the names of the attributes that a container instance must have, sorted."""
    found = set(_list_task_attributes(request))
    has_execution_role = bool(request.execution_role_arn)
    for container in request.container_definitions or ():
        for member, attribute in _MEMBER_ATTRIBUTES:
            if getattr(container, member):
                found.add(attribute)
        found.update(_list_container_attributes(container, has_execution_role))
    return tuple(sorted(found))


def list_platform(platform: ecs.RuntimePlatform | None) -> tuple[Requirement, ...]:
    """Return what a runtime platform asks of a container instance's built-in attributes.

    The release of Windows has to be the instance's own, as containers of another don't start.
    """
    found = []
    if platform is not None and platform.operating_system_family:
        family = platform.operating_system_family
        is_linux = family == "LINUX"
        found.append(Requirement("ecs.os-type", "linux" if is_linux else "windows"))
        if not is_linux:
            found.append(Requirement("ecs.os-family", family))
    if platform is not None and platform.cpu_architecture:
        found.append(Requirement("ecs.cpu-architecture", platform.cpu_architecture.lower()))
    return tuple(found)


def _list_host_ports(
    containers: Sequence[ecs.ContainerDefinition], network_mode: str | None
) -> tuple[HostPort, ...]:
    return tuple(
        HostPort(port, mapping.protocol or "tcp")
        for container in containers
        for mapping in container.port_mappings or ()
        if (port := host_port_of(mapping, network_mode))
    )


def _count_gpus(container: ecs.ContainerDefinition) -> int:
    """Count whole GPUs; `ALL` and a shared one need at least one."""
    count = 0
    for requirement in container.resource_requirements or ():
        if requirement.type == "GPU":
            value = requirement.value
            count += int(value) if value is not None and value.isdigit() else 1
    return count


def _list_task_attributes(request: ecs.RegisterTaskDefinitionRequest) -> Iterator[str]:
    if request.network_mode == "awsvpc":
        yield f"{CAPABILITY}.task-eni"
    if request.task_role_arn:
        is_host = request.network_mode == "host"
        yield f"{AGENT}.task-iam-role-network-host" if is_host else f"{AGENT}.task-iam-role"
        yield f"{DOCKER_API}.1.17"
    if request.pid_mode or request.ipc_mode:
        yield f"{CAPABILITY}.pid-ipc-namespace-sharing"
    if request.proxy_configuration is not None:
        yield f"{CAPABILITY}.aws-appmesh"
    if request.enable_fault_injection:
        yield f"{CAPABILITY}.fault-injection"
    for volume in request.volumes or ():
        yield from _list_volume_attributes(volume)


def _list_volume_attributes(volume: ecs.Volume) -> Iterator[str]:
    docker, efs = volume.docker_volume_configuration, volume.efs_volume_configuration
    if docker is not None:
        yield f"{CAPABILITY}.docker-plugin.{docker.driver or 'local'}"
    if efs is not None:
        yield f"{CAPABILITY}.efs"
        yield f"{DOCKER_API}.1.25"
        if efs.authorization_config is not None:
            yield f"{CAPABILITY}.efsAuth"
    if volume.fsx_windows_file_server_volume_configuration is not None:
        yield f"{CAPABILITY}.fsxWindowsFileServer"
    if volume.s3files_volume_configuration is not None:
        yield f"{CAPABILITY}.s3files"
    if volume.configured_at_launch:
        yield f"{CAPABILITY}.storage.ebs-task-volume-attach"


def _list_container_attributes(
    container: ecs.ContainerDefinition, has_execution_role: bool
) -> Iterator[str]:
    if _is_ecr_image(container.image or "") is not None:
        yield f"{AGENT}.ecr-auth"
        yield f"{DOCKER_API}.1.19"
        if has_execution_role:
            yield f"{CAPABILITY}.execution-role-ecr-pull"
    if container.log_configuration is not None:
        yield from _list_log_attributes(container.log_configuration, has_execution_role)
    for secret in container.secrets or ():
        yield f"{CAPABILITY}.secrets.{_secret_store(secret)}.environment-variables"
    if container.restart_policy is not None and container.restart_policy.enabled:
        yield f"{CAPABILITY}.container-restart-policy"
    if container.firelens_configuration is not None:
        yield from _list_firelens_attributes(container.firelens_configuration)
    if container.linux_parameters is not None and container.linux_parameters.init_process_enabled:
        yield f"{DOCKER_API}.1.25"
    for option in container.docker_security_options or ():
        if option.startswith("label"):
            yield f"{AGENT}.selinux"
        elif option.startswith("apparmor"):
            yield f"{AGENT}.apparmor"
    if any(mapping.container_port_range for mapping in container.port_mappings or ()):
        yield f"{CAPABILITY}.network.container-port-range"


def _list_log_attributes(log: ecs.LogConfiguration, has_execution_role: bool) -> Iterator[str]:
    yield f"{DOCKER_API}.1.18"
    yield f"{AGENT}.logging-driver.{log.log_driver}"
    if log.options:
        yield f"{DOCKER_API}.1.19"
    if log.log_driver == "awslogs" and has_execution_role:
        yield f"{CAPABILITY}.execution-role-awslogs"
    for secret in log.secret_options or ():
        yield f"{CAPABILITY}.secrets.{_secret_store(secret)}.bootstrap.log-driver"


def _list_firelens_attributes(firelens: ecs.FirelensConfiguration) -> Iterator[str]:
    yield f"{CAPABILITY}.firelens.{firelens.type}"
    source = (firelens.options or {}).get("config-file-type")
    if source in ("file", "s3"):
        yield f"{CAPABILITY}.firelens.options.config.{source}"


def _secret_store(secret: ecs.Secret) -> str:
    return "asm" if SECRETS_MANAGER in (secret.value_from or "") else "ssm"
