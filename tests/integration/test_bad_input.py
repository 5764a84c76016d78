"""Requests that no client should send, to a real server: AWS's error, nothing changed, no trace.

What the wire and each operation refuse is tested next to them; here one of every kind goes all
the way, and afterwards the data directory is what it was.
"""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from homeport.storage.reading import read_state
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow

TARGET = "AmazonEC2ContainerServiceV20141113."
LIMIT_S = 20
REQUEST_TIMEOUT_S = 0.5
MIB = 1024 * 1024
SMALL = {"name": "app", "image": "busybox", "memory": 8}
LONG = "x" * 300
ELSEWHERE = "arn:aws:ecs:eu-west-1:123456789012:cluster/default"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeportProcess]:
    """A server with a cluster, a task definition and one instance; it must survive them all."""
    folder = tmp_path_factory.mktemp("data")
    arguments = ["--port", "0", "--log-level", "error", "--data-dir", str(folder)]
    process = HomeportProcess(
        ["server", *arguments], environ={"HOMEPORT_REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S)}
    )
    try:
        process.wait_endpoint()
        call(process, "CreateCluster", {})
        call(process, "RegisterTaskDefinition", definition(SMALL))
        call(process, "RegisterTaskDefinition", definition({**SMALL, "memory": 10**8}, "huge"))
        call(process, "RegisterContainerInstance", {})
        commits = newest_commit(folder)
        yield process
    finally:
        status = process.stop()
    assert status == 0
    assert len(process.lines) == 1, "\n".join(process.lines)  # where it listens, and no complaint
    assert newest_commit(folder) == commits


def newest_commit(folder: Path) -> int:
    """The number of the last commit, read from a copy since the server holds the folder."""
    copy = folder.with_name("copy")
    copy.mkdir(exist_ok=True)
    for path in folder.glob("homeport.sqlite3*"):
        (copy / path.name).write_bytes(path.read_bytes())
    return read_state(copy).sequence


def address_of(server: HomeportProcess) -> tuple[str, int]:
    host, _, port = server.wait_endpoint().removeprefix("http://").partition(":")
    return host, int(port)


def call(server: HomeportProcess, operation: str, body: Any) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection(*address_of(server), timeout=LIMIT_S)
    text = body if isinstance(body, bytes) else json.dumps(body)
    connection.request("POST", "/", text, {"X-Amz-Target": TARGET + operation})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    connection.close()
    return response.status, answer


def definition(*containers: dict[str, Any] | str) -> dict[str, Any]:
    *described, last = containers
    family = last if isinstance(last, str) else "small"
    return {
        "family": family,
        "containerDefinitions": described if isinstance(last, str) else [*described, last],
    }


def on_port(name: str, *ports: int) -> dict[str, Any]:
    mappings = [{"containerPort": 80 + n, "hostPort": port} for n, port in enumerate(ports)]
    return {**SMALL, "name": name, "portMappings": mappings}


REFUSALS = [
    ("CreateCluster", {"clusterName": 5}, "SerializationException"),
    ("RunTask", {"taskDefinition": "small", "count": 1.5}, "SerializationException"),
    ("RunTask", {"taskDefinition": "small", "count": 10**30}, "SerializationException"),
    ("CreateCluster", b"{", "SerializationException"),
    ("CreateCluster", b"[]", "SerializationException"),
    ("CreateCluster", b'{"clusterName":"\xff"}', "SerializationException"),
    ("CreateCluster", b'{"a":' * 50_000, "SerializationException"),
    ("NoSuchOperation", {}, "UnknownOperationException"),
    ("RegisterTaskDefinition", {}, "ClientException"),
    ("RunTask", {}, "InvalidParameterException"),
    ("StopTask", {}, "InvalidParameterException"),
    ("CreateService", {}, "InvalidParameterException"),
    ("CreateCluster", {"clusterName": ""}, "InvalidParameterException"),
    ("RegisterTaskDefinition", definition(SMALL, ""), "ClientException"),
    ("RegisterTaskDefinition", definition({**SMALL, "name": ""}), "ClientException"),
    ("RegisterTaskDefinition", definition({**SMALL, "image": ""}), "ClientException"),
    ("CreateCluster", {"clusterName": LONG}, "InvalidParameterException"),
    ("RegisterTaskDefinition", definition(SMALL, LONG), "ClientException"),
    ("CreateService", {"serviceName": LONG, "desiredCount": 0}, "InvalidParameterException"),
    ("RunTask", {"taskDefinition": "small", "group": LONG}, "InvalidParameterException"),
    ("StopTask", {"task": "arn:aws:ecs"}, "InvalidParameterException"),
    ("RunTask", {"cluster": ELSEWHERE, "taskDefinition": "small"}, "ClusterNotFoundException"),
    ("TagResource", {"resourceArn": "arn:::", "tags": []}, "InvalidParameterException"),
    ("RegisterTaskDefinition", definition(SMALL, SMALL), "ClientException"),
    (
        "RegisterTaskDefinition",
        definition(on_port("a", 8080), on_port("b", 8080)),
        "ClientException",
    ),
    ("RegisterTaskDefinition", definition(on_port("a", 8080, 8080)), "ClientException"),
    (
        "RegisterTaskDefinition",
        definition({**SMALL, "command": ["x" * 100_000]}),
        "ClientException",
    ),
]


@pytest.mark.parametrize(("operation", "body", "code"), REFUSALS)
def test_a_bad_request_is_refused_in_awss_terms(
    server: HomeportProcess, operation: str, body: Any, code: str
):
    status, answer = call(server, operation, body)
    assert (status // 100, answer["__type"]) == (4, code)
    assert answer["message"]


def test_a_task_that_no_instance_could_hold_is_a_failure_with_its_reason(server: HomeportProcess):
    status, answer = call(server, "RunTask", {"taskDefinition": "huge"})
    assert (status, answer["tasks"]) == (200, [])
    assert [failure["reason"] for failure in answer["failures"]] != []


def test_ten_mebibytes_are_too_large(server: HomeportProcess):
    body = json.dumps({"clusterName": "x", "padding": "y" * 10 * MIB}).encode()
    status, answer = call(server, "CreateCluster", body)
    assert (status, answer["__type"]) == (413, "RequestEntityTooLargeException")


HALF = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: " + TARGET.encode() + b"CreateCluster\r\n"
    b'Content-Length: 100\r\n\r\n{"clusterName":"half'
)


def test_a_client_too_slow_to_send_its_request_is_told_so(server: HomeportProcess):
    with socket.create_connection(address_of(server), timeout=LIMIT_S) as client:
        client.sendall(HALF)
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"RequestTimeoutException" in received


@pytest.mark.parametrize("end", [12, 80, len(HALF)])
def test_half_a_request_is_nothing(server: HomeportProcess, end: int):
    with socket.create_connection(address_of(server), timeout=LIMIT_S) as client:
        client.sendall(HALF[:end])
    status, answer = call(server, "DescribeClusters", {"clusters": ["half"]})
    assert (status, answer["clusters"]) == (200, [])
