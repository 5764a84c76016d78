"""Placement over time: what is kept between requests never changes where a task goes.

Requests of different shapes take turns with all that can happen to a fleet; each placement is
compared with that of a slow, obvious reference which looks at the store's records only.
"""

from typing import Any
from unittest import mock

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import at, make_cluster, make_container_instance, make_store, make_task, put
from builders import make_task_definition as make_definition
from homeport.core.placement import bulk, picking, placing
from homeport.core.placement.expressions import InstanceFacts, parse_expression
from homeport.core.placement.placing import place_tasks, placement_chain
from homeport.core.placement.ranking_rules import Chance
from homeport.core.placement.request import PlacementRequest
from homeport.core.reconcile.service_events import closest_refusal
from homeport.model.container_instance import ContainerInstance
from homeport.model.placement import PlacementConstraint, PlacementStrategy, Requirement
from homeport.model.resources import HostPort, InstanceResources, TaskResources
from homeport.model.task import Task
from homeport.state.changes import Change, Commit, delete_of
from homeport.state.invariants import find_violations
from homeport.state.store import Store
from homeport.state.view import View

CLUSTER = make_cluster()
DEFINITION = make_definition()
ZONES = PlacementStrategy("spread", "attribute:ecs.availability-zone")
RACKS = PlacementStrategy("spread", "attribute:rack")
HOSTS = PlacementStrategy("spread", "instanceId")
CPU = PlacementStrategy("binpack", "cpu")
MEMORY = PlacementStrategy("binpack", "memory")
RANDOM = PlacementStrategy("random")

GROUPS = ("service:web", "service:api", "family:job")
CHAINS: tuple[tuple[PlacementStrategy, ...], ...] = (
    (),
    (ZONES, MEMORY),
    (MEMORY,),
    (CPU, HOSTS),
    (HOSTS, MEMORY, CPU),
    (ZONES, RACKS, HOSTS),
    (MEMORY, ZONES),
    (HOSTS, ZONES, CPU),
    (RACKS, CPU),
    (RANDOM,),
    (ZONES, RANDOM),
    (MEMORY, RANDOM, HOSTS),
)
CONSTRAINTS: tuple[tuple[PlacementConstraint, ...], ...] = (
    (),
    (),
    (PlacementConstraint("distinctInstance"),),
    (PlacementConstraint("memberOf", "attribute:rack exists"),),
    (PlacementConstraint("memberOf", "attribute:rack != 1 or agentVersion >= 2"),),
    (PlacementConstraint("memberOf", "not(task:group == service:web)"),),
    (PlacementConstraint("memberOf", "task:group =~ family:.* or runningTasksCount < 2"),),
)
NEEDS = (
    TaskResources(100, 100),
    TaskResources(0, 64),
    TaskResources(130, 0),
    TaskResources(10, 10, (HostPort(80),)),
    TaskResources(10, 10, (HostPort(53, "udp"), HostPort(22))),
    TaskResources(10, 10, (), 1),
    TaskResources(10, 10, interface_count=1),
)
PLATFORMS: tuple[tuple[Requirement, ...], ...] = ((), (), (), (Requirement("rack", "1"),))
ZONES_OF_SUBNETS: tuple[tuple[str, ...], ...] = ((), (), (), ("a", "c"))


def instance_of(number: int, kind: dict[str, Any]) -> ContainerInstance:
    attributes = {} if kind["rack"] is None else {"rack": kind["rack"]}
    return make_container_instance(
        number,
        zone=kind["zone"],
        attributes=attributes,
        agent_connected=kind["connected"],
        status=kind["status"],
        agent_version=kind["version"],
        resources=InstanceResources(
            cpu_units=kind["cpu"],
            memory_mib=kind["memory"],
            reserved_tcp_ports=(22,) if number % 3 else (),
            gpu_ids=("g0", "g1") if number % 4 == 0 else (),
            interface_slots=number % 3,
        ),
    )


kinds = st.fixed_dictionaries(
    {
        "zone": st.sampled_from(["a", "a", "b", "c", None]),
        "rack": st.sampled_from(["1", "2", None]),
        "connected": st.sampled_from([True, True, True, False]),
        "status": st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DRAINING", "INACTIVE"]),
        "version": st.sampled_from(["1.9", "2.0", None]),
        "cpu": st.sampled_from([0, 250, 1_000, 1_000, 5_000]),
        "memory": st.sampled_from([90, 300, 1_000, 1_000, 8_000]),
    }
)
steps = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from(GROUPS),
        st.sampled_from(CHAINS),
        st.sampled_from(CONSTRAINTS),
        st.sampled_from(NEEDS),
        st.sampled_from([1, 1, 2, 3, 7, 20]),
        st.sampled_from(ZONES_OF_SUBNETS),
        st.sampled_from(PLATFORMS),
    ),
    st.tuples(st.just("change"), st.integers(0, 11), kinds),
    st.tuples(st.just("forget"), st.integers(0, 11)),
    st.tuples(st.just("run"), st.integers(0, 50)),
    st.tuples(st.just("unwant"), st.integers(0, 50)),
    st.tuples(st.just("stop"), st.integers(0, 50)),
)


