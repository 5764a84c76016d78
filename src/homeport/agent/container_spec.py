"""From a payload's container to what the Engine is asked to create: names, labels, settings. Pure.

Docker's own settings come as JSON text in dockerConfig; ECS's members are laid over them. Not here:
calling the Engine (`docker`), ports (`ports`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from homeport.agent import metadata_file, ports, task_cgroup, task_network
from homeport.agent.endpoint_ids import EndpointFacts, list_variables

if TYPE_CHECKING:
    from homeport.agent.task_state import TaskState
    from homeport.wire.agent_messages import payload

INSTANCE_LABEL: Final = "homeport.container-instance"
CLUSTER_LABEL: Final = "com.amazonaws.ecs.cluster"
CONTAINER_LABEL: Final = "com.amazonaws.ecs.container-name"
TASK_LABEL: Final = "com.amazonaws.ecs.task-arn"
FAMILY_LABEL: Final = "com.amazonaws.ecs.task-definition-family"
VERSION_LABEL: Final = "com.amazonaws.ecs.task-definition-version"

GPU_ASSOCIATION: Final = "gpu"
GPUS_VARIABLE: Final = "NVIDIA_VISIBLE_DEVICES"
"""By which NVIDIA's runtime learns which GPUs a container gets; as Amazon's agent tells it."""

BYTES_PER_MIB: Final = 1024 * 1024
MIN_CPU_SHARES: Final = 2
MAX_CPU_SHARES: Final = 262_144
"""The kernel's bounds of CPU shares; ECS sends 0 for "none given"."""

NANO_CPUS_PER_VCPU: Final = 1_000_000_000
SHORT_ID_CHARACTERS: Final = 20
NAME_PART_LIMIT_CHARACTERS: Final = 100


class SpecError(ValueError):
    """A payload's container can't be put into the Engine's terms; the text says which member."""


class InstanceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a container's settings take from the instance it runs on."""

    cluster_name: str
    container_instance_arn: str
    bind_address: str
    engine_cpus: int
    task_endpoint: EndpointFacts | None = None
    metadata_folder: str = ""  # empty: containers get no metadata file
    gpu_runtime: str = ""  # the Engine's runtime that brings GPUs in; empty: it has none
    cgroup_scheme: str = ""  # how tasks are bounded as a whole; empty: each container is


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A Docker volume to create before the container (or to find, if it may not be created)."""

    name: str
    driver: str
    driver_opts: dict[str, str]
    labels: dict[str, str]
    is_task_scoped: bool
    may_create: bool = True


def name_container(task: payload.Task, container_name: str) -> str:
    """A name that says what it belongs to; the same every time, so that a repeat is noticed."""
    short_id = _short_id(f"{task.arn}/{container_name}")
    family = task.family[:NAME_PART_LIMIT_CHARACTERS]
    part = container_name.replace("~", "")[:NAME_PART_LIMIT_CHARACTERS]
    return f"ecs-{family}-{task.version}-{part}-{short_id}"


def make_engine_config(
    state: TaskState,
    container: payload.Container,
    facts: InstanceFacts,
    host_ranges: ports.HostRanges,
) -> dict[str, Any]:
    """The body of the Engine's create call; raises SpecError when a member can't be read."""
    task = state.task
    docker = container.docker_config
    config = _read_json(docker.config if docker else "", "dockerConfig.config", container)
    host = _read_json(docker.host_config if docker else "", "dockerConfig.hostConfig", container)
    _fill_config(config, state, container, facts)
    _fill_limits(host, task, container, facts)
    _fill_linux(host, container)
    if facts.gpu_runtime and _list_gpus(task, container):
        host["Runtime"] = facts.gpu_runtime
    _fill_storage(host, task, container)
    if facts.metadata_folder:
        bind = metadata_file.bind_folder(facts.metadata_folder, task.arn, container.name)
        host["Binds"].append(bind)
    _fill_network(config, host, task, container)
    task_network.fill_namespaces(config, host, task, container, name_of=name_container)
    if task.network_mode in ("", "bridge", "default"):
        try:
            bindings = ports.bind_ports(container, facts.bind_address, host_ranges)
        except ValueError as error:
            raise SpecError(f"container {container.name}: {error}") from error
        host["PortBindings"] = bindings
        config["ExposedPorts"] = {**config.get("ExposedPorts", {}), **{p: {} for p in bindings}}
    config["HostConfig"] = host
    return config


def list_volumes(task: payload.Task, container: payload.Container) -> tuple[VolumeSpec, ...]:
    """The Docker volumes that a container mounts."""
    mounted = {mount.source_volume for mount in container.mount_points}
    specs = [_volume_spec(task, volume) for volume in task.volumes if volume.name in mounted]
    return tuple(spec for spec in specs if spec is not None)


def list_task_volumes(task: payload.Task) -> tuple[str, ...]:
    """Names of the Docker volumes that live and die with the task."""
    specs = [_volume_spec(task, volume) for volume in task.volumes]
    return tuple(spec.name for spec in specs if spec is not None and spec.is_task_scoped)


def _fill_config(
    config: dict[str, Any],
    state: TaskState,
    container: payload.Container,
    facts: InstanceFacts,
) -> None:
    task = state.task
    config["Image"] = container.image
    command = _read_json(container.overrides, "overrides", container).get("command")
    if command is None:
        command = container.command
    if command is not None:
        config["Cmd"] = list(command)
    if container.entry_point is not None:
        config["Entrypoint"] = list(container.entry_point)
    variables = dict(container.environment)
    if facts.task_endpoint is not None:
        variables |= list_variables(facts.task_endpoint, state, container.name)
    if facts.metadata_folder:
        variables[metadata_file.VARIABLE] = metadata_file.path_inside(state.arn)
    gpu_ids = _list_gpus(task, container)
    if gpu_ids:
        variables[GPUS_VARIABLE] = ",".join(gpu_ids)
    environment = [f"{name}={value}" for name, value in variables.items()]
    config["Env"] = [*(config.get("Env") or []), *environment]
    # An image's own health check is ignored, as in ECS (developer guide, health check).
    config.setdefault("Healthcheck", {"Test": ["NONE"]})
    config["Labels"] = {
        **(config.get("Labels") or {}),
        CLUSTER_LABEL: facts.cluster_name,
        CONTAINER_LABEL: container.name,
        TASK_LABEL: task.arn,
        FAMILY_LABEL: task.family,
        VERSION_LABEL: task.version,
        INSTANCE_LABEL: facts.container_instance_arn,
    }


def _list_gpus(task: payload.Task, container: payload.Container) -> list[str]:
    """The GPUs that are this container's, by id."""
    return [
        each.name
        for each in task.associations
        if each.type == GPU_ASSOCIATION and container.name in each.containers
    ]


def _fill_limits(
    host: dict[str, Any],
    task: payload.Task,
    container: payload.Container,
    facts: InstanceFacts,
) -> None:
    """CPU shares and memory; a task's own limits are its cgroup's, or bound each container."""
    host["CpuShares"] = min(max(container.cpu, MIN_CPU_SHARES), MAX_CPU_SHARES)
    has_parent = task_cgroup.find_limits(task, facts.engine_cpus) is not None
    if facts.cgroup_scheme and has_parent:
        host["CgroupParent"] = task_cgroup.name_parent(facts.cgroup_scheme, task.arn)
    elif task.cpu:
        # An instance may offer more CPU than its Engine has; the Engine would refuse that.
        vcpus = min(task.cpu, float(facts.engine_cpus))
        host.setdefault("NanoCpus", round(vcpus * NANO_CPUS_PER_VCPU))
    limits_mib = [limit for limit in (container.memory, task.memory or 0) if limit > 0]
    if limits_mib:
        host["Memory"] = min(limits_mib) * BYTES_PER_MIB


