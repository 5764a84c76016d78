"""What the agent keeps on disk, and how it refuses what it can't use."""

import sqlite3
from pathlib import Path

import pytest

from agent_builders import make_container, make_task
from homeport.agent.settings import AgentStartError
from homeport.agent.state_file import STATE_FILE_NAME, NewReport, StateFile
from homeport.agent.task_state import ContainerState, Phase, TaskState

REPORT = NewReport(task_arn="t", operation="SubmitTaskStateChange", body=b"{}")


def make_state() -> TaskState:
    container = ContainerState(name="web", phase=Phase.RUNNING, runtime_id="id")
    return TaskState(task=make_task(make_container("i")), containers=(container,))


def test_tasks_facts_and_reports_are_read_back_in_order(tmp_path: Path):
    file = StateFile(tmp_path / "new" / "folder")
    states = sorted((make_state(), make_state()), key=lambda state: state.arn)
    file.write_facts({"containerInstanceArn": "arn:i"})
    stored = file.write_changes(saved=states, reports=[REPORT, REPORT], is_promise=True)
    file.close()
    again = StateFile(tmp_path / "new" / "folder")
    assert again.read_facts()["containerInstanceArn"] == "arn:i"
    assert again.read_tasks() == states
    assert again.read_reports() == stored
    again.close()


def test_accepted_reports_and_forgotten_tasks_are_gone(tmp_path: Path):
    file = StateFile(tmp_path)
    state = make_state()
    first, second = file.write_changes(saved=[state], reports=[REPORT, REPORT], is_promise=False)
    file.drop_report(first.number)
    file.write_changes(forgotten=[state.arn], is_promise=False)
    assert file.read_reports() == [second]
    assert file.read_tasks() == []
    file.close()


def test_a_change_that_fails_half_way_leaves_nothing(tmp_path: Path):
    file = StateFile(tmp_path)
    broken = NewReport(task_arn=None, operation="x", body=b"")  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        file.write_changes(saved=[make_state()], reports=[broken], is_promise=True)
    assert file.read_tasks() == []
    file.close()


def test_a_second_agent_on_the_same_directory_is_refused(tmp_path: Path):
    file = StateFile(tmp_path)
    with pytest.raises(AgentStartError, match="is another agent running with it"):
        StateFile(tmp_path)
    file.close()


def test_a_directory_that_cannot_be_used_is_refused_with_advice(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AgentStartError, match="--data-dir of its own"):
        StateFile(tmp_path / "file" / "data")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / STATE_FILE_NAME).write_text("not a database, but long enough to look like one" * 50)
    with pytest.raises(AgentStartError, match="can't use the agent's data directory"):
        StateFile(tmp_path)


def test_a_file_of_another_version_is_refused(tmp_path: Path):
    file = StateFile(tmp_path)
    file.write_facts({"stateVersion": "99"})
    file.close()
    with pytest.raises(AgentStartError, match="format 99"):
        StateFile(tmp_path)