class Slow:
    """One task at a time, every instance looked at from the records."""

    def __init__(self, store: Store, request: PlacementRequest) -> None:
        self.request = request
        self.tasks = [task for task in store.tasks if not task.is_stopped]
        self.instances = [i for i in store.container_instances if i.status == "ACTIVE"]
        is_service = request.service_arn is not None
        self.chain = placement_chain(request.strategies, is_service=is_service)
        known = {instance.arn for instance in store.container_instances}
        known |= {task.container_instance_arn or "" for task in self.tasks}
        self.order = sorted(known)
        self.chance = Chance(at().entropy)
        self.turns: dict[str, int] = {}  # drawn when an instance's turn comes up first
        self.placed: dict[str, int] = {}

    def on(self, instance: ContainerInstance) -> list[Task]:
        return [task for task in self.tasks if task.container_instance_arn == instance.arn]

    def wanted(self, instance: ContainerInstance) -> int:
        mine = [task for task in self.on(instance) if task.group == self.request.group]
        return sum(task.desired_status == "RUNNING" for task in mine)

    def free(self, instance: ContainerInstance) -> tuple[int, int, int, int]:
        held, has = [task.resources for task in self.on(instance)], instance.resources
        return (
            has.cpu_units - sum(each.cpu_units for each in held),
            has.memory_mib - sum(each.memory_mib for each in held),
            len(has.gpu_ids) - sum(each.gpu_count for each in held),
            has.interface_slots - sum(each.interface_count for each in held),
        )

    def fits(self, instance: ContainerInstance) -> bool:
        needs = self.request.resources
        asked = (needs.cpu_units, needs.memory_mib, needs.gpu_count, needs.interface_count)
        zones = self.request.zones
        held = {port for task in self.on(instance) for port in task.resources.host_ports}
        held |= {HostPort(port) for port in instance.resources.reserved_tcp_ports}
        return (
            instance.agent_connected
            and all(need <= free for need, free in zip(asked, self.free(instance), strict=True))
            and not held & set(needs.host_ports)
            and (not zones or instance.availability_zone in zones)
            and all(
                instance.attributes.get(needed.name, needed.value) == needed.value
                for needed in self.request.platform
            )
            and all(self.allows(constraint, instance) for constraint in self.request.constraints)
        )

    def allows(self, constraint: PlacementConstraint, instance: ContainerInstance) -> bool:
        if constraint.expression is None:
            return not self.wanted(instance)
        tasks = self.on(instance)
        running = sum(t.last_status == "RUNNING" and t.desired_status == "RUNNING" for t in tasks)
        facts = InstanceFacts(instance, running, [task.group for task in tasks])
        return parse_expression(constraint.expression).is_match(facts)

    def number(self, strategy: PlacementStrategy, instance: ContainerInstance) -> int:
        cpu_units, memory_mib, _, _ = self.free(instance)
        if strategy.kind == "random":
            return self.turn(instance)
        if strategy.kind == "binpack":
            return cpu_units if strategy.field == "cpu" else memory_mib
        if strategy.kind == "least-loaded":
            has = instance.resources
            return max(
                (has.cpu_units - cpu_units) * 1_000 // max(has.cpu_units, 1),
                (has.memory_mib - memory_mib) * 1_000 // max(has.memory_mib, 1),
            )
        if strategy.field == "instanceId":
            return self.wanted(instance)
        name = (strategy.field or "").removeprefix("attribute:")
        value = instance.attributes.get(name)
        return sum(self.wanted(i) for i in self.instances if i.attributes.get(name) == value)

    def turn(self, instance: ContainerInstance) -> int:
        rank = self.order.index(instance.arn)
        if instance.arn not in self.turns:
            self.turns[instance.arn] = int(self.chance.first_turns(np.array([rank]))[0])
        return self.turns[instance.arn]

    def take_turn(self, instance: ContainerInstance) -> None:
        rank, placed = self.order.index(instance.arn), self.placed.get(instance.arn, 0) + 1
        self.placed[instance.arn] = placed
        self.turns[instance.arn] = self.chance.turn_after(self.turn(instance), rank, placed)

    def place(self) -> list[str]:
        placed: list[str] = []
        while len(placed) < self.request.count:
            fit = [instance for instance in self.instances if self.fits(instance)]
            if not fit:
                break
            best = min(fit, key=lambda i: ([self.number(s, i) for s in self.chain], i.arn))
            self.tasks.append(new_task(self.request, best, f"slow{len(placed)}"))
            self.take_turn(best)
            placed.append(best.arn)
        return placed


