"""A control plane with a very large fleet in one process: no wire, no disk, no faults.

The engine, operations, service scheduler, placement and store are production's; each agent is one
line that reports what it was told to do. What is measured with it is `scale`'s and the bench's.
"""

from collections import deque

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
FAMILY = "web"
CONTAINER = "main"
TASK_CPU_UNITS = 16
TASK_MEMORY_MIB = 32
KEPT_COMMITS = 100
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


class SentTasks:
    """The engine's outlet: what agents were sent and haven't reported on."""

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


class ScaleWorld:
    """The control plane, its fleet and its only client."""

    def __init__(self, *, instances: int, tasks_per_instance: int, seed: int = 0) -> None:
        self.fleet = SentTasks()
        self.store = Store()
        self.running = 0
        self._clock = _StandingClock()
        self._engine = Engine(
            store=self.store,
            journal=MemoryStorage(KEPT_COMMITS),
            outlet=self.fleet,
            clock=self._clock,
            entropy=Stream(seed, "entropy"),
            operations=OPERATIONS,
        )
        self._begin(instances, tasks_per_instance)

    def add_service(self, name: str, desired_count: int) -> None:
        """Create a service and bring all of its tasks to RUNNING."""
        self.call(
            "CreateService",
            ecs.CreateServiceRequest(
                service_name=name, task_definition=FAMILY, desired_count=desired_count
            ),
        )
        wanted = self.running + desired_count
        self.settle()
        assert self.running == wanted, (self.running, wanted)

    def settle(self) -> None:
        """Let the engine work and the fleet report RUNNING until nothing is left to do."""
        while self.fleet.is_due or self.fleet.sent:
            self.take_turn()
            while self.fleet.sent:
                self.running += 1
                self.report(self.fleet.sent.popleft(), "RUNNING")

    def take_turn(self) -> None:
        """Let the engine work until nothing waits; what it sends stays unreported."""
        while self.fleet.is_due:
            self.fleet.is_due = False
            self._engine.run_due()
            self._clock.ms += 1

    def report(self, task_arn: str, status: str) -> None:
        """Say what an agent says of a task and its container."""
        change = ecs.ContainerStateChange(
            container_name=CONTAINER, status=status, runtime_id=task_arn[-32:]
        )
        if status == "STOPPED":
            change.exit_code = 0
        self.call(
            "SubmitTaskStateChange",
            ecs.SubmitTaskStateChangeRequest(
                cluster=CLUSTER, task=task_arn, status=status, containers=[change]
            ),
        )

    def call(self, operation: str, request: object) -> object:
        """Carry out one API call; returns its reply's shape or raises AwsError."""
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

    def _begin(self, instances: int, tasks_per_instance: int) -> None:
        """Make the cluster, the task definition and the fleet."""
        self.call("CreateCluster", ecs.CreateClusterRequest(cluster_name=CLUSTER))
        container = ecs.ContainerDefinition(
            name=CONTAINER, image="web", cpu=TASK_CPU_UNITS, memory=TASK_MEMORY_MIB
        )
        self.call(
            "RegisterTaskDefinition",
            ecs.RegisterTaskDefinitionRequest(family=FAMILY, container_definitions=[container]),
        )
        resources = [
            _resource("CPU", tasks_per_instance * TASK_CPU_UNITS),
            _resource("MEMORY", tasks_per_instance * TASK_MEMORY_MIB),
        ]
        for number in range(instances):
            zone = ecs.Attribute(name="ecs.availability-zone", value=ZONES[number % len(ZONES)])
            reply = self.call(
                "RegisterContainerInstance",
                ecs.RegisterContainerInstanceRequest(
                    total_resources=resources, attributes=[zone]
                ),
            )
            assert isinstance(reply, ecs.RegisterContainerInstanceResponse)
            assert reply.container_instance is not None
            arn = reply.container_instance.container_instance_arn or ""
            self._engine.observe(AgentConnected(container_instance_arn=arn))
        self.settle()


def _resource(name: str, quantity: int) -> ecs.Resource:
    return ecs.Resource(name=name, type="INTEGER", integer_value=quantity)
