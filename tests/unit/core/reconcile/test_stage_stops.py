"""StopServiceDeployment at any moment, and PAUSE hooks at every stage that may have one.

A deployment is taken from one moment to the next, each the smallest thing that can happen; a stop
is tried at all of them (services §10, §11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from builders import make_task_definition
from homeport.api import ecs
from homeport.model.task import PENDING, RUNNING, STOPPED
from service_world import ServiceWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

BLUE, GREEN = make_task_definition("web", 1), make_task_definition("web", 2)
COUNT = 2
MOMENTS_LIMIT = 80
MINUTE_S = 60
AROUND_SCALING = ["RECONCILE_SERVICE", "PRE_SCALE_UP", "POST_SCALE_UP"]
AROUND_TRAFFIC = [
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
]
LINEAR = ecs.LinearConfiguration(step_percent=50.0, step_bake_time_in_minutes=1)
CANARY = ecs.CanaryConfiguration(canary_percent=10.0, canary_bake_time_in_minutes=1)
STRATEGIES: dict[str, dict[str, Any]] = {
    "ROLLING": {},
    "BLUE_GREEN": {},
    "LINEAR": {"linear_configuration": LINEAR},
    "CANARY": {"canary_configuration": CANARY},
}
# Before the shift of production traffic the API still shows the stage behind which it comes, and
# from a step of the shift to the next, the shift itself. RECONCILE_SERVICE is for services whose
# last deployment hasn't ended.
SHIFTED = ["PRE_SCALE_UP", "POST_SCALE_UP", "POST_TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT"]
PAUSES = {
    "ROLLING": ["PRE_SCALE_UP", "POST_SCALE_UP"],
    "BLUE_GREEN": [*SHIFTED, "POST_PRODUCTION_TRAFFIC_SHIFT"],
    "LINEAR": [*SHIFTED, "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"],
    "CANARY": [*SHIFTED, "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"],
}


class Deployment:
    """A service of blue tasks, in a deployment of green ones with every hook there may be."""

    def __init__(self, strategy: str) -> None:
        self.world = ServiceWorld(BLUE, GREEN)
        stages = AROUND_SCALING if strategy == "ROLLING" else AROUND_SCALING + AROUND_TRAFFIC
        hook = ecs.DeploymentLifecycleHook(target_type="PAUSE", lifecycle_stages=stages)
        request = ecs.CreateServiceRequest(
            service_name="web",
            task_definition="web:1",
            desired_count=COUNT,
            deployment_configuration=ecs.DeploymentConfiguration(
                strategy=strategy,
                bake_time_in_minutes=1,
                lifecycle_hooks=[hook],
                **STRATEGIES[strategy],
            ),
        )
        self.world.call("CreateService", request)
        self.world.reconcile()
        while self.world.service().primary.rollout_state != "COMPLETED":
            self.step()
        self.world.run_all()
        self.blue = {task.arn for task in self.world.tasks()}
        update = ecs.UpdateServiceRequest(service="web", task_definition="web:2")
        self.arn = self.world.call("UpdateService", update).service.current_service_deployment

    def describe(self) -> ecs.ServiceDeployment:
        request = ecs.DescribeServiceDeploymentsRequest(service_deployment_arns=[self.arn])
        (found,) = self.world.call("DescribeServiceDeployments", request).service_deployments
        assert isinstance(found, ecs.ServiceDeployment)
        return found

    def waiting_hook(self) -> ecs.ServiceDeploymentLifecycleHookDetail | None:
        hooks = self.describe().lifecycle_hook_details or []
        return next((hook for hook in hooks if hook.status == "AWAITING_ACTION"), None)

    def has_shifted(self) -> bool:
        """Whether green has all of the production traffic."""
        target = self.describe().target_service_revision
        return target is not None and target.requested_production_traffic_weight == 100

    def healthy(self) -> int:
        return sum(task.last_status == RUNNING for task in self.world.tasks())

    def step(self) -> None:
        """Let the next smallest thing happen: a look, a report, an answer, or a minute."""
        world = self.world
        pending = [task for task in world.tasks() if task.last_status == PENDING]
        stopping = world.tasks(desired=STOPPED)
        if stopping:
            world.report(stopping[0], STOPPED)
        elif pending:
            world.report(pending[0], RUNNING)
        elif (service := world.service()).service_deployment_arn and hasattr(self, "arn"):
            self.answer_or_wait(service.service_deployment_arn)
        else:
            world.pass_time(MINUTE_S)
        world.reconcile()

    def answer_or_wait(self, arn: str) -> None:
        hook = self.waiting_hook() if arn == self.arn else None
        if hook is None:
            self.world.pass_time(MINUTE_S)
            return
        request = ecs.ContinueServiceDeploymentRequest(
            service_deployment_arn=arn, hook_id=hook.hook_id
        )
        self.world.call("ContinueServiceDeployment", request)

    def moments(self) -> Iterator[str]:
        """Go through the deployment, and say at each moment in which stage it is."""
        for _ in range(MOMENTS_LIMIT):
            found = self.describe()
            if found.status == "SUCCESSFUL":
                return
            yield f"{found.status} {found.lifecycle_stage}"
            self.step()
        raise AssertionError(f"the deployment never ends: {self.describe()}")

    def stop(self, stop_type: str) -> None:
        request = ecs.StopServiceDeploymentRequest(
            service_deployment_arn=self.arn, stop_type=stop_type
        )
        self.world.call("StopServiceDeployment", request)
        self.world.reconcile()


def how_many_moments(strategy: str) -> list[str]:
    return list(Deployment(strategy).moments())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_hook_pauses_and_goes_on_when_it_is_answered(strategy: str) -> None:
    deployment = Deployment(strategy)
    paused: dict[str | None, str] = {}
    for moment in deployment.moments():
        hook = deployment.waiting_hook()
        if hook is not None:
            paused[hook.hook_id] = moment.removeprefix("IN_PROGRESS ")
        assert deployment.healthy() >= COUNT
    assert list(paused.values()) == PAUSES[strategy]
    assert len(deployment.world.tasks()) == COUNT
    assert {task.task_definition_arn for task in deployment.world.tasks()} == {GREEN.arn}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stopped_at_any_moment_it_goes_back_and_blue_is_never_short(strategy: str) -> None:
    for number, moment in enumerate(how_many_moments(strategy)):
        deployment = Deployment(strategy)
        moments = deployment.moments()
        for _ in range(number + 1):
            assert next(moments)
        deployment.stop("ROLLBACK")
        for _ in range(MOMENTS_LIMIT):
            assert deployment.healthy() >= COUNT, moment
            if deployment.describe().status == "ROLLBACK_SUCCESSFUL":
                break
            deployment.step()
        else:
            pytest.fail(f"stopped at {moment} it is {deployment.describe().status}")
        deployment.world.run_all()
        tasks = deployment.world.tasks()
        assert {task.task_definition_arn for task in tasks} == {BLUE.arn}, moment
        assert len(tasks) == COUNT, moment
        if strategy != "ROLLING" and not moment.endswith("CLEAN_UP"):
            assert {task.arn for task in tasks} == deployment.blue, moment


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_aborted_at_any_moment_it_starts_nothing_more_and_keeps_what_runs(strategy: str) -> None:
    for number, moment in enumerate(how_many_moments(strategy)):
        deployment = Deployment(strategy)
        moments = deployment.moments()
        for _ in range(number + 1):
            assert next(moments)
        green = {t.arn for t in deployment.world.tasks() if t.task_definition_arn == GREEN.arn}
        deployment.stop("ABORT")
        for _ in range(20):
            deployment.step()
        assert deployment.describe().status == "STOPPED", moment
        tasks = deployment.world.tasks()
        after = {task.arn for task in tasks if task.task_definition_arn == GREEN.arn}
        assert after <= green, moment
        assert deployment.healthy() == COUNT, moment
        blue = {task.arn for task in tasks if task.task_definition_arn == BLUE.arn}
        if strategy != "ROLLING":  # whoever has the traffic stays
            assert (blue == deployment.blue) is not deployment.has_shifted(), moment


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_after_an_abort_at_any_moment_tasks_that_end_are_replaced(strategy: str) -> None:
    for number, moment in enumerate(how_many_moments(strategy)):
        deployment = Deployment(strategy)
        moments = deployment.moments()
        for _ in range(number + 1):
            assert next(moments)
        deployment.stop("ABORT")
        for _ in range(2 * COUNT):
            running = [t for t in deployment.world.tasks() if t.last_status == RUNNING]
            deployment.world.report(running[0], STOPPED)
            deployment.world.reconcile()
            for _ in range(10):
                deployment.step()
            assert deployment.healthy() == COUNT, moment
        assert deployment.describe().status == "STOPPED", moment
