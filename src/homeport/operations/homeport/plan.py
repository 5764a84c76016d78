"""PlanPlacement: where the next tasks would go, without starting them."""

from collections import Counter
from collections.abc import Callable

import msgspec

from homeport.api import ecs, homeport
from homeport.core.capacity.provisioning import on_provider
from homeport.core.capacity.strategy import split_tasks
from homeport.core.decision import Decision, Moment
from homeport.core.placement.explaining import Verdict, closest_first, explain_refusals
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import (
    REFUSALS_LIMIT,
    PlacementRequest,
)
from homeport.core.placement.service_request import placement_request
from homeport.core.reconcile.launch import tasks_of_providers
from homeport.model.capacity_provider import FARGATE
from homeport.model.cluster import Cluster
from homeport.model.service import Service
from homeport.model.task_definition import TaskDefinition
from homeport.operations.context import CallContext
from homeport.operations.ecs.placement_members import check_constraints, check_strategies
from homeport.operations.homeport.placement_terms import (
    definition_of,
    render_rules,
    with_daemons_rule,
)
from homeport.operations.homeport.resources import LOCAL_NAME_ATTRIBUTE
from homeport.operations.lookup import find_cluster, service_in, task_definition_in
from homeport.state.view import View

TASKS_PLANNED = 1_000
GROUP_LENGTH_CHARACTERS = 255
LAUNCH_TYPES = ("EC2", "EXTERNAL")


def plan_placement(
    view: View, request: homeport.PlanPlacementRequest, context: CallContext
) -> Decision:
    """Tell where the next tasks of a service, or of a task definition, would go right now.

    A service's tasks are placed by its own rules, or by those of its task definition and the
    members given here. Refuses with ServiceNotFoundException, ClusterNotFoundException,
    ClientException or InvalidParameterException.
    """
    count = 1 if request.count is None else request.count
    if not 1 <= count <= TASKS_PLANNED:
        raise ecs.InvalidParameterException(
            f"count must be between 1 and {TASKS_PLANNED}, it is {count}."
        )
    cluster = find_cluster(view, context.scope, request.cluster)
    definition, parts = _find_terms(view, cluster, request, context, count=count)
    placed: list[str] = []
    verdicts: list[Verdict] = []
    for part in parts:
        terms = msgspec.structs.replace(part, refusals_wanted=REFUSALS_LIMIT)
        placement = place_tasks(view, terms, context.moment)
        placed.extend(placement.container_instance_arns)
        verdicts.extend(explain_refusals(view, terms, placement))
    return Decision(
        reply=homeport.PlanPlacementResponse(
            task_definition_arn=definition.arn,
            container_instance_arns=placed,
            instances=_render_instances(view, placed),
            unplaced=count - len(placed),
            rules=render_rules(tuple(closest_first(verdicts))),
        )
    )


def _find_terms(
    view: View,
    cluster: Cluster,
    request: homeport.PlanPlacementRequest,
    context: CallContext,
    *,
    count: int,
) -> tuple[TaskDefinition, list[PlacementRequest]]:
    definition = None
    if request.task_definition:
        definition = task_definition_in(view, context.scope, request.task_definition)
        if definition is None:
            raise ecs.ClientException("Unable to describe task definition.")
    if request.service:
        service = service_in(view, context.scope, cluster, request.service)
        if service is None:
            raise ecs.ServiceNotFoundException("Service not found.")
        if definition is None:
            definition = definition_of(view, service.primary.task_definition_arn)
        asked = placement_request(view, service, definition, count)
        terms = with_daemons_rule(service, asked)
        return definition, _by_provider(view, service, terms, context.moment)
    if definition is None:
        raise ecs.InvalidParameterException("Name a service, a taskDefinition, or both.")
    launch_type = request.launch_type or "EC2"
    if launch_type not in LAUNCH_TYPES:
        raise ecs.InvalidParameterException(
            f"launchType should be one of [{','.join(LAUNCH_TYPES)}]"
        )
    own = definition.placement_constraints
    constraints = check_constraints(request.placement_constraints, from_definition=len(own))
    terms = PlacementRequest(
        cluster_arn=cluster.arn,
        group=(request.group or f"family:{definition.family}")[:GROUP_LENGTH_CHARACTERS],
        resources=definition.resources,
        requires_attributes=definition.requires_attributes,
        platform=definition.platform,
        constraints=(*own, *constraints),
        strategies=check_strategies(request.placement_strategy),
        launch_type=launch_type,
        count=count,
    )
    return definition, [terms]


def _by_provider(
    view: View, service: Service, terms: PlacementRequest, moment: Moment
) -> list[PlacementRequest]:
    """Divide what a service asks of placement among its capacity providers, as its launches are."""
    strategy = service.capacity_provider_strategy
    if not strategy or terms.launch_type == FARGATE:
        return [terms]
    known = tasks_of_providers(view, service, service.primary, moment)
    shares = split_tasks(strategy, terms.count, known)
    return [
        msgspec.structs.replace(on_provider(terms, provider), count=number)
        for provider, number in shares.items()
    ]


def _render_instances(view: View, arns: list[str]) -> list[homeport.PlannedInstance]:
    found = []
    for arn, tasks in Counter(arns).items():
        instance = view.container_instance(arn)
        zone = None if instance is None else instance.availability_zone
        found.append(
            homeport.PlannedInstance(
                container_instance_arn=arn,
                name=None if instance is None else instance.attributes.get(LOCAL_NAME_ATTRIBUTE),
                availability_zone=zone,
                tasks=tasks,
            )
        )
    found.sort(key=lambda each: (each.availability_zone or "", each.container_instance_arn))
    return found


OPERATIONS: dict[str, Callable[..., Decision]] = {"PlanPlacement": plan_placement}
