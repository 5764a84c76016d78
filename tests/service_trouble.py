"""A service in the middle of random calls and random reports: what the property tests share."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from homeport.api import ecs
from homeport.model.task import PENDING, RUNNING, STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from homeport.model.task import Task
    from service_world import ServiceWorld

REFUSALS = (
    ecs.ClientException,
    ecs.ConflictException,
    ecs.InvalidParameterException,
    ecs.LimitExceededException,
    ecs.ServiceDeploymentNotFoundException,
    ecs.TaskSetNotFoundException,
)
TASKS_PER_REPORT = 3
HEALING_ROUND_S = 180


class ServiceTrouble:
    """Draws what happens next to the service `web`; `deeds` are what may happen, each as likely."""

    def __init__(self, seed: int, world: ServiceWorld) -> None:
        self.draw = random.Random(seed)
        self.world = world

    @property
    def deeds(self) -> Sequence[Callable[[], None]]:
        """What may happen."""
        raise NotImplementedError

    def call(self, operation: str, request: Any) -> None:
        """Call; a refusal is an answer, too."""
        try:
            self.world.call(operation, request)
        except REFUSALS:
            return

    def update(self, **members: Any) -> None:
        """Call UpdateService."""
        self.call("UpdateService", ecs.UpdateServiceRequest(service="web", **members))

    def deploy(self) -> None:
        """Deploy one of three revisions."""
        revision = self.draw.randint(1, 3)
        is_forced = self.draw.random() < 0.7
        self.update(task_definition=f"web:{revision}", force_new_deployment=is_forced)

    def stop(self) -> None:
        """Stop the deployment, whatever it is in the middle of."""
        request = ecs.StopServiceDeploymentRequest(
            service_deployment_arn=self.world.service().service_deployment_arn,
            stop_type=self.draw.choice((None, "ROLLBACK", "ABORT")),
        )
        self.call("StopServiceDeployment", request)

    def report(self) -> None:
        """Let agents report that tasks run, or have ended."""
        tasks: list[Task] = [*self.world.tasks(), *self.world.tasks(desired=STOPPED)]
        for task in self.draw.sample(tasks, min(len(tasks), TASKS_PER_REPORT)):
            if task.desired_status == STOPPED or self.draw.random() < 0.2:
                self.world.report(task, STOPPED, "it ended")
            elif task.last_status == PENDING:
                self.world.report(task, RUNNING)

    def wait(self) -> None:
        """Let time pass."""
        self.world.pass_time(self.draw.choice((1, 5, 60, 180)))

    def suffer(self, steps: int) -> None:
        """Let so many things happen, the scheduler looking after each."""
        for _ in range(steps):
            self.draw.choice(self.deeds)()
            self.world.reconcile()

    def settle(self, rounds: int, each: Callable[[], None]) -> None:
        """Let everything start and stop as it should; `each` does what else a round needs."""
        for _ in range(rounds):
            each()
            self.world.reconcile()
            self.world.run_all()
            self.world.pass_time(HEALING_ROUND_S)
            self.world.reconcile()
