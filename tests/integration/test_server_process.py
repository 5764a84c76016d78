"""`homeport server` as a process: ready line, stop, restart, and what it says when it cannot."""

import json
import signal

import pytest

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def start():
    """Start `homeport server` processes; all are stopped in the end."""
    started: list[HomeportProcess] = []

    def run(*arguments: str) -> HomeportProcess:
        started.append(HomeportProcess(["server", "--log-level", "warning", *arguments]))
        return started[-1]

    yield run
    for process in started:
        process.stop()


def test_it_says_where_it_listens_and_answers_there(start):
    endpoint = start("--port", "0", "--ephemeral").wait_endpoint()
    client = ApiClient(endpoint, "us-east-1")
    created = client.call("CreateCluster", {"clusterName": "blue"})
    assert created["cluster"]["clusterArn"] == ("arn:aws:ecs:us-east-1:123456789012:cluster/blue")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_status_0(start, number):
    process = start("--port", "0", "--ephemeral")
    process.wait_endpoint()
    process.send(number)
    assert process.wait() == 0


def test_what_was_answered_is_there_after_a_kill(start, tmp_path):
    first = start("--port", "0", "--data-dir", str(tmp_path / "data"))
    ApiClient(first.wait_endpoint(), "us-east-1").call("CreateCluster", {"clusterName": "blue"})
    first.kill()
    second = start("--port", "0", "--data-dir", str(tmp_path / "data"))
    client = ApiClient(second.wait_endpoint(), "us-east-1")
    assert len(list(client.list_all("ListClusters", "clusterArns"))) == 1


def test_a_port_in_use_is_said_in_one_line(start):
    port = start("--port", "0", "--ephemeral").wait_endpoint().rpartition(":")[2]
    second = start("--port", port, "--ephemeral")
    assert second.wait() == 1
    (line,) = second.lines
    assert line.startswith("homeport: error: ")
    assert "--port" in line


def test_a_data_folder_in_use_is_said_in_one_line(start, tmp_path):
    start("--port", "0", "--data-dir", str(tmp_path)).wait_endpoint()
    second = start("--port", "0", "--data-dir", str(tmp_path))
    assert second.wait() == 1
    (line,) = second.lines
    assert line.startswith("homeport: error: ")
    assert str(tmp_path) in line


def test_a_server_whose_journal_was_taken_over_answers_an_error_and_ends_in_one_line(
    start, tmp_path
):
    data = tmp_path / "data"
    older = start("--port", "0", "--data-dir", str(data))
    client = ApiClient(older.wait_endpoint(), "us-east-1")
    client.call("CreateCluster", {"clusterName": "before"})
    (data / "homeport.lock").unlink()  # so that nothing but the lease keeps the two apart
    newer = start("--port", "0", "--data-dir", str(data))
    newer_client = ApiClient(newer.wait_endpoint(), "us-east-1")
    with pytest.raises(ApiRefusal) as refusal:
        client.call("CreateCluster", {"clusterName": "too-late"})
    assert refusal.value.code == "ServiceUnavailable"
    assert older.wait() == 1
    assert len(older.lines) == 2, older.lines  # where it listened, and why it ended
    assert "has taken this journal over" in older.lines[-1]
    arns = list(newer_client.list_all("ListClusters", "clusterArns"))
    assert [arn.rpartition("/")[2] for arn in arns] == ["before"]


def test_a_data_folder_that_cannot_be_made_is_said_in_one_line(start, tmp_path):
    (tmp_path / "file").write_text("")
    process = start("--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert process.wait() == 1
    (line,) = process.lines
    assert line.startswith("homeport: error: ")


def test_the_account_and_the_port_may_come_from_the_environment(free_port):
    process = HomeportProcess(
        ["server", "--ephemeral"],
        environ={"HOMEPORT_ACCOUNT_ID": "210987654321", "HOMEPORT_PORT": str(free_port)},
    )
    try:
        endpoint = process.wait_endpoint()
        assert endpoint == f"http://127.0.0.1:{free_port}"
        answer = ApiClient(endpoint, "eu-west-1").call("CreateCluster", {"clusterName": "x"})
        assert answer["cluster"]["clusterArn"].startswith("arn:aws:ecs:eu-west-1:210987654321:")
    finally:
        process.stop()


def test_status_shows_what_the_server_holds(homeport_server):
    ApiClient(homeport_server, "us-east-1").call("CreateCluster", {"clusterName": "blue"})
    shown = HomeportProcess(["status", "--endpoint", homeport_server])
    assert shown.wait() == 0
    assert any("blue" in line and "ACTIVE" in line for line in shown.lines)
    as_json = HomeportProcess(["status", "--endpoint", homeport_server, "--json"])
    assert as_json.wait() == 0
    (cluster,) = json.loads("\n".join(as_json.lines))["clusters"]
    assert cluster["clusterName"] == "blue"
    assert cluster["tasks"] == []
