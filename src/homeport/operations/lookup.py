"""Names, short ids and ARNs to records, or the exception that AWS answers."""

from homeport.api import ecs
from homeport.model.arn import (
    Scope,
    cluster_name_of,
    make_cluster_arn,
    make_container_instance_arn,
    make_service_arn,
    make_task_arn,
    make_task_definition_arn,
    parse_arn,
    scope_of,
)
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.model.task_definition import TaskDefinition
from homeport.state.view import View

DEFAULT_CLUSTER = "default"


def cluster_arn_from(scope: Scope, identifier: str | None) -> str:
    """Return the ARN for a cluster's name or ARN; missing means the default cluster."""
    if not identifier:
        return make_cluster_arn(scope, DEFAULT_CLUSTER)
    if identifier.startswith("arn:"):
        return identifier
    return make_cluster_arn(scope, identifier)


def find_cluster(view: View, scope: Scope, identifier: str | None) -> Cluster:
    """Return the ACTIVE cluster that a request names, or raise ClusterNotFoundException."""
    cluster = view.cluster(cluster_arn_from(scope, identifier))
    if cluster is None or cluster.status == "INACTIVE" or scope_of(cluster.arn) != scope:
        raise ecs.ClusterNotFoundException("Cluster not found.")
    return cluster


def container_instance_arn_from(scope: Scope, cluster: Cluster, identifier: str) -> str:
    """Return the full ARN for a container instance's short id (dashes allowed) or ARN."""
    if identifier.startswith("arn:"):
        return identifier
    name = cluster_name_of(cluster.arn)
    return make_container_instance_arn(scope, name, identifier.replace("-", ""))


def container_instance_in(
    view: View, scope: Scope, cluster: Cluster, identifier: str
) -> ContainerInstance | None:
    """Return a container instance of this cluster, INACTIVE ones too while they are kept."""
    instance = view.container_instance(container_instance_arn_from(scope, cluster, identifier))
    if instance is None or instance.cluster_arn != cluster.arn:
        return None
    return instance


def task_arn_from(scope: Scope, cluster: Cluster, identifier: str) -> str:
    """Return the full ARN for a task's short id (dashes allowed) or ARN."""
    if identifier.startswith("arn:"):
        return identifier
    return make_task_arn(scope, cluster_name_of(cluster.arn), identifier.replace("-", ""))


def task_in(view: View, scope: Scope, cluster: Cluster, identifier: str) -> Task | None:
    """Return a task of this cluster, STOPPED ones too while they are kept."""
    task = view.task(task_arn_from(scope, cluster, identifier))
    return None if task is None or task.cluster_arn != cluster.arn else task


def service_arn_from(scope: Scope, cluster: Cluster, identifier: str) -> str:
    """Return the full ARN for a service's name or ARN (the short form without cluster too)."""
    name = identifier
    if identifier.startswith("arn:"):
        parsed = parse_arn(identifier)
        if parsed is None or parsed.kind != "service" or len(parsed.path) > 1:
            return identifier
        name = parsed.path[0]
    return make_service_arn(scope, cluster_name_of(cluster.arn), name)


def service_in(view: View, scope: Scope, cluster: Cluster, identifier: str) -> Service | None:
    """Return a service of this cluster, INACTIVE ones too while they are kept."""
    service = view.service(service_arn_from(scope, cluster, identifier))
    return None if service is None or service.cluster_arn != cluster.arn else service


def task_definition_in(view: View, scope: Scope, identifier: str) -> TaskDefinition | None:
    """Return the revision that `family`, `family:revision` or an ARN names.

    Without a revision it is the latest ACTIVE one. INACTIVE revisions are found by number.
    """
    name = identifier
    if identifier.startswith("arn:"):
        parsed = parse_arn(identifier)
        if parsed is None or parsed.kind != "task-definition" or len(parsed.path) != 1:
            return None
        if parsed.scope != scope:
            return None
        name = parsed.path[0]
    family, colon, revision = name.partition(":")
    if not colon:
        return view.latest_active_revision(scope, family)
    if not (revision.isascii() and revision.isdigit()):
        return None
    return view.task_definition(make_task_definition_arn(scope, family, int(revision)))
