"""CreateService, DeleteService, DescribeServices and ListServices; updates live next door.

They only write down what is wanted: the service scheduler (core.reconcile) does the rest. Services
are REPLICA or DAEMON services, and services of task sets (`task_sets`).
"""

import hashlib
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision, Moment
from homeport.core.effects import Effect
from homeport.core.reconcile.aftermath import repeat_of_steady_state
from homeport.core.reconcile.first_step import complete_at_once, wants_no_tasks
from homeport.model.arn import Scope, make_service_arn
from homeport.model.client_token import ClientToken
from homeport.model.cluster import Cluster
from homeport.model.record import Tag
from homeport.model.service import NO_DEPLOYMENT, Service
from homeport.model.task_definition import TaskDefinition
from homeport.operations.context import CallContext
from homeport.operations.ecs.client_tokens import keep_token
from homeport.operations.ecs.deployment_start import start_deployment
from homeport.operations.ecs.placement_members import check_constraints
from homeport.operations.ecs.run_placement import choose_course
from homeport.operations.ecs.service_capacity import check_placement
from homeport.operations.ecs.service_rules import (
    check_client_token,
    check_controller,
    check_daemon,
    check_desired_count,
    check_grace_period,
    check_launchable,
    check_network,
    check_propagate_tags,
    check_scheduling_strategy,
    circuit_breaker_of,
    default_configuration,
    early_success_of,
    next_configuration,
    next_zone_rebalancing,
    refuse_unbuilt_members,
)
from homeport.operations.ecs.service_updates import (
    find_definition,
    find_service,
    next_strategies,
    update_service,
)
from homeport.operations.ecs.staged_rules import check_strategy, staged_strategy_of
from homeport.operations.ecs.tags import check_tags, put_tags
from homeport.operations.lookup import find_cluster, service_arn_from, service_in
from homeport.operations.names import check_service_name
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.services import (
    ServiceDocument,
    decode_document,
    encode_document,
    render_service,
)
from homeport.state.changes import Change, Delete, Put, delete_of
from homeport.state.view import View

SERVICES_PER_DESCRIBE = 10
SERVICES_PER_PAGE = 10
SERVICES_PER_CLUSTER = 5_000

_NOT_IDEMPOTENT = "Creation of service was not idempotent."


def create_service(view: View, request: ecs.CreateServiceRequest, context: CallContext) -> Decision:
    """Keep a number of tasks running from now on (API:CreateService; services §14).

    The same call again, by clientToken or by name, answers with the service that is there.
    """
    name = check_service_name(request.service_name)
    token = check_client_token(request.client_token)
    cluster = find_cluster(view, context.scope, request.cluster)
    arn = make_service_arn(context.scope, cluster.name, name)
    fingerprint = _fingerprint(request)
    known = _answered_before(
        view, cluster, token, fingerprint=fingerprint, context=context
    ) or _same_name(view, arn, fingerprint)
    if known is not None:
        return Decision(reply=_created(view, known, view.tags(known.arn)))
    _refuse_one_too_many(view, cluster)
    described, document = _new_service(
        view, request, context, cluster=cluster, name=name, fingerprint=fingerprint
    )
    check_placement(described)
    tags = check_tags(request.tags)
    beginning = _begin(view, described, document, context.moment)
    changes = (*_forget_predecessor(view, arn), *beginning.changes, *put_tags(arn, tags))
    if token is not None:
        token_record = _make_token(token, fingerprint, beginning.shown, context)
        changes = (*changes, *keep_token(view, token_record))
    return Decision(
        reply=_created(view, beginning.shown, tags, document),
        changes=changes,
        effects=beginning.effects,
        settled=beginning.settled,
    )


class _Beginning(msgspec.Struct, frozen=True):
    """How a service begins: as its creator sees it, and what is written down."""

    shown: Service
    changes: tuple[Change, ...]
    effects: tuple[Effect, ...] = ()
    settled: str | None = None


