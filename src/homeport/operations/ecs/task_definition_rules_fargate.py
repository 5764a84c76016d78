"""What Fargate, ECS Anywhere and EC2 can run: compatibilities of a task definition.

A definition may be registered for any of them; whether Homeport can run it there is RunTask's
matter. Source: reference api-errors-and-limits §3, capacity-and-scaling; API:Compatibility.
"""

from collections.abc import Iterator

from homeport.api import ecs
from homeport.operations.ecs.task_definition_rules_sizes import TaskSize, find_fargate_size_refusal

FARGATE_LOG_DRIVERS = frozenset({"awslogs", "splunk", "awsfirelens"})
FARGATE_TIMEOUT_MAX_S = 120
UNSUPPORTED = "Fargate compatible task definitions do not support"


def check_compatibilities(request: ecs.RegisterTaskDefinitionRequest, size: TaskSize) -> None:
    """Refuse, with ClientException, what a required launch type can't run."""
    required = request.requires_compatibilities
    if not required:
        return
    if "FARGATE" in required:
        refusal = find_fargate_refusal(request, size)
        if refusal is not None:
            raise ecs.ClientException(refusal)
    if "EXTERNAL" in required:
        refusal = find_external_refusal(request)
        if refusal is not None:
            raise ecs.ClientException(refusal)


def list_compatibilities(
    request: ecs.RegisterTaskDefinitionRequest, size: TaskSize
) -> tuple[str, ...]:
    """List the launch types that can run the definition, in AWS's order."""
    if request.trusted_execution_configuration is not None:
        return ("MANAGED_INSTANCES",)
    found = ["EC2"]
    if find_external_refusal(request) is None:
        found.insert(0, "EXTERNAL")
    # The cheap test first: hardly any definition for instances uses awsvpc.
    if request.network_mode == "awsvpc" and find_fargate_refusal(request, size) is None:
        found.append("FARGATE")
    if "MANAGED_INSTANCES" in (request.requires_compatibilities or ()):
        found.append("MANAGED_INSTANCES")
    return tuple(found)


def find_external_refusal(request: ecs.RegisterTaskDefinitionRequest) -> str | None:
    """Say why an external instance can't run the definition; None when it can."""
    if request.network_mode == "awsvpc":
        return "External compatible task definitions do not support networkMode awsvpc."
    for volume in request.volumes or ():
        if volume.efs_volume_configuration is not None:
            return "External compatible task definitions do not support efsVolumeConfiguration."
    return None


def find_fargate_refusal(request: ecs.RegisterTaskDefinitionRequest, size: TaskSize) -> str | None:
    """Say why Fargate can't run the definition, in AWS's words; None when it can."""
    if request.network_mode != "awsvpc":
        return "Fargate only supports network mode \u2018awsvpc\u2019."
    return find_fargate_size_refusal(size) or next(_list_refusals(request), None)


def _list_refusals(request: ecs.RegisterTaskDefinitionRequest) -> Iterator[str]:
    for present, member in (
        (request.placement_constraints, "placementConstraints"),
        (request.ipc_mode, "ipcMode"),
        (request.pid_mode == "host", "pidMode host"),
        (request.inference_accelerators, "inferenceAccelerators"),
    ):
        if present:
            yield f"{UNSUPPORTED} {member}"
    for volume in request.volumes or ():
        if volume.docker_volume_configuration is not None:
            yield f"{UNSUPPORTED} dockerVolumeConfiguration"
        if volume.host is not None and volume.host.source_path is not None:
            yield f"{UNSUPPORTED} sourcePath"
    for container in request.container_definitions or ():
        yield from _list_container_refusals(container)


def _list_container_refusals(container: ecs.ContainerDefinition) -> Iterator[str]:
    linux = container.linux_parameters or ecs.LinuxParameters()
    for present, member in (
        (container.privileged, "privileged"),
        (container.links, "links"),
        (container.resource_requirements, "resourceRequirements"),
        (container.docker_security_options, "dockerSecurityOptions"),
        (linux.devices, "devices"),
        (linux.shared_memory_size, "sharedMemorySize"),
        (linux.tmpfs, "tmpfs"),
        (linux.max_swap is not None, "maxSwap"),
        (linux.swappiness is not None, "swappiness"),
    ):
        if present:
            yield f"{UNSUPPORTED} {member}"
    log = container.log_configuration
    if log is not None and log.log_driver not in FARGATE_LOG_DRIVERS:
        yield f"{UNSUPPORTED} log driver {log.log_driver}"
    if (
        log is not None
        and log.log_driver == "awslogs"
        and "awslogs-stream-prefix" not in (log.options or {})
    ):
        yield "Log driver awslogs requires options: awslogs-stream-prefix"
    for timeout_s in (container.start_timeout, container.stop_timeout):
        if timeout_s is not None and timeout_s > FARGATE_TIMEOUT_MAX_S:
            yield f"{UNSUPPORTED} timeouts above {FARGATE_TIMEOUT_MAX_S} seconds"
