"""How fast the control plane alone is: very many tasks, in one process, without faults.

The engine, operations, service scheduler, placement and store are production's; each agent is
one line that reports every task RUNNING. What the wire and the agents cost is for `bench fleet`.
"""

import gc
import resource
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.engine import Engine
from homeport.engine.events import AgentConnected, ApiCalled
from homeport.operations.registry import OPERATIONS
from homeport.sim.chance import Stream
from homeport.sim.clock import START_MS
from homeport.sim.control_plane import ACCOUNT_ID, ENDPOINT, REGION
from homeport.state.store import Store
from homeport.storage.memory import MemoryStorage

CLUSTER = "default"
TASK_CPU_UNITS = 16
TASK_MEMORY_MIB = 32
CPU_UNITS_PER_INSTANCE_TASK = 2 * TASK_CPU_UNITS
KEPT_COMMITS = 100
SAMPLES = 20
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


class ScaleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run took; the first and last rates are tasks RUNNING a second of CPU time."""

    instances: int
    services: int
    tasks: int
    seconds: float
    cpu_seconds: float
    tasks_per_second: float
    first_tasks_per_second: float
    last_tasks_per_second: float
    bytes_per_task: float
    peak_rss_mib: float
    commits: int


class _Fleet:
    """The engine's outlet: agents that do at once what they are told, one report a task."""

    def __init__(self) -> None:
        self.sent: deque[str] = deque()
        self.is_due = False

    def send_tasks(self, effect: SendTasks) -> None:
        """Take the tasks."""
        self.sent.extend(effect.task_arns)

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Nobody is deregistered here."""

    def note(self, text: str) -> None:
        """Nobody reads the log here."""

    def work_waits(self) -> None:
        """Hear that the engine has something to do."""
        self.is_due = True


class _StandingClock:
    """Time that is told to go on."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        """Return the time in epoch milliseconds."""
        return self.ms


class ScaleRun:
    """One control plane with a very large fleet."""

    def __init__(self, *, instances: int, services: int, tasks: int, seed: int = 0) -> None:
        self._instances, self._services, self._tasks = instances, services, tasks
        self._fleet = _Fleet()
        self._clock = _StandingClock()
        self._store = Store()
        self._running = 0
        self._engine = Engine(
            store=self._store,
            journal=MemoryStorage(KEPT_COMMITS),
            outlet=self._fleet,
            clock=self._clock,
            entropy=Stream(seed, "entropy"),
            operations=OPERATIONS,
        )

    def run(self, told: Callable[[str], None] = lambda _line: None) -> ScaleReport:
        """Bring every task to RUNNING, and say what it took."""
        gc.disable()
        try:
            return self._run(told)
        finally:
            gc.enable()

    def _run(self, told: Callable[[str], None]) -> ScaleReport:
        self._build_fleet()
        before_kib = _rss_kib()
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        marks = [(0, started_cpu_s)]
        counts = [self._tasks // self._services] * self._services
        counts[0] += self._tasks - sum(counts)
        wanted = 0
        for number, count in enumerate(counts):
            self._call(
                "CreateService",
                ecs.CreateServiceRequest(
                    service_name=f"service-{number}", task_definition="web", desired_count=count
                ),
            )
            wanted += count
            self._settle()
            assert self._running == wanted, (self._running, wanted)
            if self._running >= len(marks) * self._tasks / SAMPLES:
                marks.append((self._running, time.process_time()))
                told(f"{self._running} tasks after {time.perf_counter() - started_s:.1f} s")
        seconds = time.perf_counter() - started_s
        grown_bytes = (_rss_kib() - before_kib) * 1_024
        return ScaleReport(
            instances=self._instances,
            services=self._services,
            tasks=self._running,
            seconds=seconds,
            cpu_seconds=time.process_time() - started_cpu_s,
            tasks_per_second=self._running / seconds,
            first_tasks_per_second=_rate(marks[0], marks[min(2, len(marks) - 1)]),
            last_tasks_per_second=_rate(marks[max(-3, -len(marks))], marks[-1]),
            bytes_per_task=grown_bytes / self._running,
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024,
            commits=self._store.sequence,
        )

    def _build_fleet(self) -> None:
        self._call("CreateCluster", ecs.CreateClusterRequest(cluster_name=CLUSTER))
        self._call(
            "RegisterTaskDefinition",
            ecs.RegisterTaskDefinitionRequest(
                family="web",
                container_definitions=[
                    ecs.ContainerDefinition(
                        name="main", image="web", cpu=TASK_CPU_UNITS, memory=TASK_MEMORY_MIB
                    )
                ],
            ),
        )
        places = 2 * -(-self._tasks // self._instances)
        for number in range(self._instances):
            reply = self._call(
                "RegisterContainerInstance",
                ecs.RegisterContainerInstanceRequest(
                    total_resources=[
                        _resource("CPU", places * TASK_CPU_UNITS),
                        _resource("MEMORY", places * TASK_MEMORY_MIB),
                    ],
                    attributes=[
                        ecs.Attribute(
                            name="ecs.availability-zone", value=ZONES[number % len(ZONES)]
                        )
                    ],
                ),
            )
            assert isinstance(reply, ecs.RegisterContainerInstanceResponse)
            assert reply.container_instance is not None
            arn = reply.container_instance.container_instance_arn or ""
            self._engine.observe(AgentConnected(container_instance_arn=arn))
        self._settle()

    def _settle(self) -> None:
        """Let the engine work and the fleet report until nothing is left to do."""
        fleet, engine = self._fleet, self._engine
        while fleet.is_due or fleet.sent:
            fleet.is_due = False
            engine.run_due()
            self._clock.ms += 1
            while fleet.sent:
                self._report(fleet.sent.popleft())

    def _report(self, task_arn: str) -> None:
        self._running += 1
        self._call(
            "SubmitTaskStateChange",
            ecs.SubmitTaskStateChangeRequest(
                cluster=CLUSTER,
                task=task_arn,
                status="RUNNING",
                containers=[
                    ecs.ContainerStateChange(
                        container_name="main", status="RUNNING", runtime_id=task_arn[-32:]
                    )
                ],
            ),
        )

    def _call(self, operation: str, request: object) -> object:
        replies: list[object] = []
        self._engine.call(
            ApiCalled(
                operation=operation,
                request=request,
                account_id=ACCOUNT_ID,
                region=REGION,
                endpoint=ENDPOINT,
            ),
            replies.append,
        )
        reply = replies[0]
        if isinstance(reply, AwsError):
            raise reply
        return reply


def _resource(name: str, quantity: int) -> ecs.Resource:
    return ecs.Resource(name=name, type="INTEGER", integer_value=quantity)


def _rate(first: tuple[int, float], last: tuple[int, float]) -> float:
    seconds = last[1] - first[1]
    return (last[0] - first[0]) / seconds if seconds > 0 else 0.0


def _rss_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
