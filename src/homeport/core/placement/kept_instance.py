"""The container instance that a cluster keeps free for its oldest task that found no room.

Which one that is, and whom it is kept from; when it is somebody's turn is decided in
`core.capacity.turns`.
"""

import numpy as np

from homeport.core.placement.daemon_room import KeptRoom, rooms_for_daemons
from homeport.core.placement.eligible import (
    eligible_key,
    eligible_rows,
    matching_now,
    rows_that,
    rows_with_ports,
)
from homeport.core.placement.filters import compile_filters, is_offered
from homeport.core.placement.request import PlacementRequest
from homeport.model.resources import InstanceResources, TaskResources
from homeport.state.fleet import Flags, Fleet, Ints
from homeport.state.view import View

COMPARED_INSTANCES = 256  # of those that are least short now
LEAST_INSTANCES = 2  # so that there is another one for everybody else
_PERMILLE = 1_000


def kept_from(view: View, request: PlacementRequest) -> str | None:
    """Return the container instance that is kept free for somebody else; None for none."""
    cluster = view.cluster(request.cluster_arn)
    kept = None if cluster is None else cluster.kept
    if kept is None or kept.for_arn is None or kept.for_arn == request.claimant:
        return None
    return kept.container_instance_arn


def choose_instance_to_keep(
    view: View, request: PlacementRequest, in_vain_arn: str | None
) -> str | None:
    """Return where a task that has no room would fit if others' tasks went; None for nowhere.

    That is where least is short once standalone tasks have ended. After one that was kept in vain
    it is the next by ARN, so that each has its turn in the end.
    """
    filters = compile_filters(request)
    fleet = view.fleet(request.cluster_arn)
    if not len(fleet):
        return None
    available = rows_that(
        fleet,
        ("available", request.launch_type),
        lambda instance: instance.is_available and is_offered(instance, request),
    )
    if np.count_nonzero(available) < LEAST_INSTANCES:
        return None
    mask: Flags = eligible_rows(fleet, filters, eligible_key(filters)) & rows_with_ports(
        fleet, filters.request.resources
    )
    matching = matching_now(view, fleet, filters)
    if matching is not None:
        mask &= matching
    group = fleet.group(request.group)
    if filters.needs_distinct_instance and group is not None:
        mask[list(group.wanted)] = False
    rows = [row for row in np.flatnonzero(mask).tolist() if _is_large_enough(fleet, row, request)]
    if not rows:
        return None
    if in_vain_arn is not None:
        arns = sorted(fleet.arns[row] for row in rows)
        return next((arn for arn in arns if arn > in_vain_arn), arns[0])
    short = _shortage(fleet, request)
    closest = sorted(rows, key=lambda row: (int(short[row]), fleet.arns[row]))[:COMPARED_INSTANCES]
    kept = rooms_for_daemons(view, fleet, request.cluster_arn, request.service_arn)
    rooms = {} if kept is None else kept.rooms
    return min(
        _promise(view, fleet.arns[row], request.resources, rooms.get(row)) for row in closest
    )[-1]


def _promise(
    view: View, arn: str, needs: TaskResources, room: KeptRoom | None
) -> tuple[int, int, str]:
    """Return how little an instance promises: what is short when its standalone tasks have ended.

    Those of services rarely end, the fewer the larger they are; room for daemons is theirs.
    """
    instance = view.container_instance(arn)
    assert instance is not None
    has = instance.resources
    staying = [task for task in view.tasks_of_instance(arn).values() if task.service_arn]
    sizes = [_size(each.resources, has) for each in staying]
    cpu_units = needs.cpu_units + sum(task.resources.cpu_units for task in staying)
    memory_mib = needs.memory_mib + sum(task.resources.memory_mib for task in staying)
    if room is not None:
        cpu_units += room.resources.cpu_units
        memory_mib += room.resources.memory_mib
    total = _size(TaskResources(cpu_units, memory_mib), has)
    return max(total - _PERMILLE, 0), max(sizes, default=0), arn


def _size(needs: TaskResources, has: InstanceResources) -> int:
    return max(
        needs.cpu_units * _PERMILLE // max(has.cpu_units, 1),
        needs.memory_mib * _PERMILLE // max(has.memory_mib, 1),
    )


def _is_large_enough(fleet: Fleet, row: int, request: PlacementRequest) -> bool:
    instance, needs = fleet.instances[row], request.resources
    assert instance is not None
    has = instance.resources
    return (
        has.cpu_units >= needs.cpu_units
        and has.memory_mib >= needs.memory_mib
        and len(has.gpu_ids) >= needs.gpu_count
        and (request.launch_type == "FARGATE" or has.interface_slots >= needs.interface_count)
    )


def _shortage(fleet: Fleet, request: PlacementRequest) -> Ints:
    """Return what each row lacks, in permille of what it has: of CPU or memory, the worse."""
    fleet.refresh()
    needs = request.resources
    cpu_units = (needs.cpu_units - fleet.free_cpu_units) * _PERMILLE
    memory_mib = (needs.memory_mib - fleet.free_memory_mib) * _PERMILLE
    short: Ints = np.maximum(
        cpu_units // np.maximum(fleet.cpu_units, 1), memory_mib // np.maximum(fleet.memory_mib, 1)
    )
    return np.maximum(short, 0)
