"""The operations that are built, by AWS's name; each lives in the module of its resource."""

from collections.abc import Callable
from typing import Any, NoReturn

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.operations.context import CallContext
from homeport.operations.ecs import (
    account_settings,
    agent_reports,
    attributes,
    capacity_providers,
    clusters,
    container_instances,
    poll_endpoint,
    registration,
    run_task,
    service_deployments,
    services,
    start_task,
    tags,
    task_definitions,
    task_protection,
    task_sets,
    tasks,
)
from homeport.state.view import View

Operation = Callable[[View, Any, CallContext], Decision]

OPERATIONS: dict[str, Operation] = {
    **account_settings.OPERATIONS,
    **agent_reports.OPERATIONS,
    **attributes.OPERATIONS,
    **capacity_providers.OPERATIONS,
    **clusters.OPERATIONS,
    **container_instances.OPERATIONS,
    **poll_endpoint.OPERATIONS,
    **registration.OPERATIONS,
    **run_task.OPERATIONS,
    **service_deployments.OPERATIONS,
    **services.OPERATIONS,
    **start_task.OPERATIONS,
    **tags.OPERATIONS,
    **task_definitions.OPERATIONS,
    **task_sets.OPERATIONS,
    **task_protection.OPERATIONS,
    **tasks.OPERATIONS,
}


def refuse_unbuilt(name: str) -> NoReturn:
    """Say that an operation of ECS isn't built; AWS has no word for it, so the text does it."""
    raise ecs.ClientException(
        f"Homeport does not implement {name} yet. See docs/operations.md for what it does."
    )
