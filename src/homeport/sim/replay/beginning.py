"""What was there before a journal begins, from the first change that it has of each record.

A journal is pruned from its beginning, so that most of what it mentions is older than itself.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from homeport.model.capacity_provider import CapacityProvider
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ACTIVE, DRAINING, ContainerInstance
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.model.task_definition import TaskDefinition
from homeport.sim.replay.deeds import (
    AgentCame,
    Deed,
    InstanceJoined,
    ServiceCreated,
    TaskSetsChanged,
    TaskThere,
    Written,
)
from homeport.sim.replay.lives import Chronicle
from homeport.state.changes import AnyRecord, Commit

# The first change of a service by one of these says what it is from then on, not what it was.
TURNS = frozenset({"UpdateService", "DeleteService"})


def made_ms(record: AnyRecord, seen_ms: int) -> int:
    """Return when a record came to be; one that doesn't say so is as old as its first change."""
    match record:
        case Task() | Service() | Cluster() | CapacityProvider():
            return record.created_at_ms
        case ContainerInstance() | TaskDefinition():
            return record.registered_at_ms
    return seen_ms


def rewind_instance(instance: ContainerInstance, commit: Commit) -> ContainerInstance:
    """Return a container instance as it must have been before its first known change."""
    match commit.cause:
        case "DeregisterContainerInstance":
            return replace(instance, status=ACTIVE, agent_connected=True, deregistered_at_ms=None)
        case "UpdateContainerInstancesState":
            status = ACTIVE if instance.status == DRAINING else DRAINING
            return replace(instance, status=status)
        case "AgentLost" | "ServerStarted":
            return replace(instance, agent_connected=True, disconnected_at_ms=None)
        case "AgentConnected":
            return replace(instance, agent_connected=False)
    return instance


def usable(record: AnyRecord) -> AnyRecord:
    """Return a definition or a cluster as ACTIVE: in a replay somebody may still be using it."""
    if isinstance(record, TaskDefinition):
        return replace(record, status="ACTIVE", deregistered_at_ms=None)
    if isinstance(record, Cluster):
        return replace(record, status="ACTIVE", deleted_at_ms=None)
    return record


def in_order(base: Sequence[Deed]) -> list[Deed]:
    """Sort what was there: what tasks need first, then who wants them, each in its own order."""

    def rank(deed: Deed) -> tuple[int, int, str]:
        match deed:
            case Written():
                return (0, 0, "")
            case InstanceJoined():
                return (1, deed.instance.registered_at_ms, deed.instance.arn)
            case AgentCame():
                return (2, 0, deed.arn)
            case ServiceCreated():
                return (3, deed.service.created_at_ms, deed.service.arn)
            case TaskSetsChanged():
                return (4, deed.after.created_at_ms, deed.after.arn)
            case TaskThere():
                return (5, deed.task.created_at_ms, deed.task.arn)
        return (6, 0, "")

    return sorted(base, key=rank)


def rewind_service(service: Service, commit: Commit) -> Service:
    """Return a service as it must have been before its first known change.

    How many tasks it had is for `count_tasks` to say; what else a call changed isn't known.
    """
    if commit.cause not in TURNS:
        return service
    before = replace(service, status="ACTIVE")
    is_its = service.deployments[0].created_at_ms == commit.at_ms
    return before_deployment(before) if is_its else before


def before_deployment(service: Service) -> Service:
    """Return a service as it was before its newest deployment; without an older one as it is."""
    if len(service.deployments) < 2 or service.deployment_controller != "ECS":
        return service
    primary = replace(service.deployments[1], status="PRIMARY")
    return replace(
        service,
        task_definition_arn=primary.task_definition_arn,
        deployments=(primary, *service.deployments[2:]),
    )


def count_tasks(past: Chronicle, at_ms: int) -> Counter[str]:
    """Count the tasks that each service, by ARN, had at a time and wanted to keep."""
    return Counter(
        life.service_arn
        for life in past.tasks.values()
        if life.service_arn is not None
        and life.placed_ms is not None
        and life.placed_ms < at_ms
        and (life.stopping_ms is None or life.stopping_ms >= at_ms)
    )
