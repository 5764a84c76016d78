"""Rolling a service under random percents, counts and orders of reports.

Safety: never above the maximum, never below the minimum by our own doing. Progress: when agents
answer, every service comes to rest with its new revision.
"""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builders import at, make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.census import take_census
from homeport.core.reconcile.rollout import (
    Counts,
    bounds_of,
    missing_tasks,
    plan_stops,
    startable_tasks,
)
from homeport.core.reconcile.step import next_step
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld

CHECKED = (ContainerSpec(name="app", image="busybox", has_health_check=True),)
QUIET_S = 10  # longer than a task has to run for its end not to be a quick one
percents = st.tuples(st.integers(0, 100), st.integers(100, 300)).filter(lambda p: p != (100, 100))
small = st.integers(0, 6)


@given(
    desired=st.integers(0, 12),
    percent=percents,
    numbers=st.tuples(*[small] * 9),
    is_blocked=st.booleans(),
)
def test_no_plan_exceeds_the_maximum_or_undercuts_the_minimum(
    desired: int, percent: tuple[int, int], numbers: tuple[int, ...], is_blocked: bool
):
    bounds = bounds_of(desired, *percent)
    counts = Counts(
        healthy=numbers[0],
        unsettled=numbers[1],
        unhealthy=numbers[2],
        outgoing_healthy=numbers[3],
        outgoing_unsettled=numbers[4],
        outgoing_unhealthy=numbers[5],
        outgoing_pending=numbers[6],
        stopping=numbers[7],
        outgoing_starting=numbers[8],
    )
    launches = startable_tasks(bounds, counts)
    assert launches == 0 or counts.live + launches <= bounds.upper
    assert launches <= missing_tasks(bounds, counts)
    stops = plan_stops(bounds, counts, launches=launches, is_blocked=is_blocked)
    for name in stops.__struct_fields__:
        assert 0 <= getattr(stops, name) <= getattr(counts, name)
    before = counts.healthy + counts.outgoing_healthy
    after = before - stops.healthy - stops.outgoing_healthy
    assert after >= min(before, bounds.lower)


class Fleet:
    """A service world whose agents answer in the order that the test's data says."""

    def __init__(self, desired: int, percent: tuple[int, int], *, is_checked: bool) -> None:
        containers = CHECKED if is_checked else None
        self.is_checked = is_checked
        self.desired = desired
        self.bounds = bounds_of(desired, *percent)
        self.world = ServiceWorld(
            *(make_task_definition("web", n, containers=containers) for n in (1, 2, 3)),
            instances=3,
        )
        self.world.call(
            "CreateService",
            ecs.CreateServiceRequest(
                service_name="web",
                task_definition="web:1",
                desired_count=desired,
                deployment_configuration=ecs.DeploymentConfiguration(
                    minimum_healthy_percent=percent[0], maximum_percent=percent[1]
                ),
            ),
        )
        self.world.reconcile()
        self.settle()

    def deploy(self, revision: int) -> None:
        request = ecs.UpdateServiceRequest(service="web", task_definition=f"web:{revision}")
        self.world.call("UpdateService", request)
        self.observe(self.world.reconcile)

    def healthy(self) -> int:
        return sum(self._is_healthy(task) for task in self.world.tasks())

    def observe(self, step: object) -> None:
        """Take one step and check the bounds around it."""
        before = self.healthy()
        assert callable(step)
        step()
        live = len(self.world.tasks()) + len(self.world.tasks(desired=STOPPED))
        assert live <= max(self.bounds.upper, self.desired)
        assert self.healthy() >= min(before, self.bounds.lower)
        self._look_closely()

    def _look_closely(self) -> None:
        """Check that the scheduler's glance at the counts misses nothing that a census finds."""
        view, service, moment = self.world.view, self.world.service(), at(self.world.now_ms)
        found = next_step(view, service, take_census(view, service, moment), moment)
        assert found.changes == ()

    def advance(self, choice: int) -> bool:
        """Let one agent report one thing; say whether there was anything to report."""
        tasks = [*self.world.tasks(), *self.world.tasks(desired=STOPPED)]
        waiting = [task for task in tasks if not self._is_settled(task)]
        if not waiting:
            return False
        task = waiting[choice % len(waiting)]
        if task.desired_status == STOPPED:
            self.observe(lambda: self.world.report(task, STOPPED))
        elif task.last_status == PENDING:
            self.observe(lambda: self.world.report(task, RUNNING))
        else:
            self.observe(lambda: self.world.report_health(task, "HEALTHY"))
        return True

    def settle(self) -> None:
        for _ in range(200):
            if not self.advance(0):
                return
        raise AssertionError("the fleet never comes to rest")

    def crash(self, choice: int) -> None:
        """Let a task exit by itself: what its end takes away isn't the scheduler's doing."""
        running = [t for t in self.world.tasks() if t.last_status == RUNNING]
        if running:
            self.world.pass_time(QUIET_S)
            self.world.report(running[choice % len(running)], STOPPED)

    def drain(self, choice: int) -> None:
        """Drain one of the container instances, so that its tasks have to move."""
        instances = self.world.instances()
        instance = instances[choice % len(instances)]

        def step() -> None:
            self.world.change_instance(instance, status="DRAINING")
            self.world.reconcile()

        self.observe(step)

    def sicken(self, choice: int) -> None:
        """Let a healthy task become UNHEALTHY: what that takes away isn't the scheduler's doing."""
        well = [t for t in self.world.tasks() if self._is_healthy(t)]
        if self.is_checked and well:
            self.world.report_health(well[choice % len(well)], "UNHEALTHY")

    def _is_healthy(self, task: Task) -> bool:
        return task.last_status == RUNNING and (
            not self.is_checked or task.health_status == "HEALTHY"
        )

    def _is_settled(self, task: Task) -> bool:
        return task.desired_status == RUNNING and self._is_healthy(task)


@settings(max_examples=60, deadline=None)
@given(
    desired=st.integers(1, 6),
    percent=percents,
    is_checked=st.booleans(),
    choices=st.lists(st.integers(0, 50), max_size=25),
    accidents=st.lists(
        st.tuples(st.sampled_from(("crash", "sicken", "drain")), st.integers(0, 50)), max_size=4
    ),
)
def test_every_rollout_stays_inside_its_percents_and_arrives(
    desired: int,
    percent: tuple[int, int],
    is_checked: bool,
    choices: list[int],
    accidents: list[tuple[str, int]],
):
    bounds = bounds_of(desired, *percent)
    assume(bounds.upper > desired or bounds.lower < desired)  # else there is no step at all
    fleet = Fleet(desired, percent, is_checked=is_checked)
    fleet.deploy(2)
    for number, choice in enumerate(choices):
        fleet.advance(choice)
        if number == 10:
            fleet.deploy(3)
    assume(sum(kind == "drain" for kind, _ in accidents) < 2)  # or no instance may be left
    for kind, choice in accidents:
        getattr(fleet, kind)(choice)
        fleet.advance(choice)
    fleet.settle()
    newest = "web:3" if len(choices) > 10 else "web:2"
    assert len(fleet.world.tasks()) == desired
    assert {t.task_definition_arn.rsplit("/", 1)[-1] for t in fleet.world.tasks()} == {newest}
    service = fleet.world.service()
    assert len(service.deployments) == 1
    assert service.primary.rollout_state == "COMPLETED"
    assert service.is_steady
