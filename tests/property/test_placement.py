"""Placement against an obvious, slow reference, and the truths that no placement may break."""

from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    at,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import Placement, PlacementRequest
from homeport.core.placement.scale_in import pick_tasks_to_stop
from homeport.model.container_instance import ContainerInstance
from homeport.model.placement import PlacementConstraint, PlacementStrategy
from homeport.model.resources import HostPort, TaskResources
from homeport.model.task import Task
from homeport.state.changes import Commit, Put
from homeport.state.invariants import find_violations
from homeport.state.store import Store
from homeport.state.view import View

CLUSTER = make_cluster()
DEFINITION = make_task_definition(cpu_units=100, memory_mib=100)
SERVICE = make_service(definition=DEFINITION)
ZONES = PlacementStrategy("spread", "attribute:ecs.availability-zone")
DISTINCT = PlacementConstraint("distinctInstance")

instances_of_fleet = st.lists(
    st.builds(
        dict,
        zone=st.sampled_from(["a", "b", "c", None]),
        cpu_units=st.sampled_from([0, 100, 250, 1_000]),
        memory_mib=st.sampled_from([90, 300, 1_000]),
        agent_connected=st.sampled_from([True, True, True, False]),
        status=st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DRAINING"]),
        attributes=st.dictionaries(st.sampled_from(["rack", "gold"]), st.sampled_from("12")),
    ),
    max_size=6,
).map(lambda fleet: [make_container_instance(n, **kind) for n, kind in enumerate(fleet)])
strategies = st.lists(
    st.sampled_from(
        [
            ZONES,
            PlacementStrategy("spread", "attribute:rack"),
            PlacementStrategy("spread", "instanceId"),
            PlacementStrategy("binpack", "cpu"),
            PlacementStrategy("binpack", "memory"),
        ]
    ),
    max_size=3,
).map(tuple)
constraints = st.lists(
    st.sampled_from(
        [
            DISTINCT,
            PlacementConstraint("memberOf", "attribute:gold exists"),
            PlacementConstraint("memberOf", "attribute:rack != 1"),
            PlacementConstraint("memberOf", "not(task:group == service:web)"),
        ]
    ),
    max_size=2,
    unique=True,
).map(tuple)
requests = st.builds(
    PlacementRequest,
    cluster_arn=st.just(CLUSTER.arn),
    group=st.just("service:web"),
    service_arn=st.sampled_from([SERVICE.arn, None]),
    resources=st.builds(
        TaskResources,
        cpu_units=st.sampled_from([0, 100, 130]),
        memory_mib=st.sampled_from([1, 100]),
        host_ports=st.sampled_from([(), (), (HostPort(80), HostPort(53, "udp"))]),
    ),
    constraints=constraints,
    strategies=strategies,
    count=st.integers(1, 8),
)
fleets = st.tuples(instances_of_fleet, st.lists(st.integers(0, 5), max_size=5))


def populate(fleet: tuple[list[ContainerInstance], list[int]]) -> tuple[Store, list[Task]]:
    """Fill a cluster: each number puts a task of the service on that instance, where it fits."""
    instances, hosts = fleet
    store = make_store(CLUSTER, DEFINITION, SERVICE, *instances)
    tasks = []
    for number, host in enumerate(hosts):
        if host >= len(instances):
            continue
        load = store.derived.instances.get(instances[host].arn)
        room = instances[host].resources
        used = (0, 0) if load is None else (load.cpu_units, load.memory_mib)
        if used[0] + 100 <= room.cpu_units and used[1] + 100 <= room.memory_mib:
            task = make_task(
                number, definition=DEFINITION, instance=instances[host], service=SERVICE
            )
            store.apply(Commit(store.sequence + 1, 0, "Test", (Put(task),)))
            tasks.append(task)
    return store, tasks


def as_tasks(store: Store, request: PlacementRequest, placement: Placement) -> list[Task]:
    """Make the tasks that were placed."""
    return [
        msgspec.structs.replace(
            make_task(
                f"new{number}",
                definition=DEFINITION,
                instance=store.container_instances.get(arn),
                service=SERVICE,
            ),
            resources=request.resources,
        )
        for number, arn in enumerate(placement.container_instance_arns)
    ]


