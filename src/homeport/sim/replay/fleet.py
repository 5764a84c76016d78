"""The container instances of a replay: agents that do what they are told as the journal's did.

Each is a few timers: what the wire, the agent's own machine and Docker add is in the spans that
the journal has. An agent without a connection hears nothing and keeps its reports until it has one.
"""

from collections.abc import Callable
from functools import partial

from homeport.api import ecs
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.events import AgentConnected, AgentLost, ContainerHealth, HealthReported
from homeport.model.task import STOPPED, Task
from homeport.model.task_definition import TaskDefinition
from homeport.sim.clock import Action, Life, Timeline
from homeport.sim.replay.behaviour import Plan
from homeport.sim.replay.lives import images_of
from homeport.state.view import View

ChoosePlan = Callable[[Task, bool], Plan]
"""Decides how a task behaves: the task, and whether its instance lacks its images."""

Call = Callable[[str, object], object]
Observe = Callable[[AgentConnected | AgentLost | HealthReported], None]

EXIT_AFTER_STOP = 143  # 128 + SIGTERM


class _Instance:
    """One container instance's agent."""

    __slots__ = ("held", "images", "is_connected", "is_silent", "life")

    def __init__(self) -> None:
        self.is_connected = False  # it hears what is wanted
        self.is_silent = False
        self.life = Life()
        self.images: set[str] = set()
        self.held: list[Action] = []  # reports that wait for a connection


class _Played:
    """A task that an agent knows; `life` ends with its next stage."""

    __slots__ = ("is_running", "is_stopping", "life", "plan")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.life = Life()
        self.is_running = False
        self.is_stopping = False


class PlayedFleet:
    """All agents of a replay; gets what the engine sends out, and reports back to it."""

    def __init__(
        self,
        timeline: Timeline,
        *,
        view: View,
        call: Call,
        observe: Observe,
        choose_plan: ChoosePlan,
    ) -> None:
        self._choose_plan = choose_plan
        self._timeline = timeline
        self._view = view
        self._call = call
        self._observe = observe
        self._instances: dict[str, _Instance] = {}
        self._tasks: dict[str, _Played] = {}

    # what happens to agents
    def connect(self, arn: str) -> None:
        """Let an agent connect, tell what it has kept, and hear what is wanted of it."""
        instance = self._instances.setdefault(arn, _Instance())
        instance.is_connected, instance.is_silent = True, False
        held, instance.held = instance.held, []
        for report in held:
            report()
        self._observe(AgentConnected(container_instance_arn=arn))

    def disconnect(self, arn: str, *, is_silent: bool = True) -> None:
        """Break an agent's connection; its tasks live on, and unless it is silent it reports."""
        instance = self._instances.get(arn)
        if instance is not None and instance.is_connected:
            instance.is_connected, instance.is_silent = False, is_silent
            self._observe(AgentLost(container_instance_arn=arn))

    # what the engine sends
    def send_tasks(self, effect: SendTasks) -> None:
        """Deliver what is wanted of tasks, behind what happens at this moment already."""
        self._timeline.soon(partial(self._receive, effect))

    def disconnect_agent(self, effect: DisconnectAgent) -> None:
        """Take a container instance away: whatever it had planned doesn't happen."""
        instance = self._instances.pop(effect.container_instance_arn, None)
        if instance is not None:
            instance.life.end()

    def _receive(self, effect: SendTasks) -> None:
        instance = self._instances.get(effect.container_instance_arn)
        if instance is None or not instance.is_connected:
            return  # it is sent again when the agent connects
        for arn in effect.task_arns:
            task = self._view.task(arn)
            if task is None or task.is_stopped:
                continue
            if task.desired_status == STOPPED:
                self._stop(instance, task)
            elif arn not in self._tasks:
                self._begin(instance, task)

    # a task's life
    def _begin(self, instance: _Instance, task: Task) -> None:
        images = images_of(task)
        plan = self._choose_plan(task, images not in instance.images)
        played = self._tasks[task.arn] = _Played(plan)
        if plan.fails_ms is not None:
            self._after(instance, played, plan.fails_ms, partial(self._end, task, plan))
            return
        instance.images.add(images)
        started = partial(self._start, instance, task, played)
        self._after(instance, played, plan.start_ms, started)

    def _start(self, instance: _Instance, task: Task, played: _Played) -> None:
        played.is_running = True
        containers = [
            ecs.ContainerStateChange(
                container_name=each.name, status="RUNNING", runtime_id=task.arn[-32:]
            )
            for each in task.containers
        ]
        self._submit(task, "RUNNING", containers)
        for after_ms, status in played.plan.health:
            self._after(instance, played, after_ms, partial(self._report_health, task, status))
        if played.plan.runs_ms is not None:
            end = partial(self._end, task, played.plan)
            self._after(instance, played, played.plan.runs_ms, end)

    def _stop(self, instance: _Instance, task: Task) -> None:
        played = self._tasks.get(task.arn)
        if played is None:  # it was never told to start
            self._submit(task, STOPPED, [])
            return
        if played.is_stopping:
            return
        played.is_stopping = True
        played.life.end()
        played.life = Life()
        self._after(instance, played, played.plan.stop_ms, partial(self._stopped, task, played))

    def _stopped(self, task: Task, played: _Played) -> None:
        self._tasks.pop(task.arn, None)
        code = EXIT_AFTER_STOP if played.is_running else None
        self._submit(task, STOPPED, [_exit(each.name, code, None) for each in task.containers])

    def _end(self, task: Task, plan: Plan) -> None:
        """End a task by itself, with what the journal's said on that occasion."""
        self._tasks.pop(task.arn, None)
        names = {each.name for each in task.containers}
        told = [_exit(*each) for each in plan.exits if each[0] in names]
        self._submit(task, STOPPED, told, plan.reason)

    # reports
    def _report_health(self, task: Task, status: str) -> None:
        definition = self._view.task_definition(task.task_definition_arn)
        instance_arn = task.container_instance_arn
        if definition is None or instance_arn is None:
            return
        containers = tuple(
            ContainerHealth(task_arn=task.arn, container_name=name, status=status)
            for name in _checked(definition)
        )
        if containers:
            report = HealthReported(container_instance_arn=instance_arn, containers=containers)
            self._observe(report)

    def _submit(
        self,
        task: Task,
        status: str,
        containers: list[ecs.ContainerStateChange],
        reason: str | None = None,
    ) -> None:
        request = ecs.SubmitTaskStateChangeRequest(
            cluster=task.cluster_arn,
            task=task.arn,
            status=status,
            reason=reason or None,
            containers=containers,
        )
        self._call("SubmitTaskStateChange", request)

    def _after(
        self, instance: _Instance, played: _Played, delay_ms: int, action: Action
    ) -> None:
        """Do something after a while, unless the task or its instance is done with by then."""

        def act() -> None:
            if instance.life.is_over:
                return
            if not instance.is_silent:
                action()
            else:
                instance.held.append(act)

        self._timeline.after(delay_ms, act, played.life)


def _checked(definition: TaskDefinition) -> list[str]:
    return [each.name for each in definition.containers if each.has_health_check]


def _exit(name: str, code: int | None, reason: str | None) -> ecs.ContainerStateChange:
    return ecs.ContainerStateChange(
        container_name=name, status=STOPPED, exit_code=code, reason=reason
    )
