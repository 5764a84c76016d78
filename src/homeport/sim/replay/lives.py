"""The lives of tasks, instances, services and deployments in one cluster, gathered from commits.

The same chronicle is written of a real journal and of a simulated one, so that both are measured
alike. What is made of it: `series` measures, `behaviour` learns. Times are epoch milliseconds.
"""

from collections.abc import Iterable

import msgspec

from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.service_deployment import ServiceDeployment
from homeport.model.task import STOPPED, Task
from homeport.state.changes import Change, Put

TASKS_LIMIT = 2_000_000


class TooManyTasks(Exception):
    """The journal has more tasks than a replay keeps; the text says how many those are."""


class TaskLife(msgspec.Struct, kw_only=True, gc=False):
    """One task from its creation to its end; None is what hasn't happened."""

    arn: str
    service_arn: str | None
    definition_arn: str
    images: str  # those of its containers, in order, with a blank between
    cpu_units: int
    memory_mib: int
    created_ms: int
    instance_arn: str | None = None
    zone: str = ""
    placed_ms: int | None = None
    started_ms: int | None = None
    stopping_ms: int | None = None  # not wanted any more
    told_ms: int | None = None  # when its agent could hear that; None: at once
    stopped_ms: int | None = None
    pull_ms: int | None = None
    stop_code: str | None = None
    reason: str = ""
    exits: tuple[tuple[str, int | None, str | None], ...] = ()  # container, exit code, reason
    health: tuple[tuple[int, str], ...] = ()  # when it became what
    call: int = 0  # the number of the commit that created it

    @property
    def failure(self) -> str | None:
        """How it failed, in a few words; None for a task that didn't."""
        if self.stop_code == "TaskFailedToStart":
            return "failed to start"
        if self.stop_code == "EssentialContainerExited":
            return "crashed" if any(code for _, code, _ in self.exits) else None
        is_unhealthy = bool(self.health) and self.health[-1][1] == "UNHEALTHY"
        if is_unhealthy and self.stop_code == "ServiceSchedulerInitiated":
            return "unhealthy"
        return "lost with its instance" if self.stop_code == "TerminationNotice" else None


class InstanceLife(msgspec.Struct, kw_only=True, gc=False):
    """One container instance while it is registered."""

    arn: str
    cpu_units: int
    memory_mib: int
    zone: str
    joined_ms: int
    left_ms: int | None = None


class ServiceLife(msgspec.Struct, kw_only=True, gc=False):
    """How many tasks were wanted of a service from when on."""

    name: str
    wishes: list[tuple[int, int]]  # when, how many


class DeploymentLife(msgspec.Struct, kw_only=True, gc=False):
    """One service deployment from the call to its end."""

    service: str
    created_ms: int
    status: str
    finished_ms: int | None = None


