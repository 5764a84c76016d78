"""ExplainServices: what a service waits for, and when the next launch is tried."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from builders import SCOPE, at, make_task_definition
from homeport.api import ecs, homeport
from homeport.model.capacity_provider import CapacityProvider
from homeport.model.task import PENDING, STOPPED
from homeport.operations.context import CallContext
from homeport.operations.homeport.explain_services import explain_services
from service_world import ServiceWorld

V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)
HUGE = make_task_definition("huge", 1, memory_mib=1_000_000)


def start(definition: str = "web:1", **members: object) -> ServiceWorld:
    world = ServiceWorld(V1, V2, HUGE)
    request = ecs.CreateServiceRequest(
        service_name="web", task_definition=definition, desired_count=1
    )
    for name, value in members.items():
        setattr(request, name, value)
    world.call("CreateService", request)
    world.reconcile()
    return world


def ask(world: ServiceWorld, *names: str) -> list[homeport.ExplainedService]:
    context = CallContext(
        scope=SCOPE, moment=at(world.now_ms, "ask"), endpoint="http://127.0.0.1:4566"
    )
    request = homeport.ExplainServicesRequest(services=list(names))
    reply = explain_services(world.view, request, context).reply
    assert isinstance(reply, homeport.ExplainServicesResponse)
    return reply.services


def fail(world: ServiceWorld, rounds: int) -> None:
    for _ in range(rounds):
        world.pass_time(1)
        world.reconcile()
        (task,) = [t for t in world.tasks() if t.last_status == PENDING]
        world.report(task, STOPPED, "CannotPullContainerError: no such image")


def test_a_throttled_service_says_when_it_tries_again_and_what_its_tasks_died_of():
    world = start()
    fail(world, 4)
    (found,) = ask(world, "web")
    assert found.next_launch_at == (world.now_ms + 2_000) / 1_000
    assert found.failed_rounds == 4
    assert found.reasons == [
        "tasks don't stay up: CannotPullContainerError: no such image",
        "is unable to consistently start tasks successfully.",
    ]
    world.pass_time(2)
    (found,) = ask(world, "web")
    assert found.next_launch_at is None


def test_a_service_whose_circuit_breaker_gave_up_says_what_its_tasks_died_of():
    breaker = ecs.DeploymentCircuitBreaker(enable=True, rollback=False)
    configuration = ecs.DeploymentConfiguration(deployment_circuit_breaker=breaker)
    world = start(deployment_configuration=configuration)
    fail(world, 3)
    world.reconcile()
    (found,) = ask(world, "web")
    assert found.reasons == [
        "tasks don't stay up: CannotPullContainerError: no such image",
        "ECS deployment circuit breaker: tasks failed to start.",
    ]


def test_a_service_without_room_says_what_is_short():
    (found,) = ask(start("huge:1"), "web")
    assert not found.is_steady
    assert found.next_launch_at is None
    assert len(found.reasons) == 1
    assert "insufficient memory" in found.reasons[0]


def test_a_service_whose_tasks_wait_says_of_which_provider():
    provider = CapacityProvider(
        arn="arn:aws:ecs:us-east-1:123456789012:capacity-provider/later",
        name="later",
        auto_scaling_group_arn="group/later",
        is_scaling_managed=True,
    )
    world = ServiceWorld(V1, provider)
    (cluster,) = world.store.clusters
    world.put(replace(cluster, capacity_providers=("later",)))
    later = ecs.CapacityProviderStrategyItem(capacity_provider="later", weight=1)
    request = ecs.CreateServiceRequest(
        service_name="web",
        task_definition="web",
        desired_count=2,
        capacity_provider_strategy=[later],
    )
    world.call("CreateService", request)
    world.reconcile()
    (found,) = ask(world, "web")
    assert found.reasons == ["2 tasks wait for capacity of later in PROVISIONING"]


def test_a_paused_deployment_says_who_has_to_answer():
    hook = ecs.DeploymentLifecycleHook(target_type="PAUSE", lifecycle_stages=["PRE_SCALE_UP"])
    world = start(deployment_configuration=ecs.DeploymentConfiguration(lifecycle_hooks=[hook]))
    world.run_all()
    world.call("UpdateService", ecs.UpdateServiceRequest(service="web", task_definition="web:2"))
    world.reconcile()
    (found,) = ask(world, "web")
    (reason,) = found.reasons
    assert reason.startswith("paused in PRE_SCALE_UP: answer hook ecs-pause-")
    assert str(world.service().service_deployment_arn) in reason


def test_a_failed_deployment_says_why():
    breaker = ecs.DeploymentCircuitBreaker(enable=True, rollback=False)
    configuration = ecs.DeploymentConfiguration(deployment_circuit_breaker=breaker)
    world = start(deployment_configuration=configuration)
    fail(world, 3)
    (found,) = ask(world, "web")
    assert "ECS deployment circuit breaker: tasks failed to start." in found.reasons


def test_a_steady_service_waits_for_nothing():
    world = start()
    world.run_all()
    (found,) = ask(world, "web", "web", "nobody")
    assert found.is_steady
    assert (found.next_launch_at, found.failed_rounds, found.reasons) == (None, 0, [])


@pytest.mark.parametrize("count", [0, 11])
def test_a_call_names_one_to_ten_services(count: int):
    with pytest.raises(ecs.InvalidParameterException, match="1 to 10"):
        ask(start(), *[f"web{n}" for n in range(count)])
