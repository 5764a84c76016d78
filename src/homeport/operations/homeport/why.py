"""ExplainPlacement: why a service's next task, or another task like this one, has no place."""

from collections.abc import Callable

from homeport.api import ecs, homeport
from homeport.core.decision import Decision
from homeport.core.placement.explaining import Explanation, explain
from homeport.core.placement.request import PlacementRequest
from homeport.model.arn import parse_arn, short_id
from homeport.model.capacity_provider import FARGATE
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.operations.context import CallContext
from homeport.operations.homeport.placement_terms import (
    render_instance,
    render_needs,
    render_rules,
    service_terms,
    task_terms,
)
from homeport.operations.homeport.resources import find_resource_arn
from homeport.state.view import View

INSTANCES_SHOWN = 1_000
INSTANCES_SHOWN_DEFAULT = 100


def explain_placement(
    view: View, request: homeport.ExplainPlacementRequest, context: CallContext
) -> Decision:
    """Tell for each container instance the first rule that refuses the task, counted by rule.

    Homeport's own: ECS says as much only of the closest one, in a service's events. Refuses with
    InvalidParameterException, ClusterNotFoundException or ClientException.
    """
    limit = INSTANCES_SHOWN_DEFAULT if request.limit is None else request.limit
    if not 1 <= limit <= INSTANCES_SHOWN:
        raise ecs.InvalidParameterException(
            f"limit must be between 1 and {INSTANCES_SHOWN}, it is {limit}."
        )
    arn = find_resource_arn(view, context.scope, request.cluster, request.resource)
    service, task = view.service(arn), view.task(arn)
    if service is not None:
        terms = service_terms(view, service, context.moment)
    elif task is not None:
        terms = task_terms(view, task)
    else:
        parsed = parse_arn(arn)
        is_other = parsed is not None and parsed.kind == "container-instance"
        problem = "is a container instance" if is_other else "does not exist"
        raise ecs.ClientException(f"{arn} {problem}: name a service or a task.")
    explanation = explain(view, terms)
    definition_arn = (
        service.primary.task_definition_arn if service is not None else _definition_arn(task)
    )
    return Decision(
        reply=homeport.ExplainPlacementResponse(
            resource_arn=arn,
            task_definition_arn=definition_arn,
            summary=_describe(view, service, task, explanation=explanation, terms=terms)
            + _describe_turn(view, terms, service, context.moment.now_ms),
            container_instance_arn=None if task is None else task.container_instance_arn,
            needs=render_needs(terms),
            fitting_instances=explanation.fitting,
            rules=render_rules(explanation.verdicts),
            instances=[render_instance(verdict) for verdict in explanation.verdicts[:limit]],
        )
    )


def _definition_arn(task: Task | None) -> str:
    assert task is not None
    return task.task_definition_arn


def _describe(
    view: View,
    service: Service | None,
    task: Task | None,
    *,
    explanation: Explanation,
    terms: PlacementRequest,
) -> str:
    """Say in a sentence how things stand."""
    if service is not None:
        loads = [view.deployment_load(service.arn, d.id) for d in service.deployments]
        running = sum(load.running for load in loads)
        pending = sum(load.pending for load in loads)
        missing = max(service.desired_count - running - pending, 0)
        state = (
            f"service {service.name}: {service.desired_count} tasks are wanted, {running} are "
            f"RUNNING, {pending} are PENDING, {missing} have not been started"
        )
    else:
        assert task is not None
        state = f"task {short_id(task.arn)} is {task.last_status}"
        if task.stopped_reason:
            state += f" ({task.stopped_reason})"
        elif task.container_instance_arn is not None:
            state += f" on container instance {short_id(task.container_instance_arn)}"
    whose, where = "", "the cluster"
    if terms.capacity_provider is not None:
        whose = where = f"capacity provider {terms.capacity_provider}"
    if terms.launch_type == FARGATE:
        whose = where = "the local Fargate pool"
    if not explanation.fitting and not explanation.verdicts:
        return f"{state}; {where} has no container instances"
    total = explanation.fitting + len(explanation.verdicts)
    instances = f"container instances of {whose}" if whose else "container instances"
    return f"{state}; {explanation.fitting} of {total} {instances} could take one more"


def _describe_turn(
    view: View, terms: PlacementRequest, service: Service | None, now_ms: int
) -> str:
    """Say how long a service has waited for room, and what is kept free for its turn."""
    told = ""
    if service is not None and service.waiting_since_ms:
        waited_s = (now_ms - service.waiting_since_ms) // 1_000
        told = f"; it has waited for room for {waited_s} s"
    cluster = view.cluster(terms.cluster_arn)
    kept = None if cluster is None else cluster.kept
    if kept is not None and kept.for_arn is not None and kept.for_arn == terms.claimant:
        left_s = max(kept.until_ms - now_ms, 0) // 1_000
        instance = short_id(kept.container_instance_arn)
        told += f"; container instance {instance} is kept free for it, for {left_s} s at most"
    return told


OPERATIONS: dict[str, Callable[..., Decision]] = {"ExplainPlacement": explain_placement}
