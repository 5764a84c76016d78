"""The simulated Docker Engine: containers, ports, deaths, hanging and restarts."""

import pytest

from homeport.sim import docker
from homeport.sim.chance import Stream
from homeport.sim.clock import Timeline
from homeport.sim.docker import (
    Created,
    Done,
    Listener,
    Luck,
    Refusal,
    SimDocker,
    Started,
    Unavailable,
)
from homeport.sim.scenario import Image
from homeport.wire.agent_messages import payload

IMAGES = {
    "web": Image(),
    "poisoned": Image(is_poisoned=True),
    "job": Image(runs_s=(1, 1)),
    "brief": Image(runs_s=(0.1, 0.1)),
    "fickle": Image(start_fails=1.0),
}


class Ear(Listener):
    """Remembers what the Engine tells."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def container_died(self, container, at_ms):
        self.heard.append(("died", container.name, container.exit_code))

    def stream_broke(self):
        self.heard.append("broke")


class Desk:
    """A Docker Engine and the answers it gave."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.luck = Luck()
        self.docker = SimDocker(self.timeline, Stream(1, "docker"), IMAGES, self.luck)
        self.docker.listener = self.ear = Ear()

    def ask(self, request, *args):
        answers = []
        request(*args, answers.append)
        self.pass_time()
        return answers[0] if answers else None

    def pass_time(self, ms: int = 900) -> None:
        until_ms = self.timeline.now_ms + ms
        while self.timeline.step(until_ms):
            pass

    def run(self, task: str, image: str = "web", **members):
        spec = payload.Container(name="main", image=image, **members)
        created = self.ask(self.docker.create, task, spec)
        assert isinstance(created, Created)
        return created.runtime_id, self.ask(self.docker.start, created.runtime_id)


@pytest.fixture
def desk(monkeypatch) -> Desk:
    monkeypatch.setattr("homeport.sim.docker.LATE_ANSWERS", 0.0)
    return Desk()


def test_an_image_is_pulled_and_a_poisoned_one_never(desk):
    assert isinstance(desk.ask(desk.docker.pull, "web"), Done)
    desk.luck.is_on = False
    assert isinstance(desk.ask(desk.docker.pull, "poisoned"), Refusal)


def test_two_containers_cannot_have_one_host_port(desk):
    mapping = (payload.PortMapping(container_port=80, host_port=80),)
    _, first = desk.run("task-1", port_mappings=mapping)
    runtime_id, second = desk.run("task-2", port_mappings=mapping)
    assert isinstance(first, Started)
    assert first.bindings[0].host_port == 80
    assert isinstance(second, Refusal)
    assert "already allocated" in second.reason
    assert desk.docker.containers[runtime_id].status == "created"


def test_dynamic_ports_differ(desk):
    mapping = (payload.PortMapping(container_port=80),)
    ports = {desk.run(f"task-{n}", port_mappings=mapping)[1].bindings[0].host_port for n in (1, 2)}
    assert len(ports) == 2


def test_creating_a_container_again_gives_the_same_one(desk):
    spec = payload.Container(name="main", image="web")
    first = desk.ask(desk.docker.create, "task-1", spec)
    assert desk.ask(desk.docker.create, "task-1", spec) == first


def test_a_stopped_container_tells_of_its_death_once(desk):
    runtime_id, _ = desk.run("task-1")
    assert isinstance(desk.ask(desk.docker.stop, runtime_id, 5), Done)
    desk.ask(desk.docker.stop, runtime_id, 5)
    assert desk.ear.heard == [("died", "main", 143)]


def test_a_job_ends_by_itself(desk):
    desk.run("task-1", "job")
    desk.pass_time(2_000)
    assert desk.ear.heard == [("died", "main", 0)]


def test_failures_of_chance_end_with_the_luck(desk):
    _, started = desk.run("task-1", "fickle")
    assert isinstance(started, Refusal)
    desk.luck.is_on = False
    _, started = desk.run("task-2", "fickle")
    assert isinstance(started, Started)


def test_an_answer_may_come_behind_the_death_of_what_it_started(desk, monkeypatch):
    runtime_id, _ = desk.run("task-1", "brief")
    desk.ear.heard.clear()
    monkeypatch.setattr(docker, "LATE_ANSWERS", 1.0)
    monkeypatch.setattr(docker, "LATE_ANSWER_S", (1.5, 1.5))
    desk.docker.start(runtime_id, lambda answer: desk.ear.heard.append(type(answer)))
    desk.pass_time(5_000)
    assert desk.ear.heard == [("died", "main", 0), Started]


def test_a_late_answer_is_lost_when_the_engine_goes_away(desk, monkeypatch):
    monkeypatch.setattr(docker, "LATE_ANSWERS", 1.0)
    monkeypatch.setattr(docker, "LATE_ANSWER_S", (1.5, 1.5))
    answers = []
    desk.docker.pull("web", answers.append)
    desk.pass_time(1_000)
    desk.docker.restart(5_000)
    desk.pass_time(1_500)
    assert [type(answer) for answer in answers] == [Unavailable]


def test_a_restart_kills_containers_and_answers_nobody_meanwhile(desk):
    desk.luck.is_on = False
    runtime_id, _ = desk.run("task-1")
    desk.docker.restart(5_000)
    assert desk.docker.containers[runtime_id].exit_code == 137
    assert desk.ear.heard == ["broke"]
    assert isinstance(desk.ask(desk.docker.pull, "web"), Unavailable)
    desk.pass_time(5_000)
    assert isinstance(desk.ask(desk.docker.start, runtime_id), Started)


def test_a_hanging_engine_answers_late_and_its_containers_live(desk):
    runtime_id, _ = desk.run("task-1")
    desk.docker.hang(10_000)
    answers = []
    desk.docker.stop(runtime_id, 5, answers.append)
    desk.pass_time(9_000)
    assert answers == []
    assert desk.docker.containers[runtime_id].status == "running"
    desk.pass_time(2_000)
    assert answers == [Done()]


def test_a_survey_shows_every_container_and_none_while_the_engine_hangs(desk):
    desk.run("task-1")
    (found,) = desk.ask(desk.docker.survey)
    assert (found.task_arn, found.status) == ("task-1", "running")
    desk.docker.hang(5_000)
    assert desk.ask(desk.docker.survey) is None
