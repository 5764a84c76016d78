"""Calls on the task sets of an EXTERNAL service again, from the service before and after them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from homeport.api import ecs
from homeport.model.service import Service, TaskSet
from homeport.operations.ecs.capacity_strategy import render_strategy

TASK_SET_CALLS = frozenset(
    {"CreateTaskSet", "UpdateTaskSet", "DeleteTaskSet", "UpdateServicePrimaryTaskSet"}
)

_decode_network = msgspec.json.Decoder(ecs.NetworkConfiguration | None).decode


class TaskSetCall(NamedTuple):
    """One call; `creates` is the id that the journal's task set has which it makes."""

    operation: str
    request: object
    creates: str | None = None


def task_set_calls(
    before: Service, after: Service, names: Mapping[str, str]
) -> Iterator[TaskSetCall]:
    """Yield the calls that lead from one state of a service's task sets to the next.

    `names` has each task set's id in the replay by its id in the journal; it may grow meanwhile.
    """
    known = {each.id: each for each in before.task_sets}
    cluster, service = after.cluster_arn, after.name
    for task_set in after.task_sets:
        old = known.get(task_set.id)
        if old is None:
            request = _create_request(task_set, cluster, service)
            yield TaskSetCall("CreateTaskSet", request, task_set.id)
        name = names.get(task_set.id)
        if name is None:
            continue  # its creation was refused
        if old is not None and old.scale_percent != task_set.scale_percent:
            yield TaskSetCall(
                "UpdateTaskSet",
                ecs.UpdateTaskSetRequest(
                    cluster=cluster, service=service, task_set=name, scale=_scale(task_set)
                ),
            )
        was = "ACTIVE" if old is None else old.status
        if task_set.status == "PRIMARY" != was:
            yield TaskSetCall(
                "UpdateServicePrimaryTaskSet",
                ecs.UpdateServicePrimaryTaskSetRequest(
                    cluster=cluster, service=service, primary_task_set=name
                ),
            )
        if task_set.status == "DRAINING" != was:
            yield TaskSetCall(
                "DeleteTaskSet",
                ecs.DeleteTaskSetRequest(
                    cluster=cluster, service=service, task_set=name, force=True
                ),
            )


def _create_request(task_set: TaskSet, cluster: str, service: str) -> ecs.CreateTaskSetRequest:
    strategy = render_strategy(task_set.capacity_provider_strategy) or None
    return ecs.CreateTaskSetRequest(
        cluster=cluster,
        service=service,
        external_id=task_set.external_id,
        task_definition=task_set.task_definition_arn,
        launch_type=None if strategy else task_set.launch_type,
        capacity_provider_strategy=strategy,
        platform_version=task_set.platform_version,
        network_configuration=_decode_network(task_set.network_configuration),
        scale=_scale(task_set),
    )


def _scale(task_set: TaskSet) -> ecs.Scale:
    return ecs.Scale(unit="PERCENT", value=task_set.scale_percent)