def _begin(
    view: View, service: Service, document: ServiceDocument, moment: Moment
) -> _Beginning:
    """Start the first deployment, and complete it as well when there is nothing to wait for.

    ECS answers before its scheduler has looked, so a reply shows the deployment in progress.
    """
    if service.deployment_controller == "EXTERNAL":
        service = replace(service, deployments=(NO_DEPLOYMENT,))
        return _Beginning(service, (Put(service),))
    ids = moment.ids()
    started = start_deployment(view, service, document=document, ids=ids, moment=moment)
    if not wants_no_tasks(service):
        return _Beginning(started.service, (*started.history, Put(started.service)))
    completed = complete_at_once(started.service, started.record, ids=ids, moment=moment)
    changes = (
        *started.past,
        Put(started.revision),
        Put(completed.record),
        Put(completed.service),
        *(Put(event) for event in completed.events),
    )
    effects = (repeat_of_steady_state(completed.service),)
    return _Beginning(started.service, changes, effects, settled=service.arn)


def delete_service(view: View, request: ecs.DeleteServiceRequest, context: CallContext) -> Decision:
    """Drain a service: its tasks are stopped, and when none is left it is INACTIVE (services §14).

    A service that is scaled above 0 needs `force`. Deleting it again changes nothing.
    """
    service = find_service(view, request.service, request.cluster, context)
    if service.status == "INACTIVE":
        raise ecs.ServiceNotFoundException("Service not found.")
    events = view.service_events(service.arn)
    if service.status == "DRAINING":
        reply = ecs.DeleteServiceResponse(service=render_service(view, service, events=events))
        return Decision(reply=reply)
    is_scaled = service.desired_count > 0 and service.scheduling_strategy != "DAEMON"
    if is_scaled and not request.force:
        raise ecs.InvalidParameterException(
            "The service cannot be stopped while it is scaled above 0."
        )
    draining = replace(service, status="DRAINING", desired_count=0, is_steady=False)
    reply = ecs.DeleteServiceResponse(service=render_service(view, draining, events=events))
    return Decision(reply=reply, changes=(Put(draining),))


def describe_services(
    view: View, request: ecs.DescribeServicesRequest, context: CallContext
) -> Decision:
    """Describe up to ten services; unknown ones are failures, repeated ones come once (§14)."""
    cluster = find_cluster(view, context.scope, request.cluster)
    asked = request.services or []
    if not asked:
        raise ecs.InvalidParameterException("Services cannot be empty.")
    if len(asked) > SERVICES_PER_DESCRIBE:
        raise ecs.InvalidParameterException(
            f"Services can have at most {SERVICES_PER_DESCRIBE} items, here are {len(asked)}."
        )
    with_tags = "TAGS" in (request.include or ())
    services: list[ecs.Service] = []
    failures: list[ecs.Failure] = []
    for arn in dict.fromkeys(service_arn_from(context.scope, cluster, name) for name in asked):
        service = service_in(view, context.scope, cluster, arn)
        if service is None:
            failures.append(ecs.Failure(arn=arn, reason="MISSING"))
            continue
        tags = view.tags(arn) if with_tags else ()
        events = view.service_events(arn)
        services.append(render_service(view, service, tags=tags, events=events))
    return Decision(reply=ecs.DescribeServicesResponse(services=services, failures=failures))


def list_services(view: View, request: ecs.ListServicesRequest, context: CallContext) -> Decision:
    """List a cluster's ACTIVE services by name, ten a page unless asked otherwise (§14)."""
    cluster = find_cluster(view, context.scope, request.cluster)
    size = page_size(request.max_results, SERVICES_PER_PAGE)
    matching = (
        service
        for service in view.listed_services(cluster.arn, read_token(request.next_token))
        if request.launch_type in (None, service.launch_type)
        and request.scheduling_strategy in (None, service.scheduling_strategy)
        and request.resource_management_type in (None, "CUSTOMER")
    )
    page, token = take_page(matching, size, lambda service: service.name)
    return Decision(
        reply=ecs.ListServicesResponse(
            service_arns=[service.arn for service in page], next_token=token
        )
    )


def list_services_by_namespace(
    view: View, request: ecs.ListServicesByNamespaceRequest, context: CallContext
) -> Decision:
    """List the services of a Cloud Map namespace: there are no namespaces yet, so none is found."""
    if not request.namespace:
        raise ecs.InvalidParameterException("namespace cannot be empty.")
    page_size(request.max_results, SERVICES_PER_PAGE)
    read_token(request.next_token)
    raise ecs.NamespaceNotFoundException(
        "The namespace was not found: Homeport has no Service Connect and no namespaces yet."
    )


