"""Unhealthy tasks are replaced by the three branches that ECS describes, in any order of reports.

Replacement first; a HEALTHY one ends the unhealthy task, an UNHEALTHY one ends either, so that the
total is desiredCount again; without room under maximumPercent one unhealthy task goes first.
"""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builders import make_task_definition
from homeport.api import ecs
from homeport.core.reconcile.rollout import bounds_of
from homeport.model.task import PENDING, RUNNING, STOPPED, Task
from homeport.model.task_definition import ContainerSpec
from service_world import ServiceWorld

CHECKED = make_task_definition(
    "web", 1, containers=(ContainerSpec(name="app", image="busybox", has_health_check=True),)
)
percents = st.tuples(st.integers(0, 100), st.integers(100, 300)).filter(lambda p: p != (100, 100))


class Ward:
    """A steady service whose tasks all are HEALTHY, to begin with."""

    def __init__(self, desired: int, percent: tuple[int, int]) -> None:
        self.desired = desired
        self.bounds = bounds_of(desired, *percent)
        self.world = ServiceWorld(CHECKED)
        configuration = ecs.DeploymentConfiguration(
            minimum_healthy_percent=percent[0], maximum_percent=percent[1]
        )
        self.world.call(
            "CreateService",
            ecs.CreateServiceRequest(
                service_name="web",
                task_definition="web:1",
                desired_count=desired,
                deployment_configuration=configuration,
            ),
        )
        self.world.reconcile()
        self.world.run_all()
        for task in self.world.tasks():
            self.world.report_health(task, "HEALTHY")

    def of_health(self, health: str) -> list[Task]:
        return [t for t in self.world.tasks() if t.health_status == health]

    def live(self) -> int:
        return len(self.world.tasks()) + len(self.world.tasks(desired=STOPPED))

    def check_step(self, healthy_before: int) -> None:
        """No task goes that isn't replaced, unless that makes the room for a replacement."""
        assert self.live() <= max(self.bounds.upper, self.desired)
        wanted = len(self.world.tasks())
        is_making_room = bool(self.world.tasks(desired=STOPPED)) and self.live() >= min(
            self.bounds.upper, self.desired
        )
        assert wanted >= self.desired or is_making_room
        assert len(self.of_health("HEALTHY")) >= min(healthy_before, self.bounds.lower)

    def advance(self, choice: int, *, becomes: str) -> bool:
        """Let one task that hasn't settled report something."""
        waiting = [
            task
            for task in (*self.world.tasks(), *self.world.tasks(desired=STOPPED))
            if task.desired_status == STOPPED
            or task.last_status == PENDING
            or task.health_status == "UNKNOWN"
        ]
        if not waiting:
            return False
        task = waiting[choice % len(waiting)]
        healthy = len(self.of_health("HEALTHY"))
        if task.desired_status == STOPPED:
            self.world.report(task, STOPPED)
            healthy = min(healthy, len(self.of_health("HEALTHY")))
        elif task.last_status == PENDING:
            self.world.report(task, RUNNING)
        else:
            self.world.report_health(task, becomes)
        self.check_step(healthy)
        return True


@settings(max_examples=40, deadline=None)
@given(
    desired=st.integers(1, 5),
    percent=percents,
    sick=st.integers(1, 5),
    outcomes=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from(("HEALTHY", "UNHEALTHY"))), max_size=25
    ),
)
def test_unhealthy_tasks_are_replaced_and_the_service_is_whole_in_the_end(
    desired: int, percent: tuple[int, int], sick: int, outcomes: list[tuple[int, str]]
):
    bounds = bounds_of(desired, *percent)
    assume(bounds.upper > desired or bounds.lower < desired)
    ward = Ward(desired, percent)
    for task in ward.world.tasks()[:sick]:
        ward.world.report_health(task, "UNHEALTHY")
    for choice, becomes in outcomes:
        ward.advance(choice, becomes=becomes)
    for _ in range(200):
        if not ward.advance(0, becomes="HEALTHY"):
            break
    assert len(ward.of_health("HEALTHY")) == len(ward.world.tasks()) == ward.live() == desired
    assert ward.world.service().is_steady


@settings(max_examples=40, deadline=None)
@given(desired=st.integers(1, 5), sick=st.integers(1, 5), choices=st.lists(st.integers(0, 9)))
def test_with_room_every_unhealthy_task_stays_until_its_replacement_is_healthy(
    desired: int, sick: int, choices: list[int]
):
    ward = Ward(desired, (100, 300))
    ill = [task.arn for task in ward.world.tasks()[:sick]]
    for arn in ill:
        task = ward.world.view.task(arn)
        assert task is not None
        ward.world.report_health(task, "UNHEALTHY")
    for choice in (*choices, *[0] * 60):
        ward.advance(choice, becomes="HEALTHY")
        kept = sum(t.arn in ill for t in ward.world.tasks())
        assert kept + len(ward.of_health("HEALTHY")) >= desired
        replaced = len(ward.of_health("HEALTHY")) - (desired - len(ill))
        assert kept == len(ill) - replaced
