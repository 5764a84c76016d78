"""How creating and updating a service start a deployment: the records that it begins with.

The service scheduler carries it out (core.reconcile); what callers ask about deployments later is
in `service_deployments`.
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Moment
from homeport.core.reconcile.service_deployments import (
    REASON_OVERTAKEN,
    end_service_deployment,
    forget_oldest,
)
from homeport.model.arn import (
    make_deployment_id,
    make_service_deployment_arn,
    make_service_revision_arn,
)
from homeport.model.service import Deployment, Service
from homeport.model.service_deployment import ServiceDeployment, ServiceRevision
from homeport.operations.render.services import ServiceDocument
from homeport.state.changes import Change, Put
from homeport.state.view import View


class Started(msgspec.Struct, frozen=True):
    """A service with a new deployment, what describes that, and what becomes of earlier ones."""

    service: Service
    revision: ServiceRevision
    record: ServiceDeployment
    past: tuple[Change, ...]

    @property
    def history(self) -> tuple[Change, ...]:
        """The changes beside the service itself."""
        return (*self.past, Put(self.revision), Put(self.record))


def start_deployment(
    view: View,
    service: Service,
    *,
    document: ServiceDocument,
    ids: Iterator[str],
    moment: Moment,
) -> Started:
    """Give the service a new PRIMARY deployment of its task definition (services §5, §11).

    The one before becomes ACTIVE, and its service deployment ends if it hasn't; the throttle
    starts afresh (§3). `document` is the service's own.
    """
    revision = make_revision(service, document, ids=ids, moment=moment)
    deployment = _make_deployment(service, revision, ids=ids, moment=moment)
    record = _make_record(
        service,
        deployment,
        revision,
        configuration=document.deployment_configuration,
        ids=ids,
        moment=moment,
    )
    if not service.deployments:  # a new service, with nothing to leave behind
        first = replace(service, deployments=(deployment,), service_deployment_arn=record.arn)
        return Started(first, revision, record, ())
    past = (*_overtake(view, service, moment), *forget_oldest(view, service))
    older = tuple(_demote(view, service, known) for known in service.deployments)
    started = replace(
        service,
        deployments=(deployment, *older),
        service_deployment_arn=record.arn,
        rollback_reason=None,
        is_stop_requested=False,
        is_steady=False,
        hold="",
        moving_tasks=0,
        failed_launches=0,
        quick_exits=0,
        next_launch_at_ms=0,
    )
    return Started(started, revision, record, past)


def make_revision(
    service: Service, document: ServiceDocument, *, ids: Iterator[str], moment: Moment
) -> ServiceRevision:
    """Write down what a service's tasks run from now on, under a new ARN."""
    return ServiceRevision(
        arn=make_service_revision_arn(service.arn, next(ids)),
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        task_definition_arn=service.task_definition_arn,
        launch_type=service.launch_type,
        capacity_provider_strategy=service.capacity_provider_strategy,
        platform_version=service.platform_version,
        document=_describe_revision(document),
        created_at_ms=moment.now_ms,
    )


def _describe_revision(document: ServiceDocument) -> bytes:
    """Write the members of a service revision that are described as they were given."""
    network, connect = document.network_configuration, document.service_connect_configuration
    if network is None and connect is None:
        return b"{}"
    return msgspec.json.encode(
        ecs.ServiceRevision(network_configuration=network, service_connect_configuration=connect)
    )


def _make_deployment(
    service: Service, revision: ServiceRevision, *, ids: Iterator[str], moment: Moment
) -> Deployment:
    deployment_id = make_deployment_id(next(ids))
    return Deployment(
        id=deployment_id,
        status="PRIMARY",
        task_definition_arn=service.task_definition_arn,
        revision_arn=revision.arn,
        rollout_state_reason=f"ECS deployment {deployment_id} in progress.",
        created_at_ms=moment.now_ms,
        updated_at_ms=moment.now_ms,
    )


def _make_record(
    service: Service,
    deployment: Deployment,
    revision: ServiceRevision,
    *,
    configuration: ecs.DeploymentConfiguration,
    ids: Iterator[str],
    moment: Moment,
) -> ServiceDeployment:
    return ServiceDeployment(
        arn=make_service_deployment_arn(service.arn, next(ids)),
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        deployment_id=deployment.id,
        target_revision_arn=revision.arn,
        source_revision_arns=tuple([d.revision_arn for d in service.deployments if d.revision_arn]),
        deployment_configuration=msgspec.json.encode(configuration),
        created_at_ms=moment.now_ms,
        updated_at_ms=moment.now_ms,
    )


def _overtake(view: View, service: Service, moment: Moment) -> list[Change]:
    """End the service deployment that hasn't come to its end."""
    arn = service.service_deployment_arn
    known = None if arn is None else view.service_deployment(arn)
    if known is None or known.has_ended:
        return []
    status = "ROLLBACK_FAILED" if known.status.startswith("ROLLBACK") else "STOPPED"
    return [Put(end_service_deployment(known, status, moment, reason=REASON_OVERTAKEN))]


def _demote(view: View, service: Service, deployment: Deployment) -> Deployment:
    """Return a deployment as an older one; what it runs now is kept up until it has to go.

    A larger desiredCount that comes with the new deployment is the new one's alone.
    """
    if deployment.status != "PRIMARY":
        return deployment
    kept = view.deployment_load(service.arn, deployment.id).running
    before = view.service(service.arn)
    if before is not None and deployment.rollout_state == "COMPLETED":
        kept = before.desired_count
    return replace(
        deployment,
        status="ACTIVE",
        is_rollback=False,
        wanted_tasks=min(kept, service.desired_count),
    )
