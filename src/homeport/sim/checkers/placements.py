"""Truth: a task is placed only where its constraints allow, on an instance that can take it.

It reads expressions of one form by itself: `attribute:NAME == VALUE`, the one that scenarios use.
"""

import re
from ipaddress import ip_address, ip_network

from homeport.core.capacity.provisioning import ATTRIBUTE_TASK_ENI
from homeport.model.capacity_provider import (
    ATTRIBUTE_CAPACITY_PROVIDER,
    ATTRIBUTE_FARGATE,
    ATTRIBUTE_SUBNET,
    FARGATE,
)
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.placement import PlacementConstraint
from homeport.model.task import RUNNING, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "constraints hold for every placement"

_EQUALS = re.compile(r"attribute:(\S+) == (\S+)")


def check_placements(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every task that a commit placed, at once or out of those that wait for capacity."""
    for change, old in zip(commit.changes, replaced, strict=True):
        if not isinstance(change, Put) or not isinstance(change.record, Task):
            continue
        task, was = change.record, old if isinstance(old, Task) else None
        if was is None and task.is_provisioning:
            _check_waiting(store, task)
        elif task.is_provisioning or task.is_stopped:
            continue
        elif was is None or was.is_provisioning:
            _check_task(store, task, commit)


def check_neighbours(store: Store) -> None:
    """Look at every live task of a service with constraints: they hold not at first only."""
    for service in store.services:
        if not service.placement_constraints:
            continue
        for task in store.tasks.group("service", service.arn).values():
            instance = store.container_instances.get(task.container_instance_arn or "")
            if instance is not None and task.desired_status == RUNNING:
                for constraint in service.placement_constraints:
                    _check_constraint(store, task, instance, constraint)


def _check_waiting(store: Store, task: Task) -> None:
    """A task may wait for Fargate's pool, or for instances of managed scaling."""
    if task.launch_type == FARGATE:
        return
    providers = (p for p in store.capacity_providers if p.name == task.capacity_provider)
    if not any(provider.is_scaling_managed for provider in providers):
        raise Violation(TRUTH, f"{task.arn} waits for capacity that nobody brings")


def _check_task(store: Store, task: Task, commit: Commit) -> None:
    instance = store.container_instances.get(task.container_instance_arn or "")
    if instance is None:
        raise Violation(TRUTH, f"{task.arn} was placed nowhere")
    is_available = instance.status == ACTIVE and instance.agent_connected
    if not is_available and commit.cause != "StartTask":
        raise Violation(TRUTH, f"{task.arn} was placed on {instance.arn}, which isn't available")
    _check_capacity(task, instance)
    definition = store.task_definitions.get(task.task_definition_arn)
    assert definition is not None, task.task_definition_arn
    # The interfaces of Fargate's tasks are the pool's business, not a capability of its agents.
    free = ATTRIBUTE_TASK_ENI if task.launch_type == FARGATE else None
    missing = [
        name
        for name in definition.requires_attributes
        if name not in instance.attributes and name != free
    ]
    if missing:
        raise Violation(TRUTH, f"{task.arn} needs {missing} of {instance.arn}")
    service = store.services.get(task.service_arn or "")
    if service is not None:
        for constraint in service.placement_constraints:
            _check_constraint(store, task, instance, constraint)


def _check_capacity(task: Task, instance: ContainerInstance) -> None:
    """Fargate's tasks are on the pool and nobody else's; a provider's are on its instances."""
    is_pool = ATTRIBUTE_FARGATE in instance.attributes
    if is_pool != (task.launch_type == FARGATE):
        raise Violation(TRUTH, f"{task.arn} of {task.launch_type} was placed on {instance.arn}")
    if is_pool:
        subnet = ip_network(instance.attributes.get(ATTRIBUTE_SUBNET) or "")
        if task.private_ip is None or ip_address(task.private_ip) not in subnet:
            raise Violation(TRUTH, f"{task.arn} has the address {task.private_ip} in {subnet}")
    elif task.capacity_provider is not None:
        whose = instance.attributes.get(ATTRIBUTE_CAPACITY_PROVIDER)
        if whose != task.capacity_provider:
            raise Violation(TRUTH, f"{task.arn} of {task.capacity_provider} is on one of {whose}")


def _check_constraint(
    store: Store, task: Task, instance: ContainerInstance, constraint: PlacementConstraint
) -> None:
    if constraint.kind == "distinctInstance":
        neighbours = store.tasks.group("instance", instance.arn).values()
        twins = [
            t.arn
            for t in neighbours
            if t.group == task.group and t.desired_status == RUNNING and t.arn != task.arn
        ]
        if twins:
            raise Violation(TRUTH, f"{task.arn} shares {instance.arn} with {twins[0]}")
    elif constraint.expression is not None:
        found = _EQUALS.fullmatch(constraint.expression.strip())
        if found is not None and instance.attributes.get(found[1]) != found[2]:
            raise Violation(TRUTH, f"{task.arn} on {instance.arn}: {constraint.expression}")
