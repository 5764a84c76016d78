"""A DAEMON service comes before all others, also while one revision hands over to the next."""

from collections.abc import Callable

import pytest

from builders import NOW_MS, make_cluster, make_container_instance, make_store, make_task_definition
from homeport.api import ecs
from homeport.engine.engine import Engine
from homeport.engine.events import AgentConnected, ApiCalled
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from homeport.operations.registry import OPERATIONS
from homeport.state.changes import Commit

ROOM_MIB = 1_024
OLD, NEW, WEB = (
    make_task_definition(family, revision, cpu_units=1, memory_mib=ROOM_MIB // 2)
    for family, revision in (("watch", 1), ("watch", 2), ("web", 1))
)


class Clock:
    """Time that stands still."""

    def now_ms(self) -> int:
        return NOW_MS


class Entropy:
    """Draws that are all different."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(16, "big")


class Journal:
    """A disk that takes no time."""

    def append(self, commit: Commit) -> None: ...

    def when_durable(self, then: Callable[[], None]) -> None:
        then()


class Outlet:
    """Nobody listens: the test is the agent."""

    def send_tasks(self, effect: object) -> None: ...

    def disconnect_agent(self, effect: object) -> None: ...

    def note(self, text: str) -> None: ...

    def work_waits(self) -> None: ...


class World:
    """A real engine over one instance with room for two of the tasks."""

    def __init__(self) -> None:
        host = make_container_instance("one", cpu_units=4_096, memory_mib=ROOM_MIB)
        self.engine = Engine(
            store=make_store(make_cluster(), host, OLD, NEW, WEB),
            journal=Journal(),
            outlet=Outlet(),
            clock=Clock(),
            entropy=Entropy(),
            operations=OPERATIONS,
        )
        self.settle()

    def call(self, operation: str, request: object) -> None:
        answers: list[object] = []
        event = ApiCalled(
            operation=operation,
            request=request,
            account_id="123456789012",
            region="us-east-1",
            endpoint="http://127.0.0.1:4566",
        )
        self.engine.call(event, answers.append)
        (answer,) = answers
        assert not isinstance(answer, Exception), answer
        self.settle()

    def settle(self) -> None:
        for _ in range(50):
            due_ms = self.engine.run_due()
            if due_ms is None or due_ms > NOW_MS:
                return
        pytest.fail("reconciling doesn't settle")

    def tasks(self, group: str) -> list[Task]:
        found = self.engine.view.live_tasks(make_cluster().arn).values()
        return sorted((t for t in found if t.group == f"service:{group}"), key=lambda t: t.arn)

    def report(self, task: Task, status: str) -> None:
        request = ecs.SubmitTaskStateChangeRequest(task=task.arn, status=status)
        self.call("SubmitTaskStateChange", request)

    def run_pending(self) -> None:
        for task in [*self.tasks("watch"), *self.tasks("web")]:
            if task.last_status == PENDING:
                self.report(task, RUNNING)


def create_web(world: World) -> None:
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=4)
    world.call("CreateService", request)


def create_daemon(world: World) -> None:
    request = ecs.CreateServiceRequest(
        service_name="watch", task_definition="watch:1", scheduling_strategy="DAEMON"
    )
    world.call("CreateService", request)


def test_a_hand_over_keeps_the_daemons_room_from_services_that_wait_for_it() -> None:
    world = World()
    create_daemon(world)
    create_web(world)
    world.run_pending()
    assert (len(world.tasks("watch")), len(world.tasks("web"))) == (1, 1)
    update = ecs.UpdateServiceRequest(service="watch", task_definition="watch:2")
    world.call("UpdateService", update)
    (old,) = world.tasks("watch")
    assert old.desired_status == STOPPED
    world.report(old, STOPPED)
    (new,) = world.tasks("watch")
    assert new.task_definition_arn == NEW.arn
    assert len(world.tasks("web")) == 1


def test_on_a_new_instance_the_daemons_task_is_first() -> None:
    world = World()
    create_web(world)
    create_daemon(world)
    assert len(world.tasks("web")) == 2  # the daemon came too late for this one
    arn = next(iter(world.engine.view.container_instances(make_cluster().arn)))
    request = ecs.RegisterContainerInstanceRequest(
        cluster="default",
        total_resources=[
            ecs.Resource(name="CPU", type="INTEGER", integer_value=4_096),
            ecs.Resource(name="MEMORY", type="INTEGER", integer_value=ROOM_MIB),
        ],
    )
    world.call("RegisterContainerInstance", request)
    hosts = world.engine.view.container_instances(make_cluster().arn)
    (new,) = set(hosts) - {arn}
    world.engine.observe(AgentConnected(container_instance_arn=new))
    world.settle()
    (task,) = world.tasks("watch")
    assert task.container_instance_arn == new
    assert len(world.tasks("web")) == 3


def test_room_that_is_kept_for_no_daemon_any_more_goes_to_the_service_that_waits_for_it() -> None:
    world = World()
    create_web(world)
    create_daemon(world)  # too late: it has its room as soon as one of these ends
    world.run_pending()
    first, _ = world.tasks("web")
    world.report(first, STOPPED)
    assert (len(world.tasks("watch")), len(world.tasks("web"))) == (1, 1)
    for _ in range(2):
        (task,) = world.tasks("watch")
        world.report(task, STOPPED)
    world.report(*world.tasks("watch"), STOPPED)
    assert (len(world.tasks("watch")), len(world.tasks("web"))) == (0, 1)  # its launch is delayed
    world.call("DeleteService", ecs.DeleteServiceRequest(service="watch"))
    assert (len(world.tasks("watch")), len(world.tasks("web"))) == (0, 2)
