"""Where there is room for one more task, by counts and rules of the checkers' own."""

from collections.abc import Iterator

from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    FARGATE,
)
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import TaskResources
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.sim.checkers.daemons import room_of_daemons
from homeport.state.view import View

DAEMON = "DAEMON"


def find_room(view: View, service: Service, task_definition_arn: str) -> str | None:
    """Return an instance that could take one more task of the service."""
    return next(roomy_instances(view, service, task_definition_arn), None)


def roomy_instances(view: View, service: Service, task_definition_arn: str) -> Iterator[str]:
    """Return every instance that could take one more task of the service."""
    definition = view.task_definition(task_definition_arn)
    assert definition is not None, task_definition_arn
    is_fargate = service.task_launch_type == FARGATE
    for arn, instance in view.container_instances(service.cluster_arn).items():
        if not _takes(instance, is_fargate=is_fargate, provider=None):
            continue
        if service.capacity_provider_strategy and not is_fargate:
            continue  # which provider is next is the strategy's to say
        if _is_kept_from(view, service.arn, instance):
            continue
        needs = definition.resources
        if _fits_beside_daemons(view, instance, needs) and _may(view, service, instance):
            yield arn


def find_room_for(view: View, task: Task) -> str | None:
    """Return an instance that could take a task that waits for capacity."""
    is_fargate = task.launch_type == FARGATE
    service = view.service(task.service_arn or "")
    for arn, instance in view.container_instances(task.cluster_arn).items():
        if not _takes(instance, is_fargate=is_fargate, provider=task.capacity_provider):
            continue
        if _is_kept_from(view, task.arn, instance):
            continue
        if _fits_beside_daemons(view, instance, task.resources) and (
            service is None or _may(view, service, instance)
        ):
            return arn
    return None


def _fits_beside_daemons(
    view: View, instance: ContainerInstance, needs: TaskResources
) -> bool:
    """Whether there is room that isn't kept for a DAEMON service."""
    kept = room_of_daemons(view, instance, is_sure=False)
    both = TaskResources(
        needs.cpu_units + (kept.cpu_units if needs.cpu_units else 0),
        needs.memory_mib + (kept.memory_mib if needs.memory_mib else 0),
        needs.host_ports,
    )
    is_free = not set(needs.host_ports).intersection(kept.host_ports)
    return is_free and has_space(view, instance, both)


def has_space(view: View, instance: ContainerInstance, needs: TaskResources) -> bool:
    """Whether CPU units, memory and host ports are free."""
    tasks = list(view.tasks_of_instance(instance.arn).values())
    ports = {port for task in tasks for port in task.resources.host_ports}
    if instance.resources.cpu_units - sum(t.resources.cpu_units for t in tasks) < needs.cpu_units:
        return False
    held_mib = sum(t.resources.memory_mib for t in tasks)
    if instance.resources.memory_mib - held_mib < needs.memory_mib:
        return False
    return not ports.intersection(needs.host_ports)


def _is_kept_from(view: View, arn: str, instance: ContainerInstance) -> bool:
    """Whether it is another one's turn there."""
    cluster = view.cluster(instance.cluster_arn)
    kept = None if cluster is None else cluster.kept
    if kept is None or kept.container_instance_arn != instance.arn:
        return False
    return kept.for_arn not in (None, arn)


def _takes(instance: ContainerInstance, *, is_fargate: bool, provider: str | None) -> bool:
    if not instance.is_available or (ATTRIBUTE_FARGATE in instance.attributes) != is_fargate:
        return False
    whose = instance.attributes.get(ATTRIBUTE_CAPACITY_PROVIDER)
    return is_fargate or provider is None or whose == provider


def _may(view: View, service: Service, instance: ContainerInstance) -> bool:
    for constraint in service.placement_constraints:
        if constraint.kind == "memberOf":
            return False  # whether it would fit is the query language's to say
        tasks = view.tasks_of_instance(instance.arn).values()
        if any(t.service_arn == service.arn for t in tasks):
            return False
    return True
