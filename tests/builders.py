"""Records for tests: every builder makes a sound one, and a test names only what it is about."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import Any

import msgspec

from homeport.core.decision import Decision, Moment
from homeport.core.lifecycle.new_task import make_task as make_new_task
from homeport.model.arn import (
    Scope,
    make_cluster_arn,
    make_container_instance_arn,
    make_deployment_id,
    make_service_arn,
    make_task_definition_arn,
)
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ContainerInstance
from homeport.model.resources import HostPort, InstanceResources, TaskResources
from homeport.model.service import Deployment, Service
from homeport.model.task import STOPPED, Task
from homeport.model.task_definition import ContainerSpec, TaskDefinition
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.store import Store

SCOPE = Scope("123456789012", "us-east-1")
NOW_MS = 1_760_000_000_000


def at(now_ms: int = NOW_MS, seed: str = "") -> Moment:
    """Make a moment; the same time and seed give the same chance."""
    return Moment(now_ms, hashlib.blake2b(f"{now_ms}{seed}".encode(), digest_size=16).digest())


def hex_id(name: object) -> str:
    """Make the 32 hexadecimal digits that stand for `name`."""
    return hashlib.blake2b(str(name).encode(), digest_size=16).hexdigest()


def make_store(*records: AnyRecord) -> Store:
    """Make a store that holds these records."""
    store = Store()
    if records:
        put(store, *records)
    return store


def put(store: Store, *records: AnyRecord, now_ms: int = NOW_MS) -> None:
    """Commit records to a store."""
    changes = tuple(Put(record) for record in records)
    store.apply(Commit(store.sequence + 1, now_ms, "Test", changes))


def apply(store: Store, decision: Decision, now_ms: int = NOW_MS) -> Decision:
    """Commit what was decided, and return the decision."""
    if decision.changes:
        store.apply(Commit(store.sequence + 1, now_ms, "Test", decision.changes))
    return decision


def make_cluster(name: str = "default", **members: Any) -> Cluster:
    """Make an ACTIVE cluster."""
    return Cluster(arn=make_cluster_arn(SCOPE, name), name=name, **members)


def make_container_instance(
    name: object = "one",
    *,
    cluster: str = "default",
    zone: str | None = "us-east-1a",
    cpu_units: int = 2_048,
    memory_mib: int = 4_096,
    reserved_tcp_ports: tuple[int, ...] = (22,),
    attributes: dict[str, str | None] | None = None,
    **members: Any,
) -> ContainerInstance:
    """Make an ACTIVE container instance whose agent is connected."""
    zone_attribute = {} if zone is None else {"ecs.availability-zone": zone}
    fields: dict[str, Any] = {
        "agent_connected": True,
        "registered_at_ms": NOW_MS,
        "resources": InstanceResources(
            cpu_units=cpu_units,
            memory_mib=memory_mib,
            reserved_tcp_ports=reserved_tcp_ports,
        ),
    }
    return ContainerInstance(
        arn=make_container_instance_arn(SCOPE, cluster, hex_id(name)),
        cluster_arn=make_cluster_arn(SCOPE, cluster),
        attributes={**zone_attribute, **(attributes or {})},
        **{**fields, **members},
    )


def make_task_definition(
    family: str = "web",
    revision: int = 1,
    *,
    cpu_units: int = 128,
    memory_mib: int = 256,
    host_ports: tuple[int, ...] = (),
    containers: tuple[ContainerSpec, ...] | None = None,
    **members: Any,
) -> TaskDefinition:
    """Make an ACTIVE task definition of one essential container, unless others are given."""
    specs = containers or (
        ContainerSpec(name="app", image="busybox", cpu_units=cpu_units, memory_mib=memory_mib),
    )
    arn = make_task_definition_arn(SCOPE, family, revision)
    described = {
        "taskDefinitionArn": arn,
        "family": family,
        "revision": revision,
        "status": members.get("status", "ACTIVE"),
        "containerDefinitions": [
            {
                "name": spec.name,
                "image": spec.image,
                "cpu": spec.cpu_units,
                "memory": spec.memory_mib or 0,
                "essential": spec.essential,
                "portMappings": [
                    {"containerPort": port, "hostPort": port, "protocol": "tcp"}
                    for port in (host_ports if index == 0 else ())
                ],
                "environment": [],
                "mountPoints": [],
                "volumesFrom": [],
            }
            for index, spec in enumerate(specs)
        ],
    }
    fields: dict[str, Any] = {
        "document": msgspec.json.encode(described),
        "resources": TaskResources(
            cpu_units=sum(spec.cpu_units for spec in specs),
            memory_mib=sum(s.memory_reservation_mib or s.memory_mib or 0 for s in specs),
            host_ports=tuple(HostPort(port) for port in host_ports),
        ),
        "compatibilities": ("EXTERNAL", "EC2"),
        "registered_at_ms": NOW_MS,
    }
    return TaskDefinition(
        arn=arn, family=family, revision=revision, containers=specs, **{**fields, **members}
    )


def make_task(
    name: object = "one",
    *,
    definition: TaskDefinition | None = None,
    instance: ContainerInstance | None = None,
    service: Service | None = None,
    group: str | None = None,
    **members: Any,
) -> Task:
    """Make a PENDING task on an instance; `last_status` and other members may be given."""
    definition = definition or make_task_definition()
    instance = instance or make_container_instance()
    fallback = f"family:{definition.family}" if service is None else f"service:{service.name}"
    task = make_new_task(
        definition,
        cluster_arn=instance.cluster_arn,
        instance=instance,
        id_source=(hex_id(f"{name}/{number}") for number in count()),
        group=group or fallback,
        moment=at(),
        started_by=None if service is None else service.primary.id,
        service_arn=None if service is None else service.arn,
        deployment_id=None if service is None else service.primary.id,
    )
    if members.get("last_status") == "RUNNING":
        members.setdefault("started_at_ms", NOW_MS)
    if members.get("last_status") == STOPPED:
        members.setdefault("desired_status", STOPPED)
        members.setdefault("stopped_at_ms", NOW_MS)
    return msgspec.structs.replace(task, **members)


def make_service(
    name: str = "web",
    *,
    cluster: str = "default",
    definition: TaskDefinition | None = None,
    **members: Any,
) -> Service:
    """Make an ACTIVE service with one PRIMARY deployment."""
    definition = definition or make_task_definition()
    deployment = Deployment(
        id=make_deployment_id(hex_id(f"{name}/{definition.arn}")),
        status="PRIMARY",
        task_definition_arn=definition.arn,
        created_at_ms=NOW_MS,
        updated_at_ms=NOW_MS,
    )
    fields: dict[str, Any] = {
        "task_definition_arn": definition.arn,
        "desired_count": 1,
        "deployments": (deployment,),
        "created_at_ms": NOW_MS,
    }
    return Service(
        arn=make_service_arn(SCOPE, cluster, name),
        cluster_arn=make_cluster_arn(SCOPE, cluster),
        name=name,
        **{**fields, **members},
    )
