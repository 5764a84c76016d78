"""`place_tasks`: identical tasks onto a cluster's container instances, as one batch.

Every container instance is filtered once; afterwards only the one that has just taken a task is
looked at again. Rules are in `filters`, preferences in `strategies`.
"""

from collections.abc import Iterable, Sequence

from homeport.core.decision import Moment
from homeport.core.placement.candidate import Candidate
from homeport.core.placement.filters import compile_filters
from homeport.core.placement.request import Placement, PlacementRequest, Refusal
from homeport.core.placement.strategies import (
    LEAST_LOADED,
    SPREAD_INSTANCES,
    SPREAD_ZONES,
    Ranking,
    count_buckets,
)
from homeport.model.container_instance import ACTIVE
from homeport.model.placement import PlacementStrategy
from homeport.model.task import RUNNING, Task
from homeport.state.view import View


def place_tasks(view: View, request: PlacementRequest, moment: Moment) -> Placement:
    """Choose a container instance for each task, as far as there is room.

    Only ACTIVE container instances are considered; of these every one that can't take a further
    task has a refusal if not all tasks were placed. Raises ExpressionError for a constraint that
    operations should have refused.
    """
    filters = compile_filters(request)
    candidates = _find_candidates(view, request, needs_task_groups=filters.needs_task_groups)
    hosts = _distinct_hosts(view, request) if filters.needs_distinct_instance else frozenset()
    refusals: dict[str, Refusal] = {}
    fit = []
    for candidate in candidates:
        refusal = filters.refuse(candidate, hosts)
        if refusal is None:
            fit.append(candidate)
        else:
            refusals[candidate.arn] = refusal
    chain = placement_chain(request.strategies, is_service=request.service_arn is not None)
    counts = count_buckets(chain, candidates)
    ranking = Ranking(chain, fit, counts, sign=1, entropy=moment.entropy)
    placed: list[str] = []
    while len(placed) < request.count and (best := ranking.take_best()) is not None:
        placed.append(best.arn)
        best.add(request.resources, request.group)
        ranking.count(best)
        refusal = filters.refuse(best, hosts)
        if refusal is None:
            ranking.put_back(best)
        else:
            refusals[best.arn] = refusal
    if len(placed) == request.count:
        return Placement(container_instance_arns=tuple(placed))
    ordered = tuple(refusals[arn] for arn in sorted(refusals))
    return Placement(container_instance_arns=tuple(placed), refusals=ordered)


def placement_chain(
    strategies: Sequence[PlacementStrategy], *, is_service: bool
) -> tuple[PlacementStrategy, ...]:
    """Return the strategies in force, with the defaults where none is given.

    Services: spread over zones, then fewest tasks of the service on the instance. Others: spread
    over zones (AWS chooses at random: docs/differences.md). The least loaded one breaks ties.
    """
    if strategies:
        return (*strategies, LEAST_LOADED)
    if is_service:
        return (SPREAD_ZONES, SPREAD_INSTANCES, LEAST_LOADED)
    return (SPREAD_ZONES, LEAST_LOADED)


def _find_candidates(
    view: View, request: PlacementRequest, *, needs_task_groups: bool
) -> list[Candidate]:
    """Return the cluster's ACTIVE container instances with what they host of the request's kind."""
    candidates: dict[str, Candidate] = {}
    for arn, instance in view.container_instances(request.cluster_arn).items():
        if instance.status != ACTIVE:
            continue
        groups: Iterable[str] = ()
        if needs_task_groups:
            groups = dict.fromkeys(task.group for task in view.tasks_of_instance(arn).values())
        candidates[arn] = Candidate(instance, view.instance_load(arn), tuple(groups))
    for task in _counted_tasks(view, request):
        host = candidates.get(task.container_instance_arn or "")
        if host is not None and task.desired_status == RUNNING:
            host.counted += 1
    return list(candidates.values())


def _counted_tasks(view: View, request: PlacementRequest) -> Iterable[Task]:
    if request.service_arn is not None:
        return view.tasks_of_service(request.service_arn).values()
    return view.tasks_of_group(request.cluster_arn, request.group).values()


def _distinct_hosts(view: View, request: PlacementRequest) -> frozenset[str]:
    """Return where the group has a wanted task: one on its way out blocks nobody."""
    return frozenset(
        task.container_instance_arn
        for task in view.tasks_of_group(request.cluster_arn, request.group).values()
        if task.desired_status == RUNNING and task.container_instance_arn is not None
    )
