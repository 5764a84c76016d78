"""One container instance while a call places tasks on it: what is free, and what it hosts."""

from collections.abc import Collection

from homeport.core.placement.expressions import InstanceFacts
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import TaskResources
from homeport.state.derived import InstanceLoad

_LOAD_STEPS = 1_000


class Candidate:
    """Kept in step with the tasks that the present call has placed already."""

    __slots__ = (
        "counted",
        "free_cpu_units",
        "free_gpu_count",
        "free_interface_count",
        "free_memory_mib",
        "instance",
        "load",
        "placed",
        "task_groups",
    )

    def __init__(
        self, instance: ContainerInstance, load: InstanceLoad, task_groups: Collection[str]
    ) -> None:
        registered = instance.resources
        self.instance = instance
        self.load = load
        self.free_cpu_units = registered.cpu_units - load.cpu_units
        self.free_memory_mib = registered.memory_mib - load.memory_mib
        self.free_gpu_count = len(registered.gpu_ids) - load.gpu_count
        self.free_interface_count = registered.interface_slots - load.interface_count
        self.task_groups = task_groups
        self.counted = 0  # wanted tasks of the service, or of the group, that it hosts
        self.placed = 0  # of them, those that this call has placed

    @property
    def arn(self) -> str:
        """The container instance's ARN."""
        return self.instance.arn

    def add(self, needs: TaskResources, group: str, sign: int = 1) -> None:
        """Count one more task in, or (`sign` -1) one of those it had out."""
        self.free_cpu_units -= sign * needs.cpu_units
        self.free_memory_mib -= sign * needs.memory_mib
        self.free_gpu_count -= sign * needs.gpu_count
        self.free_interface_count -= sign * needs.interface_count
        self.counted += sign
        if sign > 0:
            self.placed += 1
            if group not in self.task_groups:
                self.task_groups = (*self.task_groups, group)

    def facts(self) -> InstanceFacts:
        """Return what an expression may ask."""
        return InstanceFacts(self.instance, self.load.running, self.task_groups)

    def load_permille(self) -> int:
        """Return how full it is: the fuller one of CPU and memory."""
        registered = self.instance.resources
        used_cpu_units = registered.cpu_units - self.free_cpu_units
        used_memory_mib = registered.memory_mib - self.free_memory_mib
        return max(
            used_cpu_units * _LOAD_STEPS // max(registered.cpu_units, 1),
            used_memory_mib * _LOAD_STEPS // max(registered.memory_mib, 1),
        )