class Slow:
    """One task at a time, every instance looked at from scratch."""

    def __init__(self, store: Store, request: PlacementRequest, tasks: list[Task]) -> None:
        self.request = request
        self.tasks = list(tasks)
        self.instances = [i for i in store.container_instances if i.status == "ACTIVE"]

    def on(self, instance: ContainerInstance) -> list[Task]:
        return [task for task in self.tasks if task.container_instance_arn == instance.arn]

    def free(self, instance: ContainerInstance) -> tuple[int, int]:
        cpu_units = sum(task.resources.cpu_units for task in self.on(instance))
        memory_mib = sum(task.resources.memory_mib for task in self.on(instance))
        room = instance.resources
        return room.cpu_units - cpu_units, room.memory_mib - memory_mib

    def fits(self, instance: ContainerInstance) -> bool:
        needs, (cpu_units, memory_mib) = self.request.resources, self.free(instance)
        held = {port for task in self.on(instance) for port in task.resources.host_ports}
        if not instance.agent_connected or held & set(needs.host_ports):
            return False
        if needs.cpu_units > cpu_units or needs.memory_mib > memory_mib:
            return False
        return all(self.allows(constraint, instance) for constraint in self.request.constraints)

    def allows(self, constraint: PlacementConstraint, instance: ContainerInstance) -> bool:
        if constraint.expression == "attribute:gold exists":
            return "gold" in instance.attributes
        if constraint.expression == "attribute:rack != 1":
            return instance.attributes.get("rack") != "1"
        return not self.on(instance)  # both other constraints, as all tasks are of the group

    def key(self, instance: ContainerInstance) -> list[object]:
        chain = self.request.strategies
        if not chain:
            chain = (ZONES,)
            if self.request.service_arn is not None:
                chain = (ZONES, PlacementStrategy("spread", "instanceId"))
        cpu_units, memory_mib = self.free(instance)
        keys: list[object] = []
        for strategy in chain:
            if strategy.kind == "binpack":
                keys.append(cpu_units if strategy.field == "cpu" else memory_mib)
            elif strategy.field == "instanceId":
                keys.append(len(self.on(instance)))
            else:
                name = (strategy.field or "").removeprefix("attribute:")
                value = instance.attributes.get(name)
                same = [i for i in self.instances if i.attributes.get(name) == value]
                keys.append(sum(len(self.on(i)) for i in same))
        room = instance.resources
        used = Fraction(room.cpu_units - cpu_units, max(room.cpu_units, 1))
        used = max(used, Fraction(room.memory_mib - memory_mib, max(room.memory_mib, 1)))
        return [*keys, int(used * 1_000), instance.arn]

    def place(self) -> list[str]:
        placed: list[str] = []
        while len(placed) < self.request.count:
            fit = [instance for instance in self.instances if self.fits(instance)]
            if not fit:
                break
            best = min(fit, key=self.key)
            new = make_task(f"slow{len(placed)}", definition=DEFINITION, instance=best)
            self.tasks.append(msgspec.structs.replace(new, resources=self.request.resources))
            placed.append(best.arn)
        return placed


@settings(max_examples=300, deadline=None)
@given(fleets, requests)
def test_a_batch_is_placed_as_one_by_one_would_be(
    fleet: tuple[list[ContainerInstance], list[int]], request: PlacementRequest
):
    store, tasks = populate(fleet)
    placement = place_tasks(View(store), request, at())
    assert list(placement.container_instance_arns) == Slow(store, request, tasks).place()


@settings(max_examples=200, deadline=None)
@given(fleets, requests)
def test_nothing_is_over_committed_and_whoever_refuses_says_so_once(
    fleet: tuple[list[ContainerInstance], list[int]], request: PlacementRequest
):
    store, _ = populate(fleet)
    placement = place_tasks(View(store), request, at())
    changes = tuple(Put(task) for task in as_tasks(store, request, placement))
    store.apply(Commit(store.sequence + 1, 0, "Test", changes))
    assert find_violations(store) == []
    assert len(placement.container_instance_arns) <= request.count
    active = sorted(i.arn for i in store.container_instances if i.status == "ACTIVE")
    refusing = [refusal.container_instance_arn for refusal in placement.refusals]
    everything_placed = len(placement.container_instance_arns) == request.count
    assert refusing == ([] if everything_placed else active)
    assert all(refusal.reason and refusal.detail for refusal in placement.refusals)


