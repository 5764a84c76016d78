"""Deployments that fail under a circuit breaker, in any order of reports.

Safety: the scheduler itself never takes the service below its minimum or above its maximum, and a
rollback stops no task of the deployment that it goes back to. Progress: when agents answer, the
service comes to rest on the new revision or on the last completed one.
"""

from __future__ import annotations

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.circuit_breaker import SETTLING_TIME_S
from homeport.core.reconcile.rollout import bounds_of
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from service_world import ServiceWorld

V1, V2 = make_task_definition("web", 1), make_task_definition("web", 2)
percents = st.tuples(st.integers(0, 100), st.integers(100, 300)).filter(lambda p: p != (100, 100))
deeds = st.tuples(
    st.sampled_from(("run", "fail", "crash", "stop", "wait", "drain")), st.integers(0, 20)
)


class Rollout:
    """A steady service with a circuit breaker, in the middle of its second deployment."""

    def __init__(self, desired: int, percent: tuple[int, int], *, rollback: bool) -> None:
        self.desired = desired
        self.bounds = bounds_of(desired, *percent)
        self.world = ServiceWorld(V1, V2, instances=3)
        configuration = ecs.DeploymentConfiguration(
            minimum_healthy_percent=percent[0],
            maximum_percent=percent[1],
            deployment_circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=rollback),
        )
        request = ecs.CreateServiceRequest(
            service_name="web",
            task_definition="web:1",
            desired_count=desired,
            deployment_configuration=configuration,
            availability_zone_rebalancing="DISABLED",  # a move isn't the rollback's doing
        )
        self.world.call("CreateService", request)
        self.world.reconcile()
        self.settle()
        assert self.world.service().is_steady
        request = ecs.UpdateServiceRequest(service="web", task_definition="web:2")
        self.world.call("UpdateService", request)
        self.look()

    def running(self) -> int:
        return sum(task.last_status == RUNNING for task in self.world.tasks())

    def look(self) -> None:
        """Let the scheduler look, and check what it did by itself."""
        before = self.running()
        self.world.reconcile()
        live = len(self.world.tasks()) + len(self.world.tasks(desired=STOPPED))
        assert live <= max(self.bounds.upper, self.desired)
        assert self.running() >= min(before, self.bounds.lower)

    def do(self, deed: str, choice: int) -> None:
        if deed == "wait":
            self.world.pass_time(choice)
        elif deed == "drain":
            instances = self.world.instances()
            self.world.change_instance(instances[choice % 2], status="DRAINING")
        elif task := self._pick(deed, choice):
            if deed == "crash":
                self.world.pass_time(choice)
            status = RUNNING if deed == "run" else STOPPED
            self.world.report(task, status)
        self.look()

    def settle(self) -> None:
        """Let agents answer, and time pass, until nothing more happens."""
        for _ in range(60):
            self.world.run_all()
            self.world.pass_time(60 + SETTLING_TIME_S)
            before = self.world.view.sequence
            self.world.reconcile()
            self.world.run_all()
            if self.world.view.sequence == before:
                return
        raise AssertionError("the service never comes to rest")

    def _pick(self, deed: str, choice: int) -> Task | None:
        if deed == "stop":
            candidates = self.world.tasks(desired=STOPPED)
        else:
            status = RUNNING if deed == "crash" else PENDING
            candidates = [t for t in self.world.tasks() if t.last_status == status]
        return candidates[choice % len(candidates)] if candidates else None


@settings(max_examples=60, deadline=None)
@given(
    desired=st.integers(1, 5),
    percent=percents,
    done=st.lists(deeds, max_size=30),
    rollback=st.booleans(),
)
@example(desired=1, percent=(1, 200), done=[("run", 0), ("crash", 1), ("drain", 1)], rollback=False)
def test_a_deployment_that_may_fail_ends_well_or_as_documented(
    desired: int, percent: tuple[int, int], done: list[tuple[str, int]], rollback: bool
):
    bounds = bounds_of(desired, *percent)
    assume(bounds.upper > desired or bounds.lower < desired)  # else there is no step at all
    rollout = Rollout(desired, percent, rollback=rollback)
    for deed, choice in done:
        rollout.do(deed, choice)
    rollout.settle()
    service = rollout.world.service()
    if service.primary.rollout_state == "FAILED":
        assert not rollback
        return
    tasks = rollout.world.tasks()
    assert service.primary.rollout_state == "COMPLETED"
    assert len(tasks) == desired
    assert {t.task_definition_arn for t in tasks} == {service.task_definition_arn}
    assert service.is_steady


@settings(max_examples=30, deadline=None)
@given(
    desired=st.integers(1, 5), percent=percents, choices=st.lists(st.integers(0, 9), max_size=20)
)
def test_a_rollback_leaves_every_running_task_that_it_goes_back_to_alone(
    desired: int, percent: tuple[int, int], choices: list[int]
):
    bounds = bounds_of(desired, *percent)
    assume(bounds.upper > desired or bounds.lower < desired)
    rollout = Rollout(desired, percent, rollback=True)
    world = rollout.world
    kept: set[str] = set()
    for _ in range(200):
        if world.service().task_definition_arn == V1.arn:
            break
        kept = {t.arn for t in world.tasks() if t.task_definition_arn == V1.arn}
        for task in world.tasks(desired=STOPPED):
            world.report(task, STOPPED)
        pending = [t for t in world.tasks() if t.last_status == PENDING]
        if pending:
            choice = choices.pop() if choices else 0
            failing = pending[choice % len(pending)]
            if failing.task_definition_arn == V1.arn:
                world.report(failing, RUNNING)
            else:
                world.report(failing, STOPPED, "CannotPullContainerError")
        else:
            world.pass_time(60)
            world.reconcile()
    assert world.service().task_definition_arn == V1.arn
    still = {t.arn for t in world.tasks() if t.task_definition_arn == V1.arn}
    assert still >= kept
    rollout.settle()
    assert {t.arn for t in world.tasks()} >= still
