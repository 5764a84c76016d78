"""Which container instances a DAEMON service belongs on, and which of them have room.

One task on every matching ACTIVE instance (reference: placement §7); strategies have no say.
"""

import msgspec

from homeport.core.placement.candidate import Candidate
from homeport.core.placement.filters import Filters, compile_filters, is_suitable
from homeport.core.placement.request import PlacementRequest, Refusal
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.state.view import View


class DaemonHost(msgspec.Struct, frozen=True):
    """One matching container instance, and why it can't take a task now, if it can't."""

    arn: str
    refusal: Refusal | None


def find_daemon_hosts(view: View, request: PlacementRequest) -> tuple[DaemonHost, ...]:
    """Return the ACTIVE instances with the right attributes and constraints, by ARN.

    An instance without room, or whose agent is away, is a host nonetheless.
    """
    filters = compile_filters(request)
    hosts = []
    for arn, instance in sorted(view.container_instances(request.cluster_arn).items()):
        if instance.status != ACTIVE or not is_suitable(instance, request):
            continue
        candidate = _candidate(view, filters, instance)
        if all(expression.is_match(candidate.facts()) for expression in filters.expressions):
            hosts.append(DaemonHost(arn, filters.refuse(candidate, frozenset())))
    return tuple(hosts)


def _candidate(view: View, filters: Filters, instance: ContainerInstance) -> Candidate:
    groups: tuple[str, ...] = ()
    if filters.needs_task_groups:
        tasks = view.tasks_of_instance(instance.arn).values()
        groups = tuple(dict.fromkeys(task.group for task in tasks))
    return Candidate(instance, view.instance_load(instance.arn), groups)