def _created(
    view: View,
    service: Service,
    tags: tuple[Tag, ...],
    document: ServiceDocument | None = None,
) -> ecs.CreateServiceResponse:
    # A predecessor's events are not a new service's.
    events = view.service_events(service.arn) if view.service(service.arn) is service else ()
    return ecs.CreateServiceResponse(
        service=render_service(view, service, tags=tags, events=events, document=document)
    )


def _fingerprint(request: ecs.CreateServiceRequest) -> bytes:
    if request.client_token is not None:
        request = replace(request, client_token=None)
    asked = msgspec.json.encode(request)
    return hashlib.blake2b(asked, digest_size=16).digest()


def _token_key(cluster_arn: str, token: str) -> str:
    return f"CreateService/{cluster_arn}/{token}"


def _make_token(
    token: str, fingerprint: bytes, service: Service, context: CallContext
) -> ClientToken:
    return ClientToken(
        key=_token_key(service.cluster_arn, token),
        fingerprint=fingerprint,
        resource_arns=(service.arn,),
        expires_at_ms=context.moment.now_ms + context.settings.client_token_retention_s * 1_000,
    )


def _answered_before(
    view: View,
    cluster: Cluster,
    token: str | None,
    *,
    fingerprint: bytes,
    context: CallContext,
) -> Service | None:
    """Return the service that this token made; another request with it is refused."""
    known = None if token is None else view.client_token(_token_key(cluster.arn, token))
    if known is None or known.expires_at_ms <= context.moment.now_ms:
        return None
    if known.fingerprint != fingerprint:
        raise ecs.InvalidParameterException(_NOT_IDEMPOTENT)
    return view.service(known.resource_arns[0])


def _same_name(view: View, arn: str, fingerprint: bytes) -> Service | None:
    """Return the ACTIVE service that the very same call made; refuse any other use of the name."""
    known = view.service(arn)
    if known is None or known.status == "INACTIVE":
        return None
    if known.status == "DRAINING":
        raise ecs.InvalidParameterException("Unable to Start a service that is still Draining.")
    if decode_document(known.document).fingerprint != fingerprint:
        raise ecs.InvalidParameterException(_NOT_IDEMPOTENT)
    return known


def _forget_predecessor(view: View, arn: str) -> list[Change]:
    """Forget events and tags of an INACTIVE service whose name is used again."""
    if view.service(arn) is None:
        return []
    changes: list[Change] = [delete_of(event) for event in view.service_events(arn)]
    if view.tags(arn):
        changes.append(Delete("tags", arn))
    return changes


def _new_service(
    view: View,
    request: ecs.CreateServiceRequest,
    context: CallContext,
    *,
    cluster: Cluster,
    name: str,
    fingerprint: bytes,
) -> tuple[Service, ServiceDocument]:
    refuse_unbuilt_members(request)
    strategy = check_scheduling_strategy(request)
    course = choose_course(view, cluster, request)
    is_daemon = strategy == "DAEMON"
    desired_count = 0 if is_daemon else check_desired_count(request.desired_count)
    _refuse_role(request.role)
    controller = check_controller(request.deployment_controller)
    definition = None
    if controller == "EXTERNAL":
        _refuse_beside_external(request, strategy)
    else:
        definition = _find_launchable(view, request, context, course.launch_type)
    configuration = next_configuration(
        request.deployment_configuration, default_configuration(strategy)
    )
    check_strategy(configuration, controller)
    if is_daemon:
        check_daemon(configuration)
    rebalancing = next_zone_rebalancing(
        request.availability_zone_rebalancing, "ENABLED", configuration.maximum_percent or 0
    )
    document = _document_of(
        request,
        context,
        configuration=configuration,
        rebalancing=rebalancing,
        fingerprint=fingerprint,
    )
    service = Service(
        arn=make_service_arn(context.scope, cluster.name, name),
        cluster_arn=cluster.arn,
        name=name,
        scheduling_strategy=strategy,
        deployment_controller=controller,
        task_definition_arn="" if definition is None else definition.arn,
        desired_count=desired_count,
        launch_type=None if course.strategy else course.launch_type,
        capacity_provider_strategy=course.strategy,
        platform_version=course.platform_version,
        minimum_healthy_percent=configuration.minimum_healthy_percent or 0,
        maximum_percent=configuration.maximum_percent or 0,
        rebalances_zones=rebalancing == "ENABLED",
        circuit_breaker=circuit_breaker_of(configuration),
        early_success=early_success_of(configuration),
        staged=staged_strategy_of(configuration),
        health_check_grace_period_s=check_grace_period(request.health_check_grace_period_seconds),
        placement_constraints=check_constraints(
            request.placement_constraints,
            from_definition=0 if definition is None else len(definition.placement_constraints),
        ),
        placement_strategy=next_strategies(request.placement_strategy),
        enable_ecs_managed_tags=bool(request.enable_ecs_managed_tags),
        propagate_tags=check_propagate_tags(request.propagate_tags),
        enable_execute_command=bool(request.enable_execute_command),
        document=encode_document(document),
        created_at_ms=context.moment.now_ms,
    )
    return service, document


