"""Played agents: what they do when they are told, cut off, or taken away."""

import pytest
from msgspec.structs import replace

from builders import NOW_MS, make_container_instance, make_service, make_store, make_task
from builders import make_task_definition as make_definition
from homeport.core.effects import DisconnectAgent, SendTasks
from homeport.engine.events import AgentConnected, AgentLost, HealthReported
from homeport.model.task import STOPPED
from homeport.model.task_definition import ContainerSpec
from homeport.sim.clock import Timeline
from homeport.sim.replay.behaviour import NEAR_MS, Plan
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
        "until_ms": None,
        "stop_ms": 30,
        "reason": "",
        "exits": (),
        "health": (),
    }
    return Plan(**{**fields, **members})


class Stage:
    """A fleet of one instance, and what it says."""

    def __init__(self, plans: Plan | dict[str, Plan], *tasks) -> None:
        self.timeline = Timeline(NOW_MS)
        self.said: list[tuple[int, str]] = []
        self.reports = []
        self.cold: list[bool] = []
        self.swapped: list[set[str]] = []
        self._plans = plans
        self.fleet = PlayedFleet(
            self.timeline,
            view=View(make_store(ONE, DEFINITION, make_service(), *tasks)),
            call=self._call,
            observe=self._observe,
            choose_plan=self._choose_plan,
            on_swap=lambda *arns: self.swapped.append(set(arns)),
        )

    def _choose_plan(self, task, is_cold) -> Plan:
        self.cold.append(is_cold)
        return self._plans[task.arn] if isinstance(self._plans, dict) else self._plans

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

    def stop(self, task) -> None:
        """Have a task stopped that every record still wants."""
        stopping = replace(task, desired_status=STOPPED)
        self.fleet._view = View(make_store(ONE, DEFINITION, stopping))
        self.send(stopping)

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
    stage.stop(TASK)
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


OTHER = make_task("b", definition=DEFINITION, instance=ONE)


def test_a_task_that_goes_takes_the_life_of_its_peer_that_went_and_leaves_it_its_own():
    fails = make_plan(runs_ms=500, exits=(("app", 7, None),), health=((10, "HEALTHY"),))
    went = make_plan(until_ms=NOW_MS + 310, stop_ms=70)
    stage = Stage({TASK.arn: fails, OTHER.arn: went}, TASK, OTHER)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK, OTHER)
    stage.pass_ms(300)
    stage.stop(TASK)
    stage.pass_ms(1_000)
    assert stage.swapped == [{TASK.arn, OTHER.arn}]
    ends = [(each.task, each.containers[0].exit_code) for each in stage.reports[2:]]
    assert ends == [(TASK.arn, 143), (OTHER.arn, 7)]
    assert [at_ms for at_ms, status in stage.said if status == STOPPED] == [370, 600]
    assert [at_ms for at_ms, status in stage.said if status == "HEALTHY"] == [110, 300]


@pytest.mark.parametrize(
    ("until_ms", "pending_ms"),
    [
        pytest.param(NEAR_MS * 2, 100, id="the peer went at another time"),
        pytest.param(300, 400, id="the peer has not started yet"),
    ],
)
def test_only_a_peer_that_could_have_gone_as_well_gives_its_life(until_ms, pending_ms):
    other = make_plan(until_ms=NOW_MS + until_ms, start_ms=pending_ms)
    stage = Stage({TASK.arn: make_plan(runs_ms=500), OTHER.arn: other}, TASK, OTHER)
    stage.fleet.connect(ONE.arn)
    stage.send(TASK, OTHER)
    stage.pass_ms(300)
    stage.stop(TASK)
    stage.pass_ms(1_000)
    assert stage.swapped == []
    assert [at_ms for at_ms, status in stage.said if status == STOPPED] == [330]


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