def new_task(request: PlacementRequest, instance: ContainerInstance, name: str) -> Task:
    task = make_task(name, definition=DEFINITION, instance=instance, group=request.group)
    return msgspec.structs.replace(task, resources=request.resources)


class History:
    """A store to which things happen."""

    def __init__(self, fleet: list[dict[str, Any]]) -> None:
        self.store = make_store(CLUSTER, DEFINITION)
        for number, kind in enumerate(fleet):
            put(self.store, instance_of(number, {**kind, "status": "ACTIVE"}))
        self.number = 0

    def happen(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])

    def place(
        self,
        group: str,
        chain: tuple[PlacementStrategy, ...],
        constraints: tuple[PlacementConstraint, ...],
        needs: TaskResources,
        count: int,
        zones: tuple[str, ...],
        platform: tuple[Requirement, ...],
    ) -> None:
        request = PlacementRequest(
            cluster_arn=CLUSTER.arn,
            group=group,
            service_arn=group if group.startswith("service:") else None,
            resources=needs,
            zones=zones,
            platform=platform,
            constraints=constraints,
            strategies=chain,
            count=count,
        )
        placement = place_tasks(View(self.store), request, at())
        assert list(placement.container_instance_arns) == Slow(self.store, request).place()
        again = place_tasks(View(self.store), request, at())
        assert again == placement, "asking changes nothing"
        one = msgspec.structs.replace(request, refusals_wanted=1)
        closest = [closest_refusal(placement.refusals)] if placement.refusals else []
        assert list(place_tasks(View(self.store), one, at()).refusals) == closest
        for arn in placement.container_instance_arns:
            self.number += 1
            instance = self.store.container_instances.get(arn)
            assert instance is not None
            put(self.store, new_task(request, instance, f"t{self.number}"))
        assert find_violations(self.store) == []

    def change(self, number: int, kind: dict[str, Any]) -> None:
        new = instance_of(number, kind)
        old = self.store.container_instances.get(new.arn)
        if old is not None:  # the sizes of a registered instance stay
            new = msgspec.structs.replace(new, resources=old.resources)
        put(self.store, new)

    def forget(self, number: int) -> None:
        old = self.store.container_instances.get(make_container_instance(number).arn)
        if old is not None and not any(t.container_instance_arn == old.arn for t in self.live()):
            self.apply(delete_of(old))

    def live(self) -> list[Task]:
        return [task for task in self.store.tasks if not task.is_stopped]

    def run(self, number: int) -> None:
        self.alter(number, last_status="RUNNING")

    def unwant(self, number: int) -> None:
        self.alter(number, desired_status="STOPPED")

    def stop(self, number: int) -> None:
        self.alter(number, desired_status="STOPPED", last_status="STOPPED", stopped_at_ms=1)

    def alter(self, number: int, **members: Any) -> None:
        tasks = self.live()
        if tasks:
            put(self.store, msgspec.structs.replace(tasks[number % len(tasks)], **members))

    def apply(self, *changes: Change) -> None:
        self.store.apply(Commit(self.store.sequence + 1, 0, "Test", changes))


@settings(max_examples=200, deadline=None)
@given(st.lists(kinds, max_size=9), st.lists(steps, min_size=1, max_size=12))
def test_whatever_happened_before_tasks_go_where_a_fresh_look_would_put_them(
    fleet: list[dict[str, Any]], happenings: list[tuple[Any, ...]]
):
    history = History(fleet)
    for step in happenings:
        history.happen(step)


@settings(max_examples=200, deadline=None)
@given(st.lists(kinds, max_size=12), st.lists(steps, min_size=1, max_size=12))
def test_shelves_that_hold_hardly_a_row_are_filled_again_in_time(
    fleet: list[dict[str, Any]], happenings: list[tuple[Any, ...]]
):
    with (
        mock.patch.object(placing, "SHELF_LEAST", 0),
        mock.patch.object(picking, "SKIPPED_LIMIT", 1),
        mock.patch.object(bulk, "LEAST_TASKS", 3),
        mock.patch.object(bulk, "_FRONT_SHARE", 1),
    ):
        history = History(fleet)
        for step in happenings:
            history.happen(step)
