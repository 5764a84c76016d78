"""Truth: once all has converged, tasks are divided as their capacity provider strategy says."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from homeport.model.service import Service
from homeport.model.task import Task
from homeport.state.view import View


def find_uneven_shares(view: View, service: Service) -> Iterator[str]:
    """Say which provider of a steady service has more than its share, or less than its base.

    A service that has scaled in around protected tasks, or lost tasks where there is no room for
    others, is none of this checker's business.
    """
    strategy = service.capacity_provider_strategy
    tasks = [t for t in view.tasks_of_service(service.arn).values() if _counts(t, service)]
    if len(strategy) < 2 or len(tasks) != service.desired_count:
        return
    have = Counter(task.capacity_provider for task in tasks)
    for item in strategy:
        if item.base and have[item.provider] < min(item.base, service.desired_count):
            yield f"{service.arn}: {item.provider} has {have[item.provider]} of base {item.base}"
    weighted = [item for item in strategy if item.weight]
    beyond = {i.provider: max(0, have[i.provider] - i.base) for i in weighted}
    for item in weighted:
        for other in weighted:
            # One task fewer would still be as many by weight as the other one has.
            least = Fraction(beyond[item.provider] - 1, item.weight)
            if least > Fraction(beyond[other.provider], other.weight):
                yield (
                    f"{service.arn}: {beyond[item.provider]} tasks of {item.provider} by weight "
                    f"{item.weight}, {beyond[other.provider]} of {other.provider} by {other.weight}"
                )


def _counts(task: Task, service: Service) -> bool:
    return task.deployment_id == service.primary.id and task.desired_status == "RUNNING"
