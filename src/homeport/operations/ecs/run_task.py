"""RunTask: tasks of one task definition; where they go is found by `run_placement`."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.client_token import ClientToken
from homeport.model.task import Task
from homeport.operations.context import CallContext
from homeport.operations.ecs.client_tokens import (
    check_token,
    find_token,
    fingerprint_of,
    keep_token,
    token_key,
)
from homeport.operations.ecs.run_placement import choose_course, find_places
from homeport.operations.ecs.task_launch import (
    check_terms,
    launch_tasks,
    render_launched,
)
from homeport.operations.lookup import find_cluster
from homeport.operations.render.tasks import render_task
from homeport.state.view import View

TASKS_PER_CALL = 10
STARTED_BY_LENGTH_CHARACTERS = 128
CLIENT_TOKEN_LENGTH_CHARACTERS = 64
UNSUCCESSFUL_CALL_RETENTION_S = 3_600

_decode_failures = msgspec.json.Decoder(list[ecs.Failure]).decode


def run_task(view: View, request: ecs.RunTaskRequest, context: CallContext) -> Decision:
    """Start up to 10 tasks of one task definition where they fit.

    Not all or nothing: tasks that were placed and a failure for each container instance that
    refused stand side by side. A clientToken that was used before gets its first answer again
    (reference: task-lifecycle §8).
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    token = check_token(request.client_token, CLIENT_TOKEN_LENGTH_CHARACTERS)
    anonymous = replace(request, client_token=None)
    key = None if token is None else token_key("RunTask", cluster.arn, token)
    known = None if key is None else find_token(view, key, anonymous, context)
    if known is not None:
        tasks = tuple(task for arn in known.resource_arns if (task := view.task(arn)) is not None)
        if tasks or not known.resource_arns:
            return Decision(reply=_replay(view, known, tasks))
    count = _check_count(request.count)
    course = choose_course(view, cluster, request)
    terms = check_terms(
        view,
        cluster,
        request,
        context,
        launch_type=course.launch_type,
        started_by_characters=STARTED_BY_LENGTH_CHARACTERS,
        platform_version=course.platform_version,
    )
    places, failures = find_places(
        view, cluster, request, context, terms=terms, course=course, count=count
    )
    launch = launch_tasks(view, terms, cluster=cluster, places=places, context=context)
    changes = launch.changes
    if key is not None:
        arns = tuple(task.arn for task in launch.tasks)
        used = _used_token(key, anonymous, context, task_arns=arns, failures=failures)
        changes = (*changes, *keep_token(view, used))
    return Decision(
        reply=ecs.RunTaskResponse(tasks=render_launched(view, terms, launch), failures=failures),
        changes=changes,
        effects=launch.effects,
    )


def _check_count(count: int | None) -> int:
    if count is None:
        return 1
    if not 1 <= count <= TASKS_PER_CALL:
        raise ecs.InvalidParameterException(
            f"count must be between 1 and {TASKS_PER_CALL}, it is {count}."
        )
    return count


def _used_token(
    key: str,
    request: ecs.RunTaskRequest,
    context: CallContext,
    *,
    task_arns: tuple[str, ...],
    failures: list[ecs.Failure],
) -> ClientToken:
    """Keep what the call did for AWS's 24 hours, or for an hour if it started nothing."""
    keep_s = context.settings.client_token_retention_s
    if not task_arns:
        keep_s = min(keep_s, UNSUCCESSFUL_CALL_RETENTION_S)
    return ClientToken(
        key=key,
        fingerprint=fingerprint_of(request),
        resource_arns=task_arns,
        document=msgspec.json.encode(failures) if failures else b"",
        expires_at_ms=context.moment.now_ms + keep_s * 1_000,
    )


def _replay(view: View, known: ClientToken, tasks: tuple[Task, ...]) -> ecs.RunTaskResponse:
    """Answer as the first time, with the tasks as they are now; of stopped ones only the status."""
    return ecs.RunTaskResponse(
        tasks=[
            ecs.Task(
                task_arn=task.arn,
                last_status=task.last_status,
                desired_status=task.desired_status,
            )
            if task.is_stopped
            else render_task(view, task, view.tags(task.arn))
            for task in tasks
        ],
        failures=_decode_failures(known.document) if known.document else [],
    )


OPERATIONS: dict[str, Callable[..., Decision]] = {"RunTask": run_task}
