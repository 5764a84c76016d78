"""Which tasks of a service go when it has too many (reference: placement §6).

UNHEALTHY tasks first, then those that aren't RUNNING yet, then the others; within each of these
the placement strategy run backwards: from the fullest bucket, or where most room is left behind.
"""

from collections.abc import Collection, Sequence

from homeport.core.decision import Moment
from homeport.core.placement.candidate import Candidate
from homeport.core.placement.strategies import (
    SPREAD_INSTANCES,
    SPREAD_ZONES,
    Ranking,
    count_buckets,
)
from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.state.view import View

_DEFAULT_CHAIN = (SPREAD_ZONES, SPREAD_INSTANCES)


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

    Balance is judged by all wanted tasks of the service, not by `tasks` alone, but without those
    that are `leaving` anyway (ARNs).
    """
    hosts: dict[str, Candidate] = {}
    for task in view.tasks_of_service(service.arn).values():
        if task.desired_status == RUNNING and task.arn not in leaving:
            _host_of(view, hosts, task).counted += 1
    for task in tasks:
        _host_of(view, hosts, task)
    chain = service.placement_strategy or _DEFAULT_CHAIN
    counts = count_buckets(chain, hosts.values())
    picked: list[Task] = []
    ordered = sorted(tasks, key=lambda task: (_urgency(task), task.arn))
    for urgency in sorted({_urgency(task) for task in tasks}):
        waiting: dict[str, list[Task]] = {}
        for task in reversed(ordered):  # so that the lowest ARN is last, and popped first
            if _urgency(task) == urgency:
                waiting.setdefault(task.container_instance_arn or "", []).append(task)
        ranking = Ranking(
            chain, (hosts[arn] for arn in waiting), counts, sign=-1, entropy=moment.entropy
        )
        while len(picked) < count and (best := ranking.take_best()) is not None:
            task = waiting[best.arn].pop()
            picked.append(task)
            best.add(task.resources, task.group, sign=-1)
            ranking.count(best)
            if waiting[best.arn]:
                ranking.put_back(best)
        counts = ranking.counts
    return tuple(picked)


def _urgency(task: Task) -> int:
    if task.health_status == "UNHEALTHY":
        return 0
    return 2 if task.last_status == RUNNING else 1


def _host_of(view: View, hosts: dict[str, Candidate], task: Task) -> Candidate:
    """Return where a task is; tasks that never got an instance share one that has nothing."""
    arn = task.container_instance_arn or ""
    host = hosts.get(arn)
    if host is None:
        instance = view.container_instance(arn)
        if instance is None:
            instance = ContainerInstance(arn=arn, cluster_arn=task.cluster_arn)
        host = hosts[arn] = Candidate(instance, view.instance_load(arn), ())
    return host
