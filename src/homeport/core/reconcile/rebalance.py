"""Moves tasks of a steady service to where fewer are: between zones, or between instances.

Zones as ECS does for availabilityZoneRebalancing ENABLED (reference: services §13); instances for
services that opt in by a tag, which ECS hasn't (docs/differences.md). A new task starts first, all
inside maximumPercent; when it is healthy the scale-in rules stop one where there are most.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.capacity.places import Place
from homeport.core.capacity.provisioning import provider_constraints
from homeport.core.decision import Moment
from homeport.core.placement.daemon_hosts import find_daemon_hosts
from homeport.core.placement.expressions import subject_reader
from homeport.core.placement.filters import DISTINCT_INSTANCE
from homeport.core.placement.kept_instance import kept_from
from homeport.core.placement.refusing import refuse_for_daemons
from homeport.core.placement.service_request import placement_request, service_group
from homeport.core.placement.strategies import SPREAD_ZONES
from homeport.core.reconcile.launch import NO_LAUNCH, Launch, launch_tasks_at
from homeport.core.reconcile.rollout import PERCENT
from homeport.core.reconcile.service_events import listed_tasks
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER, FARGATE
from homeport.model.container_instance import ContainerInstance
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.state.view import View

OPT_IN_TAG = "homeport:rebalance"
OPT_IN_VALUE = "instances"
NO_ZONE = "no zone"


class Host(msgspec.Struct, frozen=True, gc=False):
    """A matching container instance that has room, and how many tasks of the service it has."""

    arn: str
    zone: str
    tasks: int


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """New tasks in one zone, or on one instance, and what is said about it.

    Without tasks, the zone that lacks some has no room for them.
    """

    launch: Launch
    messages: tuple[str, ...]
    is_between_zones: bool


def plan_move(view: View, service: Service, *, ids: Iterator[str], moment: Moment) -> Move | None:
    """Return the tasks to start for a better balance, or None when there is nothing to gain."""
    if len(service.capacity_provider_strategy) > 1 or service.task_launch_type == FARGATE:
        return None  # several providers' ratio says where tasks go, whatever that does to the zones
    if service.primary.rollout_state == "FAILED":
        return None  # it starts nothing any more
    by_zone = _wants_zones(service) and not _is_even(view, service)
    by_instance = _wants_instances(view, service)
    if not by_zone and not by_instance:
        return None
    room = service.desired_count * service.maximum_percent // PERCENT - service.desired_count
    running = [t for t in view.tasks_of_service(service.arn).values() if t.last_status == RUNNING]
    if room <= 0 or len(running) < 2:
        return None
    hosts = _find_hosts(view, service, running)
    zones = _count_zones(view, service, running)
    if by_zone:
        short, missing = _emptiest(zones, {host.zone for host in hosts})
        if missing:
            chosen = _first([h for h in hosts if h.zone == short], min(missing, room))
            launch = _launch(view, service, chosen, ids=ids, moment=moment)
            messages = _zone_messages(service, zones, short, launch.tasks)
            return Move(launch=launch, messages=messages, is_between_zones=True)
    if by_instance:
        move = _move_to_instance(view, service, hosts, running, ids=ids, moment=moment)
        if move is not None:
            return move
    if by_zone and max(zones.values()) - min(zones.values()) > 1:
        full = min(zones, key=lambda zone: (zones[zone], zone))
        messages = (no_room_message(service, full),)
        return Move(launch=NO_LAUNCH, messages=messages, is_between_zones=True)
    return None


def no_room_message(service: Service, zone: str) -> str:
    """Say that a zone that lacks tasks has no room for one."""
    return (
        f"(service {service.name}) is unable to place a task in {zone} because no container "
        "instance met all of its requirements."
    )


def protected_move_message(service: Service) -> str:
    """Say that protected tasks keep the tasks that were moved from being stopped elsewhere."""
    return (
        f"(service {service.name}) was unable to AZ Rebalance because {service.primary.id} was "
        "unable to scale in due to task protection."
    )


def rebalancing_stopped_message(service: Service) -> str:
    """Say that the zones aren't evened out any further for now."""
    return f"(service {service.name}) stopped AZ Rebalancing."


def moved_messages(service: Service, stopped: Sequence[Task]) -> list[str]:
    """Say which tasks were told to stop because others have taken their place elsewhere."""
    by_zone: dict[str, list[Task]] = {}
    for task in stopped:
        by_zone.setdefault(task.availability_zone or NO_ZONE, []).append(task)
    return [
        f"(service {service.name}) has stopped {len(tasks)} running tasks in {zone} due to AZ "
        f"rebalancing: {listed_tasks(tasks)}."
        for zone, tasks in sorted(by_zone.items())
    ]


def is_interrupted(service: Service) -> bool:
    """Whether evening out the zones has to end: a deployment goes first, or it is switched off."""
    is_wanted = service.rebalances_zones and service.primary.rollout_state != "IN_PROGRESS"
    return service.is_rebalancing and not is_wanted


def balanced_message(view: View, service: Service) -> str:
    """Say that the zones are even again."""
    tasks = list(view.tasks_of_service(service.arn).values())
    zones = _listed(_count_zones(view, service, tasks))
    return f"(service {service.name}) is AZ balanced with {zones}."


def _wants_zones(service: Service) -> bool:
    first = service.placement_strategy[:1] or (SPREAD_ZONES,)
    return service.rebalances_zones and first[0] == SPREAD_ZONES


