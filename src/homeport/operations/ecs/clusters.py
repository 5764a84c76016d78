"""Clusters: create, describe, list, update and delete.

Which capacity providers a cluster has later is `capacity_providers`' business. The namespace of
Service Connect is kept and described; nothing uses it yet, and none is made.
Source: API:CreateCluster and its neighbours; reference api-errors-and-limits §3, §5, §6.
"""

import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.core.effects import DisconnectAgent
from homeport.core.lifecycle.instance import deregistered
from homeport.model.arn import make_cluster_arn, parse_arn, scope_of
from homeport.model.capacity_provider import StrategyItem
from homeport.model.cluster import Cluster
from homeport.operations.context import CallContext
from homeport.operations.ecs.account_settings import effective_setting
from homeport.operations.ecs.capacity_strategy import check_provider_names, check_strategy
from homeport.operations.ecs.tags import check_tags, put_tags, render_tags
from homeport.operations.lookup import DEFAULT_CLUSTER, cluster_arn_from, find_cluster
from homeport.operations.names import check_name
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.clusters import (
    EVERYTHING,
    NO_DOCUMENT,
    read_cluster_document,
    render_cluster,
    write_cluster_document,
)
from homeport.state.changes import Change, Delete, Put
from homeport.state.view import View

CLUSTERS_PER_DESCRIBE = 100
CONTAINER_INSIGHTS = "containerInsights"
SETTING_VALUES = ("enhanced", "enabled", "disabled")
_NAMESPACE_ARN = re.compile(
    r"arn:aws[a-z-]*:servicediscovery:[a-z0-9-]+:\d{12}:namespace/[\w-]{1,64}"
)


def create_cluster(view: View, request: ecs.CreateClusterRequest, context: CallContext) -> Decision:
    """Create a cluster, `default` without a name; an ACTIVE one of that name is answered as it is.

    Source: API:CreateCluster.
    """
    name = DEFAULT_CLUSTER
    if request.cluster_name is not None:
        name = check_name(request.cluster_name, "Cluster name")
    settings = _check_settings(request.settings)
    _check_configuration(request.configuration)
    document = _merge_document(NO_DOCUMENT, request)
    tags = check_tags(request.tags)
    arn = make_cluster_arn(context.scope, name)
    providers, strategy = _check_capacity(view, request, arn, name)
    known = view.cluster(arn)
    if known is not None and known.status == "ACTIVE":
        return Decision(
            reply=ecs.CreateClusterResponse(cluster=render_cluster(view, known, EVERYTHING))
        )
    if not settings:
        default = effective_setting(view, context.scope, context.principal_arn, CONTAINER_INSIGHTS)
        settings = ((CONTAINER_INSIGHTS, default),)
    cluster = Cluster(
        arn=arn,
        name=name,
        settings=settings,
        capacity_providers=providers,
        default_strategy=strategy,
        document=document,
        created_at_ms=context.moment.now_ms,
    )
    shape = render_cluster(view, cluster, EVERYTHING)
    shape.tags = render_tags(tags)
    return Decision(
        reply=ecs.CreateClusterResponse(cluster=shape), changes=(Put(cluster), *put_tags(arn, tags))
    )


def describe_clusters(
    view: View, request: ecs.DescribeClustersRequest, context: CallContext
) -> Decision:
    """Describe up to 100 clusters, the default one when none is named.

    INACTIVE ones are described while they are kept; unknown ones come back in `failures`.
    """
    identifiers = request.clusters or [DEFAULT_CLUSTER]
    if len(identifiers) > CLUSTERS_PER_DESCRIBE:
        raise ecs.InvalidParameterException(
            f"Clusters can have at most {CLUSTERS_PER_DESCRIBE} items."
        )
    include = request.include or ()
    found: list[ecs.Cluster] = []
    failures: list[ecs.Failure] = []
    for arn in dict.fromkeys(cluster_arn_from(context.scope, name) for name in identifiers):
        cluster = view.cluster(arn)
        parsed = parse_arn(arn)
        if cluster is None or parsed is None or parsed.scope != context.scope:
            failures.append(ecs.Failure(arn=arn, reason="MISSING"))
        else:
            found.append(render_cluster(view, cluster, include))
    return Decision(reply=ecs.DescribeClustersResponse(clusters=found, failures=failures))


def list_clusters(view: View, request: ecs.ListClustersRequest, context: CallContext) -> Decision:
    """List the ARNs of the clusters that aren't INACTIVE, by name."""
    size = page_size(request.max_results)
    clusters = view.clusters(context.scope, read_token(request.next_token))
    page, token = take_page(clusters, size, lambda cluster: cluster.name)
    return Decision(
        reply=ecs.ListClustersResponse(
            cluster_arns=[cluster.arn for cluster in page], next_token=token
        )
    )


def update_cluster(view: View, request: ecs.UpdateClusterRequest, context: CallContext) -> Decision:
    """Change a cluster's settings, configuration and namespace; what isn't given stays."""
    cluster = _find_named(view, request.cluster, context)
    _check_configuration(request.configuration)
    updated = _with_settings(cluster, request.settings)
    updated = replace(updated, document=_merge_document(cluster.document, request))
    return Decision(
        reply=ecs.UpdateClusterResponse(cluster=render_cluster(view, updated, EVERYTHING)),
        changes=() if updated == cluster else (Put(updated),),
    )


def update_cluster_settings(
    view: View, request: ecs.UpdateClusterSettingsRequest, context: CallContext
) -> Decision:
    """Change a cluster's settings."""
    cluster = _find_named(view, request.cluster, context)
    if not request.settings:
        raise ecs.InvalidParameterException("Settings cannot be empty.")
    updated = _with_settings(cluster, request.settings)
    return Decision(
        reply=ecs.UpdateClusterSettingsResponse(cluster=render_cluster(view, updated, EVERYTHING)),
        changes=() if updated == cluster else (Put(updated),),
    )


