"""Whatever becomes of instances and health in the middle of deployments, all is well in the end."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from builders import make_task_definition
from homeport.api import ecs
from homeport.model.task import PENDING, RUNNING, STOPPED
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeport.model.task import Task

STEPS, INSTANCES = 60, 4
CHECK = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
PLAIN = tuple(make_task_definition("web", revision) for revision in (1, 2))
CHECKED = make_task_definition("web", 3, containers=CHECK)


class Trouble:
    """A service, and deployments, instances, reports and health at random."""

    def __init__(self, seed: int, *, is_daemon: bool) -> None:
        self.draw = random.Random(seed)
        self.is_daemon = is_daemon
        self.world = ServiceWorld(*PLAIN, CHECKED, instances=INSTANCES)
        request = ecs.CreateServiceRequest(service_name="web", task_definition="web:1")
        if is_daemon:
            request.scheduling_strategy = "DAEMON"
        else:
            request.desired_count = 3
        self.world.call("CreateService", request)

    def update(self, **members: Any) -> None:
        self.world.call("UpdateService", ecs.UpdateServiceRequest(service="web", **members))

    def deploy(self) -> None:
        self.update(task_definition=f"web:{self.draw.randint(1, 3)}", force_new_deployment=True)

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

    def stop(self) -> None:
        arn = self.world.service().service_deployment_arn
        kind = self.draw.choice(("ROLLBACK", "ABORT"))
        request = ecs.StopServiceDeploymentRequest(service_deployment_arn=arn, stop_type=kind)
        try:
            self.world.call("StopServiceDeployment", request)
        except (ecs.ConflictException, ecs.ServiceDeploymentNotFoundException):
            return

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

    def report(self) -> None:
        tasks: list[Task] = [*self.world.tasks(), *self.world.tasks(desired=STOPPED)]
        for task in self.draw.sample(tasks, min(len(tasks), 3)):
            if task.desired_status == STOPPED or self.draw.random() < 0.2:
                self.world.report(task, STOPPED, "it ended")
            elif task.last_status == PENDING:
                self.world.report(task, RUNNING)

    def wait(self) -> None:
        self.world.pass_time(self.draw.choice((1, 5, 60, 180)))

    def step(self) -> None:
        deeds: tuple[Callable[[], None], ...] = (
            self.deploy,
            self.configure,
            self.stop,
            *[self.churn] * 2,
            *[self.sicken] * 2,
            *[self.report] * 6,
            *[self.wait] * 2,
        )
        self.draw.choice(deeds)()
        self.world.reconcile()

    def heal(self) -> None:
        """Let every instance be there, every task run and be healthy, until all is calm."""
        for instance in self.world.instances():
            self.world.change_instance(
                instance, status="ACTIVE", agent_connected=True, version=instance.version + 1
            )
        for _ in range(30):
            self.world.reconcile()
            self.world.run_all()
            for task in self.world.tasks():
                if task.task_definition_arn == CHECKED.arn and task.health_status != "HEALTHY":
                    self.world.report_health(task, "HEALTHY")
            self.world.pass_time(180)
            self.world.reconcile()


@pytest.mark.parametrize("is_daemon", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_service_is_whole_again_when_the_trouble_is_over(seed: int, is_daemon: bool) -> None:
    trouble = Trouble(seed, is_daemon=is_daemon)
    for _ in range(STEPS):
        trouble.step()
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
