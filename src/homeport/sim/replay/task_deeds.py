"""What was done to tasks, done again, and which life each simulated task has."""

from collections.abc import Iterator

from msgspec.structs import replace

from homeport.api import ecs
from homeport.model.task import PENDING, RUNNING, Task
from homeport.sim.replay.behaviour import Behaviours, Plan
from homeport.sim.replay.deeds import Deed, TaskProtected, TasksRun, TaskStopped, TaskThere
from homeport.sim.replay.lives import TaskLife, images_of
from homeport.sim.replay.requests import run_task_request, start_task_request
from homeport.sim.replay.service_deeds import ServiceDeeds
from homeport.sim.replay.stage import PLACE, Placed, Stage

MINUTE_MS = 60_000


class TaskDeeds:
    """The clients that run and stop tasks.

    `unplaced` are tasks of RunTask without a place: from when until when the journal had them.
    """

    def __init__(self, stage: Stage, services: ServiceDeeds, behaviours: Behaviours) -> None:
        self.unplaced: list[tuple[int, int]] = []
        self._stage = stage
        self._services = services
        self._behaviours = behaviours
        self._sources: dict[str, str] = {}  # a simulated task that stands for one of the journal
        self._arns: dict[str, str] = {}  # the journal's task: the one here that has its life
        self._lives: dict[str, str] = {}  # and back

    def choose_plan(self, task: Task, is_cold: bool) -> Plan:
        """Decide how a task behaves; `is_cold` when its instance lacks its images."""
        source_arn = self._sources.pop(task.arn, None)
        kind = (task.service_arn, task.task_definition_arn)
        early_ms = self._stage.workload.begins_ms - task.created_at_ms
        images = images_of(task)
        if early_ms > 0:
            plan = self._behaviours.plan_base(
                kind, images=images, early_ms=early_ms, source_arn=source_arn
            )
        else:
            plan = self._behaviours.plan(
                kind,
                images=images,
                is_cold=is_cold,
                now_ms=self._stage.timeline.now_ms,
                instance_arn=task.container_instance_arn,
                source_arn=source_arn,
            )
        if plan.source_arn is not None:
            self._arns[plan.source_arn] = task.arn
            self._lives[task.arn] = plan.source_arn
        return plan

    def swap(self, one_arn: str, other_arn: str) -> None:
        """Two tasks go on with each other's lives: deeds about the one are about the other now."""
        lives = self._lives.pop(one_arn, None), self._lives.pop(other_arn, None)
        for source_arn, arn in zip(lives, (other_arn, one_arn), strict=True):
            if source_arn is not None:
                self._arns[source_arn], self._lives[arn] = arn, source_arn

    def do(self, deed: Deed) -> bool:
        """Do a deed; False when it isn't about tasks."""
        match deed:
            case TaskThere():
                self._place(deed)
            case TasksRun():
                self._run(deed)
            case TaskStopped():
                self._stop(deed)
            case TaskProtected():
                self._protect(deed)
            case _:
                return False
        return True

    def _place(self, deed: TaskThere) -> None:
        """Put a task where it was; whoever wants another placement leaves it to be found anew."""
        stage, task = self._stage, deed.task
        instance = stage.view.container_instance(task.container_instance_arn or "")
        is_there = instance is not None and not stage.what_if.reshapes_instances
        if task.service_arn is None:
            if is_there:
                self._begin_again(task, None)
            else:
                self._run(TasksRun(at_ms=deed.at_ms, task=task, arns=(task.arn,)))
            return
        service = stage.view.service(task.service_arn)
        if service is None or not is_there or stage.what_if.wish_for(service).strategy is not None:
            return
        deployment_id = self._services.deployment_of(service, task)
        if deployment_id is not None:
            self._begin_again(task, deployment_id)

    def _begin_again(self, task: Task, deployment_id: str | None) -> None:
        self._sources[task.arn] = task.arn
        begun = _as_placed(task, deployment_id, self._stage.timeline.now_ms)
        self._stage.call(PLACE, Placed(task=begun))

    def _run(self, deed: TasksRun) -> None:
        stage = self._stage
        definition = stage.view.task_definition(deed.task.task_definition_arn)
        mode = None if definition is None else definition.network_mode
        chosen = [arn for arn in deed.instance_arns if self._is_available(arn)]
        if chosen and len(chosen) == len(deed.arns):
            reply = stage.call("StartTask", start_task_request(deed.task, chosen, mode))
        else:  # of an instance that isn't there nothing can be asked by name
            request = run_task_request(deed.task, len(deed.arns), mode)
            reply = stage.call("RunTask", request)
        tasks = getattr(reply, "tasks", None) or []
        lives = [stage.workload.past.tasks[arn] for arn in deed.arns]
        for task_arn, life in _pair_by_instance(tasks, lives):
            self._sources[task_arn] = life.arn
        for life in lives:
            self._note_unplaced(life)

    def _is_available(self, arn: str) -> bool:
        instance = self._stage.view.container_instance(arn)
        return instance is not None and instance.is_available

    def _note_unplaced(self, life: TaskLife) -> None:
        workload = self._stage.workload
        begins_ms = max(self._stage.timeline.now_ms, workload.begins_ms)
        ends_ms = workload.ends_ms if life.stopped_ms is None else life.stopped_ms
        if ends_ms > begins_ms:
            self.unplaced.append((begins_ms, ends_ms))

    def _stop(self, deed: TaskStopped) -> None:
        view = self._stage.view
        arn = self._arns.get(deed.arn)
        task = None if arn is None else view.task(arn)
        if (task is None or task.is_stopped) and deed.service_arn is not None:
            # Another world's tasks are others: the oldest of the service takes its place.
            live = view.tasks_of_service(deed.service_arn).values()
            task = min(live, key=lambda each: (each.created_at_ms, each.arn), default=None)
        if task is not None:
            request = ecs.StopTaskRequest(
                cluster=task.cluster_arn, task=task.arn, reason=deed.reason or None
            )
            self._stage.call("StopTask", request)

    def _protect(self, deed: TaskProtected) -> None:
        arn = self._arns.get(deed.arn)
        if arn is None or self._stage.view.task(arn) is None:
            return
        minutes = None
        if deed.until_ms is not None:
            minutes = max(1, -(-(deed.until_ms - deed.at_ms) // MINUTE_MS))
        request = ecs.UpdateTaskProtectionRequest(
            cluster=self._stage.workload.cluster.arn,
            tasks=[arn],
            protection_enabled=deed.until_ms is not None,
            expires_in_minutes=minutes,
        )
        self._stage.call("UpdateTaskProtection", request)


def _pair_by_instance(
    tasks: list[ecs.Task], lives: list[TaskLife]
) -> Iterator[tuple[str, TaskLife]]:
    """Give each task a life of the list, where it can one of its own container instance.

    Those that are given are taken out of the list.
    """
    others = []
    for task in tasks:
        here = (each for each in lives if each.instance_arn == task.container_instance_arn)
        life = next(here, None)
        if life is None:
            others.append(task)
        else:
            lives.remove(life)
            yield task.task_arn or "", life
    for task in others:
        yield task.task_arn or "", lives.pop(0)


def _as_placed(task: Task, deployment_id: str | None, now_ms: int) -> Task:
    """Return a task as it was when it had just been placed."""
    return replace(
        task,
        deployment_id=deployment_id,
        started_by=task.started_by if deployment_id is None else deployment_id,
        last_status=PENDING,
        desired_status=RUNNING,
        health_status="UNKNOWN",
        containers=tuple(
            replace(each, last_status=PENDING, exit_code=None, health_status="UNKNOWN")
            for each in task.containers
        ),
        stop_code=None,
        stopped_reason=None,
        created_at_ms=now_ms,
        started_at_ms=None,
        stopping_at_ms=None,
        execution_stopped_at_ms=None,
        stopped_at_ms=None,
    )
