"""Whatever is called in the middle of whatever deployment, a service comes to rest in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from builders import make_container_instance, make_task_definition
from homeport.api import ecs
from homeport.model.capacity_provider import ATTRIBUTE_CAPACITY_PROVIDER, CapacityProvider
from service_trouble import ServiceTrouble
from service_world import ServiceWorld

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 60
DEFINITIONS = tuple(make_task_definition("web", revision) for revision in (1, 2, 3))
ROLLING_STAGES = ("PRE_SCALE_UP", "POST_SCALE_UP")
STAGES = (*ROLLING_STAGES, "POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT")


class Caller(ServiceTrouble):
    """Calls at random, and agents that report at random."""

    def __init__(self, seed: int) -> None:
        hosts = [
            make_container_instance(
                f"host of {name}",
                zone=f"us-east-1{name}",
                cpu_units=65_536,
                memory_mib=131_072,
                attributes={ATTRIBUTE_CAPACITY_PROVIDER: name},
            )
            for name in "ab"
        ]
        super().__init__(seed, ServiceWorld(*DEFINITIONS, *hosts))
        (cluster,) = self.world.store.clusters
        self.world.put(replace(cluster, capacity_providers=("a", "b")))
        for name in "ab":
            arn = f"arn:aws:ecs:us-east-1:123456789012:capacity-provider/{name}"
            self.world.put(CapacityProvider(arn=arn, name=name, auto_scaling_group_arn=name))
        self.call(
            "CreateService",
            ecs.CreateServiceRequest(service_name="web", task_definition="web:1", desired_count=2),
        )

    def scale(self) -> None:
        self.update(desired_count=self.draw.randint(0, 4))

    def move(self) -> None:
        item = ecs.CapacityProviderStrategyItem(capacity_provider=self.draw.choice("ab"), weight=1)
        strategy = [] if self.draw.random() < 0.3 else [item]
        self.update(capacity_provider_strategy=strategy, force_new_deployment=True)

    def configure(self) -> None:
        strategy = self.draw.choice(("ROLLING", "ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"))
        stages = ROLLING_STAGES if strategy == "ROLLING" else STAGES
        hook = ecs.DeploymentLifecycleHook(
            target_type="PAUSE", lifecycle_stages=[self.draw.choice(stages)]
        )
        most = self.draw.choice((100, 150, 200))
        has_breaker = strategy == "ROLLING" and self.draw.random() < 0.5
        configuration = ecs.DeploymentConfiguration(
            strategy=strategy,
            bake_time_in_minutes=self.draw.choice((0, 0, 2)),
            lifecycle_hooks=[hook] if self.draw.random() < 0.4 else [],
            maximum_percent=most,
            # Percents that leave no step are the documented end of a deployment, not this test's.
            minimum_healthy_percent=0 if most < 200 else self.draw.choice((0, 50)),
            deployment_circuit_breaker=ecs.DeploymentCircuitBreaker(
                enable=has_breaker, rollback=self.draw.random() < 0.7
            ),
        )
        self.update(deployment_configuration=configuration)

    def change_controller(self) -> None:
        kind = self.draw.choice(("ECS", "EXTERNAL"))
        self.update(deployment_controller=ecs.DeploymentController(type=kind))

    def answer(self, action: str | None = None) -> None:
        arn = self.world.service().service_deployment_arn
        record = self.world.view.service_deployment(arn or "")
        for hook in () if record is None else record.hooks:
            request = ecs.ContinueServiceDeploymentRequest(
                service_deployment_arn=arn,
                hook_id=hook.id,
                action=action or self.draw.choice(("CONTINUE", "CONTINUE", "ROLLBACK")),
            )
            self.call("ContinueServiceDeployment", request)

    @property
    def deeds(self) -> tuple[Callable[[], None], ...]:
        return (
            self.deploy,
            self.scale,
            self.move,
            self.configure,
            self.change_controller,
            self.stop,
            self.answer,
            *[self.report] * 5,
            *[self.wait] * 2,
        )

    def heal(self) -> None:
        """Let everything start and stop as it should, and answer every hook, until all is calm."""
        self.settle(100, lambda: self.answer("CONTINUE"))


@pytest.mark.parametrize("seed", range(20))
def test_a_service_comes_to_rest_whatever_was_called(seed: int) -> None:
    caller = Caller(seed)
    caller.suffer(STEPS)
    caller.heal()
    service = caller.world.service()
    tasks = caller.world.tasks()
    if service.deployment_controller == "EXTERNAL":
        assert len(tasks) == service.desired_count
        return
    assert service.hold == ""
    if service.primary.rollout_state == "FAILED":
        assert not service.is_stop_requested
        return  # it launches no more until the next deployment
    assert service.is_steady, service
    assert service.service_deployment_arn is None
    assert len(tasks) == service.desired_count
    assert {task.task_definition_arn for task in tasks} <= {service.primary.task_definition_arn}
    strategy = service.capacity_provider_strategy
    fresh = [task for task in tasks if task.deployment_id == service.primary.id]
    assert len(fresh) == len(tasks)
    assert {task.capacity_provider for task in tasks} <= {i.provider for i in strategy} | {None}
