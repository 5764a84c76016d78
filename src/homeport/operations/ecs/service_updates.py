"""UpdateService, and the parts that creating and updating share; see `services`."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.core.reconcile.circuit_breaker import with_stand_in_scaled
from homeport.model.arn import Scope
from homeport.model.placement import PlacementStrategy
from homeport.model.service import Service
from homeport.model.task_definition import TaskDefinition
from homeport.operations.context import CallContext
from homeport.operations.ecs.controller_change import change_controller
from homeport.operations.ecs.deployment_start import start_deployment
from homeport.operations.ecs.placement_members import check_constraints, check_strategies
from homeport.operations.ecs.service_capacity import check_placement, next_capacity
from homeport.operations.ecs.service_rules import (
    check_controller,
    check_daemon,
    check_grace_period,
    check_launchable,
    check_network,
    check_propagate_tags,
    check_quota,
    circuit_breaker_of,
    early_success_of,
    next_configuration,
    next_zone_rebalancing,
    refuse_unbuilt_members,
)
from homeport.operations.ecs.staged_rules import check_strategy, staged_strategy_of
from homeport.operations.lookup import find_cluster, service_in, task_definition_in
from homeport.operations.render.services import (
    decode_document,
    encode_document,
    network_configuration_of,
    render_service,
)
from homeport.state.changes import Change, Put
from homeport.state.view import View


def update_service(view: View, request: ecs.UpdateServiceRequest, context: CallContext) -> Decision:
    """Change what is wanted of a service (API:UpdateService; reference: services §6).

    Another task definition, or forceNewDeployment, starts a deployment; nothing else does. A
    member that isn't given stays as it is.
    """
    service = find_service(view, request.service, request.cluster, context)
    if service.status != "ACTIVE":
        raise ecs.ServiceNotActiveException("Service was not ACTIVE.")
    refuse_unbuilt_members(request)
    if service.scheduling_strategy == "DAEMON":
        _check_daemon_update(request)
    ids = context.moment.ids()
    if request.deployment_controller is None or (
        check_controller(request.deployment_controller) == service.deployment_controller
    ):
        return _update(view, request, service, context, ids=ids)
    changed, beside = change_controller(view, service, ids=ids, moment=context.moment)
    decision = _update(view, request, changed, context, ids=ids)
    return Decision(
        reply=decision.reply, changes=(*beside, *(decision.changes or (Put(changed),)))
    )


def _update(
    view: View,
    request: ecs.UpdateServiceRequest,
    service: Service,
    context: CallContext,
    *,
    ids: Iterator[str],
) -> Decision:
    if service.deployment_controller == "EXTERNAL":
        return _update_external(view, request, service)
    cluster = find_cluster(view, context.scope, request.cluster)
    updated = next_capacity(view, cluster, service, request)
    definition = _next_definition(view, request, updated, context.scope)
    known_network = network_configuration_of(view, service)
    network = request.network_configuration or known_network
    check_network(definition, network, updated.task_launch_type)
    has_moved = updated != service or network != known_network
    updated = _with_settings(updated, request, definition)
    check_placement(updated)
    history: tuple[Change, ...] = ()
    is_other = definition.arn != service.task_definition_arn
    if is_other or has_moved or request.force_new_deployment:
        document = replace(
            decode_document(updated.document), fingerprint=b"", network_configuration=network
        )
        started = start_deployment(
            view,
            replace(
                updated, task_definition_arn=definition.arn, document=encode_document(document)
            ),
            document=document,
            ids=ids,
            moment=context.moment,
        )
        updated, history = started.service, started.history
    events = view.service_events(service.arn)
    return Decision(
        reply=ecs.UpdateServiceResponse(service=render_service(view, updated, events=events)),
        changes=(*history, Put(updated)) if updated != service else (),
    )


def _update_external(
    view: View, request: ecs.UpdateServiceRequest, service: Service
) -> Decision:
    """Change what a service of task sets may have changed: no task definition, no deployment."""
    for given, name in (
        (request.task_definition, "taskDefinition"),
        (request.force_new_deployment, "forceNewDeployment"),
        (request.network_configuration, "networkConfiguration"),
        (request.deployment_configuration, "deploymentConfiguration"),
        (request.platform_version, "platformVersion"),
        (request.capacity_provider_strategy, "capacityProviderStrategy"),
    ):
        if given:
            raise ecs.InvalidParameterException(
                f"Unable to update {name} on services with an EXTERNAL deployment controller. Use "
                "the service's task sets instead."
            )
    updated = _with_settings(service, request, None)
    events = view.service_events(service.arn)
    return Decision(
        reply=ecs.UpdateServiceResponse(service=render_service(view, updated, events=events)),
        changes=(Put(updated),) if updated != service else (),
    )


def find_service(
    view: View, identifier: str | None, cluster: str | None, context: CallContext
) -> Service:
    """Return the service that a request names, or raise ServiceNotFoundException."""
    found = find_cluster(view, context.scope, cluster)
    service = service_in(view, context.scope, found, identifier) if identifier else None
    if service is None:
        raise ecs.ServiceNotFoundException("Service not found.")
    return service


def find_definition(view: View, scope: Scope, identifier: str | None) -> TaskDefinition:
    """Return the ACTIVE task definition that a request names, or raise ClientException."""
    if not identifier:
        raise ecs.InvalidParameterException("TaskDefinition can not be blank.")
    definition = task_definition_in(view, scope, identifier)
    if definition is None:
        raise ecs.ClientException("TaskDefinition not found.")
    if definition.status != "ACTIVE":
        raise ecs.ClientException("TaskDefinition is inactive")
    return definition


def next_strategies(
    asked: Sequence[ecs.PlacementStrategy] | None,
) -> tuple[PlacementStrategy, ...]:
    """Return placement strategies; an empty object among them means none (API:UpdateService)."""
    return check_strategies([s for s in asked or () if s.type is not None or s.field is not None])


def _check_daemon_update(request: ecs.UpdateServiceRequest) -> None:
    if request.desired_count is not None:
        raise ecs.InvalidParameterException(
            "The daemon scheduling strategy does not support a desired count for services. "
            "Remove the desired count value and try again"
        )
    if next_strategies(request.placement_strategy):
        raise ecs.InvalidParameterException(
            "Placement strategies are not supported with the DAEMON scheduling strategy."
        )


def _next_definition(
    view: View, request: ecs.UpdateServiceRequest, service: Service, scope: Scope
) -> TaskDefinition:
    """Return the task definition from now on; an INACTIVE one may go on, but not be chosen."""
    if request.task_definition:
        definition = find_definition(view, scope, request.task_definition)
        check_launchable(definition, service.task_launch_type)
        return definition
    known = view.task_definition(service.task_definition_arn)
    assert known is not None, service.task_definition_arn
    check_launchable(known, service.task_launch_type)
    return known


def _with_settings(
    service: Service, request: ecs.UpdateServiceRequest, definition: TaskDefinition | None
) -> Service:
    """Return the service with everything that starts no deployment."""
    document = decode_document(service.document)
    configuration = next_configuration(
        request.deployment_configuration, document.deployment_configuration
    )
    if service.scheduling_strategy == "DAEMON":
        check_daemon(configuration)
    check_strategy(configuration, service.deployment_controller)
    maximum_percent = configuration.maximum_percent or 0
    constraints, strategies = service.placement_constraints, service.placement_strategy
    if request.placement_constraints is not None:
        constraints = check_constraints(
            request.placement_constraints,
            from_definition=0 if definition is None else len(definition.placement_constraints),
        )
    if request.placement_strategy is not None:
        strategies = next_strategies(request.placement_strategy)
    grace_period_s = request.health_check_grace_period_seconds
    if grace_period_s is None:
        grace_period_s = document.health_check_grace_period_seconds
    rebalancing = next_zone_rebalancing(
        request.availability_zone_rebalancing,
        document.availability_zone_rebalancing,
        maximum_percent,
    )
    staged = staged_strategy_of(configuration)
    updated = replace(
        service,
        desired_count=_next_count(request.desired_count, service.desired_count),
        minimum_healthy_percent=configuration.minimum_healthy_percent or 0,
        maximum_percent=maximum_percent,
        rebalances_zones=rebalancing == "ENABLED",
        circuit_breaker=circuit_breaker_of(configuration),
        early_success=early_success_of(configuration),
        staged=staged,
        hold="" if staged is None else service.hold,
        health_check_grace_period_s=check_grace_period(grace_period_s),
        placement_constraints=constraints,
        placement_strategy=strategies,
        enable_ecs_managed_tags=_or_known(
            request.enable_ecs_managed_tags, service.enable_ecs_managed_tags
        ),
        enable_execute_command=_or_known(
            request.enable_execute_command, service.enable_execute_command
        ),
        propagate_tags=check_propagate_tags(request.propagate_tags or service.propagate_tags),
    )
    described = replace(
        document,
        deployment_configuration=configuration,
        availability_zone_rebalancing=rebalancing,
        health_check_grace_period_seconds=grace_period_s,
        service_connect_configuration=request.service_connect_configuration
        or document.service_connect_configuration,
    )
    if described == document and updated == service:
        return service
    if updated.desired_count > service.desired_count:
        updated = with_stand_in_scaled(updated)
    # No longer what CreateService asked for: that call again isn't idempotent any more.
    return replace(updated, document=encode_document(replace(described, fingerprint=b"")))


def _next_count(asked: int | None, known: int) -> int:
    if asked is None:
        return known
    if asked < 0:
        raise ecs.InvalidParameterException("Task count can not be lesser than 0")
    return check_quota(asked)


def _or_known(asked: bool | None, known: bool) -> bool:
    return known if asked is None else asked
