"""Room that is kept for the tasks of DAEMON services, from everybody else's new tasks.

A DAEMON service has a claim on every container instance where it belongs: while it hands over from
one task to the next, while its launches are being delayed, on an instance that has just joined, and
on one that is still full. Only a deployment that has FAILED claims nothing, nor does a task that
wouldn't fit if nothing but daemons' tasks ran there. What is claimed is followed in the fleet's
memo, row by row as rows change. Where daemons' tasks themselves go is `daemon_hosts`' business.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence

import msgspec

from homeport.core.placement.candidate import Candidate
from homeport.core.placement.filters import Filters, compile_filters, is_suitable
from homeport.core.placement.service_request import placement_request
from homeport.model.container_instance import ACTIVE, ContainerInstance
from homeport.model.resources import TaskResources
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.state.fleet import Fleet
from homeport.state.view import View

SHAPES_FOLLOWED = 16  # of tasks, for which it is known where they fit beside the room
MANY = 1 << 31  # as many tasks as anybody asks for

_NOTHING = TaskResources()


class KeptRoom(msgspec.Struct, frozen=True, gc=False):
    """What is kept on one container instance, and for which DAEMON service first of all."""

    resources: TaskResources
    service_name: str


class Claim(msgspec.Struct, frozen=True):
    """One DAEMON service that may start tasks."""

    service: Service
    filters: Filters


class DaemonRooms:
    """The room kept on each row of a fleet, as long as the claims are the same."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.rooms: dict[int, KeptRoom] = {}
        self._claims = claims
        self._closed: dict[TaskResources, dict[int, None]] = {}
        self._cursor = -1

    def follow(self, view: View, fleet: Fleet) -> None:
        """Look at the rows that have changed since."""
        changed: Iterable[int] | None = fleet.load_log.since(self._cursor)
        if changed is None:
            changed = range(len(fleet))
        for row in changed:
            room = _room_on(view, fleet, row, self._claims)
            if room is not None:
                self.rooms[row] = room
            elif self.rooms.pop(row, None) is None:
                continue
            for needs, closed in self._closed.items():
                closed.pop(row, None)
                if room is not None and not tasks_beside(fleet, row, room, needs):
                    closed[row] = None
        self._cursor = fleet.load_log.end

    def closed_to(self, fleet: Fleet, needs: TaskResources) -> Mapping[int, None]:
        """Return the rows on which a task that is no daemon's doesn't fit beside the room."""
        closed = self._closed.get(needs)
        if closed is None:
            if len(self._closed) >= SHAPES_FOLLOWED:
                del self._closed[next(iter(self._closed))]
            rooms = self.rooms.items()
            closed = {row: None for row, room in rooms if not tasks_beside(fleet, row, room, needs)}
            self._closed[needs] = closed
        return closed


def rooms_for_daemons(
    view: View, fleet: Fleet, cluster_arn: str, asking_arn: str | None
) -> DaemonRooms | None:
    """Return what is kept in a cluster now; None when nothing is, or a DAEMON service asks."""
    services = view.daemon_services(cluster_arn)
    if not services or asking_arn in services:
        return None
    claiming = [service for _, service in sorted(services.items()) if _may_start(service)]
    key = ("daemon rooms", *(_key_of(view, fleet, service) for service in claiming))
    rooms: DaemonRooms | None = fleet.memo.get(key)
    if rooms is None:
        rooms = DaemonRooms([claim for s in claiming if (claim := _claim(view, s)) is not None])
        fleet.remember(key, rooms)
    rooms.follow(view, fleet)
    return rooms if rooms.rooms else None


