"""Counts and remaining resources, kept in step with every applied change."""

from typing import TYPE_CHECKING

from homeport.model.container_instance import ContainerInstance
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from homeport.state.fleet import Fleet

if TYPE_CHECKING:
    from homeport.model.resources import HostPort


class InstanceLoad:
    """What the tasks of one container instance hold, from placement until reported STOPPED."""

    __slots__ = (
        "cpu_units",
        "gpu_count",
        "interface_count",
        "memory_mib",
        "pending",
        "ports",
        "running",
        "turnover",
    )

    def __init__(self) -> None:
        self.cpu_units = 0
        self.memory_mib = 0
        self.gpu_count = 0
        self.interface_count = 0  # network interfaces
        self.ports: dict[HostPort, int] = {}  # how many tasks hold it; over one is a bug
        self.running = 0  # desiredStatus RUNNING, lastStatus RUNNING
        self.pending = 0  # lastStatus PENDING
        self.turnover = 0  # one for each placement and each stop of a task that is still kept

    def add(self, task: Task, sign: int) -> None:
        """Count one task in (`sign` 1) or out (-1)."""
        needs = task.resources
        self.cpu_units += sign * needs.cpu_units
        self.memory_mib += sign * needs.memory_mib
        self.gpu_count += sign * needs.gpu_count
        self.interface_count += sign * needs.interface_count
        for port in needs.host_ports:
            count = self.ports.get(port, 0) + sign
            if count:
                self.ports[port] = count
            else:
                del self.ports[port]
        if task.last_status == PENDING:
            self.pending += sign
        elif task.desired_status == RUNNING:
            self.running += sign

    def values(self) -> tuple[object, ...]:
        """All counts, to compare with those computed from scratch."""
        return (
            self.cpu_units,
            self.memory_mib,
            self.gpu_count,
            self.interface_count,
            tuple(sorted(self.ports.items())),
            self.running,
            self.pending,
            self.turnover,
        )


class DeploymentLoad:
    """How many tasks of one deployment are where in their life."""

    __slots__ = ("pending", "running", "stopping", "unhealthy")

    def __init__(self) -> None:
        self.pending = 0  # wanted, not yet RUNNING
        self.running = 0  # wanted, RUNNING
        self.stopping = 0  # not wanted any more, not yet STOPPED
        self.unhealthy = 0  # of `running`, those UNHEALTHY

    def add(self, task: Task, sign: int) -> None:
        """Count one task in (`sign` 1) or out (-1)."""
        if task.desired_status == STOPPED:
            self.stopping += sign
        elif task.last_status == RUNNING:
            self.running += sign
            if task.health_status == "UNHEALTHY":
                self.unhealthy += sign
        else:
            self.pending += sign

    def values(self) -> tuple[int, ...]:
        """All counts, to compare with those computed from scratch."""
        return (self.pending, self.running, self.stopping, self.unhealthy)


class ClusterLoad:
    """How many tasks of one cluster run and are pending; those of EXTERNAL and FARGATE again."""

    __slots__ = (
        "external_pending",
        "external_running",
        "fargate_pending",
        "fargate_running",
        "pending",
        "running",
    )

    def __init__(self) -> None:
        self.pending = 0
        self.running = 0
        self.external_pending = 0
        self.external_running = 0
        self.fargate_pending = 0
        self.fargate_running = 0

    def add(self, task: Task, sign: int) -> None:
        """Count one task in (`sign` 1) or out (-1)."""
        is_external = task.launch_type == "EXTERNAL"
        is_fargate = task.launch_type == "FARGATE"
        if task.last_status == RUNNING:
            self.running += sign
            self.external_running += sign * is_external
            self.fargate_running += sign * is_fargate
        else:
            self.pending += sign
            self.external_pending += sign * is_external
            self.fargate_pending += sign * is_fargate

    def values(self) -> tuple[int, ...]:
        """All counts, to compare with those computed from scratch."""
        return (
            self.pending,
            self.running,
            self.external_pending,
            self.external_running,
            self.fargate_pending,
            self.fargate_running,
        )


class Derived:
    """All derived counts; a STOPPED task counts nowhere."""

    def __init__(self) -> None:
        self.instances: dict[str, InstanceLoad] = {}
        self.deployments: dict[tuple[str, str], DeploymentLoad] = {}
        self.clusters: dict[str, ClusterLoad] = {}
        self.fleets: dict[str, Fleet] = {}

    def replace_task(self, old: Task | None, new: Task | None) -> None:
        """Follow one change of one task."""
        live_old = None if old is None or old.is_stopped else old
        live_new = None if new is None or new.is_stopped else new
        if live_old is None or live_new is None or live_old.container_instance_arn is None:
            self._count_turnover(old, new)  # any other change is neither placement nor stop
        old, new = live_old, live_new
        if old is not None:
            self._count(old, -1)
        if new is not None:
            self._count(new, 1)
        one = new or old
        if one is not None and one.container_instance_arn is not None:
            self.fleet(one.cluster_arn).replace_task(old, new)

    def _count_turnover(self, old: Task | None, new: Task | None) -> None:
        one = new or old
        if one is not None and one.container_instance_arn is not None:
            load = self._load_of(one.container_instance_arn)
            load.turnover += _turnover_of(new) - _turnover_of(old)

    def replace_instance(
        self, old: ContainerInstance | None, new: ContainerInstance | None
    ) -> None:
        """Follow one change of one container instance."""
        if new is not None:
            self.fleet(new.cluster_arn).replace_instance(new)
        elif old is not None:
            self.fleet(old.cluster_arn).forget_instance(old)

    def fleet(self, cluster_arn: str) -> Fleet:
        """Return the columns of a cluster."""
        fleet = self.fleets.get(cluster_arn)
        if fleet is None:
            fleet = self.fleets[cluster_arn] = Fleet(self._load_of)
        return fleet

    def _load_of(self, container_instance_arn: str) -> InstanceLoad:
        load = self.instances.get(container_instance_arn)
        if load is None:
            load = self.instances[container_instance_arn] = InstanceLoad()
        return load

    def _count(self, task: Task, sign: int) -> None:
        if task.container_instance_arn is not None:
            self._load_of(task.container_instance_arn).add(task, sign)
        if task.service_arn is not None and task.deployment_id is not None:
            key = (task.service_arn, task.deployment_id)
            counts = self.deployments.get(key)
            if counts is None:
                counts = self.deployments[key] = DeploymentLoad()
            counts.add(task, sign)
            if sign < 0 and not any(counts.values()):
                del self.deployments[key]
        cluster = self.clusters.get(task.cluster_arn)
        if cluster is None:
            cluster = self.clusters[task.cluster_arn] = ClusterLoad()
        cluster.add(task, sign)


def _turnover_of(task: Task | None) -> int:
    if task is None or task.container_instance_arn is None:
        return 0
    return 2 if task.is_stopped else 1
