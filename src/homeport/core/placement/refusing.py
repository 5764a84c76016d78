"""Why no container instance takes a further task: one refusal each, by the first rule that refuses.

The rules are those of `filters`.
"""

from collections.abc import Mapping

from homeport.core.placement.candidate import Candidate
from homeport.core.placement.filters import Filters, is_offered
from homeport.core.placement.request import Refusal
from homeport.model.container_instance import ACTIVE
from homeport.state.view import View


def find_refusals(
    view: View, filters: Filters, placed_on: Mapping[int, int]
) -> tuple[Refusal, ...]:
    """Judge every ACTIVE container instance by itself; refusals are in the order of ARNs.

    `placed_on` are the tasks that the present call has placed on each row of the fleet.
    """
    request = filters.request
    fleet = view.fleet(request.cluster_arn)
    group = fleet.group(request.group)
    hosts = frozenset(fleet.arns[row] for row in (group.wanted if group is not None else ()))
    refusals = []
    _, by_rank = fleet.ranks()
    for row in by_rank.tolist():
        instance = fleet.instances[row]
        if instance is None or instance.status != ACTIVE or not is_offered(instance, request):
            continue
        groups: tuple[str, ...] = ()
        if filters.needs_task_groups:
            tasks = view.tasks_of_instance(instance.arn).values()
            groups = tuple(dict.fromkeys(task.group for task in tasks))
        candidate = Candidate(instance, fleet.loads[row], groups)
        for _ in range(placed_on.get(row, 0)):
            candidate.add(request.resources, request.group)
        refusal = filters.refuse(candidate, hosts)
        if refusal is not None:
            refusals.append(refusal)
    return tuple(refusals)
