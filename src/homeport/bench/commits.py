"""What one change costs while very much else is there: 1,000 to 1,000,000 tasks.

The same few changes are made in worlds that differ only in what they don't touch: other tasks, and
other services of a thousand tasks each. Processor time of the engine, its decisions and the state,
with the service scheduler's answer to the change, in one process; the disk's part is measured by
itself (`commits_on_disk`), the wire's isn't here.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from homeport.api import ecs
from homeport.bench.commits_on_disk import COMMITS, tasks_on_disk
from homeport.sim.scale_world import CLUSTER, FAMILY, ScaleWorld

SIZES = (1_000, 10_000, 100_000, 1_000_000)
INSTANCES = 5_000
TASKS_PER_SERVICE = 1_000
ROUNDS = 200
SPARE_TASKS_PER_INSTANCE = 10
PROBE_SERVICE = "probe"
PROBE_TASKS = 10
NS_PER_US = 1_000
# As the server has them, so that what the collector costs shows here as it does there.
COLLECTOR_THRESHOLDS = (20_000, 50, 100)

Step = tuple[str, Callable[[], None]]


class CommitCost(msgspec.Struct, frozen=True, kw_only=True):
    """One change in a world of one size: the median of its processor time, and its commits."""

    change: str
    tasks: int
    services: int
    cpu_us: float
    commits: int


class CommitCosts(msgspec.Struct, frozen=True, kw_only=True):
    """All changes in worlds of all sizes; `growth`: the largest's cost by the smallest's."""

    instances: int
    rounds: int
    costs: list[CommitCost]
    growth: dict[str, float]
    on_disk_cpu_us: dict[int, float]  # by the number of tasks: journal and records, one commit


def measure_commits(
    progress: Callable[[str], None],
    *,
    sizes: Sequence[int] = SIZES,
    instances: int = INSTANCES,
    rounds: int = ROUNDS,
    disk_commits: int = COMMITS,
) -> CommitCosts:
    """Grow one world from size to size, and make every change `rounds` times in each."""
    world = ScaleWorld(
        instances=instances,
        tasks_per_instance=-(-max(sizes) // instances) + SPARE_TASKS_PER_INSTANCE,
    )
    world.add_service(PROBE_SERVICE, PROBE_TASKS)
    services, tasks, costs = 0, 0, list[CommitCost]()
    on_disk_cpu_us: dict[int, float] = {}
    with tasks_on_disk() as disk:
        for size in sorted(sizes):
            services, tasks = _grow(world, size, services=services, tasks=tasks)
            progress(f"{tasks:,} tasks in {services:,} services: {rounds} rounds of changes")
            for change, (cpu_us, commits) in _measure_rounds(world, rounds).items():
                costs.append(
                    CommitCost(
                        change=change,
                        tasks=tasks,
                        services=services,
                        cpu_us=cpu_us,
                        commits=commits,
                    )
                )
            live = [task for task in world.store.tasks if not task.is_stopped]
            # So many that each record's part is rewritten: what changes before them left to do.
            commits = max(disk_commits, 2 * len(live))
            progress(f"{tasks:,} tasks on disk: {commits:,} commits")
            disk.add(live)
            on_disk_cpu_us[tasks] = disk.measure(live, commits=commits)
    return CommitCosts(
        instances=instances,
        rounds=rounds,
        costs=costs,
        growth=growth_of(costs),
        on_disk_cpu_us=on_disk_cpu_us,
    )


def _grow(world: ScaleWorld, size: int, *, services: int, tasks: int) -> tuple[int, int]:
    """Add services until the world has this many tasks; returns how many of both it has then."""
    gc.disable()  # what is made now stays: the collector would look at it again and again
    while tasks < size:
        count = min(TASKS_PER_SERVICE, size - tasks)
        world.add_service(f"service-{services}", count)
        services, tasks = services + 1, tasks + count
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    gc.enable()
    return services, tasks


def growth_of(costs: Sequence[CommitCost]) -> dict[str, float]:
    """Return by change what it costs in the largest world, by what it costs in the smallest."""
    least, most = min(c.tasks for c in costs), max(c.tasks for c in costs)
    at = {(cost.change, cost.tasks): cost.cpu_us for cost in costs}
    changes = dict.fromkeys(cost.change for cost in costs)
    return {change: at[change, most] / at[change, least] for change in changes}


def _measure_rounds(world: ScaleWorld, rounds: int) -> dict[str, tuple[float, int]]:
    """Make every change once a round; returns its median cost in microseconds and its commits."""
    spent_us: dict[str, list[float]] = {}
    commits: dict[str, int] = {}
    for _ in range(rounds):
        for name, change in _changes(world):
            before = world.store.sequence
            started_ns = time.process_time_ns()
            change()
            took_us = (time.process_time_ns() - started_ns) / NS_PER_US
            spent_us.setdefault(name, []).append(took_us)
            commits[name] = world.store.sequence - before
    return {name: (statistics.median(each), commits[name]) for name, each in spent_us.items()}


def _changes(world: ScaleWorld) -> Iterator[Step]:
    """One round of changes, at whose end the world is as it was but for two STOPPED tasks."""
    sent = world.fleet.sent

    def run_task() -> None:
        world.call("RunTask", ecs.RunTaskRequest(cluster=CLUSTER, task_definition=FAMILY))
        world.take_turn()

    yield "RunTask of one task", run_task
    alone = sent.pop()
    yield "report: RUNNING", lambda: world.report(alone, "RUNNING")

    def stop_task() -> None:
        world.call("StopTask", ecs.StopTaskRequest(cluster=CLUSTER, task=alone))

    yield "StopTask", stop_task
    sent.clear()
    yield "report: STOPPED", lambda: world.report(alone, "STOPPED")

    def update(desired_count: int) -> None:
        world.call(
            "UpdateService",
            ecs.UpdateServiceRequest(
                cluster=CLUSTER, service=PROBE_SERVICE, desired_count=desired_count
            ),
        )
        world.take_turn()

    yield "UpdateService: one task more", lambda: update(PROBE_TASKS + 1)
    added = sent.pop()
    yield "report: RUNNING, of a service", lambda: _report_and_turn(world, added, "RUNNING")
    yield "UpdateService: one task less", lambda: update(PROBE_TASKS)
    leaving = sent.pop()
    yield "report: STOPPED, of a service", lambda: _report_and_turn(world, leaving, "STOPPED")
    world.settle()


def _report_and_turn(world: ScaleWorld, task_arn: str, status: str) -> None:
    """Report, and let the service scheduler look at what became of its task."""
    world.report(task_arn, status)
    world.take_turn()
