"""Stop, describe and list tasks; how they start is `run_task`'s and `start_task`'s work."""

from collections.abc import Callable, Iterable, Iterator

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.core.effects import SendTasks
from homeport.core.lifecycle.new_task import STOP_USER_INITIATED
from homeport.core.lifecycle.new_task import stop_task as begin_stop
from homeport.model.arn import parse_arn
from homeport.model.cluster import Cluster
from homeport.model.task import RUNNING, STOPPED, Task
from homeport.operations.context import CallContext
from homeport.operations.lookup import (
    container_instance_in,
    find_cluster,
    service_in,
    task_arn_from,
    task_in,
)
from homeport.operations.paging import page_size, read_token, take_page
from homeport.operations.render.tasks import DescribedTasks, encode_task, render_task
from homeport.state.changes import Change, Delete, Put
from homeport.state.view import View

TASKS_PER_DESCRIBE = 100
REASON_LENGTH_CHARACTERS = 1_024
TASK_DEFINITION_STATUSES = ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS")
REASON_STOPPED_BY_USER = "Task stopped by user"

TaskTest = Callable[[Task], bool]


def stop_task(view: View, request: ecs.StopTaskRequest, context: CallContext) -> Decision:
    """Want a task STOPPED and answer at once; its agent stops the containers in their order.

    A task that is stopping or STOPPED stays as it is. The task's tags are deleted (API:StopTask).
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    if not request.task:
        raise ecs.InvalidParameterException("Task cannot be empty.")
    task = task_in(view, context.scope, cluster, request.task)
    if task is None:
        raise ecs.InvalidParameterException("The referenced task was not found.")
    reason = request.reason or REASON_STOPPED_BY_USER
    if len(reason) > REASON_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(f"reason longer than {REASON_LENGTH_CHARACTERS}.")
    stopped = begin_stop(task, stop_code=STOP_USER_INITIATED, reason=reason, moment=context.moment)
    reply = ecs.StopTaskResponse(task=render_task(view, stopped))
    if stopped is task:
        return Decision(reply=reply)
    changes: tuple[Change, ...] = (Put(stopped),)
    if view.tags(task.arn):
        changes = (*changes, Delete("tags", task.arn))
    instance_arn = task.container_instance_arn
    effects = () if instance_arn is None else (SendTasks(instance_arn, (task.arn,)),)
    return Decision(reply=reply, changes=changes, effects=effects)


def describe_tasks(view: View, request: ecs.DescribeTasksRequest, context: CallContext) -> Decision:
    """Describe up to 100 tasks by short id or ARN, each once; unknown ones are MISSING."""
    cluster = find_cluster(view, context.scope, request.cluster)
    identifiers = request.tasks
    if not identifiers:
        raise ecs.InvalidParameterException("Tasks cannot be empty.")
    if len(identifiers) > TASKS_PER_DESCRIBE:
        raise ecs.InvalidParameterException(
            f"A call can describe at most {TASKS_PER_DESCRIBE} tasks, this one names "
            f"{len(identifiers)}."
        )
    with_tags = "TAGS" in (request.include or ())
    found = {}
    failures: dict[str, ecs.Failure] = {}
    for identifier in identifiers:
        task = view.task(identifier) or _task_by_id(view, cluster, identifier, context)
        if task is None or task.cluster_arn != cluster.arn:
            arn = task_arn_from(context.scope, cluster, identifier)
            failures[arn] = ecs.Failure(arn=arn, reason="MISSING")
        elif task.arn not in found:
            found[task.arn] = encode_task(view, task, view.tags(task.arn) if with_tags else ())
    return Decision(
        reply=DescribedTasks(tasks=list(found.values()), failures=list(failures.values()))
    )


def list_tasks(view: View, request: ecs.ListTasksRequest, context: CallContext) -> Decision:
    """List the ARNs of a cluster's tasks whose desired status is RUNNING, or STOPPED if asked.

    All filters given must hold; startedBy goes with a desired status only. No task ever has the
    desired status PENDING.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    size = page_size(request.max_results)
    cursor = read_token(request.next_token)
    desired = request.desired_status or RUNNING
    if desired not in (RUNNING, "PENDING", STOPPED):
        raise ecs.InvalidParameterException(
            "desiredStatus should be one of [RUNNING,PENDING,STOPPED]"
        )
    _refuse_filters(request)
    source, tests = _narrowest_source(
        view, cluster, request, context, desired=desired, cursor=cursor
    )
    matching = (task for task in source if all(test(task) for test in tests))
    page, token = take_page(matching, size, lambda task: task.arn)
    return Decision(
        reply=ecs.ListTasksResponse(task_arns=[task.arn for task in page], next_token=token)
    )


