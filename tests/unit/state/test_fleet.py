"""The columns of a fleet follow every change, and agree with those made from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from builders import make_cluster, make_container_instance, make_store, make_task, put
from homeport.state.change_log import ChangeLog
from homeport.state.changes import Commit, delete_of
from homeport.state.view import View

if TYPE_CHECKING:
    from homeport.model.container_instance import ContainerInstance
    from homeport.state.fleet import Fleet
    from homeport.state.store import Store

CLUSTER = make_cluster()
A = make_container_instance("a", zone="x")
B = make_container_instance("b", zone="y")
C = make_container_instance("c", zone="x")


def zone_of(instance: ContainerInstance) -> str | None:
    return instance.availability_zone


def fleet_of(store: Store) -> Fleet:
    fleet = View(store).fleet(CLUSTER.arn)
    fleet.refresh()
    return fleet


def free(store: Store, instance: ContainerInstance) -> tuple[int, int]:
    fleet = fleet_of(store)
    row = fleet.row_of[instance.arn]
    return int(fleet.free_cpu_units[row]), int(fleet.free_memory_mib[row])


def test_a_task_takes_its_share_until_it_is_stopped():
    store = make_store(CLUSTER, A, B)
    whole = free(store, A)
    task = make_task(instance=A)
    put(store, task)
    taken = (whole[0] - task.resources.cpu_units, whole[1] - task.resources.memory_mib)
    assert free(store, A) == taken
    put(store, replace(task, desired_status="STOPPED"))
    assert free(store, A) == taken
    put(store, replace(task, desired_status="STOPPED", last_status="STOPPED", stopped_at_ms=1))
    assert free(store, A) == whole
    assert free(store, B) == whole


def test_tasks_of_a_group_are_counted_by_row_and_by_bucket():
    store = make_store(CLUSTER, A, B, C)
    fleet = fleet_of(store)
    first, second = make_task(1, instance=A, group="g"), make_task(2, instance=C, group="g")
    put(store, first)
    codes = fleet.codes("zone", zone_of)
    counts = fleet.bucket_counts("g", "zone", zone_of)
    assert counts == {codes.values["x"]: 1}
    put(store, second)
    assert fleet.bucket_counts("g", "zone", zone_of) == {codes.values["x"]: 2}
    put(store, replace(first, desired_status="STOPPED"))
    assert fleet.bucket_counts("g", "zone", zone_of) == {codes.values["x"]: 1}
    put(store, replace(C, status="DRAINING"))
    assert fleet.bucket_counts("g", "zone", zone_of) == {}
    group = fleet.group("g")
    assert group is not None
    assert group.stopping == {fleet.row_of[A.arn]: 1}


def test_an_instance_that_moves_takes_its_tasks_to_another_bucket():
    store = make_store(CLUSTER, A, make_task(1, instance=A, group="g"))
    fleet = fleet_of(store)
    fleet.bucket_counts("g", "zone", zone_of)
    put(store, replace(A, attributes={"ecs.availability-zone": "moved"}))
    counts = fleet.bucket_counts("g", "zone", zone_of)
    assert counts == {fleet.codes("zone", zone_of).values["moved"]: 1}


def test_the_row_of_a_forgotten_instance_is_used_again():
    store = make_store(CLUSTER, A, B)
    fleet = fleet_of(store)
    ranks, by_rank = fleet.ranks()
    assert [fleet.arns[row] for row in by_rank.tolist()] == sorted([A.arn, B.arn])
    row = fleet.row_of[A.arn]
    store.apply(Commit(store.sequence + 1, 0, "Test", (delete_of(A),)))
    put(store, C)
    assert fleet.row_of[C.arn] == row
    assert len(fleet) == 2
    ranks, by_rank = fleet.ranks()
    assert [fleet.arns[row] for row in by_rank.tolist()] == sorted([B.arn, C.arn])
    assert sorted(ranks.tolist()) == [0, 1]


def test_a_row_is_kept_while_a_task_of_its_gone_instance_is_left():
    store = make_store(CLUSTER, A, B)
    task = make_task(instance=A)
    put(store, task)
    store.apply(Commit(store.sequence + 1, 0, "Test", (delete_of(A),)))
    fleet = fleet_of(store)
    assert A.arn in fleet.row_of
    put(store, replace(task, desired_status="STOPPED", last_status="STOPPED", stopped_at_ms=1))
    assert A.arn not in fleet.row_of


def test_what_placement_does_not_ask_wakes_no_reader():
    store = make_store(CLUSTER, A)
    fleet = fleet_of(store)
    before = fleet.instance_log.end, fleet.load_log.end, fleet.epoch
    put(store, replace(A, version=2, runtime_status="OK"))
    assert (fleet.instance_log.end, fleet.load_log.end, fleet.epoch) == before
    assert fleet.instances[fleet.row_of[A.arn]] == replace(A, version=2, runtime_status="OK")
    put(store, replace(A, agent_connected=False))
    assert fleet.instance_log.end == before[0] + 1
    assert fleet.epoch == before[2], "who connects and who doesn't changes no bucket"


def test_tasks_restored_before_their_instance_find_it_later():
    store = make_store(CLUSTER)
    store.restore([make_task(instance=A), A])
    task = make_task(instance=A)
    assert free(store, A)[0] == A.resources.cpu_units - task.resources.cpu_units


def test_a_log_forgets_the_oldest_and_says_so():
    log = ChangeLog()
    early = log.end
    for row in range(ChangeLog.LIMIT_ROWS):
        log.add(row)
    late = log.end
    assert log.since(early) is not None
    log.add(7)
    log.add(7)
    assert log.since(early) is None
    assert log.since(late) == [7]
