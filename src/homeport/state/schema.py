"""Which tables there are, and by what each is indexed; `store` puts them to use."""

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from homeport.model.account_setting import AccountSetting
from homeport.model.arn import scope_of
from homeport.model.capacity_provider import CapacityProvider
from homeport.model.client_token import ClientToken
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ContainerInstance
from homeport.model.instance_turnover import InstanceTurnover
from homeport.model.record import ResourceTags
from homeport.model.service import Service, ServiceEvent
from homeport.model.service_deployment import ServiceDeployment, ServiceRevision
from homeport.model.task import Task
from homeport.model.task_definition import Family, TaskDefinition
from homeport.state.changes import KEY_MEMBERS
from homeport.state.tables import Table


def _key(kind: type) -> Callable[[Any], str]:
    return attrgetter(KEY_MEMBERS[kind])  # as `key_of`, without a call in Python for each change


def _live(record: Task) -> Hashable | None:
    return None if record.is_stopped else record.cluster_arn


def _may_be_lost(record: ContainerInstance) -> bool:
    return (
        record.disconnected_at_ms is not None
        and record.lost_at_ms is None
        and record.status != "INACTIVE"
    )


def make_clusters() -> Table[Cluster]:
    """Clusters by name within a scope."""
    return Table(
        _key(Cluster),
        ordered={
            "scope": (
                lambda r: None if r.status == "INACTIVE" else scope_of(r.arn),
                lambda r: r.name,
            ),
            "deleted": (
                lambda r: "all" if r.status == "INACTIVE" else None,
                lambda r: r.deleted_at_ms or 0,
            ),
        },
    )


def make_container_instances() -> Table[ContainerInstance]:
    """Container instances by cluster."""
    return Table(
        _key(ContainerInstance),
        indexes={
            "cluster": lambda r: None if r.status == "INACTIVE" else r.cluster_arn,
            "pool": lambda r: r.cluster_arn if r.is_fargate and r.status != "INACTIVE" else None,
            "draining": lambda r: r.cluster_arn if r.status == "DRAINING" else None,
        },
        ordered={
            "cluster": (
                lambda r: None if r.status == "INACTIVE" else r.cluster_arn,
                None,  # by ARN
            ),
            "deregistered": (
                lambda r: "all" if r.deregistered_at_ms is not None else None,
                lambda r: r.deregistered_at_ms,
            ),
            "disconnected": (
                lambda r: "all" if _may_be_lost(r) else None,
                lambda r: r.disconnected_at_ms,
            ),
        },
    )


def make_task_definitions() -> Table[TaskDefinition]:
    """Task definition revisions by family and scope."""
    return Table(
        _key(TaskDefinition),
        ordered={
            "family": (lambda r: (scope_of(r.arn), r.family, r.status), lambda r: r.revision),
            "scope": (
                lambda r: (scope_of(r.arn), r.status),
                lambda r: (r.family, r.revision),
            ),
            "deleting": (
                lambda r: "all" if r.status == "DELETE_IN_PROGRESS" else None,
                None,  # by ARN
            ),
        },
    )


def make_families() -> Table[Family]:
    """Families by name."""
    return Table(
        _key(Family), ordered={"scope": (lambda r: r.key.rsplit("/", 1)[0], lambda r: r.name)}
    )


def make_tasks() -> Table[Task]:
    """Tasks by every question that is asked of them; only live ones are grouped."""
    return Table(
        _key(Task),
        indexes={
            "instance": lambda r: None if r.is_stopped else r.container_instance_arn,
            "service": lambda r: None if r.is_stopped else r.service_arn,
            "group": lambda r: None if r.is_stopped else (r.cluster_arn, r.group),
            "live": _live,
            "provisioning": lambda r: r.cluster_arn if r.is_provisioning else None,
            "definition": lambda r: r.task_definition_arn,
        },
        ordered={
            "desired": (lambda r: (r.cluster_arn, r.desired_status), None),  # by ARN
            "stopped": (
                lambda r: "all" if r.is_stopped else None,
                lambda r: r.stopped_at_ms or 0,
            ),
        },
    )


def make_services() -> Table[Service]:
    """Services by cluster."""
    return Table(
        _key(Service),
        indexes={
            "daemon": lambda r: (
                r.cluster_arn
                if r.scheduling_strategy == "DAEMON" and r.status == "ACTIVE"
                else None
            ),
            "draining": lambda r: r.cluster_arn if r.status == "DRAINING" else None,
        },
        ordered={
            "cluster": (
                lambda r: None if r.status == "INACTIVE" else r.cluster_arn,
                None,  # by ARN, which among one cluster's is by name
            ),
            "inactive": (
                lambda r: "all" if r.status == "INACTIVE" else None,
                lambda r: r.deleted_at_ms or 0,
            ),
        },
    )


def make_service_events() -> Table[ServiceEvent]:
    """Service events, newest first."""
    return Table(
        _key(ServiceEvent), ordered={"service": (attrgetter("service_arn"), lambda r: -r.sequence)}
    )


def make_service_deployments() -> Table[ServiceDeployment]:
    """Service deployments, newest first, and those of the past by their end."""
    return Table(
        _key(ServiceDeployment),
        ordered={
            "service": (attrgetter("service_arn"), lambda r: -r.created_at_ms),
            "ended": (
                lambda r: None if r.finished_at_ms is None else "all",
                attrgetter("finished_at_ms"),
            ),
        },
    )


def make_service_revisions() -> Table[ServiceRevision]:
    """Service revisions, oldest first."""
    return Table(
        _key(ServiceRevision),
        ordered={"service": (attrgetter("service_arn"), attrgetter("created_at_ms"))},
    )


def make_capacity_providers() -> Table[CapacityProvider]:
    """Capacity providers by name within a scope."""
    return Table(
        _key(CapacityProvider), ordered={"scope": (lambda r: scope_of(r.arn), lambda r: r.name)}
    )


def make_instance_turnovers() -> Table[InstanceTurnover]:
    """What container instances have had of tasks that are forgotten."""
    return Table(_key(InstanceTurnover))


def make_tags() -> Table[ResourceTags]:
    """Tags by ARN."""
    return Table(_key(ResourceTags))


def make_account_settings() -> Table[AccountSetting]:
    """Account settings by scope."""
    return Table(
        _key(AccountSetting),
        ordered={"scope": (lambda r: (r.account_id, r.region), lambda r: r.key)},
    )


def make_client_tokens() -> Table[ClientToken]:
    """Idempotency tokens by expiry."""
    return Table(
        _key(ClientToken), ordered={"expires": (lambda r: "all", lambda r: r.expires_at_ms)}
    )
