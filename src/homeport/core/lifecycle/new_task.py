"""How a task comes to be and how its stop begins; what agents report of it lives in `task`."""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from homeport.core.decision import Moment
from homeport.model.arn import cluster_name_of, make_container_arn, make_task_arn, scope_of
from homeport.model.capacity_provider import running_platform
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import TaskResources
from homeport.model.task import PENDING, PROVISIONING, STOPPED, Container, PlacementWish, Task
from homeport.model.task_definition import ContainerSpec, TaskDefinition

STOP_USER_INITIATED = "UserInitiated"
STOP_SERVICE_SCHEDULER = "ServiceSchedulerInitiated"


class ContainerOverride(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a call overrides of one container as far as decisions read it; None leaves it."""

    name: str
    cpu_units: int | None = None
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None


class Overrides(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a call overrides of a task; `document` is JSON of AWS's TaskOverride, as described."""

    document: bytes = b""
    cpu_units: int | None = None
    memory_mib: int | None = None
    containers: tuple[ContainerOverride, ...] = ()


NO_OVERRIDES = Overrides()


def needed_resources(
    definition: TaskDefinition, overrides: Overrides = NO_OVERRIDES
) -> TaskResources:
    """Return what one task holds of its container instance, overrides counted in.

    CPU units and MiB: the task-level values if there are any, else the sums over containers, of
    whose memory the reservation counts first (reference: container-instances §2).
    """
    if overrides.cpu_units is overrides.memory_mib is None and not overrides.containers:
        return definition.resources
    containers = _overridden(definition, overrides)
    cpu_units, memory_mib = overrides.cpu_units, overrides.memory_mib
    if cpu_units is None:
        cpu_units = (
            sum(container.cpu_units for container in containers)
            if definition.cpu is None
            else definition.resources.cpu_units
        )
    if memory_mib is None:
        memory_mib = (
            sum(c.memory_reservation_mib or c.memory_mib or 0 for c in containers)
            if definition.memory is None
            else definition.resources.memory_mib
        )
    return replace(definition.resources, cpu_units=cpu_units, memory_mib=memory_mib)


def make_task(
    definition: TaskDefinition,
    *,
    cluster_arn: str,
    instance: ContainerInstance | None,
    id_source: Iterator[str],
    group: str,
    moment: Moment,
    started_by: str | None = None,
    overrides: Overrides = NO_OVERRIDES,
    launch_type: str = "EC2",
    capacity_provider: str | None = None,
    wish: PlacementWish | None = None,
    platform_version: str | None = None,
    service_arn: str | None = None,
    deployment_id: str | None = None,
    enable_execute_command: bool = False,
) -> Task:
    """Create a PENDING task on the container instance that was chosen for it.

    Without an instance it is PROVISIONING: `core.capacity` finds it one by its `wish`. Takes one
    identifier from `id_source` for the task and one for each container. Whoever stores
    it also asks for SendTasks. Its tags are records of their own.
    """
    scope, cluster = scope_of(cluster_arn), cluster_name_of(cluster_arn)
    task_id = next(id_source)
    task = Task(
        arn=make_task_arn(scope, cluster, task_id),
        cluster_arn=cluster_arn,
        task_definition_arn=definition.arn,
        service_arn=service_arn,
        deployment_id=deployment_id,
        group=group,
        started_by=started_by,
        launch_type=launch_type,
        capacity_provider=capacity_provider,
        last_status=PROVISIONING,
        wish=wish,
        platform_version=running_platform(platform_version),
        resources=needed_resources(definition, overrides),
        containers=tuple(
            Container(
                arn=make_container_arn(scope, cluster, task_id, next(id_source)),
                name=spec.name,
                image=spec.image,
                cpu=str(spec.cpu_units),
                memory=_text(spec.memory_mib),
                memory_reservation=_text(spec.memory_reservation_mib),
            )
            for spec in _overridden(definition, overrides)
        ),
        overrides=overrides.document,
        enable_execute_command=enable_execute_command,
        created_at_ms=moment.now_ms,
    )
    return task if instance is None else assign_task(task, instance, moment)


def assign_task(
    task: Task, instance: ContainerInstance, moment: Moment, *, private_ip: str | None = None
) -> Task:
    """Put a task on the container instance that was found for it: it is PENDING from now on.

    What a standalone task's call asked of the place stays known, to tell later why it is there.
    """
    is_connected = instance.agent_connected
    return replace(
        task,
        container_instance_arn=instance.arn,
        availability_zone=instance.availability_zone,
        private_ip=private_ip,
        last_status=PENDING,
        wish=_lasting_wish(task),
        connectivity="CONNECTED" if is_connected else "DISCONNECTED",
        connectivity_at_ms=moment.now_ms if is_connected else None,
    )


def _lasting_wish(task: Task) -> PlacementWish | None:
    wish = task.wish
    if wish is None or task.service_arn is not None:
        return None
    if not (wish.constraints or wish.strategies or wish.zones):
        return None
    return replace(wish, requires_attributes=(), platform=())  # its task definition's


def stop_task(task: Task, *, stop_code: str, reason: str, moment: Moment) -> Task:
    """Want a task STOPPED; the first reason stays, and its agent reports when it is done.

    One that has no container instance yet has no agent: it is STOPPED at once.

    Returns the same record when the stop was asked for before. Whoever stores the new one also
    asks for SendTasks. Stop codes and texts: reference task-lifecycle §3.
    """
    if task.desired_status == STOPPED:
        return task
    if task.is_provisioning:
        task = _never_started(task, moment)
    return replace(
        task,
        desired_status=STOPPED,
        stop_code=stop_code,
        stopped_reason=reason,
        stopping_at_ms=moment.now_ms,
        version=task.version + 1,
    )


def _never_started(task: Task, moment: Moment) -> Task:
    return replace(
        task,
        last_status=STOPPED,
        stopped_at_ms=moment.now_ms,
        wish=None,
        containers=tuple(replace(c, last_status=STOPPED) for c in task.containers),
    )


def _overridden(definition: TaskDefinition, overrides: Overrides) -> tuple[ContainerSpec, ...]:
    if not overrides.containers:
        return definition.containers
    by_name = {override.name: override for override in overrides.containers}
    return tuple(
        _apply(spec, by_name[spec.name]) if spec.name in by_name else spec
        for spec in definition.containers
    )


def _apply(spec: ContainerSpec, override: ContainerOverride) -> ContainerSpec:
    return replace(
        spec,
        cpu_units=spec.cpu_units if override.cpu_units is None else override.cpu_units,
        memory_mib=spec.memory_mib if override.memory_mib is None else override.memory_mib,
        memory_reservation_mib=(
            spec.memory_reservation_mib
            if override.memory_reservation_mib is None
            else override.memory_reservation_mib
        ),
    )


def _text(quantity: int | None) -> str | None:
    return None if quantity is None else str(quantity)
