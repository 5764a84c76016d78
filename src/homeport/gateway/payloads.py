"""Task and task definition records to the task of a PayloadMessage.

A payload is always built from the state as it is when it is sent. Containers are `containers`'
work; which tasks go out when is for `session`.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.lifecycle.image_pins import pinned_image, pins_of
from homeport.core.lifecycle.new_task import STOP_SERVICE_SCHEDULER
from homeport.core.reconcile.aftermath import REASON_FAILED_HEALTH
from homeport.gateway.containers import ContainerSetting, render_container
from homeport.gateway.role_credentials import (
    EXECUTION_ROLE,
    TASK_ROLE,
    make_refresh,
    make_role_credentials,
)
from homeport.model.arn import dashed_uuid, scope_of, short_id
from homeport.model.network_interface import attachment_arn, interface_id, mac_address
from homeport.model.task import STOPPED, Task
from homeport.model.task_definition import TaskDefinition
from homeport.state.view import View
from homeport.wire.agent_messages import acs, payload

DEFINITIONS_KEPT: Final = 1_000
"""How many prepared task definitions are kept; a service's next task needs the same one."""

CPU_UNITS_PER_VCPU: Final = 1024

_NO_OVERRIDE: Final = ecs.ContainerOverride()
_NO_TASK_OVERRIDE: Final = ecs.TaskOverride()
_DEFINITION_DECODER: Final = msgspec.json.Decoder(ecs.TaskDefinition)
_OVERRIDE_DECODER: Final = msgspec.json.Decoder(ecs.TaskOverride)


class _Prepared(NamedTuple):
    """A task definition as often as its tasks are sent: what none of them changes is done once."""

    definition: ecs.TaskDefinition
    containers: tuple[payload.Container, ...]  # as without overrides; `container_arn` is to come


class PayloadTasks:
    """Builds payload tasks; remembers prepared task definitions, which never change."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._prepared: dict[str, _Prepared] = {}

    def build(self, task: Task, now_ms: int) -> payload.Task | None:
        """Write a task as the agent expects it; None when its task definition is gone.

        A task that shall stop needs no definition: the agent goes by its ARN.
        """
        record = self._view.task_definition(task.task_definition_arn)
        if record is not None:
            rendered = _render_task(task, record, self._prepare(record), now_ms)
            rendered = _with_interface(rendered, task, self._view)
            return _with_pinned_images(rendered, pins_of(self._view, task))
        if task.desired_status != STOPPED:
            return None
        return payload.Task(
            arn=task.arn, task_cluster_arn=task.cluster_arn, desired_status=STOPPED, overrides="{}"
        )

    def list_refreshes(
        self, task: Task, ids: Iterator[str], now_ms: int
    ) -> tuple[acs.IAMRoleCredentialsMessage, ...]:
        """Write newer credentials of a task's roles."""
        record = self._view.task_definition(task.task_definition_arn)
        if record is None:
            return ()
        definition, override = self._prepare(record).definition, _override(task)
        return tuple(
            make_refresh(task, credentials, role_type, dashed_uuid(next(ids)))
            for role_type in (TASK_ROLE, EXECUTION_ROLE)
            if (credentials := _role(task, definition, override, role_type, now_ms=now_ms))
            is not None
        )

    def _prepare(self, record: TaskDefinition) -> _Prepared:
        prepared = self._prepared.get(record.arn)
        if prepared is None:
            if len(self._prepared) >= DEFINITIONS_KEPT:
                del self._prepared[next(iter(self._prepared))]
            definition = _DEFINITION_DECODER.decode(record.document)
            containers = _containers(record, definition, _NO_TASK_OVERRIDE)
            prepared = self._prepared[record.arn] = _Prepared(definition, containers)
        return prepared


def _render_task(
    task: Task, record: TaskDefinition, prepared: _Prepared, now_ms: int
) -> payload.Task:
    definition, override = prepared.definition, _override(task)
    containers = prepared.containers
    if task.overrides:
        containers = _containers(record, definition, override)
    arns = {container.name: container.arn for container in task.containers}
    scope = scope_of(task.arn)
    has_cpu = record.cpu is not None or override.cpu is not None
    has_memory = record.memory is not None or override.memory is not None
    return payload.Task(
        arn=task.arn,
        task_cluster_arn=task.cluster_arn,
        desired_status=task.desired_status,
        family=record.family,
        version=str(record.revision),
        overrides=task.overrides.decode() or "{}",
        containers=tuple(
            replace(container, container_arn=arns.get(container.name, ""))
            for container in containers
        ),
        associations=_gpus(task),
        volumes=tuple(_volume(volume) for volume in definition.volumes or ()),
        network_mode=record.network_mode or "",
        launch_type=task.launch_type,
        cpu=task.resources.cpu_units / CPU_UNITS_PER_VCPU if has_cpu else None,
        memory=task.resources.memory_mib if has_memory else None,
        pid_mode=definition.pid_mode or "",
        ipc_mode=definition.ipc_mode or "",
        service_name="" if task.service_arn is None else short_id(task.service_arn),
        group=task.group,
        zone=task.availability_zone or "",
        task_definition_account_id=scope.account_id,
        proxy_configuration=_proxy(definition.proxy_configuration),
        role_credentials=_role(task, definition, override, TASK_ROLE, now_ms=now_ms),
        execution_role_credentials=_role(task, definition, override, EXECUTION_ROLE, now_ms=now_ms),
        enable_fault_injection=bool(definition.enable_fault_injection),
        stop_may_wait=_may_stop_wait(task),
    )


def _may_stop_wait(task: Task) -> bool:
    """Whether nobody waits for a task's end: its service has replaced it, or wants fewer."""
    return (
        task.desired_status == STOPPED
        and task.stop_code == STOP_SERVICE_SCHEDULER
        and task.stopped_reason != REASON_FAILED_HEALTH
    )


