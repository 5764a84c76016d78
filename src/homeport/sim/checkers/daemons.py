"""Truths: a DAEMON service has one task on an instance at most, and its room is its own.

What a daemon's tasks need on an instance is counted here anew; an expression of its constraints may
rule the instance out, which is the query language's to say.
"""

from homeport.model.capacity_provider import ATTRIBUTE_FARGATE
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.resources import TaskResources
from homeport.model.task import RUNNING, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store
from homeport.state.view import View

TRUTH = "one daemon an instance"
KEPT = "a daemon's room is nobody else's"


def check_daemons(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at new tasks: a DAEMON service's one before has ended, others leave its room alone."""
    _check_room(store, commit, replaced)
    for change, old in zip(commit.changes, replaced, strict=True):
        if old is not None or not isinstance(change, Put) or not isinstance(change.record, Task):
            continue
        task = change.record
        service = store.services.get(task.service_arn or "")
        if service is None or service.scheduling_strategy != "DAEMON":
            continue
        here = store.tasks.group("instance", task.container_instance_arn or "").values()
        others = [t.arn for t in here if t.service_arn == service.arn and t.arn != task.arn]
        if others:
            raise Violation(TRUTH, f"{task.arn} starts beside {others[0]} of {service.arn}")


def _check_room(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every task that has got a place: those of daemons still fit beside it."""
    view = View(store)
    for change, old in zip(commit.changes, replaced, strict=True):
        task = change.record if isinstance(change, Put) else None
        if not isinstance(task, Task) or task.container_instance_arn is None:
            continue
        if isinstance(old, Task) and old.container_instance_arn is not None:
            continue
        instance = view.container_instance(task.container_instance_arn)
        service = view.service(task.service_arn or "")
        if instance is None or (service is not None and service.scheduling_strategy == "DAEMON"):
            continue
        kept, held = room_of_daemons(view, instance), view.instance_load(instance.arn)
        has, needs = instance.resources, task.resources
        is_taken = (needs.cpu_units and has.cpu_units - held.cpu_units < kept.cpu_units) or (
            needs.memory_mib and has.memory_mib - held.memory_mib < kept.memory_mib
        )
        if is_taken or set(needs.host_ports).intersection(kept.host_ports):
            raise Violation(KEPT, f"{task.arn} takes the room of a daemon on {instance.arn}")


def room_of_daemons(
    view: View, instance: ContainerInstance, *, is_sure: bool = True
) -> TaskResources:
    """Return what DAEMON services whose task isn't there, and may be, lack on an instance.

    `is_sure` leaves those out whose constraints may rule the instance out; without it, it is the
    most that anybody may have to keep.
    """
    if instance.status != ACTIVE or ATTRIBUTE_FARGATE in instance.attributes:
        return TaskResources()
    tasks = list(view.tasks_of_instance(instance.arn).values())
    services = view.daemon_services(instance.cluster_arn)
    wanted = [t for t in tasks if t.desired_status == RUNNING]
    cpu_units = sum(t.resources.cpu_units for t in wanted if t.service_arn in services)
    memory_mib = sum(t.resources.memory_mib for t in wanted if t.service_arn in services)
    kept = TaskResources()
    for arn, service in sorted(services.items()):
        definition = view.task_definition(service.primary.task_definition_arn)
        if definition is None or any(t.service_arn == arn for t in wanted):
            continue
        is_unsure = bool(service.placement_constraints)
        if service.primary.rollout_state == "FAILED" or (is_sure and is_unsure):
            continue
        needs = definition.resources
        total_cpu_units, total_mib = needs.cpu_units, needs.memory_mib
        if is_sure:
            total_cpu_units, total_mib = cpu_units + total_cpu_units, memory_mib + total_mib
        has = instance.resources
        if total_cpu_units > has.cpu_units or total_mib > has.memory_mib:
            continue
        if any(name not in instance.attributes for name in definition.requires_attributes):
            continue
        cpu_units, memory_mib = total_cpu_units, total_mib
        own = [t.resources for t in tasks if t.service_arn == arn]
        kept = TaskResources(
            kept.cpu_units + max(0, needs.cpu_units - sum(each.cpu_units for each in own)),
            kept.memory_mib + max(0, needs.memory_mib - sum(each.memory_mib for each in own)),
            kept.host_ports + needs.host_ports,
        )
    return kept
