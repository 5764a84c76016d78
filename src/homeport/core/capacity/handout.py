"""What a container instance gives a new task by name: GPUs, and the address of its interface.

Placement has counted both; here each task gets those that no other task holds.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from homeport.core.capacity.addresses import free_addresses
from homeport.model.container_instance import ContainerInstance
from homeport.model.task import Container, Task
from homeport.state.view import View


def hand_out(view: View, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Give tasks that have just been placed their GPUs and addresses, the lowest free ones.

    `tasks` are those of one decision, which the state doesn't know yet. Tasks without a container
    instance, or that have what they need, stay as they are.
    """
    if not any(_lacks(task) for task in tasks):
        return tuple(tasks)
    shelves: dict[str, _Shelf] = {}
    given = []
    for task in tasks:
        instance = view.container_instance(task.container_instance_arn or "")
        if instance is None or not _lacks(task):
            given.append(task)
            continue
        shelf = shelves.get(instance.arn)
        if shelf is None:
            shelf = shelves[instance.arn] = _Shelf(view, instance)
        given.append(shelf.give(view, task))
    return tuple(given)


def free_gpu_ids(view: View, instance: ContainerInstance) -> tuple[str, ...]:
    """Return the GPUs of a container instance that no task holds, in the order registered."""
    held = {
        gpu_id
        for task in view.tasks_of_instance(instance.arn).values()
        for container in task.containers
        for gpu_id in container.gpu_ids
    }
    return tuple(gpu_id for gpu_id in instance.resources.gpu_ids if gpu_id not in held)


def _lacks(task: Task) -> bool:
    needs = task.resources
    if needs.interface_count and task.private_ip is None:
        return True
    return bool(needs.gpu_count) and not any(c.gpu_ids for c in task.containers)


class _Shelf:
    """What one container instance has left while a decision hands it out."""

    def __init__(self, view: View, instance: ContainerInstance) -> None:
        self._gpu_ids = iter(free_gpu_ids(view, instance))
        self._addresses: Iterator[str] = free_addresses(view, instance)

    def give(self, view: View, task: Task) -> Task:
        if task.resources.gpu_count:
            task = replace(task, containers=self._with_gpus(view, task))
        if task.resources.interface_count and task.private_ip is None:
            task = replace(task, private_ip=next(self._addresses, None))
        return task

    def _with_gpus(self, view: View, task: Task) -> tuple[Container, ...]:
        definition = view.task_definition(task.task_definition_arn)
        counts = {spec.name: spec.gpu_count for spec in definition.containers} if definition else {}
        return tuple(
            replace(container, gpu_ids=self._take_gpus(counts.get(container.name, 0)))
            for container in task.containers
        )

    def _take_gpus(self, count: int) -> tuple[str, ...]:
        taken = (next(self._gpu_ids, None) for _ in range(count))
        return tuple(gpu_id for gpu_id in taken if gpu_id is not None)