def _task_by_id(view: View, cluster: Cluster, identifier: str, context: CallContext) -> Task | None:
    arn = task_arn_from(context.scope, cluster, identifier)
    parsed = parse_arn(arn)
    if parsed is None or parsed.kind != "task":
        raise ecs.InvalidParameterException(
            f"Invalid identifier: {identifier[:255]} is not a task's id or ARN."
        )
    return view.task(arn)


def _refuse_filters(request: ecs.ListTasksRequest) -> None:
    if request.daemon_name:
        raise ecs.UnsupportedFeatureException(
            "Homeport does not implement daemons yet: leave daemonName out."
        )
    others = (request.family, request.service_name, request.container_instance)
    if request.started_by and (any(others) or request.launch_type):
        raise ecs.InvalidParameterException(
            "startedBy can't be combined with other filters. Filter by startedBy alone."
        )


def _narrowest_source(
    view: View,
    cluster: Cluster,
    request: ecs.ListTasksRequest,
    context: CallContext,
    *,
    desired: str,
    cursor: str | None,
) -> tuple[Iterable[Task], list[TaskTest]]:
    """Choose an index that holds all tasks asked for, the narrowest kind first, and the tests.

    Indexes of services and instances hold no STOPPED tasks, so those are sought elsewhere.
    """
    tests: list[TaskTest] = [
        lambda task: task.desired_status == desired and task.cluster_arn == cluster.arn
    ]
    sources: list[Iterable[Task]] = []
    if request.container_instance:
        instance_arn = _instance_arn(view, cluster, request.container_instance, context)
        tests.append(lambda task: task.container_instance_arn == instance_arn)
        if desired == RUNNING:
            sources.append(view.tasks_of_instance(instance_arn).values())
    if request.service_name:
        service_arn = _service_arn(view, cluster, request.service_name, context)
        tests.append(lambda task: task.service_arn == service_arn)
        if desired == RUNNING:
            sources.append(view.tasks_of_service(service_arn).values())
    if request.family:
        marker = f":task-definition/{request.family}:"
        tests.append(lambda task: marker in task.task_definition_arn)
        sources.append(_tasks_of_family(view, request.family, context))
    if request.started_by:
        tests.append(lambda task: task.started_by == request.started_by)
    if request.launch_type:
        tests.append(lambda task: task.launch_type == request.launch_type)
    if sources:
        return _after(sources[0], cursor), tests
    return view.tasks_after(cluster.arn, desired, cursor), tests


def _tasks_of_family(view: View, family: str, context: CallContext) -> Iterator[Task]:
    for status in TASK_DEFINITION_STATUSES:  # tasks go on when their revision is deregistered
        for revision in view.revisions(context.scope, family, status):
            yield from view.tasks_of_definition(revision.arn).values()


def _after(tasks: Iterable[Task], cursor: str | None) -> list[Task]:
    behind = tasks if cursor is None else [task for task in tasks if task.arn > cursor]
    return sorted(behind, key=lambda task: task.arn)


def _instance_arn(view: View, cluster: Cluster, identifier: str, context: CallContext) -> str:
    instance = container_instance_in(view, context.scope, cluster, identifier)
    if instance is None:
        raise ecs.InvalidParameterException(
            f"The referenced container instance was not found: {identifier[:255]}"
        )
    return instance.arn


def _service_arn(view: View, cluster: Cluster, identifier: str, context: CallContext) -> str:
    service = service_in(view, context.scope, cluster, identifier)
    if service is None:
        raise ecs.ServiceNotFoundException("Service not found.")
    return service.arn


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "StopTask": stop_task,
    "DescribeTasks": describe_tasks,
    "ListTasks": list_tasks,
}
