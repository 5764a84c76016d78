"""Task sets as AWS describes them."""

import msgspec

from homeport.api import ecs
from homeport.core.reconcile.task_sets import computed_desired_count
from homeport.model.record import Tag
from homeport.model.service import Service, TaskSet
from homeport.operations.ecs.capacity_strategy import render_strategy
from homeport.operations.ecs.tags import render_tags
from homeport.operations.render.tasks import PLATFORM_FAMILY
from homeport.state.view import View

decode_network = msgspec.json.Decoder(ecs.NetworkConfiguration | None).decode


def render_task_set(
    view: View, service: Service, task_set: TaskSet, *, tags: tuple[Tag, ...] = ()
) -> ecs.TaskSet:
    """Render a task set with its counts (API:TaskSet)."""
    load = view.deployment_load(service.arn, task_set.id)
    return ecs.TaskSet(
        id=task_set.id,
        task_set_arn=task_set.arn,
        service_arn=service.arn,
        cluster_arn=service.cluster_arn,
        external_id=task_set.external_id,
        status=task_set.status,
        task_definition=task_set.task_definition_arn,
        computed_desired_count=computed_desired_count(service, task_set),
        pending_count=load.pending,
        running_count=load.running,
        created_at=task_set.created_at_ms / 1_000,
        updated_at=task_set.updated_at_ms / 1_000,
        launch_type=task_set.launch_type,
        capacity_provider_strategy=render_strategy(task_set.capacity_provider_strategy) or None,
        platform_version=task_set.platform_version,
        platform_family=PLATFORM_FAMILY if task_set.platform_version else None,
        network_configuration=decode_network(task_set.network_configuration),
        load_balancers=[],
        service_registries=[],
        scale=ecs.Scale(value=task_set.scale_percent, unit="PERCENT"),
        stability_status=task_set.stability_status,
        stability_status_at=task_set.stability_at_ms / 1_000,
        tags=render_tags(tags) if tags else None,
    )
