"""Which tasks go when there are too many, so that a strategy's ratio is kept.

Within one capacity provider it is placement's choice.
"""

from collections.abc import Sequence

from homeport.core.capacity.strategy import surplus_provider
from homeport.core.decision import Moment
from homeport.core.placement import scale_in
from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.view import View


def pick_tasks_to_stop(
    view: View, service: Service, tasks: Sequence[Task], *, count: int, moment: Moment
) -> tuple[Task, ...]:
    """Choose `count` of `tasks` (or all, if there are fewer), in the order in which to stop them.

    With several providers, each task is taken where they are most over their share
    (reference: capacity-and-scaling §2).
    """
    strategy = service.capacity_provider_strategy
    if len(strategy) < 2:
        return scale_in.pick_tasks_to_stop(view, service, tasks, count=count, moment=moment)
    by_provider: dict[str, list[Task]] = {}
    for task in tasks:
        by_provider.setdefault(task.capacity_provider or "", []).append(task)
    left = {provider: len(group) for provider, group in by_provider.items()}
    for _ in range(count):
        provider = surplus_provider(strategy, left)
        if provider is None:
            break
        left[provider] -= 1
    return tuple(
        task
        for provider, group in sorted(by_provider.items())
        for task in scale_in.pick_tasks_to_stop(
            view, service, group, count=len(group) - left[provider], moment=moment
        )
    )
