"""Sound RegisterTaskDefinition requests, made from the shapes of the model themselves.

Every member of every shape is generated, so that a member that AWS adds is generated too. RULED
says which values a member may have; `mend` makes members agree with each other.
"""

import functools
import typing
from typing import Any

from hypothesis import strategies as st

from homeport.api import ecs
from homeport.api.shapes import Shape

LIST_ITEMS_MAX = 2
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=6)
NAME = st.text("abcXYZ019_-", min_size=1, max_size=8)
ROLE_ARN = "arn:aws:iam::123456789012:role/r"

RULED: dict[tuple[type[Shape], str], st.SearchStrategy[Any]] = {
    (ecs.RegisterTaskDefinitionRequest, "family"): NAME,
    (ecs.RegisterTaskDefinitionRequest, "cpu"): st.sampled_from(["1024", "2 vCPU", "1.5vcpu"]),
    (ecs.RegisterTaskDefinitionRequest, "memory"): st.sampled_from(["1024", "2 GB", "1.5gb"]),
    (ecs.RegisterTaskDefinitionRequest, "requires_compatibilities"): st.lists(
        st.sampled_from(["EC2", "MANAGED_INSTANCES"]), unique=True
    ),
    (ecs.RegisterTaskDefinitionRequest, "execution_role_arn"): st.just(ROLE_ARN),
    (ecs.ContainerDefinition, "cpu"): st.integers(0, 512),
    (ecs.ContainerDefinition, "memory"): st.integers(64, 256),
    (ecs.ContainerDefinition, "memory_reservation"): st.integers(4, 64),
    (ecs.ContainerDefinition, "start_timeout"): st.integers(0, 600),
    (ecs.ContainerDefinition, "stop_timeout"): st.integers(0, 600),
    (ecs.ContainerDefinition, "image"): st.sampled_from(
        ["busybox", "web:1.2", "r.io/a/b@sha256:0"]
    ),
    (ecs.PortMapping, "container_port"): st.integers(1, 65_535),
    (ecs.PortMapping, "host_port"): st.integers(0, 65_535),
    (ecs.PortMapping, "name"): st.text("abc01_", min_size=1, max_size=8),
    (ecs.PortMapping, "container_port_range"): st.just("100-200"),
    (ecs.ContainerRestartPolicy, "restart_attempt_period"): st.integers(60, 1_800),
    (ecs.EnvironmentFile, "value"): st.just("arn:aws:s3:::bucket/app.env"),
    (ecs.LinuxParameters, "swappiness"): st.integers(0, 100),
    (ecs.LinuxParameters, "max_swap"): st.integers(0, 512),
    (ecs.LinuxParameters, "shared_memory_size"): st.integers(1, 512),
    (ecs.Tmpfs, "size"): st.integers(1, 512),
    (ecs.HealthCheck, "command"): st.just(["CMD-SHELL", "exit 0"]),
    (ecs.HealthCheck, "interval"): st.integers(5, 300),
    (ecs.HealthCheck, "timeout"): st.integers(2, 60),
    (ecs.HealthCheck, "retries"): st.integers(1, 10),
    (ecs.HealthCheck, "start_period"): st.integers(0, 300),
    (ecs.ResourceRequirement, "type"): st.just("GPU"),
    (ecs.ResourceRequirement, "value"): st.sampled_from(["1", "2", "ALL"]),
    (ecs.Volume, "name"): NAME,
    (ecs.EphemeralStorage, "size_in_gib"): st.integers(21, 200),
    (ecs.EFSVolumeConfiguration, "transit_encryption"): st.just("ENABLED"),
    (ecs.EFSVolumeConfiguration, "transit_encryption_port"): st.integers(1, 65_535),
    (ecs.EFSVolumeConfiguration, "root_directory"): st.just("/"),
    (ecs.TaskDefinitionPlacementConstraint, "expression"): st.just("attribute:a == b"),
    (ecs.Tag, "key"): NAME,
    (ecs.Tag, "value"): NAME,
}
# Members without which the ruled ones make no sense, though the model doesn't require them.
ALWAYS: dict[type[Shape], frozenset[str]] = {
    ecs.RegisterTaskDefinitionRequest: frozenset({"execution_role_arn", "memory"}),
    ecs.ContainerDefinition: frozenset({"name", "image"}),
    ecs.Volume: frozenset({"name"}),
    ecs.EFSVolumeConfiguration: frozenset({"transit_encryption"}),
    ecs.ResourceRequirement: frozenset({"value"}),
    ecs.TaskDefinitionPlacementConstraint: frozenset({"type", "expression"}),
    ecs.KeyValuePair: frozenset({"name"}),
    ecs.SystemControl: frozenset({"namespace"}),
    ecs.Tag: frozenset({"key"}),
}
VOLUME_SOURCES = tuple(name for name in ecs.Volume.__struct_fields__ if name != "name")
# How many items a list has in a whole request, where one isn't enough to show everything.
WHOLE_LENGTHS = {
    "container_definitions": 2,
    "port_mappings": 2,
    "volumes": len(VOLUME_SOURCES),
}
AWSVPC_ONLY = ("proxy_configuration",)
NOT_WITH_AWSVPC = (
    "links",
    "hostname",
    "dns_servers",
    "dns_search_domains",
    "extra_hosts",
    "disable_networking",
)


