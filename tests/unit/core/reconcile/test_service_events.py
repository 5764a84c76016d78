"""What a service says of itself, word for word as ECS says it.

Source: docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html, and
service-rebalancing-events.html (services §4, §13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from builders import make_container_instance, make_task, make_task_definition
from homeport.api import ecs
from homeport.core.capacity.provisioning import UNAVAILABLE
from homeport.core.placement.request import Refusal
from homeport.core.reconcile import service_events as say
from homeport.model.capacity_provider import StrategyItem
from homeport.model.task import RUNNING, STOPPED
from service_world import ServiceWorld

if TYPE_CHECKING:
    from homeport.model.service import Service

WEB, AGAIN = make_task_definition("web", 1), make_task_definition("web", 2)
HOST = make_container_instance("host")
TASKS = tuple(make_task(name, definition=WEB, instance=HOST) for name in ("one", "two"))
ADVICE = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
UNPLACED = (
    "(service web) was unable to place a task because no container instance met all of its "
    "requirements."
)


@pytest.fixture
def service() -> Service:
    world = ServiceWorld(WEB)
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web", desired_count=2)
    world.call("CreateService", request)
    return world.service()


def ids() -> tuple[str, str]:
    one, two = (task.arn.rsplit("/", 1)[-1] for task in TASKS)
    return one, two


def test_starts_and_stops_name_their_tasks(service: Service) -> None:
    one, two = ids()
    assert say.started_messages(service, TASKS) == [
        f"(service web) has started 2 tasks: (task {one}) (task {two})."
    ]
    assert say.stopped_messages(service, TASKS[:1]) == [
        f"(service web) has stopped 1 running tasks: (task {one})."
    ]
    assert say.failed_health_message(service, TASKS[0]) == (
        f"(service web) (task {one}) failed container health checks."
    )


def test_a_deployment_names_itself(service: Service) -> None:
    deployment = service.primary
    assert say.completed_message(service) == (
        f"(service web) (deployment {deployment.id}) deployment completed."
    )
    assert say.failed_message(service, deployment) == (
        f"(service web) (deployment {deployment.id}) deployment failed: tasks failed to start."
    )
    assert say.rolling_back_message(service) == (
        f"(service web) rolling back to deployment {deployment.id}."
    )


def test_what_a_service_is_or_cannot_do(service: Service) -> None:
    assert say.steady_message(service) == "(service web) has reached a steady state."
    assert say.impaired_message(service) == (
        "(service web) is unable to consistently start tasks successfully."
    )
    assert say.stuck_message(service) == (
        "(service web) was unable to stop or start tasks during a deployment because of the "
        "service deployment configuration. Update the minimumHealthyPercent or maximumPercent "
        "value and try again."
    )
    assert say.overflow_message(service) == (
        "(service web) was unable to place tasks in your cluster because the tasks provisioning "
        "capacity limit was exceeded."
    )
    assert say.protected_message(service, "ecs-svc/1") == (
        "(service web) was unable to reach steady state because task set (ecs-svc/1) was unable to "
        "scale in. Reason: The number of protected tasks are more than the desired count of tasks"
    )


@pytest.mark.parametrize(
    ("reason", "tail"),
    [
        ("RESOURCE:CPU", "has insufficient CPU units available."),
        ("RESOURCE:MEMORY", "has insufficient memory available."),
        ("RESOURCE:PORTS", "is already using a port required by your task."),
        ("ATTRIBUTE", "is missing an attribute required by your task."),
        ("AGENT", 'encountered error "AGENT".'),
    ],
)
def test_a_task_without_a_place_names_the_closest_instance(
    service: Service, reason: str, tail: str
) -> None:
    refusal = Refusal(HOST.arn, reason, "")
    instance = HOST.arn.rsplit("/", 1)[-1]
    assert say.unplaced_message(service, [refusal]) == (
        f"{UNPLACED} The closest matching (container-instance {instance}) {tail} {ADVICE}"
    )


def test_a_task_without_any_instance_says_so(service: Service) -> None:
    assert say.unplaced_message(service, []) == (
        f"{UNPLACED} Reason: No Container Instances were found in your cluster. {ADVICE}"
    )
    provided = replace(service, capacity_provider_strategy=(StrategyItem("a", weight=1),))
    assert say.unplaced_message(provided, []) == (
        "(service web) was unable to place a task because no container instance met all of its "
        "requirements. Reason: No Container Instances were found in your capacity provider. For "
        "more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
    )


def test_a_task_that_waited_for_capacity_in_vain_says_why(service: Service) -> None:
    assert say.unplaceable_message(service, UNAVAILABLE) == (
        "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. "
        "Please try again later or in a different availability zone."
    )


def test_a_rollout_speaks_in_ecss_order() -> None:
    world = ServiceWorld(WEB, AGAIN)
    request = ecs.CreateServiceRequest(service_name="web", task_definition="web:1", desired_count=1)
    world.call("CreateService", request)
    world.reconcile()
    world.run_all()
    (old,) = world.tasks()
    known = len(world.messages())
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    (new,) = [task for task in world.tasks() if task.arn != old.arn]
    world.report(new, RUNNING)
    world.report(old, STOPPED)
    deployment = world.service().primary.id
    old_id, new_id = (task.arn.rsplit("/", 1)[-1] for task in (old, new))
    assert world.messages()[known:] == [
        f"(service web) has started 1 tasks: (task {new_id}).",
        f"(service web) has stopped 1 running tasks: (task {old_id}).",
        f"(service web) (deployment {deployment}) deployment completed.",
        "(service web) has reached a steady state.",
    ]
