"""Which of a service's messages are an `ECS Service Action` event, and what that one says.

The messages themselves are `core.reconcile.service_events`' work. Source: reference services §4;
docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html.
"""

import re

import msgspec

from homeport.model.arn import (
    cluster_name_of,
    make_capacity_provider_arn,
    make_container_instance_arn,
    scope_of,
)
from homeport.model.service import Service, ServiceEvent


class ServiceAction(msgspec.Struct, frozen=True, gc=False):
    """An action's name and kind (INFO, WARN, ERROR), and for failures where and why."""

    event_type: str
    event_name: str
    reason: str = ""
    container_instance_arns: tuple[str, ...] = ()
    capacity_provider_arns: tuple[str, ...] = ()


_PLACEMENT_FAILURE = "SERVICE_TASK_PLACEMENT_FAILURE"
_STEADY = "SERVICE_STEADY_STATE"
_ACTIONS = (
    ("has reached a steady state", ServiceAction("INFO", _STEADY)),
    (" running tasks: ", ServiceAction("INFO", "TASKS_STOPPED")),
    (" due to AZ rebalancing: ", ServiceAction("INFO", "TASKS_STOPPED")),
    (" to AZ Rebalance: ", ServiceAction("INFO", "TASKS_STARTED")),
    ("is not AZ balanced with", ServiceAction("INFO", "SERVICE_REBALANCING_STARTED")),
    ("is AZ balanced with", ServiceAction("INFO", "SERVICE_REBALANCING_COMPLETED")),
    ("stopped AZ Rebalancing", ServiceAction("INFO", "SERVICE_REBALANCING_STOPPED")),
    (
        "was unable to AZ Rebalance because",
        ServiceAction("INFO", "TASKSET_SCALE_IN_FAILURE_BY_TASK_PROTECTION"),
    ),
    ("is unable to place a task in", ServiceAction("ERROR", _PLACEMENT_FAILURE)),
    (
        "is unable to consistently start tasks successfully",
        ServiceAction("WARN", "SERVICE_TASK_START_IMPAIRED"),
    ),
    ("was unable to place a task", ServiceAction("ERROR", _PLACEMENT_FAILURE)),
    ("were found in your capacity provider", ServiceAction("ERROR", _PLACEMENT_FAILURE)),
)
_REASONS = {
    "has insufficient CPU units available": "RESOURCE:CPU",
    "has insufficient memory available": "RESOURCE:MEMORY",
    "is already using a port required by your task": "RESOURCE:PORTS",
    "is missing an attribute required by your task": "ATTRIBUTE",
    "No Container Instances were found in your": "NO ACTIVE INSTANCES",
    "Capacity is unavailable at this time": "RESOURCE:FARGATE",
}
_CLOSEST = re.compile(r"\(container-instance ([0-9a-f]+)\)")
_ENCOUNTERED = re.compile(r'encountered error "([^"]*)"')
_GIVEN_UP = re.compile(r"was unable to place a task\. Reason: (.*)\.$")


def read_service_actions(service: Service, event: ServiceEvent) -> tuple[ServiceAction, ...]:
    """Return the actions that a service's message stands for, () for most messages.

    A steady service's capacity providers are steady, too.
    """
    action = read_service_action(service, event)
    if action is None:
        return ()
    if action.event_name != _STEADY or not service.capacity_provider_strategy:
        return (action,)
    scope = scope_of(service.arn)
    arns = tuple(
        make_capacity_provider_arn(scope, item.provider)
        for item in service.capacity_provider_strategy
    )
    steady = ServiceAction("INFO", "CAPACITY_PROVIDER_STEADY_STATE", capacity_provider_arns=arns)
    return action, steady


def read_service_action(service: Service, event: ServiceEvent) -> ServiceAction | None:
    """Return the action that a service's message stands for, None for most messages."""
    said = event.message.removeprefix(f"(service {service.name}) ")
    for part, action in _ACTIONS:
        if part in said:
            if action.event_name == _STEADY and said.startswith("(service"):  # of a task set
                return ServiceAction("INFO", "TASKSET_STEADY_STATE")
            is_placement = action.event_name == _PLACEMENT_FAILURE
            return _placement_failure(service, said, action) if is_placement else action
    return None


def _placement_failure(service: Service, said: str, action: ServiceAction) -> ServiceAction:
    closest = _CLOSEST.search(said)
    arns: tuple[str, ...] = ()
    if closest is not None:
        cluster = cluster_name_of(service.cluster_arn)
        arns = (make_container_instance_arn(scope_of(service.arn), cluster, closest.group(1)),)
    encountered = _ENCOUNTERED.search(said) or _GIVEN_UP.search(said)
    reason = encountered.group(1) if encountered is not None else ""
    for words, code in _REASONS.items():
        if words in said:
            reason = code
    return msgspec.structs.replace(action, reason=reason, container_instance_arns=arns)
