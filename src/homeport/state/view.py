"""The read-only questions that decisions, renderers and the gateway may ask of the state."""

from collections.abc import Iterator, Mapping
from itertools import islice

from homeport.model.account_setting import AccountSetting
from homeport.model.arn import (
    Scope,
    cluster_name_of,
    make_capacity_provider_arn,
    make_cluster_arn,
    make_service_arn,
    make_task_definition_arn,
    scope_of,
)
from homeport.model.capacity_provider import CapacityProvider
from homeport.model.client_token import ClientToken
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ContainerInstance
from homeport.model.instance_turnover import InstanceTurnover
from homeport.model.record import Tag
from homeport.model.service import Service, ServiceEvent
from homeport.model.service_deployment import ServiceDeployment, ServiceRevision
from homeport.model.task import Task
from homeport.model.task_definition import Family, TaskDefinition
from homeport.state.derived import ClusterLoad, DeploymentLoad, InstanceLoad
from homeport.state.fleet import Fleet
from homeport.state.store import Store

_NO_INSTANCE_LOAD = InstanceLoad()
_NO_DEPLOYMENT_LOAD = DeploymentLoad()
_NO_CLUSTER_LOAD = ClusterLoad()


def family_key(scope: Scope, name: str) -> str:
    """Return the key of a family's record."""
    return f"{scope.account_id}/{scope.region}/{name}"