def types_of(shape: type[Shape]) -> dict[str, Any]:
    """Return each member's type, without the None of an absent one."""
    return {
        name: next(part for part in typing.get_args(hint) if part is not type(None))
        for name, hint in typing.get_type_hints(shape).items()
    }


@st.composite
def requests(draw: st.DrawFn) -> ecs.RegisterTaskDefinitionRequest:
    """Draw a sound request."""
    request = draw(_shapes(ecs.RegisterTaskDefinitionRequest, every_member=False))
    for volume in request.volumes or ():
        _keep_source(volume, draw(st.sampled_from(VOLUME_SOURCES)))
    mend(request, draw)
    return request


@st.composite
def whole_requests(draw: st.DrawFn, network_mode: str) -> ecs.RegisterTaskDefinitionRequest:
    """Draw a sound request with every member that can be there in a network mode."""
    request = draw(_shapes(ecs.RegisterTaskDefinitionRequest, every_member=True))
    request.network_mode = network_mode
    for volume, source in zip(request.volumes or (), VOLUME_SOURCES, strict=True):
        _keep_source(volume, source)
    mend(request, draw)
    return request


@functools.cache
def _shapes(shape: type[Shape], *, every_member: bool) -> st.SearchStrategy[Any]:
    required = {*ecs.REQUIRED_MEMBERS.get(shape, ()), *ALWAYS.get(shape, ())}
    members = {}
    for name, kind in types_of(shape).items():
        strategy = RULED.get((shape, name))
        if strategy is None:
            strategy = _values(shape, name, kind, every_member)
        needed = every_member or name in required
        members[name] = strategy if needed else st.one_of(st.none(), strategy)
    return st.builds(shape, **members)


def _values(shape: type[Shape], name: str, kind: Any, every_member: bool) -> st.SearchStrategy[Any]:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    origin = typing.get_origin(kind)
    if origin is list:
        least = 1 if name == "container_definitions" else 0
        most = LIST_ITEMS_MAX
        if every_member:
            least = most = WHOLE_LENGTHS.get(name, 1)
        item = _values(shape, name, typing.get_args(kind)[0], every_member)
        return st.lists(item, min_size=least, max_size=most)
    if origin is dict:
        return st.dictionaries(TEXT, TEXT, min_size=int(every_member), max_size=LIST_ITEMS_MAX)
    if isinstance(kind, type) and issubclass(kind, Shape):
        return st.deferred(lambda: _shapes(kind, every_member=every_member))
    enum = ecs.ENUM_MEMBERS.get(shape, {}).get(name)
    if enum is not None:
        return st.sampled_from(ecs.ENUM_VALUES[enum])
    simple = {str: TEXT, bool: st.booleans(), int: st.integers(-1, 2**31 - 1), float: st.floats()}
    return simple[kind]


def mend(request: ecs.RegisterTaskDefinitionRequest, draw: st.DrawFn) -> None:
    """Make the members of a request agree with each other, in place."""
    containers = request.container_definitions or []
    for number, container in enumerate(containers):
        container.name = f"{draw(NAME)}{number}"
    containers[0].essential = draw(st.sampled_from([None, True]))
    for number, volume in enumerate(request.volumes or ()):
        volume.name = f"{volume.name}{number}"
    names = iter(range(1_000))
    for accelerator in request.inference_accelerators or ():
        accelerator.device_name = f"device{next(names)}"
    for tag in request.tags or ():
        tag.key = f"{tag.key}{next(names)}"
    if request.network_mode != "awsvpc":
        for member in AWSVPC_ONLY:
            setattr(request, member, None)
    elif request.proxy_configuration is not None:
        request.proxy_configuration.container_name = containers[0].name
    ports = iter(range(1_000, 60_000))
    for number, container in enumerate(containers):
        earlier = [other.name for other in containers[:number] if other.name]
        _mend_container(container, request, earlier)
        container.port_mappings = _mend_ports(container.port_mappings, request.network_mode, ports)
    _mend_firelens(containers, draw)


