"""Moves tasks of a steady service to where fewer are: between zones, or between instances.

Zones as ECS does for availabilityZoneRebalancing ENABLED (reference: services §13); instances for
services that opt in by a tag, which ECS hasn't (docs/differences.md). A new task starts first, all
inside maximumPercent; when it is healthy the scale-in rules stop one where there are most.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from homeport.core.capacity.addresses import free_addresses
from homeport.core.capacity.places import Place
from homeport.core.capacity.provisioning import wish_for_capacity
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
from homeport.core.reconcile.zone_balance import (
    ENOUGH,
    Host,
    Standing,
    choose_hosts,
    zone_without_room,
    zones_that_lack,
)
from homeport.model.capacity_provider import FARGATE
from homeport.model.service import Service
from homeport.model.task import RUNNING, Task
from homeport.state.view import View

OPT_IN_TAG = "homeport:rebalance"
OPT_IN_VALUE = "instances"
NO_ZONE = "no zone"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """New tasks in one zone, or on one instance, and what is said about it.

    Without tasks, the zones that lack some have no room for them; whether any host is there.
    """

    launch: Launch
    messages: tuple[str, ...]
    is_between_zones: bool
    lacking: Mapping[str, bool] = {}


def plan_move(view: View, service: Service, *, ids: Iterator[str], moment: Moment) -> Move | None:
    """Return the tasks to start for a better balance, or None when there is nothing to gain."""
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
    hosts, with_room = _find_hosts(view, service, running)
    free = [host for host in hosts if host.arn in with_room]
    standing = _stand(view, service, running, moment)
    if by_zone:
        short, chosen = choose_hosts(standing, free, room)
        if chosen:
            launch = _launch(view, service, chosen, ids=ids, moment=moment)
            messages = _zone_messages(service, standing.zones, short, launch.tasks)
            return Move(launch=launch, messages=messages, is_between_zones=True)
    emptier: Sequence[tuple[str | None, Host]] = ()
    if by_instance and standing.keeps_shares():
        emptier = _emptier_instances(service, hosts, running)
        for provider, host in emptier:
            if host.arn in with_room:
                launch = _launch(view, service, [(provider, host)], ids=ids, moment=moment)
                return Move(launch=launch, messages=(), is_between_zones=False)
    full = zone_without_room(standing, hosts, with_room) if by_zone else None
    messages = () if full is None else (no_room_message(service, full),)
    lacking = zones_that_lack(standing, hosts) if by_zone else {}
    lacking.update((host.zone, True) for _, host in emptier)
    if not lacking:
        return None
    return Move(
        launch=NO_LAUNCH, messages=messages, is_between_zones=full is not None, lacking=lacking
    )


def protection_ends_ms(view: View, service: Service, moment: Moment) -> int | None:
    """Return when the next task of uneven zones may move again; None if it isn't for protection."""
    if not _wants_zones(service) or _is_even(view, service):
        return None
    ends_ms = [
        task.protected_until_ms or 0
        for task in view.tasks_of_service(service.arn).values()
        if task.is_protected(moment.now_ms)
    ]
    return min(ends_ms, default=None)


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


def balanced_message(view: View, service: Service, moment: Moment) -> str:
    """Say that the zones are even again, or as even as the shares and protection let them be."""
    standing = _stand(view, service, list(view.tasks_of_service(service.arn).values()), moment)
    if not standing.is_even:
        return rebalancing_stopped_message(service)
    return f"(service {service.name}) is AZ balanced with {_listed(standing.zones)}."


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


