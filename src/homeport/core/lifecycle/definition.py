"""When a deleted task definition is forgotten: once no task and no service refers to it.

Until then it is in DELETE_IN_PROGRESS, so that what runs on it goes on. Source:
API:DeleteTaskDefinitions.
"""

from collections.abc import Container, Iterable, Iterator

from homeport.model.service import Service
from homeport.state.changes import Change, Delete
from homeport.state.view import View


def is_referenced(view: View, arn: str, without: Container[str] = ()) -> bool:
    """Tell whether a task, STOPPED ones included, or a service refers to a revision.

    `without` holds ARNs of tasks and services that are being forgotten just now.
    """
    if any(task_arn not in without for task_arn in view.tasks_of_definition(arn)):
        return True
    return any(
        _refers(service, arn) for service in view.every_service() if service.arn not in without
    )


def forget_definition(view: View, arn: str) -> tuple[Change, ...]:
    """Make the changes that forget a revision and its tags."""
    deletion = Delete("task_definition", arn)
    return (deletion, Delete("tags", arn)) if view.tags(arn) else (deletion,)


def forget_unreferenced(view: View, deletions: Iterable[Delete]) -> tuple[Change, ...]:
    """Make the changes that forget the deleted revisions whose last reference goes now.

    `deletions` forget tasks and services; only what those refer to is looked at.
    """
    if next(view.deleting_task_definitions(), None) is None:
        return ()
    gone = dict.fromkeys(deletion.key for deletion in deletions)
    arns = dict.fromkeys(arn for key in gone for arn in _definitions_of(view, key))
    return tuple(
        change
        for arn in arns
        if _is_deleting(view, arn) and not is_referenced(view, arn, gone)
        for change in forget_definition(view, arn)
    )


def _is_deleting(view: View, arn: str) -> bool:
    definition = view.task_definition(arn)
    return definition is not None and definition.status == "DELETE_IN_PROGRESS"


def _definitions_of(view: View, arn: str) -> Iterator[str]:
    """Name the revisions that a task or a service refers to; other records refer to none."""
    task = view.task(arn)
    if task is not None:
        yield task.task_definition_arn
    service = view.service(arn)
    if service is not None:
        yield service.task_definition_arn
        yield from (deployment.task_definition_arn for deployment in service.deployments)
        yield from (task_set.task_definition_arn for task_set in service.task_sets)
        if service.last_completed is not None:
            yield service.last_completed.task_definition_arn


def _refers(service: Service, arn: str) -> bool:
    kept = service.last_completed  # a rollback may need it
    if arn in (service.task_definition_arn, None if kept is None else kept.task_definition_arn):
        return True
    return any(deployment.task_definition_arn == arn for deployment in service.deployments) or any(
        task_set.task_definition_arn == arn for task_set in service.task_sets
    )
