"""How fast the control plane alone is: very many tasks, in one process, without faults.

What the wire, the disk and real agents cost is for `bench fleet`; what one more commit costs in a
world of this size, for `bench commits`.
"""

import gc
import itertools
import resource
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from homeport.sim.scale_world import ScaleWorld

PARTS = 10  # of the run, each with a rate of its own
ROOM = 2  # times what the tasks need, as a fleet has
KIB = 1_024


class ScaleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run took.

    `rates_per_second` are tasks RUNNING a second of processor time, a tenth of the tasks each, in
    their order: other work on the machine changes them less than wall-clock rates, and the last
    beside the first says whether cost grows with what is there already.
    """

    instances: int
    services: int
    tasks: int
    seconds: float
    cpu_seconds: float
    tasks_per_second: float
    rates_per_second: list[float]
    last_to_first: float
    bytes_per_task: float
    peak_rss_mib: float
    commits: int


class ScaleRun:
    """One control plane with a very large fleet, brought to its number of tasks."""

    def __init__(self, *, instances: int, services: int, tasks: int, seed: int = 0) -> None:
        self._instances, self._tasks = instances, tasks
        self._counts = [tasks // services] * services
        self._counts[0] += tasks - sum(self._counts)
        self._seed = seed

    def run(self, told: Callable[[str], None] = lambda _line: None) -> ScaleReport:
        """Bring every task to RUNNING, and say what it took."""
        gc.disable()
        try:
            return self._run(told)
        finally:
            gc.enable()

    def _run(self, told: Callable[[str], None]) -> ScaleReport:
        world = ScaleWorld(
            instances=self._instances,
            tasks_per_instance=ROOM * -(-self._tasks // self._instances),
            seed=self._seed,
        )
        before_kib = _rss_kib()
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        marks = [(0, started_cpu_s)]
        for number, count in enumerate(self._counts):
            world.add_service(f"service-{number}", count)
            if world.running >= len(marks) * self._tasks / PARTS:
                marks.append((world.running, time.process_time()))
                took_s = time.perf_counter() - started_s
                rate = rates_of(marks[-2:])[0]
                told(f"{world.running:,} tasks after {took_s:.1f} s, {rate:,.0f}/s of CPU time")
        seconds = time.perf_counter() - started_s
        rates = rates_of(marks)
        return ScaleReport(
            instances=self._instances,
            services=len(self._counts),
            tasks=world.running,
            seconds=seconds,
            cpu_seconds=time.process_time() - started_cpu_s,
            tasks_per_second=world.running / seconds,
            rates_per_second=rates,
            last_to_first=rates[-1] / rates[0],
            bytes_per_task=(_rss_kib() - before_kib) * KIB / world.running,
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB,
            commits=world.store.sequence,
        )


def rates_of(marks: list[tuple[int, float]]) -> list[float]:
    """Return the rate between each two marks; a mark is a count and its time in seconds."""
    return [
        (last[0] - first[0]) / max(last[1] - first[1], 1e-9)
        for first, last in itertools.pairwise(marks)
    ]


def _rss_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
