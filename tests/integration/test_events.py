"""`Homeport.ListEvents` and `homeport events` on a real server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from homeport.cli.api_client import ApiClient, ApiRefusal
from homeport_process import HomeportProcess

pytestmark = pytest.mark.slow


def make_service(endpoint: str, region: str = "us-east-1") -> ApiClient:
    """A service without instances: one deployment that never ends."""
    client = ApiClient(endpoint, region)
    client.call("CreateCluster", {"clusterName": "default"})
    definition = {"name": "web", "image": "busybox", "memory": 16}
    client.call("RegisterTaskDefinition", {"family": "web", "containerDefinitions": [definition]})
    add_service(client, "web")
    return client


def add_service(client: ApiClient, name: str) -> None:
    service = {"serviceName": name, "taskDefinition": "web", "desiredCount": 1}
    client.call("CreateService", service)


def test_events_are_listed_and_waited_for_over_the_api(homeport_server):
    client = make_service(homeport_server)
    page = client.call_homeport("ListEvents", {"detailTypes": ["ECS Deployment State Change"]})
    (begun,) = page["events"]
    assert begun["event"]["detail"]["eventName"] == "SERVICE_DEPLOYMENT_IN_PROGRESS"
    assert begun["event"]["resources"] == ["arn:aws:ecs:us-east-1:123456789012:service/default/web"]
    position = client.call_homeport("ListEvents", {"tail": 0})["lastSequence"]
    update = {"service": "web", "forceNewDeployment": True}
    later = threading.Timer(0.2, client.call, ("UpdateService", update))
    later.start()
    found = client.call_homeport("ListEvents", {"after": position, "waitTimeSeconds": 20})
    later.join()
    names = [each["event"]["detail"]["eventName"] for each in found["events"]]
    assert "SERVICE_DEPLOYMENT_IN_PROGRESS" in names
    assert not found["isIncomplete"]


def test_another_region_has_no_part_in_the_events(homeport_server):
    make_service(homeport_server)
    elsewhere = ApiClient(homeport_server, "eu-west-1")
    assert elsewhere.call_homeport("ListEvents", {})["events"] == []


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"limit": 0}, "limit must be between 1 and 1000, it is 0."),
        ({"waitTimeSeconds": 21}, "waitTimeSeconds must be between 0 and 20, it is 21."),
        ({"after": 1, "tail": 1}, "Give after or tail, not both."),
        ({"after": -1}, "after must be at least 0, it is -1."),
        ({"detailTypes": ["x"]}, "detailTypes should be of "),
    ],
)
def test_what_has_no_meaning_is_refused(homeport_server, request_, complaint):
    with pytest.raises(ApiRefusal, match=complaint) as refused:
        ApiClient(homeport_server, "us-east-1").call_homeport("ListEvents", request_)
    assert refused.value.code == "InvalidParameterException"


def test_the_command_shows_earlier_events_and_follows_the_stream(homeport_server):
    client = make_service(homeport_server)
    shown = HomeportProcess(["events", "--endpoint", homeport_server, "--service", "web"])
    assert shown.wait() == 0
    assert any("service web SERVICE_DEPLOYMENT_IN_PROGRESS" in line for line in shown.lines)
    follower = HomeportProcess(
        ["events", "--follow", "--json", "--tail", "1000", "--endpoint", homeport_server]
    )
    try:
        follower.wait_line("SERVICE_DEPLOYMENT_IN_PROGRESS")
        add_service(client, "late")
        event = json.loads(follower.wait_line("service/default/late"))
        assert event["source"] == "aws.ecs"
    finally:
        follower.stop()


class Receiver:
    """An endpoint on loopback that takes every event."""

    def __init__(self, port: int) -> None:
        self.taken: list[dict[str, Any]] = []
        self._news = threading.Condition()
        receiver = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver._news:
                    receiver.taken.append(json.loads(body))
                    receiver._news.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", port), Endpoint)
        self._serving = threading.Thread(target=self._server.serve_forever)
        self._serving.start()

    def wait_named(self, name: str) -> None:
        """Return when an event of this name has come."""
        with self._news:
            assert self._news.wait_for(lambda: name in self.names(), timeout=20), self.names()

    def names(self) -> list[str | None]:
        return [each["detail"].get("eventName") for each in self.taken]

    def close(self) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()


def test_a_webhook_gets_what_happens(free_port):
    receiver = Receiver(free_port)
    url = f"http://127.0.0.1:{free_port}/hook"
    server = HomeportProcess(["server", "--port", "0", "--ephemeral", "--event-webhook", url])
    try:
        make_service(server.wait_endpoint())
        receiver.wait_named("SERVICE_DEPLOYMENT_IN_PROGRESS")
    finally:
        assert server.stop() == 0
        receiver.close()


def test_a_webhook_gets_what_happened_before_the_server_was_killed(free_port, tmp_path):
    url = f"http://127.0.0.1:{free_port}/hook"
    arguments = ["server", "--port", "0", "--data-dir", str(tmp_path), "--event-webhook", url]
    first = HomeportProcess(arguments)
    make_service(first.wait_endpoint())  # nobody listens to the webhook
    first.kill()
    receiver = Receiver(free_port)
    second = HomeportProcess(arguments)
    try:
        receiver.wait_named("SERVICE_DEPLOYMENT_IN_PROGRESS")
        assert receiver.names()[0] == "SERVICE_DEPLOYMENT_IN_PROGRESS"
    finally:
        assert second.stop() == 0
        receiver.close()


def test_who_follows_stays_through_a_restart(free_port, tmp_path):
    arguments = ["server", "--port", str(free_port), "--data-dir", str(tmp_path)]
    first = HomeportProcess(arguments)
    follower = None
    try:
        endpoint = first.wait_endpoint()
        client = make_service(endpoint)
        follower = HomeportProcess(["events", "--follow", "--endpoint", endpoint])
        follower.wait_line("SERVICE_DEPLOYMENT_IN_PROGRESS")
        first.kill()
        second = HomeportProcess(arguments)
        try:
            second.wait_endpoint()
            add_service(client, "late")
            follower.wait_line("service late SERVICE_DEPLOYMENT_IN_PROGRESS")
        finally:
            second.stop()
    finally:
        first.stop()
        if follower is not None:
            follower.stop()
