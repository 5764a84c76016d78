"""What placement is asked for a service, for a task that is there, or for a task definition."""

from msgspec.structs import replace

from homeport.api import ecs, homeport
from homeport.core.capacity.provisioning import on_provider, provider_constraints
from homeport.core.decision import Moment
from homeport.core.placement.explaining import Verdict
from homeport.core.placement.filters import DISTINCT_INSTANCE
from homeport.core.placement.request import PlacementRequest
from homeport.core.placement.service_request import placement_request
from homeport.core.reconcile.daemon import DAEMON
from homeport.core.reconcile.launch import next_provider
from homeport.model.placement import PlacementConstraint
from homeport.model.resources import HostPort
from homeport.model.service import Service
from homeport.model.task import PlacementWish, Task
from homeport.model.task_definition import TaskDefinition
from homeport.operations.homeport.resources import LOCAL_NAME_ATTRIBUTE
from homeport.state.view import View

DISTINCT = PlacementConstraint(DISTINCT_INSTANCE)


def definition_of(view: View, arn: str) -> TaskDefinition:
    """Return a revision, or refuse when its record is gone."""
    definition = view.task_definition(arn)
    if definition is None:
        raise ecs.ClientException(f"Task definition {arn} does not exist any more.")
    return definition


def service_terms(view: View, service: Service, moment: Moment) -> PlacementRequest:
    """Return what placement is asked for the next task of a service's PRIMARY deployment.

    It is of the capacity provider whose turn it is.
    """
    definition = definition_of(view, service.primary.task_definition_arn)
    request = placement_request(view, service, definition, 1)
    return with_daemons_rule(service, on_provider(request, next_provider(view, service, moment)))


def with_daemons_rule(service: Service, request: PlacementRequest) -> PlacementRequest:
    """Return what placement is asked, with the rule that a DAEMON service lives by."""
    if service.scheduling_strategy != DAEMON or DISTINCT in request.constraints:
        return request
    return replace(request, constraints=(*request.constraints, DISTINCT))


def task_terms(view: View, task: Task) -> PlacementRequest:
    """Return what placement would be asked for a task like this one, by the same call."""
    definition = definition_of(view, task.task_definition_arn)
    service = None if task.service_arn is None else view.service(task.service_arn)
    if service is not None:
        request = placement_request(view, service, definition, 1)
        return with_daemons_rule(service, on_provider(request, task.capacity_provider))
    wish = task.wish or PlacementWish(constraints=definition.placement_constraints)
    provided = provider_constraints(task.capacity_provider)
    request = PlacementRequest(
        cluster_arn=task.cluster_arn,
        group=task.group,
        claimant=task.arn,
        resources=task.resources,
        requires_attributes=definition.requires_attributes,
        platform=definition.platform,
        zones=wish.zones,
        constraints=tuple(c for c in wish.constraints if c not in provided),
        strategies=wish.strategies,
        launch_type=task.launch_type,
    )
    return on_provider(request, task.capacity_provider)


def render_needs(request: PlacementRequest) -> homeport.TaskNeeds:
    """Render what one task takes, field by field."""
    needs = request.resources
    return homeport.TaskNeeds(
        cpu=needs.cpu_units,
        memory=needs.memory_mib,
        gpus=needs.gpu_count,
        host_ports=[_port(port) for port in needs.host_ports],
        launch_type=request.launch_type,
        attributes=[
            *request.requires_attributes,
            *(f"{needed.name}={needed.value}" for needed in request.platform),
        ],
        constraints=[
            constraint.kind
            if constraint.expression is None
            else f"{constraint.kind} {constraint.expression}"
            for constraint in request.constraints
        ],
    )


def _port(port: HostPort) -> str:
    return f"{port.port}/{port.protocol}"


def render_rules(verdicts: tuple[Verdict, ...]) -> list[homeport.RefusingRule]:
    """Count the verdicts by rule; each rule is shown by the instance that is closest."""
    counts: dict[str, int] = {}
    closest: dict[str, Verdict] = {}
    for verdict in verdicts:
        counts[verdict.reason] = counts.get(verdict.reason, 0) + 1
        closest.setdefault(verdict.reason, verdict)
    return [
        homeport.RefusingRule(
            reason=reason, count=counts[reason], detail=verdict.detail, remedy=verdict.remedy
        )
        for reason, verdict in closest.items()
    ]


def render_instance(verdict: Verdict) -> homeport.RefusedInstance:
    """Render one container instance that takes no such task."""
    return homeport.RefusedInstance(
        container_instance_arn=verdict.instance.arn,
        name=verdict.instance.attributes.get(LOCAL_NAME_ATTRIBUTE),
        availability_zone=verdict.instance.availability_zone,
        remaining_cpu=verdict.remaining_cpu_units,
        remaining_memory=verdict.remaining_memory_mib,
        reason=verdict.reason,
        detail=verdict.detail,
        remedy=verdict.remedy,
    )
