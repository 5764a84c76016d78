"""Services whose tasks stay uneven over zones for want of room: what wakes them, and how often."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from builders import (
    NOW_MS,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
    put,
)
from homeport.core.decision import Moment
from homeport.core.effects import AwaitCapacity, AwaitZone, WakeAt
from homeport.core.reconcile.rebalance import OPT_IN_TAG, OPT_IN_VALUE
from homeport.core.reconcile.service import reconcile_service
from homeport.core.reconcile.step import ZONE_LOOK_AFTER_S
from homeport.engine.agenda import Agenda
from homeport.engine.zone_waits import LOOKS_EVERY_MS, ZoneWaits
from homeport.model.cluster import KeptInstance
from homeport.model.placement import PlacementConstraint
from homeport.model.record import ResourceTags, Tag
from homeport.state.changes import Commit
from homeport.state.view import View

WEB = make_task_definition("web", cpu_units=500)
CRUMB = make_task_definition("crumb", cpu_units=1)
FULL = {"cpu_units": 1_000, "memory_mib": 100_000}
A = make_container_instance("a", zone="us-east-1a", cpu_units=10_000, memory_mib=100_000)
B = make_container_instance("b", zone="us-east-1b", **FULL)
ONLY_GREEN = (PlacementConstraint("memberOf", "attribute:colour == green"),)


class Uneven:
    """Four tasks of a service in zone a, and zone b full of others; agents report at once."""

    def __init__(self, *, host: Any = B, zone_a: Any = A, **members: Any) -> None:
        self.service = make_service(
            "web",
            definition=WEB,
            desired_count=4,
            rebalances_zones=True,
            **members,
        )
        self.others = [make_task(f"o{n}", definition=WEB, instance=host) for n in range(2)]
        self.crumbs = [make_task(f"c{n}", definition=CRUMB, instance=zone_a) for n in range(2)]
        self.store = make_store(make_cluster(), WEB, CRUMB, zone_a, host, *self.crumbs)
        self.view = View(self.store)
        self.agenda = Agenda(self.view)
        self.store.feed.watch(self.agenda.follow)
        self.now_ms = NOW_MS
        self.looks = 0
        put(self.store, *self.others, self.service)
        mine = [
            make_task(
                f"w{n}",
                definition=WEB,
                instance=zone_a,
                service=self.service,
                deployment_id=self.service.primary.id,
                last_status="RUNNING",
                started_at_ms=NOW_MS - 600_000,
            )
            for n in range(4)
        ]
        put(self.store, *mine)
        self.work()
        self.later(3_600)
        self.looks = 0

    def work(self) -> None:
        """Let the scheduler look until it has nothing to do; agents report at once."""
        self.agenda.ring(self.now_ms)
        while (arn := self.agenda.take()) is not None:
            self.looks += 1
            assert self.looks < 100, "the service wakes itself over and over"
            moment = Moment(self.now_ms, self.looks.to_bytes(16, "big"))
            decision = reconcile_service(self.view, arn, moment)
            if decision.changes:
                self.store.apply(
                    Commit(self.store.sequence + 1, self.now_ms, "Test", decision.changes)
                )
            for effect in decision.effects:
                if isinstance(effect, AwaitZone):
                    self.agenda.await_zone(effect)
                elif isinstance(effect, AwaitCapacity):
                    self.agenda.await_capacity(effect)
                elif isinstance(effect, WakeAt):
                    self.agenda.wake_at(effect)
            self._report()

    def _report(self) -> None:
        for task in list(self.view.tasks_of_service(self.service.arn).values()):
            if task.last_status != task.desired_status:
                ended = self.now_ms if task.desired_status == "STOPPED" else None
                self.put(replace(task, last_status=task.desired_status, stopped_at_ms=ended))

    def later(self, seconds: float) -> None:
        """Let time pass, and timers ring as they are due."""
        end_ms = self.now_ms + int(seconds * 1_000)
        while (at_ms := self.agenda.next_ring_ms()) is not None and at_ms <= end_ms:
            self.now_ms = max(self.now_ms, at_ms)
            self.work()
        self.now_ms = end_ms

    def put(self, *records: Any) -> None:
        put(self.store, *records, now_ms=self.now_ms)

    def end(self, task: Any) -> None:
        """Stop a task, and let the scheduler work."""
        over: dict[str, Any] = {"desired_status": "STOPPED", "last_status": "STOPPED"}
        self.put(replace(task, **over, stopped_at_ms=self.now_ms))
        self.work()

    def change(self, instance: Any, **members: Any) -> None:
        """Change a container instance, and let the scheduler work."""
        known = self.view.container_instance(instance.arn)
        assert known is not None
        self.put(replace(known, **members))
        self.work()

    def zones(self) -> dict[str | None, int]:
        """Return how many tasks of the service are in which zone."""
        found: dict[str | None, int] = {}
        for task in self.view.tasks_of_service(self.service.arn).values():
            found[task.availability_zone] = found.get(task.availability_zone, 0) + 1
        return found


def test_a_zone_without_room_is_waited_for_without_looking():
    world = Uneven()
    assert world.zones() == {"us-east-1a": 4}
    world.later(3_600)
    assert world.looks == 0


def test_a_task_that_stops_in_the_zone_lets_one_move_there():
    world = Uneven()
    world.end(world.others[0])
    assert world.zones() == {"us-east-1a": 3, "us-east-1b": 1}
    world.end(world.others[1])
    world.later(ZONE_LOOK_AFTER_S)
    assert world.zones() == {"us-east-1a": 2, "us-east-1b": 2}


def test_a_task_that_stops_elsewhere_wakes_nobody():
    world = Uneven()
    world.end(world.crumbs[0])
    assert world.looks == 0


def test_an_instance_that_grows_lets_tasks_move_there():
    world = Uneven()
    world.change(B, resources=replace(B.resources, cpu_units=10_000))
    assert world.zones() == {"us-east-1a": 2, "us-east-1b": 2}


def test_an_instance_that_gets_the_attribute_lets_tasks_move_there():
    green = {"colour": "green"}
    roomy = make_container_instance("b", zone="us-east-1b", cpu_units=10_000, memory_mib=100_000)
    painted = replace(A, attributes={**A.attributes, **green})
    world = Uneven(host=roomy, zone_a=painted, placement_constraints=ONLY_GREEN)
    world.end(world.others[0])
    assert (world.zones(), world.looks) == ({"us-east-1a": 4}, 0), "nobody's end could help"
    world.change(roomy, attributes={**roomy.attributes, **green})
    assert world.zones() == {"us-east-1a": 2, "us-east-1b": 2}


def test_an_instance_that_is_active_again_lets_tasks_move_there():
    world = Uneven()
    world.change(B, status="DRAINING")
    for task in world.others:
        world.end(task)
    assert world.zones() == {"us-east-1a": 4}
    world.change(B, status="ACTIVE")
    assert world.zones() == {"us-east-1a": 2, "us-east-1b": 2}


def test_an_instance_that_is_kept_for_nobody_any_more_lets_tasks_move_there():
    world = Uneven()
    (cluster,) = world.store.clusters
    kept = KeptInstance(B.arn, for_arn=f"{world.service.arn}-2", until_ms=world.now_ms)
    world.put(replace(cluster, kept=kept))
    for task in world.others:
        world.end(task)
    world.later(3_600)
    assert world.zones() == {"us-east-1a": 4}
    world.put(cluster)
    world.work()
    assert world.zones() == {"us-east-1a": 2, "us-east-1b": 2}


def test_room_that_is_too_small_wakes_a_service_now_and_then_only():
    world = Uneven()
    end_ms = world.now_ms + 5 * ZONE_LOOK_AFTER_S * 1_000
    crumb = make_task("crumb", definition=CRUMB, instance=B)
    while world.now_ms < end_ms:
        world.put(crumb)
        world.end(crumb)
        world.later(0.1)
    assert 1 < world.looks <= 7
    assert world.zones() == {"us-east-1a": 4}


def test_an_even_service_is_not_woken_by_room():
    world = Uneven()
    for task in world.others:
        world.end(task)
    world.later(ZONE_LOOK_AFTER_S)
    assert world.zones() == {"us-east-1a": 2, "us-east-1b": 2}
    world.looks = 0
    for crumb in world.crumbs:
        world.end(crumb)
    extra = make_task("crumb", definition=CRUMB, instance=B)
    world.put(extra)
    world.end(extra)
    world.later(3_600)
    assert world.looks == 0


def test_room_that_came_while_it_might_not_look_is_seen_afterwards():
    world = Uneven()
    crumb = make_task("crumb", definition=CRUMB, instance=B)
    world.put(crumb)
    world.end(crumb)
    assert world.looks == 1
    world.end(world.others[0])
    assert world.zones() == {"us-east-1a": 4}, "too soon"
    assert world.agenda.rings_sooner(), "the engine is told that there is a new timer"
    world.later(ZONE_LOOK_AFTER_S)
    assert world.zones() == {"us-east-1a": 3, "us-east-1b": 1}


def test_many_who_wait_for_the_same_zone_look_one_after_the_other():
    waits = ZoneWaits()
    for number in range(50):
        waits.add(AwaitZone("cluster", "us-east-1b", f"service-{number}", NOW_MS, has_hosts=True))
    found = waits.take_for_room("cluster", "us-east-1b", NOW_MS)
    assert [wake.at_ms for wake in found] == [NOW_MS + n * LOOKS_EVERY_MS for n in range(50)]
    late = AwaitZone("cluster", "us-east-1b", "late", NOW_MS + 20_000, has_hosts=True)
    waits.add(late)
    later_ms = NOW_MS + 60_000
    assert [wake.at_ms for wake in waits.take_all("cluster", later_ms)] == [later_ms]
    assert waits.take_all("cluster", later_ms) == []


def test_by_opt_in_an_instance_without_room_is_waited_for_too():
    twin = make_container_instance("a2", zone="us-east-1a", **FULL)
    world = Uneven(host=twin)
    opt_in = (Tag(OPT_IN_TAG, OPT_IN_VALUE),)
    world.put(ResourceTags(arn=world.service.arn, tags=opt_in))
    world.agenda.mark(world.service.arn)
    world.work()
    for task in world.others:
        world.end(task)
    world.later(ZONE_LOOK_AFTER_S)
    tasks = world.view.tasks_of_service(world.service.arn).values()
    hosts = [task.container_instance_arn for task in tasks]
    assert sorted(map(hosts.count, set(hosts))) == [2, 2]
