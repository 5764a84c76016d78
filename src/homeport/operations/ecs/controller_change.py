"""UpdateService with another deployment controller: ECS's deployments become task sets, and back.

Reference: services §6; docs.aws.amazon.com/AmazonECS/latest/developerguide/
update-service-parameters.html. What runs stays as it is: a deployment and the task set that takes
its place have the same id.
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from homeport.api import ecs
from homeport.core.decision import Moment
from homeport.model.arn import cluster_name_of, make_task_set_arn, scope_of
from homeport.model.service import NO_DEPLOYMENT, Deployment, Service, TaskSet
from homeport.operations.ecs.deployment_start import make_revision
from homeport.operations.render.services import (
    decode_document,
    encode_document,
    network_configuration_of,
)
from homeport.operations.render.task_sets import decode_network
from homeport.state.changes import Change, Put
from homeport.state.view import View

WHOLE_PERCENT = 100.0


def change_controller(
    view: View, service: Service, *, ids: Iterator[str], moment: Moment
) -> tuple[Service, tuple[Change, ...]]:
    """Return the service with the other of the controllers ECS and EXTERNAL, and changes beside it.

    InvalidParameterException in the middle of a deployment, and for what EXTERNAL hasn't.
    """
    if service.deployment_controller == "EXTERNAL":
        return _to_ecs(service, ids=ids, moment=moment)
    return _to_external(view, service, moment), ()


def _to_external(view: View, service: Service, moment: Moment) -> Service:
    """Make the only deployment the PRIMARY task set."""
    if service.scheduling_strategy == "DAEMON":
        raise _refusal("a service with the DAEMON scheduling strategy keeps the ECS one")
    for is_given, name in (
        (service.circuit_breaker is not None, "a deployment circuit breaker"),
        (service.staged is not None, "lifecycle hooks, a bake time or a strategy but ROLLING"),
        (service.early_success is not None, "early success criteria"),
    ):
        if is_given:
            raise _refusal(f"the service has {name}, which EXTERNAL hasn't; switch it off first")
    primary = service.primary
    if primary.rollout_state != "COMPLETED" or len(service.deployments) > 1:
        raise _refusal("a deployment is in progress")
    network = network_configuration_of(view, service)
    task_set = TaskSet(
        id=primary.id,
        arn=make_task_set_arn(
            scope_of(service.arn), cluster_name_of(service.cluster_arn), service.name, primary.id
        ),
        status="PRIMARY",
        task_definition_arn=primary.task_definition_arn,
        launch_type=service.launch_type,
        capacity_provider_strategy=service.capacity_provider_strategy,
        platform_version=service.platform_version,
        network_configuration=msgspec.json.encode(network),
        scale_percent=WHOLE_PERCENT,
        stability_status="STEADY_STATE" if service.is_steady else "STABILIZING",
        stability_at_ms=moment.now_ms,
        created_at_ms=primary.created_at_ms,
        updated_at_ms=moment.now_ms,
    )
    return replace(
        service,
        deployment_controller="EXTERNAL",
        deployments=(NO_DEPLOYMENT,),
        task_sets=(task_set,),
        last_completed=None,
    )


def _to_ecs(
    service: Service, *, ids: Iterator[str], moment: Moment
) -> tuple[Service, tuple[Change, ...]]:
    """Make the PRIMARY task set, the only one, the deployment that is complete."""
    if len(service.task_sets) != 1 or service.task_sets[0].status != "PRIMARY":
        raise _refusal("the service must have its PRIMARY task set, and no other")
    (task_set,) = service.task_sets
    if task_set.stability_status != "STEADY_STATE":
        raise _refusal("the PRIMARY task set is not in STEADY_STATE")
    if task_set.scale_percent != WHOLE_PERCENT:
        raise _refusal(f"the scale of the PRIMARY task set must be {WHOLE_PERCENT} percent")
    document = replace(
        decode_document(service.document),
        fingerprint=b"",
        network_configuration=decode_network(task_set.network_configuration),
    )
    described = replace(
        service,
        deployment_controller="ECS",
        task_definition_arn=task_set.task_definition_arn,
        launch_type=task_set.launch_type,
        capacity_provider_strategy=task_set.capacity_provider_strategy,
        platform_version=task_set.platform_version,
        document=encode_document(document),
        task_sets=(),
    )
    revision = make_revision(described, document, ids=ids, moment=moment)
    deployment = Deployment(
        id=task_set.id,
        status="PRIMARY",
        task_definition_arn=task_set.task_definition_arn,
        rollout_state="COMPLETED",
        rollout_state_reason=f"ECS deployment {task_set.id} completed.",
        created_at_ms=task_set.created_at_ms,
        updated_at_ms=moment.now_ms,
        revision_arn=revision.arn,
    )
    changed = replace(described, deployments=(deployment,), last_completed=deployment)
    return changed, (Put(revision),)


def _refusal(why: str) -> ecs.InvalidParameterException:
    return ecs.InvalidParameterException(f"The deployment controller cannot be changed: {why}.")
