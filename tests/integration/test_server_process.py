"""`homeport server` as a process: ready line, stop, restart, and what it says when it cannot."""

import json
import shutil
import signal

import pytest

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.storage.sqlite import SqliteStorage
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


@pytest.mark.parametrize(
    ("call", "operation", "members"),
    [
        (ApiClient.call, "CreateCluster", {"clusterName": "too-late"}),
        (ApiClient.call, "DescribeClusters", {"clusters": ["before"]}),
        (ApiClient.call, "ListServices", {"cluster": "unknown"}),  # a refusal is an answer, too
        (ApiClient.call_homeport, "ListEvents", {}),
        (ApiClient.call_homeport, "ListHistory", {"cluster": "before", "resource": "unknown"}),
        (ApiClient.call_homeport, "ListMetrics", {"cluster": "before"}),
    ],
)
def test_a_server_whose_journal_was_taken_over_does_nothing_and_answers_nothing_from_the_past(
    start, tmp_path, call, operation, members
):
    """The call comes within milliseconds, long before the server has noticed by itself."""
    older = start("--port", "0", "--data-dir", str(tmp_path))
    client = ApiClient(older.wait_endpoint(), "us-east-1")
    client.call("CreateCluster", {"clusterName": "before"})
    (tmp_path / "homeport.lock").unlink()
    newer = SqliteStorage(tmp_path)
    with pytest.raises(ApiRefusal) as refusal:
        call(client, operation, members)
    assert refusal.value.code == "ServiceUnavailable"
    assert older.wait() == 1
    newer.close()
    clusters = start("--port", "0", "--data-dir", str(tmp_path))
    arns = ApiClient(clusters.wait_endpoint(), "us-east-1").call("ListClusters", {})["clusterArns"]
    assert [arn.rpartition("/")[2] for arn in arns] == ["before"]


def test_a_server_whose_journal_was_taken_over_ends_though_nobody_calls_it(start, tmp_path):
    older = start("--port", "0", "--data-dir", str(tmp_path))
    older.wait_endpoint()
    (tmp_path / "homeport.lock").unlink()
    newer = start("--port", "0", "--data-dir", str(tmp_path))
    newer.wait_endpoint()
    assert older.wait(limit_s=5) == 1
    assert len(older.lines) == 2, older.lines  # where it listened, and why it ended
    assert f"process {newer.process.pid} on" in older.lines[-1]
    assert "has taken this journal over" in older.lines[-1]


def test_a_server_whose_data_directory_is_removed_ends_and_says_so(start, tmp_path):
    data = tmp_path / "data"
    server = start("--port", "0", "--data-dir", str(data))
    ApiClient(server.wait_endpoint(), "us-east-1").call("CreateCluster", {"clusterName": "x"})
    shutil.rmtree(data)
    assert server.wait(limit_s=5) == 1
    assert "was moved away or removed while the server ran" in server.lines[-1]


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
