"""The containers of a payload: container definition and overrides to the agent's `Container`.

What travels in Docker's own shapes is in `docker_config`, the task around it in `payloads`.
"""

import re
from typing import NamedTuple

from homeport.api import ecs
from homeport.gateway.docker_config import render_docker_config
from homeport.wire.agent_messages import payload

# How the agent is told that Docker runs the health check.
HEALTH_CHECK_DOCKER = "docker"
AUTH_BY_EXECUTION_ROLE = "ExecutionRole"

_ECR_IMAGE = re.compile(r"^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/")
_ARN_REGION = 3


class ContainerSetting(NamedTuple):
    """What the task around a container decides: its region, role and network mode."""

    region: str
    network_mode: str | None
    has_execution_role: bool


def render_container(
    container: ecs.ContainerDefinition,
    override: ecs.ContainerOverride,
    setting: ContainerSetting,
) -> payload.Container:
    """Write one container as the agent expects it but for its ARN, with the overrides merged in."""
    memory = _first(override.memory, container.memory)
    reservation = _first(override.memory_reservation, container.memory_reservation)
    firelens = container.firelens_configuration
    return payload.Container(
        name=container.name or "",
        image=container.image or "",
        command=_texts(override.command or container.command),
        entry_point=_texts(container.entry_point),
        cpu=_first(override.cpu, container.cpu) or 0,
        memory=memory or 0,
        essential=container.essential is not False,
        environment=_environment(container.environment, override.environment),
        environment_files=tuple(
            payload.EnvironmentFile(value=file.value or "", type=file.type or "")
            for file in (*(container.environment_files or ()), *(override.environment_files or ()))
        ),
        secrets=_secrets(container, setting.region),
        links=tuple(container.links or ()),
        port_mappings=tuple(map(_port_mapping, container.port_mappings or ())),
        mount_points=tuple(map(_mount_point, container.mount_points or ())),
        volumes_from=tuple(
            payload.VolumeFrom(
                source_container=volume.source_container or "", read_only=bool(volume.read_only)
            )
            for volume in container.volumes_from or ()
        ),
        depends_on=tuple(
            payload.ContainerDependency(
                container_name=dependency.container_name or "",
                condition=dependency.condition or "",
            )
            for dependency in container.depends_on or ()
        ),
        restart_policy=_restart_policy(container.restart_policy),
        linux_parameters=_linux_parameters(container.linux_parameters),
        privileged=container.privileged,
        start_timeout=container.start_timeout,
        stop_timeout=container.stop_timeout,
        health_check_type=HEALTH_CHECK_DOCKER if container.health_check is not None else "",
        overrides="{}",  # merged above; the agent needs none of its own
        docker_config=render_docker_config(
            container,
            network_mode=setting.network_mode,
            memory_mib=memory,
            memory_reservation_mib=reservation,
        ),
        registry_authentication=_registry_authentication(container, setting),
        logs_auth_strategy=_logs_authentication(container, setting),
        firelens_configuration=None
        if firelens is None
        else payload.FirelensConfiguration(
            type=firelens.type or "", options=firelens.options or {}
        ),
        credential_specs=tuple(container.credential_specs or ()),
    )


def _first(override: int | None, given: int | None) -> int | None:
    return given if override is None else override


def _texts(values: list[str] | None) -> tuple[str, ...] | None:
    return tuple(values) if values else None


def _environment(
    given: list[ecs.KeyValuePair] | None, overrides: list[ecs.KeyValuePair] | None
) -> dict[str, str]:
    """Merge by name: an override replaces or adds."""
    return {pair.name or "": pair.value or "" for pair in (*(given or ()), *(overrides or ()))}


def _port_mapping(mapping: ecs.PortMapping) -> payload.PortMapping:
    return payload.PortMapping(
        container_port=mapping.container_port,
        host_port=mapping.host_port or 0,
        container_port_range=mapping.container_port_range or "",
        protocol=mapping.protocol or "tcp",
    )


def _mount_point(mount: ecs.MountPoint) -> payload.MountPoint:
    return payload.MountPoint(
        source_volume=mount.source_volume or "",
        container_path=mount.container_path or "",
        read_only=bool(mount.read_only),
    )


def _restart_policy(policy: ecs.ContainerRestartPolicy | None) -> payload.RestartPolicy | None:
    if policy is None:
        return None
    return payload.RestartPolicy(
        enabled=bool(policy.enabled),
        ignored_exit_codes=tuple(policy.ignored_exit_codes or ()),
        restart_attempt_period=policy.restart_attempt_period,
    )


def _linux_parameters(linux: ecs.LinuxParameters | None) -> payload.LinuxParameters | None:
    """Repeat those that the protocol has members for; Docker gets them from `docker_config`."""
    if linux is None:
        return None
    capabilities = linux.capabilities
    return payload.LinuxParameters(
        capabilities=None
        if capabilities is None
        else payload.KernelCapabilities(
            add=tuple(capabilities.add or ()), drop=tuple(capabilities.drop or ())
        ),
        devices=tuple(
            payload.Device(
                host_path=device.host_path or "",
                container_path=device.container_path or "",
                permissions=tuple(device.permissions or ()),
            )
            for device in linux.devices or ()
        ),
        init_process_enabled=linux.init_process_enabled,
        shared_memory_size=linux.shared_memory_size,
    )


def _secrets(container: ecs.ContainerDefinition, region: str) -> tuple[payload.Secret, ...]:
    log = container.log_configuration
    options = () if log is None else log.secret_options or ()
    return (
        *(_secret(secret, region, "CONTAINER") for secret in container.secrets or ()),
        *(_secret(secret, region, "LOG_DRIVER") for secret in options),
    )


def _secret(secret: ecs.Secret, region: str, target: str) -> payload.Secret:
    """Name the store: Secrets Manager by its ARN, else an SSM parameter by ARN or name."""
    source = secret.value_from or ""
    parts = source.split(":")
    is_arn = len(parts) > _ARN_REGION and parts[0] == "arn"
    return payload.Secret(
        name=secret.name or "",
        value_from=source,
        type="ENVIRONMENT_VARIABLE",
        target=target,
        provider="asm" if is_arn and parts[2] == "secretsmanager" else "ssm",
        region=parts[_ARN_REGION] if is_arn else region,
    )


def _registry_authentication(
    container: ecs.ContainerDefinition, setting: ContainerSetting
) -> payload.RegistryAuthenticationData | None:
    credentials = container.repository_credentials
    if credentials is not None:
        parameter = credentials.credentials_parameter or ""
        parts = parameter.split(":")
        return payload.RegistryAuthenticationData(
            type="asm",
            asm_auth_data=payload.AsmAuthData(
                credentials_parameter=parameter,
                region=parts[_ARN_REGION] if len(parts) > _ARN_REGION else setting.region,
            ),
        )
    match = _ECR_IMAGE.match(container.image or "")
    if match is None:
        return None
    return payload.RegistryAuthenticationData(
        type="ecr",
        ecr_auth_data=payload.EcrAuthData(
            registry_id=match[1],
            region=match[2],
            use_execution_role=setting.has_execution_role,
        ),
    )


def _logs_authentication(container: ecs.ContainerDefinition, setting: ContainerSetting) -> str:
    log = container.log_configuration
    if log is None or log.log_driver != "awslogs" or not setting.has_execution_role:
        return ""
    return AUTH_BY_EXECUTION_ROLE