@settings(max_examples=200, deadline=None)
@given(fleets, requests)
def test_a_refused_request_stays_refused_and_a_shorter_one_is_a_prefix(
    fleet: tuple[list[ContainerInstance], list[int]], request: PlacementRequest
):
    store, _ = populate(fleet)
    placement = place_tasks(View(store), request, at())
    one = msgspec.structs.replace(request, count=1)
    first = place_tasks(View(store), one, at())
    assert first.container_instance_arns == placement.container_instance_arns[:1]
    if placement.refusals:
        changes = tuple(Put(task) for task in as_tasks(store, request, placement))
        store.apply(Commit(store.sequence + 1, 0, "Test", changes))
        again = place_tasks(View(store), one, at())
        assert again.container_instance_arns == ()
        assert [(r.container_instance_arn, r.reason) for r in again.refusals] == [
            (r.container_instance_arn, r.reason) for r in placement.refusals
        ]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=7), st.integers(1, 20))
def test_zones_with_room_stay_within_one_of_each_other(zones: list[str], count: int):
    instances = [
        make_container_instance(n, zone=zone, cpu_units=10_000, memory_mib=10_000)
        for n, zone in enumerate(zones)
    ]
    request = PlacementRequest(
        cluster_arn=CLUSTER.arn, group="x", resources=TaskResources(1, 1), count=count
    )
    placement = place_tasks(View(make_store(CLUSTER, *instances)), request, at())
    zone_of = {instance.arn: instance.availability_zone for instance in instances}
    tasks = dict.fromkeys(zones, 0)
    for arn in placement.container_instance_arns:
        tasks[str(zone_of[arn])] += 1
    assert sum(tasks.values()) == count
    assert max(tasks.values()) - min(tasks.values()) <= 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), min_size=1, max_size=6),
    st.integers(1, 20),
    st.lists(st.integers(0, 5), max_size=6),
)
def test_a_service_is_within_one_of_even_wherever_capacity_allows(
    hosts: list[tuple[str, int]], count: int, already: list[int]
):
    instances = [
        make_container_instance(n, zone=zone, cpu_units=100 * room, memory_mib=10_000)
        for n, (zone, room) in enumerate(hosts)
    ]
    store, tasks = populate((instances, already))
    request = PlacementRequest(
        cluster_arn=CLUSTER.arn,
        group="service:web",
        service_arn=SERVICE.arn,
        resources=TaskResources(100, 100),
        count=count,
    )
    placement = place_tasks(View(store), request, at())
    zone_of = {instance.arn: str(instance.availability_zone) for instance in instances}
    here = dict.fromkeys(zone_of.values(), 0)
    for task in tasks:
        here[zone_of[task.container_instance_arn or ""]] += 1
    room = dict.fromkeys(here, 0)
    for zone, slots in hosts:
        room[zone] += slots
    got = dict.fromkeys(here, 0)
    for arn in placement.container_instance_arns:
        got[zone_of[arn]] += 1
    for zone, tasks_added in got.items():
        if tasks_added:  # no other zone with room left has fewer, but for the last one
            total = here[zone] + tasks_added
            roomy = [z for z in got if here[z] + got[z] < room[z]]
            assert all(here[z] + got[z] >= total - 1 for z in roomy)
    assert sum(got.values()) == min(count, sum(room.values()) - sum(here.values()))


@settings(deadline=None)
@given(fleets, st.integers(0, 6), st.lists(st.booleans(), min_size=5, max_size=5))
def test_scaling_in_picks_as_many_as_asked_each_once_and_urgent_ones_first(
    fleet: tuple[list[ContainerInstance], list[int]], count: int, running: list[bool]
):
    store, tasks = populate(fleet)
    tasks = [
        msgspec.structs.replace(task, last_status="RUNNING" if is_running else "PENDING")
        for task, is_running in zip(tasks, running, strict=False)
    ]
    store.apply(Commit(store.sequence + 1, 0, "Test", tuple(Put(task) for task in tasks)))
    picked = pick_tasks_to_stop(View(store), SERVICE, tasks, count=count, moment=at())
    assert len(picked) == len({task.arn for task in picked}) == min(count, len(tasks))
    assert [task.last_status for task in picked] == sorted(task.last_status for task in picked)
    left = [task for task in tasks if task not in picked]
    if any(task.last_status == "PENDING" for task in left):
        assert all(task.last_status == "PENDING" for task in picked)
    by_zone: dict[str | None, int] = {}
    for task in left:
        by_zone[task.availability_zone] = by_zone.get(task.availability_zone, 0) + 1
    if picked and all(running[: len(tasks)]):
        last_zone = picked[-1].availability_zone
        assert by_zone.get(last_zone, 0) + 1 >= max(by_zone.values(), default=0)
