"""The container instances of a replay: agents that do what they are told as the journal's did.

Each is a few timers: what the wire, the agent's own machine and Docker add is in the spans that
the journal has. An agent without a connection hears nothing and keeps its reports until it has one.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

from homeport.api import ecs
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.events import AgentConnected, AgentLost, ContainerHealth, HealthReported
from homeport.model.task import STOPPED, Task
from homeport.model.task_definition import TaskDefinition
from homeport.sim.clock import Action, Life, Timeline
from homeport.sim.replay.behaviour import NEAR_MS, Plan
from homeport.sim.replay.lives import images_of
from homeport.state.view import View

ChoosePlan = Callable[[Task, bool], Plan]
"""Decides how a task behaves: the task, and whether its instance lacks its images."""

Call = Callable[[str, object], object]
Observe = Callable[[AgentConnected | AgentLost | HealthReported], None]

OnSwap = Callable[[str, str], None]
"""Hears that two tasks go on with each other's lives."""

Peers = tuple[str | None, str, str | None]  # service, task definition, container instance

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

    __slots__ = ("begun_ms", "is_stopping", "life", "plan", "running_ms", "task")

    def __init__(self, task: Task, plan: Plan, begun_ms: int) -> None:
        self.task = task
        self.plan = plan
        self.life = Life()
        self.begun_ms = begun_ms
        self.running_ms: int | None = None
        self.is_stopping = False

    @property
    def peers(self) -> Peers:
        """What it has in common with those that could as well have been in its place."""
        task = self.task
        return task.service_arn, task.task_definition_arn, task.container_instance_arn


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
        on_swap: OnSwap,
    ) -> None:
        self.unheard_ms = (0, 0)
        """Behind the one and before the other time the control plane is down: reports wait."""

        self._choose_plan = choose_plan
        self._on_swap = on_swap
        self._timeline = timeline
        self._view = view
        self._call = call
        self._observe = observe
        self._instances: dict[str, _Instance] = {}
        self._tasks: dict[str, _Played] = {}
        self._peers: dict[Peers, dict[str, _Played]] = defaultdict(dict)

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
        played = _Played(task, plan, self._timeline.now_ms)
        self._tasks[task.arn] = self._peers[played.peers][task.arn] = played
        if plan.fails_ms is None:
            instance.images.add(images)
        self._go_on(instance, played)

    def _go_on(self, instance: _Instance, played: _Played) -> None:
        """Plan what a task that isn't told to stop does of itself."""
        plan, end = played.plan, partial(self._end, played)
        if played.running_ms is not None:
            if plan.runs_ms is not None:
                self._at(instance, played, played.running_ms + plan.runs_ms, end)
        elif plan.fails_ms is not None:
            self._at(instance, played, played.begun_ms + plan.fails_ms, end)
        else:
            started = partial(self._start, instance, played)
            self._at(instance, played, played.begun_ms + plan.start_ms, started)

    def _start(self, instance: _Instance, played: _Played) -> None:
        task, now_ms = played.task, self._timeline.now_ms
        played.running_ms = now_ms
        containers = [
            ecs.ContainerStateChange(
                container_name=each.name, status="RUNNING", runtime_id=task.arn[-32:]
            )
            for each in task.containers
        ]
        self._submit(task, "RUNNING", containers)
        for after_ms, status in played.plan.health:
            report = partial(self._report_health, task, status)
            self._at(instance, played, now_ms + after_ms, report)
        self._go_on(instance, played)

    def _stop(self, instance: _Instance, task: Task) -> None:
        played = self._tasks.get(task.arn)
        if played is None:  # it was never told to start
            self._submit(task, STOPPED, [])
            return
        if played.is_stopping:
            return
        self._swap(instance, played, task.stopping_at_ms or self._timeline.now_ms)
        played.is_stopping = True
        played.life.end()
        played.life = Life()
        stopped_ms = self._timeline.now_ms + played.plan.stop_ms
        self._at(instance, played, stopped_ms, partial(self._stopped, played))

    def _swap(self, instance: _Instance, played: _Played, wished_ms: int) -> None:
        """Let the task that goes be the one that went: which of its peers it is was all the same.

        Or else whoever would have failed later is stopped instead, and nothing fails any more.
        """

        def distance_ms(other: _Played) -> int:
            until_ms = other.plan.until_ms
            return NEAR_MS + 1 if until_ms is None else abs(until_ms - wished_ms)

        is_up = played.running_ms is not None
        peers = [
            other
            for other in self._peers[played.peers].values()
            if not other.is_stopping and (other.running_ms is not None) is is_up
        ]
        went = min(peers, key=distance_ms)
        if distance_ms(went) >= min(distance_ms(played), NEAR_MS):
            return
        played.plan, went.plan = went.plan, played.plan
        played.begun_ms, went.begun_ms = went.begun_ms, played.begun_ms
        played.running_ms, went.running_ms = went.running_ms, played.running_ms
        self._on_swap(played.task.arn, went.task.arn)
        went.life.end()
        went.life = Life()
        for after_ms, status in went.plan.health if went.running_ms is not None else ():
            report = partial(self._report_health, went.task, status)
            self._at(instance, went, (went.running_ms or 0) + after_ms, report)
        self._go_on(instance, went)

    def _stopped(self, played: _Played) -> None:
        task = self._forget(played)
        code = None if played.running_ms is None else EXIT_AFTER_STOP
        self._submit(task, STOPPED, [_exit(each.name, code, None) for each in task.containers])

    def _end(self, played: _Played) -> None:
        """End a task by itself, with what the journal's said on that occasion."""
        task, plan = self._forget(played), played.plan
        names = {each.name for each in task.containers}
        told = [_exit(*each) for each in plan.exits if each[0] in names]
        self._submit(task, STOPPED, told, plan.reason)

    def _forget(self, played: _Played) -> Task:
        arn = played.task.arn
        self._tasks.pop(arn, None)
        peers = self._peers[played.peers]
        peers.pop(arn, None)
        if not peers:
            del self._peers[played.peers]
        return played.task

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

    def _at(self, instance: _Instance, played: _Played, at_ms: int, action: Action) -> None:
        """Do something at a time, unless the task or its instance is done with by then."""

        def act() -> None:
            if instance.life.is_over:
                return
            since_ms, until_ms = self.unheard_ms
            if since_ms < self._timeline.now_ms < until_ms:
                self._timeline.at(until_ms, act, played.life)
            elif instance.is_silent:
                instance.held.append(act)
            else:
                action()

        self._timeline.at(at_ms, act, played.life)


def _checked(definition: TaskDefinition) -> list[str]:
    return [each.name for each in definition.containers if each.has_health_check]


def _exit(name: str, code: int | None, reason: str | None) -> ecs.ContainerStateChange:
    return ecs.ContainerStateChange(
        container_name=name, status=STOPPED, exit_code=code, reason=reason
    )
