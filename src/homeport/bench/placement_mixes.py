"""What `homeport bench placement` places, and where: fleets, requests, task records."""

from collections.abc import Iterator

import msgspec

from homeport.core.placement.request import PlacementRequest
from homeport.model.arn import (
    Scope,
    make_cluster_arn,
    make_container_instance_arn,
    make_service_arn,
    make_task_arn,
    make_task_definition_arn,
)
from homeport.model.container_instance import ContainerInstance
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.resources import HostPort, InstanceResources, TaskResources
from homeport.model.task import Task

SERVICE_TASKS = 500
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
INSTANCE_TYPES = ("m5.large", "c5.xlarge", "t3.small", "r5.large", "m5.2xlarge")
CLUSTER = "bench"
SCOPE = Scope("123456789012", "us-east-1")
CLUSTER_ARN = make_cluster_arn(SCOPE, CLUSTER)
NEEDS = TaskResources(cpu_units=64, memory_mib=128)
ONE_IN = 100  # instances of the mix `full`, of which one has room
LEAST_TASKS_EACH = 16  # fit on one instance
FIRST_PORT = 20_000
PORTS = 1_000
EXPRESSIONS = (
    "attribute:ecs.instance-type =~ m5.*",
    "attribute:ecs.availability-zone in [us-east-1a, us-east-1b] and attribute:disk == ssd",
    "not(attribute:ecs.instance-type == t3.small) and agentVersion >= 1.80",
)


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work: `batch` tasks a request; `in_flight` tasks at most before old ones stop."""

    name: str
    batch: int = SERVICE_TASKS
    is_service: bool = True
    strategies: tuple[PlacementStrategy, ...] = ()
    constraints: tuple[tuple[PlacementConstraint, ...], ...] = ((),)  # taken in turn
    has_ports: bool = False
    is_full: bool = False
    in_flight: int | None = None


_MEMORY = (PlacementStrategy("binpack", "memory"),)
_DISTINCT = ((PlacementConstraint("distinctInstance"),),)
_MEMBERS = tuple((PlacementConstraint("memberOf", text),) for text in EXPRESSIONS)
MIXES = {
    mix.name: mix
    for mix in (
        Mix(name="spread-zone"),
        Mix(name="binpack-memory", strategies=_MEMORY),
        Mix(name="member-of", constraints=_MEMBERS),
        Mix(name="distinct", constraints=_DISTINCT),
        Mix(name="ports", has_ports=True),
        Mix(name="single", batch=1, is_service=False),
        Mix(name="full", batch=1, is_service=False, is_full=True, in_flight=500),
        Mix(name="churn", batch=1, in_flight=2_000),
    )
}


def make_instances(count: int, tasks: int) -> list[ContainerInstance]:
    """Make a fleet with room for twice as many tasks or more, over three zones and five types."""
    each = max(2 * tasks // max(count, 1), LEAST_TASKS_EACH)
    return [
        ContainerInstance(
            arn=make_container_instance_arn(SCOPE, CLUSTER, f"{number * 2_654_435_761:032x}"),
            cluster_arn=CLUSTER_ARN,
            agent_connected=True,
            agent_version="1.89.2",
            resources=InstanceResources(
                cpu_units=NEEDS.cpu_units * (each + number % 7),
                memory_mib=NEEDS.memory_mib * (each + number % 5),
                reserved_tcp_ports=(22, 2_375, 2_376, 51_678),
            ),
            attributes={
                "ecs.availability-zone": ZONES[number % len(ZONES)],
                "ecs.instance-type": INSTANCE_TYPES[number % len(INSTANCE_TYPES)],
                "ecs.capability.docker-remote-api.1.21": None,
                "ecs.os-type": "linux",
                "disk": "ssd" if number % 2 else "hdd",
            },
        )
        for number in range(count)
    ]


def filling_tasks(instances: list[ContainerInstance]) -> list[Task]:
    """Make the tasks that leave room on one instance in a hundred only."""
    return [
        msgspec.structs.replace(
            make_bench_task(f"full{number}", instance.arn, "family:full", NEEDS),
            resources=TaskResources(
                instance.resources.cpu_units - NEEDS.cpu_units + 1, instance.resources.memory_mib
            ),
        )
        for number, instance in enumerate(instances)
        if number % ONE_IN
    ]


def make_requests(mix: Mix, tasks: int) -> Iterator[PlacementRequest]:
    """Make requests for so many tasks, in services (or families) of 500."""
    services = max(tasks // SERVICE_TASKS, 1)
    for number in range(-(-tasks // mix.batch)):
        service = number % services
        needs = NEEDS
        if mix.has_ports:
            ports = (HostPort(FIRST_PORT + service % PORTS),)
            needs = TaskResources(NEEDS.cpu_units, NEEDS.memory_mib, ports)
        yield PlacementRequest(
            cluster_arn=CLUSTER_ARN,
            group=f"service:s{service}" if mix.is_service else f"family:f{service}",
            service_arn=make_service_arn(SCOPE, CLUSTER, f"s{service}") if mix.is_service else None,
            resources=needs,
            requires_attributes=("ecs.capability.docker-remote-api.1.21", "ecs.os-type"),
            constraints=mix.constraints[service % len(mix.constraints)],
            strategies=mix.strategies,
            count=min(mix.batch, tasks - number * mix.batch),
        )


def make_bench_task(name: str, instance_arn: str, group: str, needs: TaskResources) -> Task:
    """Make the record of a task that was placed."""
    return Task(
        arn=make_task_arn(SCOPE, CLUSTER, name),
        cluster_arn=CLUSTER_ARN,
        task_definition_arn=make_task_definition_arn(SCOPE, "bench", 1),
        container_instance_arn=instance_arn,
        group=group,
        resources=needs,
        containers=(),
    )
