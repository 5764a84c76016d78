"""StartTask: tasks on the container instances that the caller names."""

from collections.abc import Callable

from homeport.api import ecs
from homeport.core.capacity.places import Place
from homeport.core.decision import Decision
from homeport.core.placement.candidate import Candidate
from homeport.core.placement.filters import ATTRIBUTE_EXTERNAL, compile_filters
from homeport.core.placement.refusing import refuse_for_daemons
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ACTIVE, INACTIVE, ContainerInstance
from homeport.operations.context import CallContext
from homeport.operations.ecs.task_launch import (
    LaunchTerms,
    check_terms,
    launch_tasks,
    render_launched,
)
from homeport.operations.lookup import (
    container_instance_arn_from,
    container_instance_in,
    find_cluster,
)
from homeport.state.view import View

INSTANCES_PER_CALL = 10
STARTED_BY_LENGTH_CHARACTERS = 36


def start_task(view: View, request: ecs.StartTaskRequest, context: CallContext) -> Decision:
    """Start one task on each of up to 10 container instances; one named twice gets two.

    Nothing is chosen, so constraints and strategies play no part; agent, resources and attributes
    still have to fit (reference: placement §1). Failures: MISSING, INACTIVE, AGENT, RESOURCE:*,
    ATTRIBUTE.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    identifiers = request.container_instances
    if not identifiers:
        raise ecs.InvalidParameterException("Container Instances cannot be empty.")
    if len(identifiers) > INSTANCES_PER_CALL:
        raise ecs.InvalidParameterException(
            f"A call can name at most {INSTANCES_PER_CALL} container instances, this one names "
            f"{len(identifiers)}."
        )
    instances, failures = _find_instances(view, cluster, identifiers, context)
    terms = check_terms(
        view,
        cluster,
        request,
        context,
        launch_type=_launch_type_on(instances),
        started_by_characters=STARTED_BY_LENGTH_CHARACTERS,
    )
    fit, refusals = _fitting(view, cluster, instances, terms)
    failures.extend(
        ecs.Failure(
            arn=refusal.container_instance_arn, reason=refusal.reason, detail=refusal.detail
        )
        for refusal in refusals
    )
    places = [Place(instance_arn=instance.arn) for instance in fit]
    launch = launch_tasks(view, terms, cluster=cluster, places=places, context=context)
    return Decision(
        reply=ecs.StartTaskResponse(tasks=render_launched(view, terms, launch), failures=failures),
        changes=launch.changes,
        effects=launch.effects,
    )


def _find_instances(
    view: View, cluster: Cluster, identifiers: list[str], context: CallContext
) -> tuple[list[ContainerInstance], list[ecs.Failure]]:
    found: list[ContainerInstance] = []
    failures: list[ecs.Failure] = []
    for identifier in identifiers:
        instance = container_instance_in(view, context.scope, cluster, identifier)
        if instance is None:
            arn = container_instance_arn_from(context.scope, cluster, identifier)
            failures.append(ecs.Failure(arn=arn, reason="MISSING"))
        elif instance.status != ACTIVE:
            detail = None if instance.status == INACTIVE else f"is {instance.status}"
            failures.append(ecs.Failure(arn=instance.arn, reason="INACTIVE", detail=detail))
        else:
            found.append(instance)
    return found, failures


def _launch_type_on(instances: list[ContainerInstance]) -> str:
    external = [ATTRIBUTE_EXTERNAL in instance.attributes for instance in instances]
    return "EXTERNAL" if external and all(external) else "EC2"


def _fitting(
    view: View, cluster: Cluster, instances: list[ContainerInstance], terms: LaunchTerms
) -> tuple[list[ContainerInstance], list[Refusal]]:
    """Part the instances that can take the task from the others, earlier tasks counted in."""
    filters = compile_filters(
        PlacementRequest(
            cluster_arn=cluster.arn,
            group=terms.group,
            resources=terms.resources,
            requires_attributes=terms.definition.requires_attributes,
            platform=terms.definition.platform,
            launch_type=terms.launch_type,
            count=len(instances),
        )
    )
    candidates: dict[str, Candidate] = {}
    fit: list[ContainerInstance] = []
    refusals: list[Refusal] = []
    for instance in instances:
        candidate = candidates.get(instance.arn)
        if candidate is None:
            candidate = Candidate(instance, view.instance_load(instance.arn), ())
            candidates[instance.arn] = candidate
        refusal = filters.refuse(candidate, frozenset()) or refuse_for_daemons(
            view, instance, terms.resources, candidate.placed
        )
        if refusal is None:
            candidate.add(terms.resources, terms.group)
            fit.append(instance)
        else:
            refusals.append(refusal)
    return fit, refusals


OPERATIONS: dict[str, Callable[..., Decision]] = {"StartTask": start_task}