def delete_cluster(view: View, request: ecs.DeleteClusterRequest, context: CallContext) -> Decision:
    """Make an empty cluster INACTIVE; its name may be used again.

    Raises ClusterContains... while container instances, services or tasks are in it.
    """
    cluster = _find_named(view, request.cluster, context)
    _refuse_in_use(view, cluster)
    inactive = replace(cluster, status="INACTIVE", deleted_at_ms=context.moment.now_ms)
    pool = view.pool_instances(cluster.arn).values()  # idle: no task is left
    changes: tuple[Change, ...] = (
        *(Put(deregistered(instance, context.moment)) for instance in pool),
        Put(inactive),
    )
    if view.tags(cluster.arn):
        changes = (*changes, Delete("tags", cluster.arn))
    return Decision(
        reply=ecs.DeleteClusterResponse(cluster=render_cluster(view, inactive, EVERYTHING)),
        changes=changes,
        effects=tuple(DisconnectAgent(instance.arn) for instance in pool),
    )


def _refuse_in_use(view: View, cluster: Cluster) -> None:
    if len(view.container_instances(cluster.arn)) > len(view.pool_instances(cluster.arn)):
        raise ecs.ClusterContainsContainerInstancesException(
            "The Cluster cannot be deleted while Container Instances are active or draining."
        )
    if any(view.count_services(cluster.arn)):
        raise ecs.ClusterContainsServicesException(
            "The Cluster cannot be deleted while Services are active."
        )
    if view.live_tasks(cluster.arn):
        raise ecs.ClusterContainsTasksException(
            "The Cluster cannot be deleted while Tasks are active."
        )


def _find_named(view: View, identifier: str | None, context: CallContext) -> Cluster:
    """Find the cluster of a call that must name one; there is no default here."""
    if not identifier:
        raise ecs.InvalidParameterException("Cluster should not be null or empty.")
    return find_cluster(view, context.scope, identifier)


def _check_capacity(
    view: View, request: ecs.CreateClusterRequest, arn: str, name: str
) -> tuple[tuple[str, ...], tuple[StrategyItem, ...]]:
    providers = check_provider_names(view, scope_of(arn), request.capacity_providers or ())
    asked = request.default_capacity_provider_strategy
    if not asked:
        return providers, ()
    cluster = Cluster(arn=arn, name=name, capacity_providers=providers)
    return providers, check_strategy(view, cluster, asked)


def _merge_document(
    document: bytes, request: ecs.CreateClusterRequest | ecs.UpdateClusterRequest
) -> bytes:
    """Put what a request gives over what is kept; an empty namespace takes the default away."""
    known = read_cluster_document(document)
    if request.configuration is not None:
        known.configuration = request.configuration
    defaults = request.service_connect_defaults
    if defaults is not None:
        known.service_connect_defaults = _check_namespace(defaults.namespace or "")
    return write_cluster_document(known)


def _check_namespace(namespace: str) -> ecs.ClusterServiceConnectDefaults | None:
    """Take the ARN of a namespace as it is; AWS would make one of a name, in Cloud Map."""
    if not namespace:
        return None
    if _NAMESPACE_ARN.fullmatch(namespace):
        return ecs.ClusterServiceConnectDefaults(namespace=namespace)
    if namespace.startswith("arn:"):
        raise ecs.InvalidParameterException("Invalid namespace ARN in serviceConnectDefaults.")
    raise ecs.ClientException(
        f"Homeport has no Cloud Map yet to make a namespace {namespace} in: name one in "
        "serviceConnectDefaults by its ARN, or leave them out of the request."
    )


def _check_settings(settings: Sequence[ecs.ClusterSetting] | None) -> tuple[tuple[str, str], ...]:
    checked: dict[str, str] = {}
    for setting in settings or ():
        if setting.name != CONTAINER_INSIGHTS:
            raise ecs.InvalidParameterException(
                f"{setting.name} should be one of [{CONTAINER_INSIGHTS}]"
            )
        if setting.value not in SETTING_VALUES:
            raise ecs.InvalidParameterException(
                f"Invalid value for {setting.name}: it should be one of "
                f"[{','.join(SETTING_VALUES)}]"
            )
        checked[setting.name] = setting.value
    return tuple(checked.items())


def _with_settings(cluster: Cluster, settings: Sequence[ecs.ClusterSetting] | None) -> Cluster:
    merged = {**dict(cluster.settings), **dict(_check_settings(settings))}
    return replace(cluster, settings=tuple(merged.items()))


def _check_configuration(configuration: ecs.ClusterConfiguration | None) -> None:
    """Refuse an ExecuteCommand configuration whose logging and log configuration disagree."""
    command = None if configuration is None else configuration.execute_command_configuration
    if command is None:
        return
    has_log = command.log_configuration is not None
    if has_log and command.logging != "OVERRIDE":
        raise ecs.InvalidParameterException(
            "The executeCommandConfiguration logging must be OVERRIDE when a logConfiguration is "
            "specified."
        )
    if command.logging == "OVERRIDE" and not has_log:
        raise ecs.InvalidParameterException(
            "The executeCommandConfiguration logConfiguration is required when logging is OVERRIDE."
        )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "CreateCluster": create_cluster,
    "DescribeClusters": describe_clusters,
    "ListClusters": list_clusters,
    "UpdateCluster": update_cluster,
    "UpdateClusterSettings": update_cluster_settings,
    "DeleteCluster": delete_cluster,
}
