"""When a deleted task definition is forgotten: once no task and no service refers to it.

Until then it is in DELETE_IN_PROGRESS, so that what runs on it goes on. Source:
API:DeleteTaskDefinitions.
"""

from collections.abc import Container

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


def forget_unreferenced(view: View, without: Container[str]) -> tuple[Change, ...]:
    """Make the changes that forget every revision in DELETE_IN_PROGRESS nothing refers to."""
    return tuple(
        change
        for definition in view.deleting_task_definitions()
        if not is_referenced(view, definition.arn, without)
        for change in forget_definition(view, definition.arn)
    )


def _refers(service: Service, arn: str) -> bool:
    return service.task_definition_arn == arn or any(
        deployment.task_definition_arn == arn for deployment in service.deployments
    )
