"""Which tasks go when there are too many, so that a strategy's ratio is kept.

Within one capacity provider it is placement's choice.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from homeport.core.capacity.strategy import surplus_tasks
from homeport.core.decision import Moment
from homeport.core.placement import scale_in
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.state.view import View


def pick_tasks_to_stop(
    view: View,
    service: Service,
    tasks: Sequence[Task],
    *,
    count: int,
    moment: Moment,
    leaving: Collection[str] = (),
) -> tuple[Task, ...]:
    """Choose `count` of `tasks` (or all, if there are fewer), in the order in which to stop them.

    With several providers, each task is taken where they are most over their share
    (reference: capacity-and-scaling §2), by all wanted tasks of the same deployments. `leaving`
    are the ARNs of those that this decision has chosen before.
    """
    strategy = service.capacity_provider_strategy
    if len(strategy) < 2:
        return scale_in.pick_tasks_to_stop(
            view, service, tasks, count=count, moment=moment, leaving=leaving
        )
    by_provider: dict[str, list[Task]] = {}
    for task in tasks:
        by_provider.setdefault(task.capacity_provider or "", []).append(task)
    going = _divide(view, service, by_provider, count=count, leaving=leaving)
    picked: list[Task] = []
    for provider, number in sorted(going.items()):
        chosen = scale_in.pick_tasks_to_stop(
            view,
            service,
            by_provider[provider],
            count=number,
            moment=moment,
            leaving={*leaving, *(task.arn for task in picked)},
        )
        picked.extend(chosen)
    return tuple(picked)


def _divide(
    view: View,
    service: Service,
    by_provider: dict[str, list[Task]],
    *,
    count: int,
    leaving: Collection[str],
) -> Counter[str]:
    """Return how many tasks of each provider go; those that the strategy names last, first."""
    strategy = service.capacity_provider_strategy
    deployments = {task.deployment_id for group in by_provider.values() for task in group}
    known = Counter(
        task.capacity_provider or ""
        for task in view.tasks_of_service(service.arn).values()
        if task.desired_status == RUNNING
        and task.deployment_id in deployments
        and task.arn not in leaving
    )
    over = surplus_tasks(strategy, known, count)
    ranks = {item.provider: rank for rank, item in enumerate(strategy)}
    left = {provider: len(group) for provider, group in by_provider.items()}
    going: Counter[str] = Counter()
    for _ in range(min(count, sum(left.values()))):
        provider = max(
            (p for p, number in left.items() if number),
            key=lambda p: (over.get(p, 0) - going[p], ranks.get(p, len(ranks)), p),
        )
        going[provider] += 1
        left[provider] -= 1
    return going