def tasks_beside(fleet: Fleet, row: int, room: KeptRoom, needs: TaskResources) -> int:
    """Return how many such tasks fit on a row beside the room that is kept there."""
    kept, load, instance = room.resources, fleet.loads[row], fleet.instances[row]
    if instance is None or set(kept.host_ports).intersection(needs.host_ports):
        return 0
    has = instance.resources
    fitting = MANY
    for total, held, needed, reserved in (
        (has.cpu_units, load.cpu_units, needs.cpu_units, kept.cpu_units),
        (has.memory_mib, load.memory_mib, needs.memory_mib, kept.memory_mib),
        (len(has.gpu_ids), load.gpu_count, needs.gpu_count, kept.gpu_count),
        (has.interface_slots, load.interface_count, needs.interface_count, kept.interface_count),
    ):
        if needed:
            fitting = min(fitting, (total - held - reserved) // needed)
    return max(fitting, 0)


def _may_start(service: Service) -> bool:
    return service.primary.rollout_state != "FAILED"


def _key_of(view: View, fleet: Fleet, service: Service) -> Hashable:
    """Return what a claim is made of; subnets mean zones, which the instances know."""
    primary = service.primary
    definition = view.task_definition(primary.task_definition_arn)
    is_zonal = definition is not None and definition.resources.interface_count > 0
    return (
        service.arn,
        primary.task_definition_arn,
        primary.revision_arn,
        service.launch_type,
        service.placement_constraints,
        fleet.epoch if is_zonal else 0,
    )


def _claim(view: View, service: Service) -> Claim | None:
    definition = view.task_definition(service.primary.task_definition_arn)
    if definition is None:
        return None
    request = placement_request(view, service, definition, 1)
    return Claim(service, compile_filters(request))


def _room_on(view: View, fleet: Fleet, row: int, claims: Sequence[Claim]) -> KeptRoom | None:
    lacking = [claim for claim in claims if not _has_task(fleet, row, claim)]
    instance = fleet.instances[row]
    if not lacking or instance is None or instance.status != ACTIVE:
        return None
    tasks = list(view.tasks_of_instance(instance.arn).values())
    daemons = view.daemon_services(instance.cluster_arn)
    held = _NOTHING
    for task in tasks:
        if task.service_arn in daemons and task.desired_status == RUNNING:
            held = _sum(held, task.resources, 1)
    kept, name = _NOTHING, ""
    for claim in lacking:
        needs = claim.filters.request.resources
        if not _fits(instance, _sum(held, needs, 1)) or not _belongs(fleet, row, claim, tasks):
            continue
        held = _sum(held, needs, 1)
        kept = _sum(kept, _beyond(needs, claim, tasks), 1)
        name = name or claim.service.name
    return KeptRoom(kept, name) if name else None


def _has_task(fleet: Fleet, row: int, claim: Claim) -> bool:
    group = fleet.group(claim.filters.request.group)
    return group is not None and row in group.wanted


def _belongs(fleet: Fleet, row: int, claim: Claim, tasks: Iterable[Task]) -> bool:
    instance, filters = fleet.instances[row], claim.filters
    if instance is None or not is_suitable(instance, filters.request):
        return False
    groups = tuple(dict.fromkeys(task.group for task in tasks))
    facts = Candidate(instance, fleet.loads[row], groups).facts()
    return all(expression.is_match(facts) for expression in filters.expressions)


def _beyond(needs: TaskResources, claim: Claim, tasks: Iterable[Task]) -> TaskResources:
    """Return what a daemon needs beyond what its task that is stopping there will give back."""
    for task in tasks:
        if task.service_arn == claim.service.arn:
            needs = _sum(needs, task.resources, -1)
    return TaskResources(
        max(needs.cpu_units, 0),
        max(needs.memory_mib, 0),
        needs.host_ports,
        max(needs.gpu_count, 0),
        max(needs.interface_count, 0),
    )


def _sum(one: TaskResources, other: TaskResources, sign: int) -> TaskResources:
    """Add or subtract; ports are added, and stay."""
    return TaskResources(
        one.cpu_units + sign * other.cpu_units,
        one.memory_mib + sign * other.memory_mib,
        one.host_ports + other.host_ports if sign > 0 else one.host_ports,
        one.gpu_count + sign * other.gpu_count,
        one.interface_count + sign * other.interface_count,
    )


def _fits(instance: ContainerInstance, needs: TaskResources) -> bool:
    has = instance.resources
    return (
        has.cpu_units >= needs.cpu_units
        and has.memory_mib >= needs.memory_mib
        and len(has.gpu_ids) >= needs.gpu_count
        and has.interface_slots >= needs.interface_count
    )