class View:
    """Reads the store; what it returns is frozen or not to be altered."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def sequence(self) -> int:
        """The number of the newest commit that this view sees."""
        return self._store.sequence

    @property
    def at_ms(self) -> int:
        """When the newest commit was made: time goes on from there, also after a restart."""
        return self._store.at_ms

    # clusters
    def cluster(self, arn: str) -> Cluster | None:
        """Return a cluster by ARN."""
        return self._store.clusters.get(arn)

    def cluster_by_name(self, scope: Scope, name: str) -> Cluster | None:
        """Return a cluster by name."""
        return self._store.clusters.get(make_cluster_arn(scope, name))

    def clusters(self, scope: Scope, after_name: str | None = None) -> Iterator[Cluster]:
        """Iterate a scope's clusters by name, without INACTIVE ones."""
        cursor = None
        if after_name is not None:
            cursor = (after_name, make_cluster_arn(scope, after_name))
        return self._store.clusters.after("scope", scope, cursor)

    def deleted_clusters(self) -> Iterator[Cluster]:
        """Iterate the INACTIVE clusters of all scopes, the longest gone first."""
        return self._store.clusters.after("deleted", "all", None)

    def every_cluster(self) -> Iterator[Cluster]:
        """Iterate all clusters of all scopes."""
        return iter(self._store.clusters)

    def cluster_load(self, cluster_arn: str) -> ClusterLoad:
        """Return the numbers of running and pending tasks."""
        return self._store.derived.clusters.get(cluster_arn, _NO_CLUSTER_LOAD)

    # container instances
    def container_instance(self, arn: str) -> ContainerInstance | None:
        """Return a container instance by ARN, INACTIVE ones too."""
        return self._store.container_instances.get(arn)

    def container_instances(self, cluster_arn: str) -> Mapping[str, ContainerInstance]:
        """Return a cluster's container instances by ARN, without INACTIVE ones."""
        return self._store.container_instances.group("cluster", cluster_arn)

    def pool_instances(self, cluster_arn: str) -> Mapping[str, ContainerInstance]:
        """Return the container instances of a cluster's local Fargate pool by ARN."""
        return self._store.container_instances.group("pool", cluster_arn)

    def draining_instances(self, cluster_arn: str) -> Mapping[str, ContainerInstance]:
        """Return a cluster's DRAINING container instances by ARN."""
        return self._store.container_instances.group("draining", cluster_arn)

    def container_instances_after(
        self, cluster_arn: str, after_arn: str | None
    ) -> Iterator[ContainerInstance]:
        """Iterate a cluster's container instances by ARN, without INACTIVE ones."""
        cursor = None if after_arn is None else (after_arn, after_arn)
        return self._store.container_instances.after("cluster", cluster_arn, cursor)

    def deregistered_instances(self) -> Iterator[ContainerInstance]:
        """Iterate INACTIVE container instances, the longest gone first."""
        return self._store.container_instances.after("deregistered", "all", None)

    def disconnected_instances(self) -> Iterator[ContainerInstance]:
        """Iterate container instances without an agent, the longest without one first.

        Those that were given up already and INACTIVE ones are left out.
        """
        return self._store.container_instances.after("disconnected", "all", None)

    def every_container_instance(self) -> Iterator[ContainerInstance]:
        """Iterate all container instances of all clusters."""
        return iter(self._store.container_instances)

    def instance_load(self, arn: str) -> InstanceLoad:
        """Return what the tasks of a container instance hold."""
        return self._store.derived.instances.get(arn, _NO_INSTANCE_LOAD)

    def instance_version(self, instance: ContainerInstance) -> int:
        """Return how often a container instance has changed, by its tasks too: it only grows."""
        forgotten = self._store.instance_turnovers.get(instance.arn)
        before = 0 if forgotten is None else forgotten.forgotten
        return instance.version + before + self.instance_load(instance.arn).turnover

    def instance_turnover(self, arn: str) -> InstanceTurnover | None:
        """Return what a container instance has had of tasks that are forgotten."""
        return self._store.instance_turnovers.get(arn)

    def fleet(self, cluster_arn: str) -> Fleet:
        """Return a cluster's container instances as columns, for placement."""
        return self._store.derived.fleet(cluster_arn)

    # task definitions
    def task_definition(self, arn: str) -> TaskDefinition | None:
        """Return one revision by ARN."""
        return self._store.task_definitions.get(arn)

    def latest_active_revision(self, scope: Scope, family: str) -> TaskDefinition | None:
        """Return the newest ACTIVE revision of a family."""
        return self._store.task_definitions.last("family", (scope, family, "ACTIVE"))

    def revisions(
        self,
        scope: Scope,
        family: str,
        status: str,
        after_revision: int | None = None,
        *,
        descending: bool = False,
    ) -> Iterator[TaskDefinition]:
        """Iterate a family's revisions of one status in order, from behind a revision."""
        cursor = None
        if after_revision is not None:
            cursor = (after_revision, make_task_definition_arn(scope, family, after_revision))
        table, group = self._store.task_definitions, (scope, family, status)
        if descending:
            return table.before("family", group, cursor)
        return table.after("family", group, cursor)

    def task_definitions(
        self,
        scope: Scope,
        status: str,
        after: tuple[str, int] | None = None,
        *,
        descending: bool = False,
    ) -> Iterator[TaskDefinition]:
        """Iterate a scope's revisions of one status by family and revision, from behind one."""
        cursor = None if after is None else (after, make_task_definition_arn(scope, *after))
        table, group = self._store.task_definitions, (scope, status)
        if descending:
            return table.before("scope", group, cursor)
        return table.after("scope", group, cursor)

    def has_revisions(self, scope: Scope, family: str, status: str) -> bool:
        """Tell whether a family has revisions of this status."""
        return self._store.task_definitions.count("family", (scope, family, status)) > 0

    def deleting_task_definitions(self) -> Iterator[TaskDefinition]:
        """Iterate the revisions of all scopes that are in DELETE_IN_PROGRESS."""
        return self._store.task_definitions.after("deleting", "all", None)

    def family(self, scope: Scope, name: str) -> Family | None:
        """Return a family's counter."""
        return self._store.families.get(family_key(scope, name))

    def families(
        self, scope: Scope, after_name: str | None = None, from_name: str = ""
    ) -> Iterator[Family]:
        """Iterate a scope's families by name, from behind one, or from one on."""
        cursor = (from_name, "")
        if after_name is not None:
            cursor = max(cursor, (after_name, family_key(scope, after_name)))
        return self._store.families.after("scope", f"{scope.account_id}/{scope.region}", cursor)

    # tasks
    def task(self, arn: str) -> Task | None:
        """Return a task by ARN, STOPPED ones too while they are kept."""
        return self._store.tasks.get(arn)

    def tasks_of_instance(self, arn: str) -> Mapping[str, Task]:
        """Return the tasks of a container instance that aren't STOPPED."""
        return self._store.tasks.group("instance", arn)

    def tasks_of_service(self, arn: str) -> Mapping[str, Task]:
        """Return the tasks of a service that aren't STOPPED."""
        return self._store.tasks.group("service", arn)

    def tasks_of_group(self, cluster_arn: str, group: str) -> Mapping[str, Task]:
        """Return the tasks of a task group that aren't STOPPED."""
        return self._store.tasks.group("group", (cluster_arn, group))

    def tasks_of_definition(self, arn: str) -> Mapping[str, Task]:
        """Return the tasks of one revision, STOPPED ones too while they are kept."""
        return self._store.tasks.group("definition", arn)

    def live_tasks(self, cluster_arn: str) -> Mapping[str, Task]:
        """Return a cluster's tasks that aren't STOPPED."""
        return self._store.tasks.group("live", cluster_arn)

    def provisioning_tasks(self, cluster_arn: str) -> Mapping[str, Task]:
        """Return a cluster's tasks that wait for capacity, by ARN."""
        return self._store.tasks.group("provisioning", cluster_arn)

    def tasks_after(
        self, cluster_arn: str, desired_status: str, after_arn: str | None
    ) -> Iterator[Task]:
        """Iterate a cluster's tasks of one desired status by ARN."""
        cursor = None if after_arn is None else (after_arn, after_arn)
        return self._store.tasks.after("desired", (cluster_arn, desired_status), cursor)

    def stopped_tasks(self) -> Iterator[Task]:
        """Iterate STOPPED tasks of all clusters, the longest stopped first."""
        return self._store.tasks.after("stopped", "all", None)

    # services
    def service(self, arn: str) -> Service | None:
        """Return a service by ARN."""
        return self._store.services.get(arn)

    def services(self, cluster_arn: str, after: Service | None = None) -> Iterator[Service]:
        """Iterate a cluster's ACTIVE and DRAINING services by name."""
        cursor = None if after is None else (after.name, after.arn)
        return self._store.services.after("cluster", cluster_arn, cursor)

    def daemon_services(self, cluster_arn: str) -> Mapping[str, Service]:
        """Return a cluster's ACTIVE DAEMON services by ARN."""
        return self._store.services.group("daemon", cluster_arn)

    def listed_services(self, cluster_arn: str, after_name: str | None = None) -> Iterator[Service]:
        """Iterate a cluster's ACTIVE services by name: those that ListServices shows."""
        cursor = None
        if after_name is not None:
            scope, name = scope_of(cluster_arn), cluster_name_of(cluster_arn)
            cursor = (after_name, make_service_arn(scope, name, after_name))
        services = self._store.services.after("cluster", cluster_arn, cursor)
        return (service for service in services if service.status == "ACTIVE")

    def count_services(self, cluster_arn: str) -> tuple[int, int]:
        """Return how many ACTIVE and how many DRAINING services a cluster has."""
        draining = len(self._store.services.group("draining", cluster_arn))
        return self._store.services.count("cluster", cluster_arn) - draining, draining

    def inactive_services(self) -> Iterator[Service]:
        """Iterate INACTIVE services of all clusters, the longest gone first."""
        return self._store.services.after("inactive", "all", None)

    def every_service(self) -> Iterator[Service]:
        """Iterate all services of all clusters."""
        return iter(self._store.services)

    def deployment_load(self, service_arn: str, deployment_id: str) -> DeploymentLoad:
        """Return how many tasks of a deployment are where in their life."""
        key = (service_arn, deployment_id)
        return self._store.derived.deployments.get(key, _NO_DEPLOYMENT_LOAD)

    def service_events(self, service_arn: str, limit: int | None = None) -> list[ServiceEvent]:
        """Return a service's events, newest first."""
        return list(islice(self._store.service_events.after("service", service_arn, None), limit))

    def service_events_beyond(self, service_arn: str, kept: int) -> list[ServiceEvent]:
        """Return a service's events but the newest ones that are kept, newest first."""
        events = self._store.service_events
        surplus = max(0, events.count("service", service_arn) - kept)
        return list(islice(events.before("service", service_arn, None), surplus))[::-1]

    def service_deployment(self, arn: str) -> ServiceDeployment | None:
        """Return a service deployment by ARN."""
        return self._store.service_deployments.get(arn)

    def service_deployments(
        self, service_arn: str, after: ServiceDeployment | None = None
    ) -> Iterator[ServiceDeployment]:
        """Iterate a service's deployments, newest first, from behind one."""
        cursor = None if after is None else (-after.created_at_ms, after.arn)
        return self._store.service_deployments.after("service", service_arn, cursor)

    def ended_service_deployments(self) -> Iterator[ServiceDeployment]:
        """Iterate the ended service deployments of all services, the longest ended first."""
        return self._store.service_deployments.after("ended", "all", None)

    def service_revision(self, arn: str) -> ServiceRevision | None:
        """Return a service revision by ARN."""
        return self._store.service_revisions.get(arn)

    def service_revisions(self, service_arn: str) -> Iterator[ServiceRevision]:
        """Iterate a service's revisions, oldest first."""
        return self._store.service_revisions.after("service", service_arn, None)

    # capacity providers
    def capacity_provider(self, scope: Scope, name: str) -> CapacityProvider | None:
        """Return a capacity provider by name; FARGATE and FARGATE_SPOT have no record."""
        return self._store.capacity_providers.get(make_capacity_provider_arn(scope, name))

    def capacity_providers(
        self, scope: Scope, after_name: str | None = None
    ) -> Iterator[CapacityProvider]:
        """Iterate a scope's own capacity providers by name."""
        cursor = None
        if after_name is not None:
            cursor = (after_name, make_capacity_provider_arn(scope, after_name))
        return self._store.capacity_providers.after("scope", scope, cursor)

    # the rest
    def tags(self, arn: str) -> tuple[Tag, ...]:
        """Return a resource's tags."""
        record = self._store.tags.get(arn)
        return () if record is None else record.tags

    def account_setting(self, key: str) -> AccountSetting | None:
        """Return a setting by key."""
        return self._store.account_settings.get(key)

    def account_settings(self, scope: Scope) -> Iterator[AccountSetting]:
        """Iterate a scope's settings by key."""
        return self._store.account_settings.after("scope", (scope.account_id, scope.region), None)

    def client_token(self, key: str) -> ClientToken | None:
        """Return what an idempotency token stood for."""
        return self._store.client_tokens.get(key)

    def count_client_tokens(self) -> int:
        """Return how many idempotency tokens are kept."""
        return self._store.client_tokens.count("expires", "all")

    def expiring_tokens(self) -> Iterator[ClientToken]:
        """Iterate idempotency tokens, the next to expire first."""
        return self._store.client_tokens.after("expires", "all", None)
