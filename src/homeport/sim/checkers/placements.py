"""Truth: a task is placed only where its constraints allow, on an instance that can take it.

It reads expressions of one form by itself: `attribute:NAME == VALUE`, the one that scenarios use.
"""

import re

from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.placement import PlacementConstraint
from homeport.model.task import RUNNING, Task
from homeport.sim.violation import Violation
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

TRUTH = "constraints hold for every placement"

_EQUALS = re.compile(r"attribute:(\S+) == (\S+)")


def check_placements(store: Store, commit: Commit, replaced: tuple[AnyRecord | None, ...]) -> None:
    """Look at every task that a commit created."""
    for change, old in zip(commit.changes, replaced, strict=True):
        if old is None and isinstance(change, Put) and isinstance(change.record, Task):
            _check_task(store, change.record, commit)


def _check_task(store: Store, task: Task, commit: Commit) -> None:
    instance = store.container_instances.get(task.container_instance_arn or "")
    if instance is None:
        raise Violation(TRUTH, f"{task.arn} was placed nowhere")
    is_available = instance.status == ACTIVE and instance.agent_connected
    if not is_available and commit.cause != "StartTask":
        raise Violation(TRUTH, f"{task.arn} was placed on {instance.arn}, which isn't available")
    definition = store.task_definitions.get(task.task_definition_arn)
    assert definition is not None, task.task_definition_arn
    missing = [name for name in definition.requires_attributes if name not in instance.attributes]
    if missing:
        raise Violation(TRUTH, f"{task.arn} needs {missing} of {instance.arn}")
    service = store.services.get(task.service_arn or "")
    if service is not None:
        for constraint in service.placement_constraints:
            _check_constraint(store, task, instance, constraint)


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
