"""What RegisterTaskDefinition asks of CPU and memory, of the task and of its containers.

Sizes become integers here (CPU units, MiB); which resources a task holds is `requirements`' work.
Source: API:RegisterTaskDefinitionRequest, ContainerDefinition; reference capacity-and-scaling.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from homeport.api import ecs

CPU_UNITS_PER_VCPU = 1_024
MIB_PER_GIB = 1_024
TASK_CPU_MIN_UNITS = 128
TASK_CPU_MAX_UNITS = 196_608
CONTAINER_MEMORY_MIN_MIB = 4  # what the Docker Engine needs at least
SIZE_TEXT_CHARACTERS = 32

_parse_plain = re.compile(r"[0-9]{1,9}").fullmatch
_parse_vcpu = re.compile(r"([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*vcpu", re.IGNORECASE).fullmatch
_parse_gib = re.compile(r"([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*gb", re.IGNORECASE).fullmatch

# CPU units to the memory sizes that go with them, in MiB.
FARGATE_MEMORY_MIB: dict[int, Sequence[int]] = {
    256: (512, 1_024, 2_048),
    512: range(1_024, 4_096 + 1, 1_024),
    1_024: range(2_048, 8_192 + 1, 1_024),
    2_048: range(4_096, 16_384 + 1, 1_024),
    4_096: range(8_192, 30_720 + 1, 1_024),
    8_192: range(16_384, 61_440 + 1, 4_096),
    16_384: range(32_768, 122_880 + 1, 8_192),
}


class TaskSize(NamedTuple):
    """The task-level size: CPU units and MiB, None for what wasn't given."""

    cpu_units: int | None
    memory_mib: int | None


def parse_task_size(request: ecs.RegisterTaskDefinitionRequest) -> TaskSize:
    """Read `256` or `.25 vCPU`, `512` or `0.5 GB`, or refuse with ClientException."""
    cpu_units = None if request.cpu is None else parse_task_cpu(request.cpu)
    memory_mib = None if request.memory is None else parse_task_memory(request.memory)
    return TaskSize(cpu_units, memory_mib)


def parse_task_cpu(text: str) -> int:
    """Return the CPU units that a task-level `cpu` states."""
    units = _parse_size(text, _parse_vcpu, CPU_UNITS_PER_VCPU)
    if units is None or not TASK_CPU_MIN_UNITS <= units <= TASK_CPU_MAX_UNITS:
        raise ecs.ClientException(
            "Invalid 'cpu' setting for task. Specify CPU units, e.g. '256', or vCPUs, e.g. "
            f"'.25 vCPU', between {TASK_CPU_MIN_UNITS} and {TASK_CPU_MAX_UNITS} CPU units."
        )
    return units


def parse_task_memory(text: str) -> int:
    """Return the MiB that a task-level `memory` states."""
    mib = _parse_size(text, _parse_gib, MIB_PER_GIB)
    if mib is None or mib < CONTAINER_MEMORY_MIN_MIB:
        raise ecs.ClientException(
            "Invalid 'memory' setting for task. Specify MiB, e.g. '512', or GB, e.g. '0.5 GB', "
            f"of at least {CONTAINER_MEMORY_MIN_MIB} MiB."
        )
    return mib


def _parse_size(
    text: str, parse_unit: Callable[[str], re.Match[str] | None], factor: int
) -> int | None:
    text = text.strip()
    if len(text) > SIZE_TEXT_CHARACTERS:
        return None
    if _parse_plain(text) is not None:
        return int(text)
    match = parse_unit(text)
    if match is None or not match[1]:
        return None
    return round(float(match[1]) * factor)


def check_sizes(containers: Sequence[ecs.ContainerDefinition], size: TaskSize) -> None:
    """Refuse containers without memory, and those that don't fit the task, with ClientException."""
    total_cpu = total_memory = 0
    for container in containers:
        _check_container_size(container, size)
        total_cpu += container.cpu or 0
        total_memory += container.memory_reservation or container.memory or 0
    if size.cpu_units is not None and total_cpu > size.cpu_units:
        raise ecs.ClientException(
            "The sum of all container 'cpu' values cannot be greater than the value of the task "
            "'cpu'."
        )
    if size.memory_mib is not None and total_memory > size.memory_mib:
        raise ecs.ClientException(
            "The total memory reserved for all containers cannot be greater than the value of the "
            f"task 'memory': {total_memory} MiB are reserved, the task has {size.memory_mib} MiB."
        )


def _check_container_size(container: ecs.ContainerDefinition, size: TaskSize) -> None:
    name, memory, reservation = container.name, container.memory, container.memory_reservation
    if container.cpu is not None and container.cpu < 0:
        raise ecs.ClientException(f"Invalid 'cpu' setting for container '{name}'.")
    if memory is reservation is size.memory_mib is None:
        raise ecs.ClientException(
            f"Invalid setting for container '{name}'. At least one of 'memory' or "
            "'memoryReservation' must be specified."
        )
    for member, value in (("memory", memory), ("memoryReservation", reservation)):
        if value is None:
            continue
        if value < CONTAINER_MEMORY_MIN_MIB:
            raise ecs.ClientException(
                f"Invalid '{member}' setting for container '{name}'. Specify at least "
                f"{CONTAINER_MEMORY_MIN_MIB} MiB."
            )
        if size.memory_mib is not None and value > size.memory_mib:
            raise ecs.ClientException(
                f"The '{member}' setting for container '{name}' is greater than for the task."
            )
    if memory is not None and reservation is not None and memory < reservation:
        raise ecs.ClientException(
            f"Invalid setting for container '{name}'. 'memory' must be greater than "
            "'memoryReservation'."
        )


def find_fargate_size_refusal(size: TaskSize) -> str | None:
    """Say why Fargate has no such task size, in AWS's words; None when it has."""
    for member, value in (("cpu", size.cpu_units), ("memory", size.memory_mib)):
        if value is None:
            return f"Fargate requires that '{member}' be defined at the task level."
    if size.memory_mib not in FARGATE_MEMORY_MIB.get(size.cpu_units or 0, ()):
        return "No Fargate configuration exists for given values."
    return None
