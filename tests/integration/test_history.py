"""`homeport history` on real servers, with a journal on disk and in memory."""

import json

import pytest

from homeport.cli.api_client import ApiClient
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow

SERVICE_ARN = "arn:aws:ecs:us-east-1:123456789012:service/default/web"


@pytest.fixture(params=["disk", "memory"])
def endpoint(request, tmp_path):
    kept = ["--data-dir", str(tmp_path)] if request.param == "disk" else ["--ephemeral"]
    process = HomeportProcess(["server", "--port", "0", "--log-level", "warning", *kept])
    try:
        yield process.wait_endpoint()
    finally:
        process.stop()


def show(endpoint: str, *arguments: str) -> HomeportProcess:
    process = HomeportProcess(["history", "--endpoint", endpoint, *arguments])
    process.wait()
    return process


def test_a_service_tells_what_was_done_to_it_and_by_which_call(endpoint):
    client = ApiClient(endpoint, "us-east-1")
    client.call("CreateCluster", {"clusterName": "default"})
    definition = {"name": "web", "image": "busybox", "memory": 16}
    client.call("RegisterTaskDefinition", {"family": "web", "containerDefinitions": [definition]})
    service = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 1}
    client.call("CreateService", service)
    client.call("UpdateService", {"service": "web", "desiredCount": 3})
    shown = show(endpoint, "web")
    assert shown.process.returncode == 0
    assert shown.lines[0] == SERVICE_ARN
    assert any("CreateService" in line and "first known" in line for line in shown.lines)
    assert any("desiredCount: 1 -> 3" in line for line in shown.lines)
    as_json = json.loads("\n".join(show(endpoint, "web", "--json").lines))
    assert as_json["resourceArn"] == SERVICE_ARN
    assert "UpdateService" in {entry["cause"] for entry in as_json["entries"]}


def test_what_nobody_knows_is_said_in_one_line(endpoint):
    ApiClient(endpoint, "us-east-1").call("CreateCluster", {"clusterName": "default"})
    for word in ("web", f"arn:aws:ecs:us-east-1:123456789012:task/default/{'0' * 32}"):
        shown = show(endpoint, word)
        assert shown.process.returncode == 1
        (line,) = shown.lines
        assert line.startswith("homeport: error: ClientException: ")