def _find_hosts(
    view: View, service: Service, running: Sequence[Task]
) -> tuple[list[Host], set[str]]:
    """Return the container instances that may have the tasks, and which have room for one more."""
    definition = view.task_definition(service.primary.task_definition_arn)
    assert definition is not None, service.primary.task_definition_arn
    request = placement_request(view, service, definition, 1)
    request = replace(request, requires_attributes=wish_for_capacity(request).requires_attributes)
    loads = Counter(task.container_instance_arn or "" for task in running)
    is_distinct = any(c.kind == DISTINCT_INSTANCE for c in request.constraints)
    kept_arn = kept_from(view, request)
    hosts: list[Host] = []
    with_room: set[str] = set()
    for found in find_daemon_hosts(view, request):
        instance = view.container_instance(found.arn)
        if instance is None:
            continue
        zone, provider = instance.availability_zone or NO_ZONE, instance.capacity_provider
        hosts.append(Host(found.arn, zone, provider, loads[found.arn]))
        if (
            found.refusal is None
            and found.arn != kept_arn
            and not (is_distinct and loads[found.arn])
            and refuse_for_daemons(view, instance, request.resources, 0) is None
            and (not instance.is_fargate or any(free_addresses(view, instance)))
        ):
            with_room.add(found.arn)
    return sorted(hosts, key=lambda host: (host.tasks, host.arn)), with_room


def _stand(view: View, service: Service, tasks: Sequence[Task], moment: Moment) -> Standing:
    """Count tasks in every zone that has an ACTIVE instance, zones without any too."""
    strategy = service.capacity_provider_strategy
    is_fargate = service.task_launch_type == FARGATE
    named = {item.provider for item in strategy}
    zones = {
        instance.availability_zone or NO_ZONE: 0
        for instance in view.container_instances(service.cluster_arn).values()
        if instance.is_available
        and instance.is_fargate == is_fargate
        and (is_fargate or not strategy or instance.capacity_provider in named)
    }
    owned: Counter[tuple[str | None, str]] = Counter()
    protected: Counter[tuple[str | None, str]] = Counter()
    for task in tasks:
        zone = task.availability_zone or NO_ZONE
        zones[zone] = zones.get(zone, 0) + 1
        owner = (_owner_of(service, task), zone)
        owned[owner] += 1
        if task.is_protected(moment.now_ms):
            protected[owner] += 1
    return Standing(
        strategy=strategy, zones=dict(sorted(zones.items())), tasks=owned, protected=protected
    )


def _owner_of(service: Service, task: Task) -> str | None:
    return task.capacity_provider if service.capacity_provider_strategy else None


def _emptier_instances(
    service: Service, hosts: Sequence[Host], running: Sequence[Task]
) -> list[tuple[str | None, Host]]:
    """Return the instances that ought to get a task, since another of their zone has two more.

    Of the same capacity provider: the shares stay as they are.
    """
    loads = Counter(task.container_instance_arn or "" for task in running)
    fullest: dict[tuple[str | None, str], int] = {}
    for task in running:
        owner = (_owner_of(service, task), task.availability_zone or NO_ZONE)
        fullest[owner] = max(fullest.get(owner, 0), loads[task.container_instance_arn or ""])
    return [
        (provider, host)
        for host in hosts
        for (provider, zone), tasks in fullest.items()
        if zone == host.zone and host.is_of(provider) and tasks - host.tasks >= ENOUGH
    ]


def _launch(
    view: View,
    service: Service,
    chosen: Sequence[tuple[str | None, Host]],
    *,
    ids: Iterator[str],
    moment: Moment,
) -> Launch:
    places = [
        Place(instance_arn=host.arn, capacity_provider=provider) for provider, host in chosen
    ]
    primary = service.primary
    return launch_tasks_at(view, service, places, deployment=primary, ids=ids, moment=moment)


def _zone_messages(
    service: Service, zones: Mapping[str, int], short: str, tasks: Sequence[Task]
) -> tuple[str, ...]:
    return (
        f"(service {service.name}) is not AZ balanced with {_listed(zones)}. "
        "AZ Rebalancing in progress.",
        f"(service {service.name}) has started {len(tasks)} tasks in {short} to AZ Rebalance: "
        f"{listed_tasks(tasks)}.",
    )


def _listed(zones: Mapping[str, int]) -> str:
    return ", ".join(f"{count} tasks in {zone}" for zone, count in zones.items())
