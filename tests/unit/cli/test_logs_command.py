"""Whose logs a name means, asked of a server that answers from a table."""

from typing import Any

import pytest

from homeport.cli import logs_command
from homeport.cli.api_client import ApiRefusal
from homeport.cli.failure import CommandFailure
from homeport.cli.logs_command import Wanted, find_wanted

PREFIX = "arn:aws:ecs:us-east-1:123456789012"
TASK = f"{PREFIX}:task/default/{'1' * 32}"
OTHER = f"{PREFIX}:task/default/{'2' * 32}"
FOREIGN = f"{PREFIX}:task/red/{'3' * 32}"


class Server:
    """Knows two tasks, of which one is a service's, and what a name means."""

    def __init__(self, meaning: str = TASK) -> None:
        self.meaning = meaning
        self.status = "RUNNING"
        self.asked: list[str] = []

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        (arn,) = request["tasks"]
        self.asked.append(arn)
        if arn == FOREIGN:
            raise ApiRefusal("InvalidParameterException", "Invalid identifier")
        groups = {TASK: "service:web", OTHER: "family:web"}
        if arn not in groups:
            return {"tasks": []}
        return {"tasks": [{"group": groups[arn], "lastStatus": self.status}]}

    def call_homeport(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if not self.meaning:
            raise ApiRefusal("ClientException", "No service")
        return {"resourceArn": self.meaning}


def find(server: Server) -> Wanted:
    return find_wanted(server, "default", "name")  # type: ignore[arg-type]


def test_one_task_covers_itself_alone_and_is_over_when_it_is_stopped():
    server = Server(TASK)
    wanted = find(server)
    assert [wanted.covers(each) for each in (TASK, OTHER, FOREIGN)] == [True, False, False]
    assert server.asked == []
    assert not wanted.is_over()
    server.status = "STOPPED"
    assert wanted.is_over()


def test_a_task_that_is_forgotten_is_over():
    assert find(Server(f"{PREFIX}:task/default/gone")).is_over()


def test_a_service_covers_its_tasks_which_are_asked_for_once_and_is_never_over():
    server = Server(f"{PREFIX}:service/default/web")
    wanted = find(server)
    assert [wanted.covers(each) for each in (TASK, OTHER, FOREIGN, TASK)] == [
        True,
        False,
        False,
        True,
    ]
    assert server.asked == [TASK, OTHER, FOREIGN]
    assert not wanted.is_over()


@pytest.mark.parametrize(
    ("meaning", "complaint"),
    [("", "No service"), (f"{PREFIX}:container-instance/default/1", "name a service or a task")],
)
def test_what_has_no_logs_is_said(meaning, complaint):
    with pytest.raises(CommandFailure, match=complaint):
        find(Server(meaning))


def test_containers_that_print_nothing_are_no_silence_without_a_word(monkeypatch, capsys):
    class SilentReader:
        def __init__(self, *_arguments: object, **_options: object) -> None:
            pass

        def read(self) -> list[object]:
            return []

    monkeypatch.setattr(logs_command, "make_client", lambda *_options: Server())
    monkeypatch.setattr(logs_command.EngineApi, "check", lambda _engine: None)
    monkeypatch.setattr("homeport.cli.log_reader.LogReader", SilentReader)
    logs_command.logs("web")
    out, err = capsys.readouterr()
    assert out == ""
    assert "no container of web on this machine has printed anything" in err
    assert "homeport status --stopped" in err
