"""The command line's own client: one call, pages, refusals, and nobody there."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport.cli.failure import CommandFailure


class FakeApi:
    """Answers each operation with the next of its prepared (status, body) pairs."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.authorizations: list[str] = []


@pytest.fixture
def api() -> Iterator[tuple[FakeApi, ApiClient]]:
    fake = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            fake.requests.append((operation, body))
            fake.authorizations.append(self.headers["Authorization"])
            status, answer = fake.answers[operation].pop(0)
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake, ApiClient(f"http://127.0.0.1:{server.server_port}", "eu-west-1")
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_call_is_signed_for_its_region_and_gives_the_answer(api):
    fake, client = api
    fake.answers["ListClusters"] = [(200, {"clusterArns": ["a"]})]
    assert client.call("ListClusters", {}) == {"clusterArns": ["a"]}
    assert "/eu-west-1/ecs/aws4_request" in fake.authorizations[0]


def test_a_refusal_carries_awss_type_and_message(api):
    fake, client = api
    refusal = {"__type": "com.amazonaws.ecs#ClusterNotFoundException", "message": "Not found."}
    fake.answers["DescribeClusters"] = [(400, refusal)]
    match = r"^ClusterNotFoundException: Not found\. `homeport status` lists the clusters"
    with pytest.raises(ApiRefusal, match=match) as refused:
        client.call("DescribeClusters", {})
    assert refused.value.code == "ClusterNotFoundException"


def test_lists_are_followed_to_their_last_page(api):
    fake, client = api
    fake.answers["ListTasks"] = [
        (200, {"taskArns": ["a", "b"], "nextToken": "more"}),
        (200, {"taskArns": ["c"]}),
    ]
    assert list(client.list_all("ListTasks", "taskArns", {"cluster": "x"})) == ["a", "b", "c"]
    assert fake.requests[1] == ("ListTasks", {"cluster": "x", "nextToken": "more"})


def test_descriptions_are_asked_for_in_batches_and_never_for_nothing(api):
    fake, client = api
    fake.answers["DescribeServices"] = [
        (200, {"services": [{"serviceName": "a"}, {"serviceName": "b"}]}),
        (200, {"services": [{"serviceName": "c"}]}),
    ]
    found = client.describe_all("DescribeServices", "services", ["a", "b", "c"], page_size=2)
    assert [each["serviceName"] for each in found] == ["a", "b", "c"]
    assert client.describe_all("DescribeServices", "services", []) == []


def test_something_else_on_the_port_is_named(api):
    fake, client = api
    fake.answers["ListClusters"] = [(200, b"<html>")]
    with pytest.raises(CommandFailure, match="is not Homeport"):
        client.call("ListClusters", {})


def test_when_nobody_listens_the_line_says_how_to_start_a_server(free_port):
    client = ApiClient(f"http://127.0.0.1:{free_port}", "us-east-1")
    with pytest.raises(CommandFailure, match="start one with `homeport up`"):
        client.call("ListClusters", {})


@pytest.mark.parametrize("endpoint", ["localhost:4566", "https://x", ""])
def test_an_endpoint_that_is_no_http_address_is_refused(endpoint):
    with pytest.raises(CommandFailure, match="is not an http://HOST:PORT address"):
        ApiClient(endpoint, "us-east-1")


def test_a_patient_client_waits_for_a_server_that_comes_back(api, monkeypatch):
    fake, client = api
    fake.answers["ListClusters"] = [(200, {"clusterArns": ["a"]})]
    attempts: list[int] = []
    send = ApiClient._send

    def send_third_time(self: ApiClient, *request: Any) -> tuple[int, bytes]:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionRefusedError("nobody")
        return send(self, *request)

    monkeypatch.setattr(ApiClient, "_send", send_third_time)
    monkeypatch.setattr("homeport.cli.api_client.RETRY_INTERVAL_S", 0)
    assert client.with_patience(60).call("ListClusters", {}) == {"clusterArns": ["a"]}
    attempts.clear()
    with pytest.raises(CommandFailure, match="no Homeport server answers"):
        client.call("ListClusters", {})
    assert len(attempts) == 1


def test_patience_ends_in_the_usual_failure(free_port):
    client = ApiClient(f"http://127.0.0.1:{free_port}", "us-east-1").with_patience(0.01)
    with pytest.raises(CommandFailure, match="no Homeport server answers"):
        client.call("ListClusters", {})
