"""The limits of a whole task, as the kernel is told them: a parent cgroup of its own. Pure.

Like Amazon's agent (ECS_ENABLE_TASK_CPU_MEM_LIMIT): the task's containers share a parent, which has
the CPU quota and the memory limit of the task, so that the limits hold for their sum. Not here:
making and removing it (`cgroups`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from homeport.wire.agent_messages import payload

FILES_V1: Final = "files, version 1"
FILES_V2: Final = "files, version 2"
SLICES: Final = "systemd's slices"
"""Who holds the hierarchy: we write it ourselves (Docker's driver cgroupfs), or systemd does."""

FILES_PARENT: Final = "ecs"
SLICE_PREFIX: Final = "ecstasks-"
"""Amazon's agent's names: /ecs/<task id>, and ecstasks-<task id>.slice."""

CPU_PERIOD_US: Final = 100_000
"""Amazon's agent's default, and the kernel's."""

MIN_CPU_QUOTA_US: Final = 1_000
"""The least that the kernel takes."""

BYTES_PER_MIB: Final = 1024 * 1024
CPU_UNITS_PER_VCPU: Final = 1024
MIN_CPU_SHARES: Final = 2
MAX_CPU_SHARES: Final = 262_144
MAX_CPU_WEIGHT: Final = 10_000


class TaskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What all containers of a task may use together; None: as much as there is."""

    vcpus: float | None = None
    memory_bytes: int | None = None

    @property
    def quota_us(self) -> int | None:
        """CPU time in each period."""
        if self.vcpus is None:
            return None
        return max(round(self.vcpus * CPU_PERIOD_US), MIN_CPU_QUOTA_US)

    @property
    def shares(self) -> int | None:
        """The task's weight beside other tasks when CPU is short, in version 1's unit."""
        if self.vcpus is None:
            return None
        return min(max(round(self.vcpus * CPU_UNITS_PER_VCPU), MIN_CPU_SHARES), MAX_CPU_SHARES)

    @property
    def weight(self) -> int | None:
        """The same in version 2's unit, converted as Docker's runtime converts it."""
        if self.shares is None:
            return None
        span = MAX_CPU_SHARES - MIN_CPU_SHARES
        return 1 + (self.shares - MIN_CPU_SHARES) * (MAX_CPU_WEIGHT - 1) // span


class LimitFile(msgspec.Struct, frozen=True):
    """One file of a task's cgroup: in which controller's hierarchy, its name, what it says."""

    controller: str
    name: str
    text: str


def find_limits(task: payload.Task, engine_cpus: int) -> TaskLimits | None:
    """The limits of a task as a whole; None if only its containers have limits."""
    # An instance may offer more CPU than its Engine has; more than all of it is no limit.
    vcpus = min(task.cpu, float(engine_cpus)) if task.cpu else None
    memory_bytes = task.memory * BYTES_PER_MIB if task.memory else None
    if vcpus is None and memory_bytes is None:
        return None
    return TaskLimits(vcpus=vcpus, memory_bytes=memory_bytes)


def name_parent(scheme: str, task_arn: str) -> str:
    """The parent cgroup of a task's containers, as Docker's CgroupParent wants it named."""
    task_id = task_arn.rpartition("/")[2]
    return f"{SLICE_PREFIX}{task_id}.slice" if scheme == SLICES else f"/{FILES_PARENT}/{task_id}"


def list_v1_files(limits: TaskLimits) -> tuple[LimitFile, ...]:
    """What is written where controllers have hierarchies of their own."""
    files = []
    if limits.memory_bytes is not None:
        files.append(LimitFile("memory", "memory.limit_in_bytes", str(limits.memory_bytes)))
    if limits.quota_us is not None:
        files += [
            LimitFile("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US)),
            LimitFile("cpu", "cpu.cfs_quota_us", str(limits.quota_us)),
            LimitFile("cpu", "cpu.shares", str(limits.shares)),
        ]
    return tuple(files)


def list_v2_files(limits: TaskLimits) -> tuple[LimitFile, ...]:
    """What is written where one hierarchy has all controllers."""
    files = []
    if limits.memory_bytes is not None:
        files.append(LimitFile("memory", "memory.max", str(limits.memory_bytes)))
    if limits.quota_us is not None:
        files += [
            LimitFile("cpu", "cpu.max", f"{limits.quota_us} {CPU_PERIOD_US}"),
            LimitFile("cpu", "cpu.weight", str(limits.weight)),
        ]
    return tuple(files)


def list_slice_properties(limits: TaskLimits) -> tuple[str, ...]:
    """What `systemctl set-property` is told."""
    properties = []
    if limits.memory_bytes is not None:
        properties.append(f"MemoryMax={limits.memory_bytes}")
    if limits.quota_us is not None:
        properties += [
            f"CPUQuota={100 * limits.quota_us / CPU_PERIOD_US:g}%",
            f"CPUWeight={limits.weight}",
        ]
    return tuple(properties)
