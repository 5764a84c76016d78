"""How clusters are described; which clusters, the operations decide. Source: API:Cluster."""

from collections.abc import Container

import msgspec

from homeport.api import ecs
from homeport.model.cluster import Cluster
from homeport.operations.ecs.capacity_strategy import render_strategy
from homeport.operations.ecs.tags import render_tags
from homeport.state.view import View

NO_DOCUMENT = b"{}"
EVERYTHING = frozenset({"CONFIGURATIONS", "SETTINGS", "TAGS"})  # what changing a cluster answers

read_cluster_document = msgspec.json.Decoder(ecs.Cluster).decode
_write = msgspec.json.Encoder().encode


def write_cluster_document(members: ecs.Cluster) -> bytes:
    """Write the members of a cluster that no decision reads: those alone may be set."""
    return _write(members)


def render_cluster(view: View, cluster: Cluster, include: Container[str]) -> ecs.Cluster:
    """Render a cluster; `include` names what is shown beyond the usual (DescribeClusters)."""
    load = view.cluster_load(cluster.arn)
    active_services, _ = view.count_services(cluster.arn)
    shape = ecs.Cluster(
        cluster_arn=cluster.arn,
        cluster_name=cluster.name,
        status=cluster.status,
        registered_container_instances_count=len(view.container_instances(cluster.arn))
        - len(view.pool_instances(cluster.arn)),
        running_tasks_count=load.running,
        pending_tasks_count=load.pending,
        active_services_count=active_services,
        statistics=_list_statistics(view, cluster) if "STATISTICS" in include else [],
        tags=render_tags(view.tags(cluster.arn)) if "TAGS" in include else [],
        settings=render_settings(cluster.settings) if "SETTINGS" in include else [],
        capacity_providers=list(cluster.capacity_providers),
        default_capacity_provider_strategy=render_strategy(cluster.default_strategy),
    )
    if cluster.document != NO_DOCUMENT:
        kept = read_cluster_document(cluster.document)
        shape.service_connect_defaults = kept.service_connect_defaults
        if "CONFIGURATIONS" in include:
            shape.configuration = kept.configuration
    if "ATTACHMENTS" in include:
        shape.attachments = []
    return shape


def render_settings(settings: tuple[tuple[str, str], ...]) -> list[ecs.ClusterSetting]:
    """Render a cluster's settings."""
    return [ecs.ClusterSetting(name=name, value=value) for name, value in settings]


def _list_statistics(view: View, cluster: Cluster) -> list[ecs.KeyValuePair]:
    """Count by launch type, which AWS shows as text; Fargate's counts are always there."""
    load = view.cluster_load(cluster.arn)
    services = {
        ("ACTIVE", "EC2"): 0,
        ("ACTIVE", "EXTERNAL"): 0,
        ("DRAINING", "EC2"): 0,
        ("ACTIVE", "FARGATE"): 0,
        ("DRAINING", "FARGATE"): 0,
        ("DRAINING", "EXTERNAL"): 0,
    }
    for service in view.services(cluster.arn):
        services[service.status, service.task_launch_type] += 1
    counts = (
        ("runningEC2TasksCount", load.running - load.external_running - load.fargate_running),
        ("runningFargateTasksCount", load.fargate_running),
        ("pendingEC2TasksCount", load.pending - load.external_pending - load.fargate_pending),
        ("pendingFargateTasksCount", load.fargate_pending),
        ("runningExternalTasksCount", load.external_running),
        ("pendingExternalTasksCount", load.external_pending),
        ("activeEC2ServiceCount", services["ACTIVE", "EC2"]),
        ("activeFargateServiceCount", services["ACTIVE", "FARGATE"]),
        ("drainingEC2ServiceCount", services["DRAINING", "EC2"]),
        ("drainingFargateServiceCount", services["DRAINING", "FARGATE"]),
        ("activeExternalServiceCount", services["ACTIVE", "EXTERNAL"]),
        ("drainingExternalServiceCount", services["DRAINING", "EXTERNAL"]),
    )
    return [ecs.KeyValuePair(name=name, value=str(count)) for name, count in counts]
