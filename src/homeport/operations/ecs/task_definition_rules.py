"""What RegisterTaskDefinition asks of a request as a whole; the parts' rules lie beside it.

Everything refused here is a ClientException (reference: api-errors-and-limits §3, end). Source:
API:RegisterTaskDefinitionRequest.
"""

from collections.abc import Sequence

from homeport.api import ecs
from homeport.core.placement.expressions import ExpressionError, parse_expression
from homeport.operations.ecs.task_definition_rules_containers import check_container
from homeport.operations.ecs.task_definition_rules_fargate import check_compatibilities
from homeport.operations.ecs.task_definition_rules_graph import check_references
from homeport.operations.ecs.task_definition_rules_ports import check_ports
from homeport.operations.ecs.task_definition_rules_sizes import (
    TaskSize,
    check_sizes,
    parse_task_size,
)
from homeport.operations.ecs.task_definition_rules_volumes import check_volumes
from homeport.operations.names import check_name

CONTAINERS_PER_DEFINITION = 10
CONSTRAINTS_PER_DEFINITION = 10
DEFINITION_LENGTH_BYTES = 64 * 1_024
EPHEMERAL_STORAGE_MIN_GIB, EPHEMERAL_STORAGE_MAX_GIB = 21, 200


def check_task_definition(request: ecs.RegisterTaskDefinitionRequest) -> TaskSize:
    """Return the task-level size of a sound request, or refuse it."""
    check_name(request.family, "Family", ecs.ClientException)
    containers = request.container_definitions
    if not containers:
        raise ecs.ClientException("Container list cannot be empty.")
    if len(containers) > CONTAINERS_PER_DEFINITION:
        raise ecs.ClientException(f"Too many containers. The limit is {CONTAINERS_PER_DEFINITION}.")
    size = parse_task_size(request)
    for container in containers:
        check_container(container, request)
    if len({container.name for container in containers}) != len(containers):
        raise ecs.ClientException("Container names must be unique within a Task Definition.")
    if all(container.essential is False for container in containers):
        raise ecs.ClientException("At least one container must be marked as essential.")
    check_compatibilities(request, size)
    check_sizes(containers, size)
    check_ports(containers, request.network_mode)
    check_references(containers, request.network_mode)
    check_volumes(request.volumes or (), containers)
    _check_firelens(containers)
    _check_rest(request, containers)
    return size


def check_length(document: bytes) -> None:
    """Refuse a definition that is too large to keep."""
    if len(document) > DEFINITION_LENGTH_BYTES:
        raise ecs.ClientException(
            f"Actual length: '{len(document)}'. Max allowed length is "
            f"'{DEFINITION_LENGTH_BYTES}' bytes."
        )


def _check_firelens(containers: Sequence[ecs.ContainerDefinition]) -> None:
    routers = sum(container.firelens_configuration is not None for container in containers)
    senders = sum(
        container.log_configuration is not None
        and container.log_configuration.log_driver == "awsfirelens"
        for container in containers
    )
    if routers > 1:
        raise ecs.ClientException("Only one container can specify a firelensConfiguration.")
    if routers and not senders:
        raise ecs.ClientException(
            "When a firelensConfiguration object is specified, at least one container has to be "
            "configured with the awsfirelens log driver."
        )
    if senders and not routers:
        raise ecs.ClientException(
            "When the awsfirelens log driver is specified, one container has to be configured "
            "with a firelensConfiguration object."
        )


def _check_rest(
    request: ecs.RegisterTaskDefinitionRequest, containers: Sequence[ecs.ContainerDefinition]
) -> None:
    if request.placement_constraints:
        _check_constraints(request.placement_constraints)
    if request.proxy_configuration is not None:
        _check_proxy(request.proxy_configuration, request.network_mode, containers)
    storage = request.ephemeral_storage
    if storage is not None and not (
        EPHEMERAL_STORAGE_MIN_GIB <= (storage.size_in_gib or 0) <= EPHEMERAL_STORAGE_MAX_GIB
    ):
        raise ecs.ClientException(
            f"Invalid 'ephemeralStorage' setting for task. Specify {EPHEMERAL_STORAGE_MIN_GIB} to "
            f"{EPHEMERAL_STORAGE_MAX_GIB} GiB."
        )
    names = [accelerator.device_name for accelerator in request.inference_accelerators or ()]
    if len(set(names)) != len(names):
        raise ecs.ClientException("Inference accelerator device names must be unique.")


def _check_constraints(constraints: Sequence[ecs.TaskDefinitionPlacementConstraint]) -> None:
    """Refuse what isn't a memberOf with a sound expression; matches are found at placement."""
    if len(constraints) > CONSTRAINTS_PER_DEFINITION:
        raise ecs.ClientException(
            f"Too many placement constraints. The limit is {CONSTRAINTS_PER_DEFINITION}."
        )
    for constraint in constraints:
        if constraint.type != "memberOf":
            raise ecs.ClientException(
                "Task definition placement constraints must have the type memberOf."
            )
        if not constraint.expression:
            raise ecs.ClientException("Placement constraint expression should not be empty.")
        try:
            parse_expression(constraint.expression)
        except ExpressionError as error:
            raise ecs.ClientException(f"Invalid placement constraint expression: {error}") from None


def _check_proxy(
    proxy: ecs.ProxyConfiguration,
    network_mode: str | None,
    containers: Sequence[ecs.ContainerDefinition],
) -> None:
    if network_mode != "awsvpc":
        raise ecs.ClientException("proxyConfiguration is only supported when networkMode=awsvpc.")
    if proxy.container_name not in {container.name for container in containers}:
        raise ecs.ClientException(
            f"The proxyConfiguration names the container '{proxy.container_name}', which does not "
            "exist."
        )
