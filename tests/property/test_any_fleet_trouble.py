"""Whatever becomes of instances and health in the middle of deployments, all is well in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from builders import make_task_definition
from homeport.api import ecs
from homeport.model.task import RUNNING
from homeport.model.task_definition import ContainerSpec
from service_trouble import ServiceTrouble
from service_world import ServiceWorld

if TYPE_CHECKING:
    from collections.abc import Callable


STEPS, INSTANCES = 60, 4
CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
PLAIN = tuple(make_task_definition("web", revision) for revision in (1, 2))
CHECKED = make_task_definition("web", 3, containers=CHECK)


class Trouble(ServiceTrouble):
    """A service, and deployments, instances, reports and health at random."""

    def __init__(self, seed: int, *, is_daemon: bool) -> None:
        super().__init__(seed, ServiceWorld(*PLAIN, CHECKED, instances=INSTANCES))
        self.is_daemon = is_daemon
        request = ecs.CreateServiceRequest(service_name="web", task_definition="web:1")
        if is_daemon:
            request.scheduling_strategy = "DAEMON"
        else:
            request.desired_count = 3
        self.world.call("CreateService", request)

    def configure(self) -> None:
        breaker = ecs.DeploymentCircuitBreaker(
            enable=self.draw.random() < 0.5, rollback=self.draw.random() < 0.7
        )
        configuration = ecs.DeploymentConfiguration(
            deployment_circuit_breaker=breaker, minimum_healthy_percent=0
        )
        if not self.is_daemon:
            configuration.maximum_percent = self.draw.choice((100, 150, 200))
        self.update(deployment_configuration=configuration)

    def churn(self) -> None:
        instance = self.draw.choice(self.world.instances())
        if self.draw.random() < 0.5:
            changed = replace(instance, status=self.draw.choice(("ACTIVE", "DRAINING")))
        else:
            changed = replace(instance, agent_connected=self.draw.random() < 0.5)
        self.world.put(replace(changed, version=instance.version + 1))

    def sicken(self) -> None:
        running = [task for task in self.world.tasks() if task.last_status == RUNNING]
        if running:
            health = self.draw.choice(("HEALTHY", "UNHEALTHY"))
            self.world.report_health(self.draw.choice(running), health)

    @property
    def deeds(self) -> tuple[Callable[[], None], ...]:
        return (
            self.deploy,
            self.configure,
            self.stop,
            *[self.churn] * 2,
            *[self.sicken] * 2,
            *[self.report] * 6,
            *[self.wait] * 2,
        )

    def heal(self) -> None:
        """Let every instance be there, every task run and be healthy, until all is calm."""
        for instance in self.world.instances():
            self.world.change_instance(
                instance, status="ACTIVE", agent_connected=True, version=instance.version + 1
            )
        self.settle(30, self.recover)

    def recover(self) -> None:
        """Let all tasks with a health check be healthy."""
        for task in self.world.tasks():
            if task.task_definition_arn == CHECKED.arn and task.health_status != "HEALTHY":
                self.world.report_health(task, "HEALTHY")


@pytest.mark.parametrize("is_daemon", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_service_is_whole_again_when_the_trouble_is_over(seed: int, is_daemon: bool) -> None:
    trouble = Trouble(seed, is_daemon=is_daemon)
    trouble.suffer(STEPS)
    trouble.heal()
    service, tasks = trouble.world.service(), trouble.world.tasks()
    if service.primary.rollout_state == "FAILED":
        return  # it launches no more until the next deployment
    assert service.is_steady, service
    assert service.service_deployment_arn is None
    if trouble.is_daemon:
        assert len({task.container_instance_arn for task in tasks}) == len(tasks) == INSTANCES
    else:
        assert len(tasks) == service.desired_count
