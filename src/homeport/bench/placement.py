"""Placements a second: the placement engine alone, on one core, without API, agents or disk.

`seconds` is the time spent in `place_tasks`, which brings the fleet's columns up to date as well;
`commit_seconds`, the time to take the placed tasks into the state's tables, is told apart.
"""

import gc
import resource
import time
import tracemalloc
from collections import deque
from collections.abc import Sequence

import msgspec

from homeport.bench.placement_baseline import measure_baseline
from homeport.bench.placement_mixes import (
    CLUSTER,
    CLUSTER_ARN,
    LEAST_TASKS_EACH,
    NEEDS,
    ONE_IN,
    Mix,
    filling_tasks,
    make_bench_task,
    make_instances,
    make_requests,
)
from homeport.bench.placement_moto import measure_moto
from homeport.core.decision import Moment
from homeport.core.placement.placing import place_tasks
from homeport.core.placement.request import PlacementRequest
from homeport.model.cluster import Cluster
from homeport.model.task import STOPPED, Task
from homeport.state.changes import AnyRecord, Commit, Put
from homeport.state.derived import Derived
from homeport.state.store import Store
from homeport.state.view import View

DEFAULT_INSTANCES = 10_000
DEFAULT_TASKS = 100_000
RECORDS_PER_COMMIT = 10_000
LEAST_S = 1e-9


class PlacementMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One mix; the baseline is a plain loop over all instances for each task.

    moto's placements include its records of the tasks, so that it is compared with `seconds` and
    `commit_seconds` together.
    """

    mix: str
    instances: int
    tasks: int
    placed: int
    seconds: float
    placements_per_second: float
    cpu_seconds: float  # of `seconds`, what the process itself had: the rest is the machine's
    peak_rss_mib: float
    commit_seconds: float
    baseline_placements_per_second: float | None = None
    ratio: float | None = None
    moto_placements_per_second: float | None = None
    moto_ratio: float | None = None


class EngineMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What the placement engine itself keeps, records not counted."""

    instances: int
    tasks: int
    bytes_per_instance: float
    bytes_per_task: float


class _Run:
    """One store on which one mix is placed."""

    def __init__(self, mix: Mix, instances: int, tasks: int) -> None:
        self._store = Store()
        self._view = View(self._store)
        fleet = make_instances(instances, tasks)
        self._put([Cluster(arn=CLUSTER_ARN, name=CLUSTER), *fleet])
        if mix.is_full:
            self._put(filling_tasks(fleet))
        self._in_flight: deque[Task] = deque()
        self._limit = mix.in_flight
        if mix.is_full and mix.in_flight is not None:  # no more than half of what has room
            room = -(-instances // ONE_IN) * LEAST_TASKS_EACH
            self._limit = min(mix.in_flight, room // 2)
        self.placed = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.commit_seconds = 0.0

    def place(self, number: int, request: PlacementRequest) -> None:
        """Place one request's tasks, and stop the oldest if the mix keeps only so many."""
        moment = Moment(number, number.to_bytes(16, "big"))
        started, cpu_started = time.perf_counter(), time.process_time()
        placement = place_tasks(self._view, request, moment)
        self.cpu_seconds += time.process_time() - cpu_started
        self.seconds += time.perf_counter() - started
        tasks = [
            make_bench_task(f"{number:x}-{index:x}", arn, request.group, request.resources)
            for index, arn in enumerate(placement.container_instance_arns)
        ]
        self.placed += len(tasks)
        records = [*tasks, *self._oldest(tasks)]
        started = time.perf_counter()
        self._put(records)
        self.commit_seconds += time.perf_counter() - started

    def _oldest(self, tasks: Sequence[Task]) -> list[Task]:
        if self._limit is None:
            return []
        self._in_flight.extend(tasks)
        return [
            msgspec.structs.replace(
                self._in_flight.popleft(), desired_status=STOPPED, last_status=STOPPED
            )
            for _ in range(len(self._in_flight) - self._limit)
        ]

    def _put(self, records: Sequence[AnyRecord]) -> None:
        for start in range(0, len(records), RECORDS_PER_COMMIT):
            changes = tuple(Put(record) for record in records[start : start + RECORDS_PER_COMMIT])
            self._store.apply(Commit(self._store.sequence + 1, 0, "Bench", changes))


def measure_placement(
    mix: Mix, *, instances: int, tasks: int, with_baseline: bool
) -> PlacementMeasurement:
    """Place so many tasks of a mix on a fleet of so many instances."""
    run = _Run(mix, instances, tasks)
    gc.collect()
    gc.freeze()  # as the server does: the records of a large state are not walked again and again
    try:
        for number, request in enumerate(make_requests(mix, tasks)):
            run.place(number, request)
    finally:
        gc.unfreeze()
    rate = run.placed / run.seconds if run.seconds else 0.0
    peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    baseline = moto = None
    if with_baseline:
        baseline = measure_baseline(mix, instances=instances, tasks=tasks)
        moto = measure_moto(mix, instances=instances, tasks=tasks)
    recorded_rate = run.placed / max(run.seconds + run.commit_seconds, LEAST_S)
    return PlacementMeasurement(
        mix=mix.name,
        instances=instances,
        tasks=tasks,
        placed=run.placed,
        seconds=run.seconds,
        placements_per_second=rate,
        cpu_seconds=run.cpu_seconds,
        peak_rss_mib=peak_rss_mib,
        commit_seconds=run.commit_seconds,
        baseline_placements_per_second=baseline,
        ratio=rate / baseline if baseline else None,
        moto_placements_per_second=moto,
        moto_ratio=recorded_rate / moto if moto else None,
    )


def measure_memory(mix: Mix, *, instances: int, tasks: int) -> EngineMemory:
    """Weigh the derived counts and columns, with what placement has kept for the mix's shapes."""
    fleet = make_instances(instances, tasks)
    store = Store()
    records: list[AnyRecord] = [Cluster(arn=CLUSTER_ARN, name=CLUSTER), *fleet]
    store.apply(Commit(1, 0, "Bench", tuple(Put(record) for record in records)))
    requests = list(make_requests(mix, tasks))
    placed = [
        make_bench_task(f"{number:x}", fleet[number % instances].arn, request.group, NEEDS)
        for number, request in enumerate(
            request for request in requests for _ in range(request.count)
        )
    ]
    tracemalloc.start()
    try:
        store.derived = Derived()
        for instance in fleet:
            store.derived.replace_instance(None, instance)
        view = View(store)
        for request in requests[: len(mix.constraints)]:
            place_tasks(view, request, Moment(0, b"bench"))
        before = tracemalloc.get_traced_memory()[0]
        for task in placed:
            store.derived.replace_task(None, task)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return EngineMemory(
        instances=instances,
        tasks=len(placed),
        bytes_per_instance=before / max(instances, 1),
        bytes_per_task=(after - before) / max(len(placed), 1),
    )
