"""Promise 1: a real server, killed under load at random moments, has lost nothing it answered.

Several clients write; the server gets SIGKILL; the file is checked (the journal, replayed, gives
exactly the records: no half commit), the server is started again, and every acknowledged write is
there whole. Fifty times on the same data directory.
"""

import json
import os
import random
import resource
import sqlite3
import threading
from collections import Counter
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from homeport.bench.processes import family_of
from homeport.state.changes import Put, key_of, table_of
from homeport.storage.database import DATABASE_FILE_NAME
from homeport.storage.encoding import decode_changes, decode_record
from homeport.storage.records import ALL_PARTS, read_entries
from homeport_process import HomeportProcess

ROUNDS = 50
CLIENTS = 4
LEAST_ACKNOWLEDGED = 5  # before the kill, at least
MOST_ACKNOWLEDGED = 120
ANSWER_LIMIT_S = 20
TASKS_PER_CALL = 10
SEED = int(os.environ.get("DURABILITY_SEED", "20251121"))

INSTANCE_RESOURCES = [
    {"name": "CPU", "type": "INTEGER", "integerValue": 1_000_000},
    {"name": "MEMORY", "type": "INTEGER", "integerValue": 100_000_000},
    {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
    {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
]


Records = dict[tuple[str, str], object]  # by table and key


class Api:
    """One connection that is kept; any trouble with it is an OSError or HTTPException."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        assert address.hostname is not None
        self._connection = HTTPConnection(address.hostname, address.port, timeout=ANSWER_LIMIT_S)

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}",
        }
        self._connection.request("POST", "/", json.dumps(request), headers)
        response = self._connection.getresponse()
        body = response.read()
        answer: dict[str, Any] = json.loads(body)
        if response.status == 503:  # a server on its way out says so: that acknowledges nothing
            assert answer["__type"] == "ServiceUnavailable", answer
            raise HTTPException(f"{operation}: {answer['message']}")
        assert response.status == 200, (operation, response.status, body[:500])
        return answer

    def close(self) -> None:
        self._connection.close()


class Ledger:
    """What was asked, and what was acknowledged."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self.count = 0
        self.asked_runs: list[str] = []  # startedBy of every RunTask that was sent
        self.runs: list[str] = []
        self.clusters: list[str] = []
        self.services: list[str] = []
        self.task_definitions: list[str] = []
        self.running_tasks: list[str] = []
        self.stopped_tasks: list[str] = []

    def acknowledge(self, entries: list[str], *arns: str) -> None:
        with self._turn:
            entries.extend(arns)
            self.count += 1
            self._turn.notify_all()

    def wait_for(self, count: int, clients: list["Client"]) -> None:
        """Wait until so many writes are acknowledged, or until no client goes on."""
        with self._turn:
            reached = self._turn.wait_for(
                lambda: self.count >= count or all(client.failure for client in clients),
                timeout=ANSWER_LIMIT_S,
            )
        assert reached, f"only {self.count} of {count} writes were acknowledged"

    def absorb(self, other: "Ledger") -> None:
        for name, entries in vars(other).items():
            if isinstance(entries, list):
                getattr(self, name).extend(entries)


class Client(threading.Thread):
    """Writes whatever comes to its mind until the server is gone."""

    def __init__(self, endpoint: str, ledger: Ledger, name: str, seed: str) -> None:
        super().__init__(name=name)
        self._api = Api(endpoint)
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._tasks: list[str] = []
        self.killed = threading.Event()
        self.failure: str | None = None

    def run(self) -> None:
        number = 0
        try:
            while True:
                number += 1
                self._write(f"{self.name}-{number}")
        except (OSError, HTTPException) as error:
            self.failure = None if self.killed.is_set() else repr(error)
        except AssertionError as error:
            self.failure = repr(error)
        finally:
            self._api.close()

    def _write(self, name: str) -> None:
        kinds = [
            self._create_cluster,
            self._register,
            self._create_service,
            self._run_tasks,
            self._stop_task,
        ]
        self._chance.choice(kinds)(name)

    def _create_cluster(self, name: str) -> None:
        answer = self._api.call("CreateCluster", clusterName=name, tags=tags_of(name))
        self._ledger.acknowledge(self._ledger.clusters, answer["cluster"]["clusterArn"])

    def _register(self, name: str) -> None:
        answer = self._api.call(
            "RegisterTaskDefinition",
            family="shared",  # all clients want the next revision of the same family
            containerDefinitions=[{"name": name, "image": "busybox", "memory": 8}],
            tags=tags_of(name),
        )
        arn = answer["taskDefinition"]["taskDefinitionArn"]
        self._ledger.acknowledge(self._ledger.task_definitions, arn)

    def _create_service(self, name: str) -> None:
        answer = self._api.call(
            "CreateService",
            serviceName=name,
            taskDefinition="tiny",
            desiredCount=0,
            clientToken=name,
            tags=tags_of(name),
        )
        self._ledger.acknowledge(self._ledger.services, answer["service"]["serviceArn"])

    def _run_tasks(self, name: str) -> None:
        self._ledger.asked_runs.append(name)
        answer = self._api.call(
            "RunTask", taskDefinition="tiny", count=TASKS_PER_CALL, startedBy=name
        )
        assert answer["failures"] == [], answer["failures"]
        self._tasks.extend(task["taskArn"] for task in answer["tasks"])
        self._ledger.acknowledge(self._ledger.runs, name)

    def _stop_task(self, name: str) -> None:
        if self._tasks:
            arn = self._tasks.pop()
            self._api.call("StopTask", task=arn, reason=name)
            self._ledger.acknowledge(self._ledger.stopped_tasks, arn)


def tags_of(name: str) -> list[dict[str, str]]:
    return [{"key": "name", "value": name}]


class Server:
    """A server process on the data directory, with one connected container instance."""

    def __init__(self, data_dir: Path) -> None:
        self.process = HomeportProcess(
            ["server", "--port", "0", "--log-level", "warning", "--data-dir", str(data_dir)]
        )
        self.endpoint = self.process.wait_endpoint()
        self._listener: threading.Thread | None = None

    def connect_instance(self) -> None:
        """Register a container instance and open its agent's socket, which is only read."""
        api = Api(self.endpoint)
        answer = api.call(
            "RegisterContainerInstance",
            cluster="default",
            totalResources=INSTANCE_RESOURCES,
            attributes=[{"name": "ecs.availability-zone", "value": "us-east-1a"}],
        )
        arn = answer["containerInstance"]["containerInstanceArn"]
        found = api.call("DiscoverPollEndpoint", containerInstance=arn)["endpoint"]
        url = f"{found.rstrip('/')}/ws?{urlencode({'containerInstanceArn': arn})}"
        connected = threading.Event()

        def listen() -> None:
            with (
                suppress(ConnectionClosed),
                connect(url.replace("http:", "ws:"), proxy=None) as socket,
            ):
                for _ in socket:  # after the first message the agent counts as connected
                    connected.set()

        self._listener = threading.Thread(target=listen)
        self._listener.start()
        assert connected.wait(ANSWER_LIMIT_S)
        api.close()

    def kill(self) -> None:
        self.process.kill()
        if self._listener is not None:
            self._listener.join(ANSWER_LIMIT_S)


class FileCheck:
    """Replays the journal and compares: whole commits in sequence, and nothing but them.

    What an earlier check replayed is not decoded again; it must still be there, byte for byte.
    """

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._replayed: Records = {}

    def check(self, data_dir: Path) -> None:
        """The records may be behind the journal, by what it has behind `folded_through`."""
        connection = sqlite3.connect(data_dir / DATABASE_FILE_NAME)
        try:
            journal = connection.execute("SELECT sequence, body FROM journal ORDER BY 1").fetchall()
            entries = list(read_entries(connection.execute(ALL_PARTS)))
            found = connection.execute("SELECT value FROM meta WHERE name = 'folded_through'")
            (folded_through,) = found.fetchone() or ("0",)
        finally:
            connection.close()
        assert [sequence for sequence, _ in journal] == list(range(1, len(journal) + 1))
        bodies = [body for _, body in journal]
        known = len(self._bodies)
        assert bodies[:known] == self._bodies
        replay(self._replayed, bodies[known:])
        self._bodies = bodies
        stored: Records = {(kind, key): decode_record(value) for kind, key, value in entries}
        replay(stored, bodies[int(folded_through) :])
        assert stored == self._replayed


def replay(records: Records, bodies: list[bytes]) -> None:
    for body in bodies:
        for change in decode_changes(body):
            if isinstance(change, Put):
                records[table_of(change.record), key_of(change.record)] = change.record
            else:
                records.pop((change.table, change.key), None)


def check_answers(endpoint: str, ledger: Ledger) -> None:
    """Find everything that was acknowledged, whole; and what wasn't, whole or not at all."""
    api = Api(endpoint)
    for part in parts(ledger.clusters, 100):
        found = api.call("DescribeClusters", clusters=part, include=["TAGS"])
        assert found["failures"] == []
        assert all(each["tags"] == tags_of(each["clusterName"]) for each in found["clusters"])
    for part in parts(ledger.services, 10):
        found = api.call("DescribeServices", services=part, include=["TAGS"])
        assert found["failures"] == []
        assert all(each["tags"] == tags_of(each["serviceName"]) for each in found["services"])
    for arn in ledger.task_definitions:
        found = api.call("DescribeTaskDefinition", taskDefinition=arn, include=["TAGS"])
        (container,) = found["taskDefinition"]["containerDefinitions"]
        assert found["tags"] == tags_of(container["name"])
    for part in parts(ledger.stopped_tasks, 100):
        found = api.call("DescribeTasks", tasks=part)
        assert found["failures"] == []
        assert {task["desiredStatus"] for task in found["tasks"]} == {"STOPPED"}
    for name in ledger.asked_runs:
        tasks = sum(
            len(api.call("ListTasks", startedBy=name, desiredStatus=status)["taskArns"])
            for status in ("RUNNING", "STOPPED")
        )
        assert tasks in ((TASKS_PER_CALL,) if name in ledger.runs else (0, TASKS_PER_CALL)), name
    api.close()


def parts(entries: list[str], size: int) -> list[list[str]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]


def prepare(endpoint: str) -> None:
    api = Api(endpoint)
    api.call("CreateCluster", clusterName="default")
    api.call(
        "RegisterTaskDefinition",
        family="tiny",
        containerDefinitions=[{"name": "app", "image": "busybox", "memory": 8}],
    )
    api.close()


def write_and_kill(server: Server, chance: random.Random, number: int) -> Ledger:
    """Let clients write until a random number of acknowledgements, then kill the server."""
    ledger = Ledger()
    clients = [
        Client(server.endpoint, ledger, f"r{number}c{n}", f"{SEED}/{number}/{n}")
        for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        ledger.wait_for(chance.randint(LEAST_ACKNOWLEDGED, MOST_ACKNOWLEDGED), clients)
    finally:
        for client in clients:
            client.killed.set()
        server.kill()
        for client in clients:
            client.join(ANSWER_LIMIT_S)
    assert [client.failure for client in clients] == [None] * CLIENTS
    return ledger


@pytest.mark.slow
@pytest.mark.durability
def test_fifty_kills_under_load_lose_no_acknowledged_write_and_leave_no_half_commit(
    tmp_path: Path,
):
    chance = random.Random(SEED)
    everything = Ledger()
    file_check = FileCheck()
    server = Server(tmp_path)
    try:
        prepare(server.endpoint)
        for number in range(ROUNDS):
            server.connect_instance()
            ledger = write_and_kill(server, chance, number)
            file_check.check(tmp_path)
            everything.absorb(ledger)
            server = Server(tmp_path)
            check_answers(server.endpoint, ledger)
        check_answers(server.endpoint, everything)
    finally:
        server.kill()
    revisions = Counter(everything.task_definitions)
    assert max(revisions.values()) == 1, "a revision was given twice"
    assert len(everything.runs) > ROUNDS


@pytest.mark.slow
@pytest.mark.durability
def test_a_full_disk_stops_the_server_with_a_clear_message_and_loses_no_acknowledged_write(
    tmp_path: Path,
):
    server = Server(tmp_path)
    prepare(server.endpoint)
    server.connect_instance()
    room_bytes = 2_000_000
    for pid in family_of(server.process.process.pid):  # the journal's writer is one of its own
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (room_bytes, resource.RLIM_INFINITY))
    ledger = Ledger()
    clients = [Client(server.endpoint, ledger, f"f{n}", f"{SEED}/full/{n}") for n in range(CLIENTS)]
    for client in clients:
        client.killed.set()  # losing the server is what they wait for
        client.start()
    status = server.process.wait(limit_s=ANSWER_LIMIT_S)
    server.kill()
    for client in clients:
        client.join(ANSWER_LIMIT_S)
    assert [client.failure for client in clients] == [None] * CLIENTS
    assert status != 0
    # The line that says where it listens, and the one that says why it ended.
    assert len(server.process.lines) == 2, server.process.lines
    assert "the disk refused a commit" in server.process.lines[-1]
    assert ledger.count > 0
    FileCheck().check(tmp_path)
    server = Server(tmp_path)
    try:
        check_answers(server.endpoint, ledger)
    finally:
        server.kill()