class Chronicle:
    """Everything that is measured of one cluster; commits are followed in their order."""

    def __init__(self, cluster_arn: str) -> None:
        self.cluster_arn = cluster_arn
        self.tasks: dict[str, TaskLife] = {}
        self.instances: dict[str, InstanceLife] = {}
        self.services: dict[str, ServiceLife] = {}
        self.deployments: dict[str, DeploymentLife] = {}
        self._untold: dict[str, list[TaskLife]] = {}  # by instances without a connection

    def follow(self, at_ms: int, sequence: int, changes: Iterable[Change]) -> None:
        """Write down what a commit changed; what it forgets stays in the chronicle."""
        for change in changes:
            record = change.record if isinstance(change, Put) else None
            if getattr(record, "cluster_arn", None) != self.cluster_arn:
                continue
            if isinstance(record, Task):
                self._follow_task(at_ms, sequence, record)
            elif isinstance(record, ContainerInstance):
                self._follow_instance(at_ms, record)
            elif isinstance(record, Service):
                self._follow_service(at_ms, record)
            elif isinstance(record, ServiceDeployment):
                self._follow_deployment(record)

    def _follow_task(self, at_ms: int, sequence: int, task: Task) -> None:
        life = self.tasks.get(task.arn)
        is_new = life is None
        if life is None:
            if len(self.tasks) >= TASKS_LIMIT:
                raise TooManyTasks(f"there are more than {TASKS_LIMIT} tasks; replay a shorter one")
            life = self.tasks[task.arn] = _begin(task, sequence)
        if life.placed_ms is None and task.container_instance_arn is not None:
            life.placed_ms = min(task.created_at_ms, at_ms) if is_new else at_ms
            life.instance_arn = task.container_instance_arn
            life.zone = task.availability_zone or ""
        if task.pull_started_at_ms is not None and task.pull_stopped_at_ms is not None:
            # Both are the agent's own times: only their distance means anything here.
            life.pull_ms = max(0, task.pull_stopped_at_ms - task.pull_started_at_ms)
        if life.started_ms is None:
            life.started_ms = task.started_at_ms
        if life.stopping_ms is None and task.desired_status == STOPPED:
            life.stopping_ms = task.stopping_at_ms or at_ms
            if life.instance_arn in self._untold:
                self._untold[life.instance_arn].append(life)
        health = task.health_status
        if health != "UNKNOWN" and (not life.health or life.health[-1][1] != health):
            life.health = (*life.health, (at_ms, health))
        if task.last_status == STOPPED and life.stopped_ms is None:
            _end(life, task, at_ms)

    def _follow_instance(self, at_ms: int, instance: ContainerInstance) -> None:
        life = self.instances.get(instance.arn)
        if life is None:
            life = self.instances[instance.arn] = InstanceLife(
                arn=instance.arn,
                cpu_units=instance.resources.cpu_units,
                memory_mib=instance.resources.memory_mib,
                zone=instance.availability_zone or "",
                joined_ms=min(instance.registered_at_ms or at_ms, at_ms),
            )
        life.cpu_units = instance.resources.cpu_units
        life.memory_mib = instance.resources.memory_mib
        if not instance.agent_connected:
            self._untold.setdefault(instance.arn, [])
        else:
            for task in self._untold.pop(instance.arn, ()):
                task.told_ms = at_ms
        if instance.status == "INACTIVE" and life.left_ms is None:
            life.left_ms = at_ms

    def _follow_service(self, at_ms: int, service: Service) -> None:
        if service.scheduling_strategy == "DAEMON" or service.deployment_controller != "ECS":
            return  # their counts follow from instances and task sets
        life = self.services.get(service.arn)
        if life is None:
            life = self.services[service.arn] = ServiceLife(name=service.name, wishes=[])
        if not life.wishes:
            at_ms = min(service.created_at_ms, at_ms)  # it is older than the journal
        elif life.wishes[-1][1] == service.desired_count:
            return
        life.wishes.append((at_ms, service.desired_count))

    def _follow_deployment(self, record: ServiceDeployment) -> None:
        life = self.deployments.get(record.arn)
        if life is None:
            life = self.deployments[record.arn] = DeploymentLife(
                service=record.service_arn.rsplit("/", 1)[-1],
                created_ms=record.created_at_ms,
                status=record.status,
            )
        life.status = record.status
        life.finished_ms = record.finished_at_ms


def images_of(task: Task) -> str:
    """Name the images of a task's containers, in order: what has to be pulled to start it."""
    return " ".join(container.image for container in task.containers)


def _begin(task: Task, sequence: int) -> TaskLife:
    return TaskLife(
        arn=task.arn,
        service_arn=task.service_arn,
        definition_arn=task.task_definition_arn,
        images=images_of(task),
        cpu_units=task.resources.cpu_units,
        memory_mib=task.resources.memory_mib,
        created_ms=task.created_at_ms,
        call=sequence,
    )


def _end(life: TaskLife, task: Task, at_ms: int) -> None:
    life.stopped_ms = task.stopped_at_ms or at_ms
    life.stop_code = task.stop_code
    life.reason = task.stopped_reason or ""
    life.exits = tuple((c.name, c.exit_code, c.reason) for c in task.containers)