def _keep_source(volume: ecs.Volume, kept: str) -> None:
    """A volume has one source."""
    for source in VOLUME_SOURCES:
        if source != kept:
            setattr(volume, source, None)
    docker = volume.docker_volume_configuration
    if docker is not None and docker.autoprovision:
        docker.scope = "shared"


def _mend_container(
    container: ecs.ContainerDefinition,
    request: ecs.RegisterTaskDefinitionRequest,
    earlier: list[str],
) -> None:
    volumes = [volume.name for volume in request.volumes or ()]
    for mount in container.mount_points or ():
        mount.source_volume = volumes[0] if volumes else None
        mount.container_path = mount.container_path or "/data"
    if not volumes:
        container.mount_points = None
    _mend_references(container, earlier)
    if request.network_mode == "awsvpc":
        for member in NOT_WITH_AWSVPC:
            setattr(container, member, None)
    elif request.network_mode in ("host", "none"):
        container.links = None
    for number, secret in enumerate(container.secrets or ()):
        secret.name = f"secret-{number}-{secret.name}!"
    _mend_limits(container)


def _mend_references(container: ecs.ContainerDefinition, earlier: list[str]) -> None:
    """Refer to a container in front only, so that there is no cycle."""
    if not earlier:
        container.depends_on = container.volumes_from = container.links = None
        return
    for dependency in container.depends_on or ():
        dependency.container_name, dependency.condition = earlier[0], "START"
    for volume in container.volumes_from or ():
        volume.source_container = earlier[0]
    if container.links:
        container.links = [f"{earlier[0]}:alias"]


def _mend_limits(container: ecs.ContainerDefinition) -> None:
    for number, ulimit in enumerate(container.ulimits or ()):
        ulimit.name = ecs.ENUM_VALUES["UlimitName"][number]
        soft, hard = ulimit.soft_limit or 0, ulimit.hard_limit or 0
        ulimit.soft_limit, ulimit.hard_limit = sorted((max(soft, 0), max(hard, 0)))
    for tmpfs in (container.linux_parameters or ecs.LinuxParameters()).tmpfs or ():
        tmpfs.container_path = tmpfs.container_path or "/tmp"


def _mend_ports(
    mappings: list[ecs.PortMapping] | None, mode: str | None, ports: typing.Iterator[int]
) -> list[ecs.PortMapping] | None:
    """Give every mapping a port of its own; the first may be a range where there are ranges."""
    if mappings is None or mode == "none":
        return None
    for number, mapping in enumerate(mappings):
        mapping.name = None if mapping.name is None else f"{mapping.name}{next(ports)}"
        if number == 0 and mapping.container_port_range is not None and mode != "host":
            mapping.container_port = mapping.host_port = None
            continue
        mapping.container_port_range = None
        mapping.container_port = next(ports)
        if mapping.host_port:
            shares = mode in ("host", "awsvpc")
            mapping.host_port = mapping.container_port if shares else next(ports)
        elif mode in ("host", "awsvpc"):
            mapping.host_port = None
    return mappings


def _mend_firelens(containers: list[ecs.ContainerDefinition], draw: st.DrawFn) -> None:
    """Keep one log router at most, and a container that uses it."""
    needed = {
        "awslogs": ("awslogs-region", "awslogs-group"),
        "splunk": ("splunk-token", "splunk-url"),
    }
    routers = [
        container for container in containers if container.firelens_configuration is not None
    ]
    for router in routers[1:]:
        router.firelens_configuration = None
    if routers:
        containers[0].log_configuration = ecs.LogConfiguration(log_driver="awsfirelens")
    for container in containers:
        log = container.log_configuration
        if log is None:
            continue
        if log.log_driver == "awsfirelens" and not routers:
            log.log_driver = draw(st.sampled_from(["json-file", "awslogs", "splunk"]))
        for option in needed.get(log.log_driver or "", ()):
            log.options = {**(log.options or {}), option: "x"}