def _document_of(
    request: ecs.CreateServiceRequest,
    context: CallContext,
    *,
    configuration: ecs.DeploymentConfiguration,
    rebalancing: str,
    fingerprint: bytes,
) -> ServiceDocument:
    """Return what is described of a new service, and read by no decision of the scheduler."""
    return ServiceDocument(
        deployment_configuration=configuration,
        availability_zone_rebalancing=rebalancing,
        role_arn=_service_linked_role(context.scope),
        created_by=context.principal_arn,
        health_check_grace_period_seconds=request.health_check_grace_period_seconds,
        service_connect_configuration=request.service_connect_configuration,
        network_configuration=request.network_configuration,
        fingerprint=fingerprint,
    )


def _find_launchable(
    view: View, request: ecs.CreateServiceRequest, context: CallContext, launch_type: str
) -> TaskDefinition:
    """Return the task definition that is asked for, if it goes with the rest of the request."""
    definition = find_definition(view, context.scope, request.task_definition)
    check_launchable(definition, launch_type)
    check_network(definition, request.network_configuration, launch_type)
    return definition


def _refuse_role(role: str | None) -> None:
    if role:  # Ansible sends an empty one with every service
        raise ecs.InvalidParameterException(
            "role is only valid for services with loadBalancers; leave it out."
        )


def _refuse_beside_external(request: ecs.CreateServiceRequest, strategy: str) -> None:
    """Refuse what task sets bring themselves, when the controller is EXTERNAL (services §12)."""
    if request.task_definition:
        raise ecs.InvalidParameterException("TaskDefinition must be blank")
    if strategy == "DAEMON":
        raise ecs.InvalidParameterException(
            "The DAEMON scheduling strategy is not supported with the EXTERNAL deployment "
            "controller."
        )
    if request.network_configuration is not None:
        raise ecs.InvalidParameterException(
            "networkConfiguration belongs to the task sets of a service with the EXTERNAL "
            "deployment controller."
        )
    asked = request.deployment_configuration or ecs.DeploymentConfiguration()
    for given, name in (
        (asked.deployment_circuit_breaker, "deploymentCircuitBreaker"),
        (asked.early_success_criteria, "earlySuccessCriteria"),
    ):
        if given is not None and given.enable:
            raise ecs.InvalidParameterException(
                f"{name} can only be enabled with the ECS deployment controller, not with EXTERNAL."
            )


def _refuse_one_too_many(view: View, cluster: Cluster) -> None:
    """Keep to the quota of services in a cluster, DRAINING ones included (api-errors §10)."""
    if sum(view.count_services(cluster.arn)) >= SERVICES_PER_CLUSTER:
        raise ecs.InvalidParameterException(
            f"The cluster {cluster.name} has {SERVICES_PER_CLUSTER} services already, and can have "
            "no more. Delete one first."
        )


def _service_linked_role(scope: Scope) -> str:
    return (
        f"arn:aws:iam::{scope.account_id}:role/aws-service-role/ecs.amazonaws.com/"
        "AWSServiceRoleForECS"
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "CreateService": create_service,
    "UpdateService": update_service,
    "DeleteService": delete_service,
    "DescribeServices": describe_services,
    "ListServices": list_services,
    "ListServicesByNamespace": list_services_by_namespace,
}