def _is_even(view: View, service: Service) -> bool:
    """Whether the fleet's own counts say so, at no cost; no says only that it has to be looked."""
    fleet = view.fleet(service.cluster_arn)
    attribute = SPREAD_ZONES.field or ""
    reader = subject_reader(attribute)
    counts = fleet.bucket_counts(service_group(service), attribute, reader)
    codes = fleet.codes(attribute, reader).values.values()
    found = [counts.get(code, 0) for code in codes]
    return not found or max(found) - min(found) <= 1


def _wants_instances(view: View, service: Service) -> bool:
    if service.placement_strategy:
        return False
    return any(t.key == OPT_IN_TAG and t.value == OPT_IN_VALUE for t in view.tags(service.arn))


def _find_hosts(view: View, service: Service, running: Sequence[Task]) -> list[Host]:
    definition = view.task_definition(service.primary.task_definition_arn)
    assert definition is not None, service.primary.task_definition_arn
    request = placement_request(view, service, definition, 1)
    provided = provider_constraints(_provider_of(service))
    request = replace(request, constraints=(*request.constraints, *provided))
    counts: dict[str, int] = {}
    for task in running:
        arn = task.container_instance_arn or ""
        counts[arn] = counts.get(arn, 0) + 1
    is_distinct = any(c.kind == DISTINCT_INSTANCE for c in request.constraints)
    kept_arn = kept_from(view, request)
    hosts = []
    for host in find_daemon_hosts(view, request):
        if host.arn == kept_arn:
            continue
        instance = view.container_instance(host.arn)
        tasks = counts.get(host.arn, 0)
        if host.refusal is not None or instance is None or (is_distinct and tasks):
            continue
        if refuse_for_daemons(view, instance, request.resources, 0) is None:
            hosts.append(Host(host.arn, instance.availability_zone or NO_ZONE, tasks))
    return sorted(hosts, key=lambda host: (host.tasks, host.arn))


def _count_zones(view: View, service: Service, tasks: Sequence[Task]) -> dict[str, int]:
    """Count tasks in every zone that has an ACTIVE instance, zones without any too."""
    counts = {
        instance.availability_zone or NO_ZONE: 0
        for instance in view.container_instances(service.cluster_arn).values()
        if instance.is_available and _is_provided(service, instance)
    }
    for task in tasks:
        zone = task.availability_zone or NO_ZONE
        counts[zone] = counts.get(zone, 0) + 1
    return dict(sorted(counts.items()))


def _provider_of(service: Service) -> str | None:
    """Return the one capacity provider that a service's tasks are of; None for the launch type."""
    return next((item.provider for item in service.capacity_provider_strategy), None)


def _is_provided(service: Service, instance: ContainerInstance) -> bool:
    provider = _provider_of(service)
    return provider is None or instance.attributes.get(ATTRIBUTE_CAPACITY_PROVIDER) == provider


def _emptiest(counts: dict[str, int], with_room: set[str]) -> tuple[str, int]:
    """Return the zone with fewest tasks that has room, and how many it should get."""
    candidates = [zone for zone in counts if zone in with_room]
    if not candidates:
        return "", 0
    short = min(candidates, key=lambda zone: (counts[zone], zone))
    even = dict(counts)
    missing = 0
    while (fullest := max(even.values())) - even[short] > 1:
        full = min(zone for zone in even if even[zone] == fullest)
        even[full] -= 1
        even[short] += 1
        missing += 1
    return short, missing


def _first(hosts: Sequence[Host], count: int) -> list[str]:
    """Choose as many hosts, one task each: the rest follows when these are up."""
    return [host.arn for host in hosts[:count]]


def _move_to_instance(
    view: View,
    service: Service,
    hosts: Sequence[Host],
    running: Sequence[Task],
    *,
    ids: Iterator[str],
    moment: Moment,
) -> Move | None:
    """Start a task on the emptiest instance if another of its zone has two more."""
    loads: dict[str, int] = {}
    for task in running:
        arn = task.container_instance_arn or ""
        loads[arn] = loads.get(arn, 0) + 1
    fullest: dict[str, int] = {}
    for task in running:
        zone = task.availability_zone or NO_ZONE
        fullest[zone] = max(fullest.get(zone, 0), loads[task.container_instance_arn or ""])
    for host in hosts:
        if fullest.get(host.zone, 0) - host.tasks > 1:
            launch = _launch(view, service, [host.arn], ids=ids, moment=moment)
            return Move(launch=launch, messages=(), is_between_zones=False)
    return None


def _launch(
    view: View, service: Service, arns: Sequence[str], *, ids: Iterator[str], moment: Moment
) -> Launch:
    provider = _provider_of(service)
    places = [Place(instance_arn=arn, capacity_provider=provider) for arn in arns]
    primary = service.primary
    return launch_tasks_at(view, service, places, deployment=primary, ids=ids, moment=moment)


def _zone_messages(
    service: Service, zones: dict[str, int], short: str, tasks: Sequence[Task]
) -> tuple[str, ...]:
    return (
        f"(service {service.name}) is not AZ balanced with {_listed(zones)}. "
        "AZ Rebalancing in progress.",
        f"(service {service.name}) has started {len(tasks)} tasks in {short} to AZ Rebalance: "
        f"{listed_tasks(tasks)}.",
    )


def _listed(zones: dict[str, int]) -> str:
    return ", ".join(f"{count} tasks in {zone}" for zone, count in zones.items())