def _fill_linux(host: dict[str, Any], container: payload.Container) -> None:
    if container.privileged is not None:
        host["Privileged"] = container.privileged
    linux = container.linux_parameters
    if linux is None:
        return
    if linux.capabilities is not None:
        host.setdefault("CapAdd", list(linux.capabilities.add))
        host.setdefault("CapDrop", list(linux.capabilities.drop))
    if linux.devices:
        host.setdefault("Devices", [_device(device) for device in linux.devices])
    if linux.init_process_enabled:
        host.setdefault("Init", True)
    if linux.shared_memory_size:
        host.setdefault("ShmSize", linux.shared_memory_size * BYTES_PER_MIB)


def _device(device: payload.Device) -> dict[str, str]:
    granted = device.permissions or ("read", "write", "mknod")
    return {
        "PathOnHost": device.host_path,
        "PathInContainer": device.container_path or device.host_path,
        "CgroupPermissions": "".join(permission[0] for permission in granted),
    }


def _fill_storage(host: dict[str, Any], task: payload.Task, container: payload.Container) -> None:
    volumes = {volume.name: volume for volume in task.volumes}
    binds = list(host.get("Binds") or [])
    for mount in container.mount_points:
        volume = volumes.get(mount.source_volume)
        if volume is None:
            raise SpecError(
                f"container {container.name}: mountPoints name volume {mount.source_volume!r},"
                " which the task doesn't have"
            )
        source = _bind_source(task, volume)
        binds.append(f"{source}:{mount.container_path}{':ro' if mount.read_only else ''}")
    host["Binds"] = binds
    if container.volumes_from:
        host["VolumesFrom"] = [
            name_container(task, v.source_container) + (":ro" if v.read_only else "")
            for v in container.volumes_from
        ]


def _fill_network(
    config: dict[str, Any],
    host: dict[str, Any],
    task: payload.Task,
    container: payload.Container,
) -> None:
    mode = task.network_mode or "bridge"
    if mode == task_network.AWSVPC:
        task_network.fill_network(config, host, task, container, name_of=name_container)
        return
    host["NetworkMode"] = "none" if container.name == task_network.PAUSE_NAME else mode
    if container.links:
        links = [link.partition(":") for link in container.links]
        host["Links"] = [f"{name_container(task, n)}:{alias or n}" for n, _, alias in links]
    if mode == "none":
        config["NetworkDisabled"] = True


def _bind_source(task: payload.Task, volume: payload.Volume) -> str:
    if volume.host is not None and volume.host.source_path:
        return volume.host.source_path
    spec = _volume_spec(task, volume)
    return "" if spec is None else spec.name


def _volume_spec(task: payload.Task, volume: payload.Volume) -> VolumeSpec | None:
    """The Docker volume behind a task volume; a host path needs none."""
    own_name = f"ecs-{task.family[:NAME_PART_LIMIT_CHARACTERS]}-{task.version}-{volume.name}-"
    own_name += _short_id(f"{task.arn}/volume/{volume.name}")
    docker = volume.docker_volume_configuration
    if docker is None:
        if volume.host is not None and volume.host.source_path:
            return None
        return VolumeSpec(
            name=own_name, driver="local", driver_opts={}, labels={}, is_task_scoped=True
        )
    is_shared = docker.scope == "shared"
    return VolumeSpec(
        name=volume.name if is_shared else own_name,
        driver=docker.driver or "local",
        driver_opts=docker.driver_opts,
        labels=docker.labels,
        is_task_scoped=not is_shared,
        may_create=docker.autoprovision or not is_shared,
    )


def _read_json(text: str, member: str, container: payload.Container) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise SpecError(f"container {container.name}: {member} can't be read: {error}") from error


def _short_id(text: str) -> str:
    return hashlib.blake2b(text.encode()).hexdigest()[:SHORT_ID_CHARACTERS]
