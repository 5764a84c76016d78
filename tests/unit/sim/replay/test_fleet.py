"""Played agents: what they do when they are told, cut off, or taken away."""

import pytest

from builders import NOW_MS, make_container_instance, make_service, make_store, make_task
from builders import make_task_definition as make_definition
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.events import AgentConnected, AgentLost, HealthReported
from homeport.model.task import STOPPED
from homeport.model.task_definition import ContainerSpec
from homeport.sim.clock import Timeline
from homeport.sim.replay.behaviour import Plan
from homeport.sim.replay.fleet import PlayedFleet
from homeport.state.view import View

ONE = make_container_instance("one")
CHECKED = ContainerSpec(name="app", image="busybox", memory_mib=16, has_health_check=True)
DEFINITION = make_definition(containers=(CHECKED,))


def make_plan(**members) -> Plan:
    fields = {
        "source_arn": None,
        "start_ms": 100,
        "fails_ms": None,
        "runs_ms": None,
        "stop_ms": 30,
        "reason": "",
        "exits": (),
        "health": (),
    }
    return Plan(**{**fields, **members})


class Stage:
    """A fleet of one instance, and what it says."""

    def __init__(self, plan: Plan, *tasks) -> None:
        self.timeline = Timeline(NOW_MS)
        self.said: list[tuple[int, str]] = []
        self.reports = []
        self.cold: list[bool] = []
        self.fleet = PlayedFleet(
            self.timeline,
            view=View(make_store(ONE, DEFINITION, make_service(), *tasks)),
            call=self._call,
            observe=self._observe,
            choose_plan=lambda _task, is_cold: self.cold.append(is_cold) or plan,
        )

    def _call(self, operation, request):
        assert operation == "SubmitTaskStateChange"
        self.reports.append(request)
        self.said.append((self.timeline.now_ms - NOW_MS, request.status))

    def _observe(self, event):
        match event:
            case AgentConnected():
                text = "came"
            case AgentLost():
                text = "went"
            case HealthReported():
                text = event.containers[0].status
        self.said.append((self.timeline.now_ms - NOW_MS, text))

    def send(self, *tasks) -> None:
        self.fleet.send_tasks(SendTasks(ONE.arn, tuple(task.arn for task in tasks)))

    def pass_ms(self, span_ms: int) -> None:
        until_ms = self.timeline.now_ms + span_ms
        while self.timeline.step(until_ms):
            pass


TASK = make_task("a", definition=DEFINITION, instance=ONE)


def test_a_task_starts_becomes_healthy_and_ends_by_itself():
    plan = make_plan(runs_ms=500, health=((40, "HEALTHY"),), exits=(("app", 7, None),))
    stage = Stage(plan, TASK)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK)
    stage.pass_ms(1_000)
    assert stage.said == [
        *((0, "came"), (100, "RUNNING"), (140, "HEALTHY"), (600, STOPPED)),
    ]
    assert stage.reports[-1].containers[0].exit_code == 7


def test_a_task_that_fails_is_reported_stopped_and_never_running():
    stage = Stage(make_plan(fails_ms=250, reason="no such image"), TASK)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK)
    stage.pass_ms(1_000)
    assert stage.said == [(0, "came"), (250, STOPPED)]
    assert stage.reports[0].reason == "no such image"


def test_the_same_task_sent_twice_starts_once():
    stage = Stage(make_plan(), TASK)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK, TASK)
    stage.send(TASK)
    stage.pass_ms(1_000)
    assert stage.said == [(0, "came"), (100, "RUNNING")]


@pytest.mark.parametrize("waited_ms", [50, 400])
def test_a_task_is_stopped_before_or_behind_its_start(waited_ms):
    stage = Stage(make_plan(), TASK)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK)
    stage.pass_ms(waited_ms)
    stopping = make_task("a", definition=DEFINITION, instance=ONE, desired_status=STOPPED)
    stage.fleet._view = View(make_store(ONE, DEFINITION, stopping))
    stage.send(stopping)
    stage.pass_ms(1_000)
    assert stage.said[-1] == (waited_ms + 30, STOPPED)
    assert ("RUNNING" in dict(map(reversed, stage.said))) is (waited_ms == 400)


def test_an_agent_without_a_connection_hears_nothing_and_keeps_its_reports():
    later = make_task("b", definition=DEFINITION, instance=ONE)
    stage = Stage(make_plan(), TASK, later)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK)
    stage.pass_ms(50)
    stage.fleet.disconnect(ONE.arn)
    stage.send(later)
    stage.pass_ms(1_000)
    assert stage.said == [(0, "came"), (50, "went")]
    stage.fleet.connect(ONE.arn)
    assert stage.said[2:] == [(1_050, "RUNNING"), (1_050, "came")]


def test_an_agent_whose_reports_came_without_a_connection_makes_them_in_time():
    later = make_task("b", definition=DEFINITION, instance=ONE)
    stage = Stage(make_plan(), TASK, later)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK)
    stage.pass_ms(50)
    stage.fleet.disconnect(ONE.arn, is_silent=False)
    stage.send(later)
    stage.pass_ms(1_000)
    assert stage.said == [(0, "came"), (50, "went"), (100, "RUNNING")]


def test_a_deregistered_instance_says_nothing_more():
    stage = Stage(make_plan(), TASK)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK)
    stage.pass_ms(50)
    stage.fleet.disconnect_agent(DisconnectAgent(ONE.arn))
    stage.pass_ms(1_000)
    assert stage.said == [(0, "came")]


def test_an_image_is_cold_for_the_first_task_of_an_instance():
    later = make_task("b", definition=DEFINITION, instance=ONE)
    stage = Stage(make_plan(), TASK, later)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK, later)
    stage.pass_ms(10)
    assert stage.cold == [True, False]