def _with_pinned_images(task: payload.Task, pins: Mapping[str, str]) -> payload.Task:
    if not pins:
        return task
    containers = tuple(
        replace(container, image=pinned_image(container.image, pins[container.name]))
        if container.name in pins
        else container
        for container in task.containers
    )
    return replace(task, containers=containers)


def _override(task: Task) -> ecs.TaskOverride:
    return _OVERRIDE_DECODER.decode(task.overrides) if task.overrides else _NO_TASK_OVERRIDE


def _role(
    task: Task,
    definition: ecs.TaskDefinition,
    override: ecs.TaskOverride,
    role_type: str,
    *,
    now_ms: int,
) -> payload.IamRoleCredentials | None:
    if role_type == TASK_ROLE:
        role_arn = override.task_role_arn or definition.task_role_arn
    else:
        role_arn = override.execution_role_arn or definition.execution_role_arn
    return make_role_credentials(task, role_arn, role_type, now_ms)


def _with_interface(rendered: payload.Task, task: Task, view: View) -> payload.Task:
    """Add the network interface of a task that has an address, in its instance's subnet."""
    instance = view.container_instance(task.container_instance_arn or "")
    if task.private_ip is None or instance is None or instance.subnet is None:
        return rendered
    network = ipaddress.IPv4Network(instance.subnet)
    interface = payload.ElasticNetworkInterface(
        mac_address=mac_address(task.private_ip),
        attachment_arn=attachment_arn(task),
        ec2_id=interface_id(task),
        ipv4_addresses=(
            payload.Ipv4AddressAssignment(private_address=task.private_ip, primary=True),
        ),
        subnet_gateway_ipv4_address=f"{network[1]}/{network.prefixlen}",
    )
    return msgspec.structs.replace(rendered, elastic_network_interfaces=(interface,))


def _containers(
    record: TaskDefinition, definition: ecs.TaskDefinition, override: ecs.TaskOverride
) -> tuple[payload.Container, ...]:
    """Write a task's containers but for their ARNs."""
    overrides = {o.name: o for o in override.container_overrides or ()}
    setting = ContainerSetting(
        region=scope_of(record.arn).region,
        network_mode=record.network_mode,
        has_execution_role=bool(override.execution_role_arn or definition.execution_role_arn),
    )
    return tuple(
        render_container(container, overrides.get(container.name, _NO_OVERRIDE), setting)
        for container in definition.container_definitions or ()
    )


def _gpus(task: Task) -> tuple[payload.Association, ...]:
    """Name each GPU and the container that has it, as Amazon's agent binds them."""
    return tuple(
        payload.Association(name=gpu_id, type="gpu", containers=(container.name,))
        for container in task.containers
        for gpu_id in container.gpu_ids
    )


def _volume(volume: ecs.Volume) -> payload.Volume:
    name = volume.name or ""
    docker = volume.docker_volume_configuration
    efs = volume.efs_volume_configuration
    fsx = volume.fsx_windows_file_server_volume_configuration
    if docker is not None:
        return payload.Volume(
            name=name, type="docker", docker_volume_configuration=_docker_volume(docker)
        )
    if efs is not None:
        return payload.Volume(name=name, type="efs", efs_volume_configuration=_efs_volume(efs))
    if fsx is not None:
        return payload.Volume(
            name=name,
            type="fsxWindowsFileServer",
            fsx_windows_file_server_volume_configuration=_fsx_volume(fsx),
        )
    if volume.s3files_volume_configuration is not None:
        # The protocol has no word for it: a type that no agent knows makes the task fail there
        # with a reason, where a volume silently missing would lose data.
        return payload.Volume(name=name, type="s3files")
    if volume.configured_at_launch:
        return payload.Volume(name=name, type="ebs")
    source = None if volume.host is None else volume.host.source_path
    return payload.Volume(
        name=name, type="host", host=payload.HostVolumeProperties(source_path=source or "")
    )


def _docker_volume(docker: ecs.DockerVolumeConfiguration) -> payload.DockerVolumeConfiguration:
    return payload.DockerVolumeConfiguration(
        scope=docker.scope or "task",
        autoprovision=bool(docker.autoprovision),
        driver=docker.driver or "local",
        driver_opts=docker.driver_opts or {},
        labels=docker.labels or {},
    )


def _efs_volume(efs: ecs.EFSVolumeConfiguration) -> payload.EfsVolumeConfiguration:
    access = efs.authorization_config
    return payload.EfsVolumeConfiguration(
        file_system_id=efs.file_system_id or "",
        root_directory=efs.root_directory or "",
        transit_encryption=efs.transit_encryption or "",
        transit_encryption_port=efs.transit_encryption_port,
        authorization_config=None
        if access is None
        else payload.EfsAuthorizationConfig(
            access_point_id=access.access_point_id or "", iam=access.iam or ""
        ),
    )


def _fsx_volume(fsx: ecs.FSxWindowsFileServerVolumeConfiguration) -> payload.FsxVolumeConfiguration:
    access = fsx.authorization_config
    return payload.FsxVolumeConfiguration(
        file_system_id=fsx.file_system_id or "",
        root_directory=fsx.root_directory or "",
        authorization_config=None
        if access is None
        else payload.FsxAuthorizationConfig(
            credentials_parameter=access.credentials_parameter or "", domain=access.domain or ""
        ),
    )


def _proxy(proxy: ecs.ProxyConfiguration | None) -> payload.ProxyConfiguration | None:
    if proxy is None:
        return None
    return payload.ProxyConfiguration(
        type=proxy.type or "",
        container_name=proxy.container_name or "",
        properties={pair.name or "": pair.value or "" for pair in proxy.properties or ()},
    )
