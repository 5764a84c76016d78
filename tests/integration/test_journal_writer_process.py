"""The journal's writer as a process: who ends it, what its end means, and what it gets to know."""

import json
import os
import signal
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from homeport.bench.processes import command_line_of, family_of
from homeport.cli.api_client import ApiClient
from homeport.server.health import HEALTH_PATH
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow

LIMIT_S = 20.0


class Server:
    """A server on a data directory, and its journal's writer."""

    def __init__(self, data_dir: Path) -> None:
        self.process = HomeportProcess(
            ["server", "--port", "0", "--log-level", "warning", "--data-dir", str(data_dir)],
            environ={"HOMEPORT_ACCOUNT_ID": "210987654321", "SECRET_OF_THE_SHELL": "x"},
        )
        self.client = ApiClient(self.process.wait_endpoint(), "us-east-1")
        _, self.writer = family_of(self.process.process.pid)

    def create(self, name: str) -> None:
        self.client.call("CreateCluster", {"clusterName": name})

    def send_create(self, name: str) -> None:
        """Have the server decide, and its writer be given, what is not going to be answered."""
        host = self.client.endpoint.removeprefix("http://")
        call, ping = HTTPConnection(host, timeout=LIMIT_S), HTTPConnection(host, timeout=LIMIT_S)
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.CreateCluster",
        }
        call.request("POST", "/", json.dumps({"clusterName": name}), headers)
        for _ in range(3):  # turns of the server's loop: it has read the call before
            ping.request("GET", HEALTH_PATH)
            assert ping.getresponse().read()
        ping.close()
        call.close()

    def kill(self) -> None:
        """Kill the server, whose writer may go on: its output isn't waited for."""
        self.process.process.kill()
        self.process.process.wait()

    def clusters(self) -> list[str]:
        arns = self.client.call("ListClusters", {})["clusterArns"]
        return [arn.rpartition("/")[2] for arn in arns]


@pytest.fixture
def start(tmp_path: Path):
    """Start servers on one data directory; all are stopped in the end."""
    started: list[Server] = []

    def run() -> Server:
        started.append(Server(tmp_path / "data"))
        return started[-1]

    yield run
    for server in started:
        server.process.stop()


def wait_for_end(pid: int) -> None:
    """Wait until a process that isn't this one's child has ended."""
    deadline = time.monotonic() + LIMIT_S
    while command_line_of(pid):
        assert time.monotonic() < deadline, f"process {pid} hasn't ended"
        time.sleep(0.005)


def test_a_server_whose_writer_is_killed_says_so_in_one_line_and_ends(start):
    server = start()
    server.create("before")
    os.kill(server.writer, signal.SIGKILL)
    assert server.process.wait(limit_s=LIMIT_S) == 1
    assert len(server.process.lines) == 2, server.process.lines  # where it listened, and this
    assert "the journal's writer was killed by SIGKILL" in server.process.lines[-1]
    assert "nothing unwritten was acknowledged" in server.process.lines[-1]
    assert start().clusters() == ["before"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_servers_does_not_end_the_writer(start, number):
    server = start()
    os.kill(server.writer, number)
    server.create("after")
    assert server.clusters() == ["after"]
    assert server.process.stop() == 0
    wait_for_end(server.writer)


def test_ctrl_c_in_a_terminal_does_not_reach_the_writer(start):
    server = start()
    assert os.getpgid(server.writer) != os.getpgid(server.process.process.pid)
    os.killpg(server.process.process.pid, signal.SIGINT)
    assert server.process.wait() == 0
    wait_for_end(server.writer)


def test_what_a_killed_server_left_unwritten_is_refused_once_another_has_the_journal(start):
    """The writer holds a whole commit when its server dies, and comes to it too late."""
    older = start()
    older.create("before")
    os.kill(older.writer, signal.SIGSTOP)
    try:
        older.send_create("unwritten")
        older.kill()
        newer = start()
    finally:
        os.kill(older.writer, signal.SIGCONT)
    wait_for_end(older.writer)
    newer.create("after")
    assert newer.clusters() == ["after", "before"]
    newer.process.kill()
    assert start().clusters() == ["after", "before"]


def test_what_a_killed_server_had_sent_is_written_when_no_other_has_the_journal(start):
    server = start()
    os.kill(server.writer, signal.SIGSTOP)
    try:
        server.send_create("sent")
        server.kill()
    finally:
        os.kill(server.writer, signal.SIGCONT)
    wait_for_end(server.writer)
    assert start().clusters() == ["sent"]


def test_the_writer_is_known_by_its_name_and_knows_no_more_than_it_needs(start, tmp_path):
    writer = start().writer
    assert "-m homeport.storage.journal_writer " + str(tmp_path / "data") in command_line_of(writer)
    assert Path(f"/proc/{writer}/comm").read_text() == "homeport-writer\n"
    environment = Path(f"/proc/{writer}/environ").read_text()
    assert "SECRET_OF_THE_SHELL" not in environment
    assert "HOMEPORT_ACCOUNT_ID" not in environment
    files = {str(each.readlink()) for each in Path(f"/proc/{writer}/fd").iterdir()}
    assert not [name for name in files if name.endswith("homeport.lock")], files


def test_a_server_that_is_killed_leaves_no_writer_behind(start):
    server = start()
    server.process.kill()
    wait_for_end(server.writer)
