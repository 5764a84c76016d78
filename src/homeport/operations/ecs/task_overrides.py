"""What RunTask and StartTask override of a task definition: checked, merged, made into a record.

Which of it an agent receives, and how, is the gateway's work. Reference: task-lifecycle §8.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.lifecycle.new_task import NO_OVERRIDES, ContainerOverride, Overrides
from homeport.model.task_definition import ContainerSpec, TaskDefinition
from homeport.operations.ecs.task_definition_rules import (
    EPHEMERAL_STORAGE_MAX_GIB,
    EPHEMERAL_STORAGE_MIN_GIB,
)
from homeport.operations.ecs.task_definition_rules_sizes import (
    CONTAINER_MEMORY_MIN_MIB,
    parse_task_cpu,
    parse_task_memory,
)

OVERRIDES_LENGTH_CHARACTERS = 8_192


def check_overrides(
    given: ecs.TaskOverride | None, definition: TaskDefinition, launch_type: str = "EC2"
) -> Overrides:
    """Return a request's overrides, or refuse them.

    The stored document names every container, as DescribeTasks echoes them; what was overridden
    of it is as it was given. Its JSON may have 8,192 characters.
    """
    if given is None:
        return NO_OVERRIDES
    if len(msgspec.json.encode(given).decode()) > OVERRIDES_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"Container Overrides length must be at most {OVERRIDES_LENGTH_CHARACTERS}"
        )
    _refuse_unbuilt(given)
    if given.ephemeral_storage is not None:
        _check_storage(given.ephemeral_storage, launch_type)
    containers = _check_containers(given.container_overrides or [], definition)
    if given == ecs.TaskOverride() or _is_empty(given):
        return NO_OVERRIDES
    named = {override.name for override in given.container_overrides or []}
    described = replace(
        given,
        container_overrides=[
            *(given.container_overrides or []),
            *(
                ecs.ContainerOverride(name=spec.name)
                for spec in definition.containers
                if spec.name not in named
            ),
        ],
        inference_accelerator_overrides=[],
    )
    return Overrides(
        document=msgspec.json.encode(described),
        cpu_units=None if given.cpu is None else parse_task_cpu(given.cpu),
        memory_mib=None if given.memory is None else parse_task_memory(given.memory),
        containers=containers,
    )


def _is_empty(given: ecs.TaskOverride) -> bool:
    return all(
        override == ecs.ContainerOverride(name=override.name)
        for override in given.container_overrides or []
    ) and replace(given, container_overrides=None, inference_accelerator_overrides=None) == (
        ecs.TaskOverride()
    )


def _refuse_unbuilt(given: ecs.TaskOverride) -> None:
    if given.inference_accelerator_overrides:
        raise ecs.ClientException("Inference accelerators are no longer supported by ECS.")
    for override in given.container_overrides or []:
        if override.resource_requirements:
            raise ecs.ClientException(
                "Homeport does not override resourceRequirements yet: state them in the task "
                "definition."
            )


def _check_storage(storage: ecs.EphemeralStorage, launch_type: str) -> None:
    if launch_type != "FARGATE":
        raise ecs.InvalidParameterException(
            "overrides.ephemeralStorage can be used with the FARGATE launch type only."
        )
    least, most = EPHEMERAL_STORAGE_MIN_GIB, EPHEMERAL_STORAGE_MAX_GIB
    if not least <= (storage.size_in_gib or 0) <= most:
        raise ecs.InvalidParameterException(
            f"overrides.ephemeralStorage must be between {least} and {most} GiB."
        )


def _check_containers(
    given: Sequence[ecs.ContainerOverride], definition: TaskDefinition
) -> tuple[ContainerOverride, ...]:
    specs = {spec.name: spec for spec in definition.containers}
    checked: dict[str, ContainerOverride] = {}
    for override in given:
        if not override.name:
            raise ecs.InvalidParameterException(
                "Container override name should not be null or empty."
            )
        if override.name not in specs:
            raise ecs.InvalidParameterException(
                f"Override for container named {override.name[:255]} is not a container in the "
                "TaskDefinition."
            )
        if override.name in checked:
            raise ecs.InvalidParameterException(
                f"Container {override.name} is overridden more than once."
            )
        checked[override.name] = _check_container(override, specs[override.name])
    return tuple(checked.values())


def _check_container(override: ecs.ContainerOverride, spec: ContainerSpec) -> ContainerOverride:
    if override.cpu is not None and override.cpu < 0:
        raise ecs.InvalidParameterException(f"Invalid 'cpu' override for container '{spec.name}'.")
    sizes = (("memory", override.memory), ("memoryReservation", override.memory_reservation))
    for member, value in sizes:
        if value is not None and value < CONTAINER_MEMORY_MIN_MIB:
            raise ecs.InvalidParameterException(
                f"Invalid '{member}' override for container '{spec.name}'. Specify at least "
                f"{CONTAINER_MEMORY_MIN_MIB} MiB."
            )
    memory = spec.memory_mib if override.memory is None else override.memory
    reservation = override.memory_reservation or spec.memory_reservation_mib
    if memory is not None and reservation is not None and memory < reservation:
        raise ecs.InvalidParameterException(
            f"Invalid override for container '{spec.name}'. 'memory' must be greater than "
            "'memoryReservation'."
        )
    for variable in override.environment or []:
        if not variable.name:
            raise ecs.InvalidParameterException(
                f"An environment variable that overrides container '{spec.name}' has no name."
            )
    return ContainerOverride(
        name=spec.name,
        cpu_units=override.cpu,
        memory_mib=override.memory,
        memory_reservation_mib=override.memory_reservation,
    )
