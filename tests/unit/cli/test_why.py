"""`homeport why`: what it adds to the placement engine's answer for a service that waits."""

from typing import Any

import pytest

from homeport.cli import why as command

ARN = "arn:aws:ecs:us-east-1:123456789012:service/default/web"


class Server:
    """Answers as a server whose service waits for its next launch."""

    def __init__(self, fitting_instances: int) -> None:
        self._fitting_instances = fitting_instances
        self.asked: list[str] = []

    def call_homeport(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(operation)
        if operation == "ExplainServices":
            waits = {"serviceArn": ARN, "reasons": ["the image is missing"], "nextLaunchAt": None}
            return {"services": [waits]}
        return {
            "resourceArn": ARN,
            "summary": "service web: 2 tasks are wanted",
            "needs": {"cpu": 0, "memory": 64, "gpus": 0, "hostPorts": [], "attributes": []}
            | {"constraints": []},
            "fittingInstances": self._fitting_instances,
            "rules": [],
            "instances": [],
        }


@pytest.mark.parametrize(("fitting_instances", "is_explained"), [(2, True), (0, False)])
def test_a_service_that_has_room_tells_what_else_it_waits_for(
    monkeypatch, capsys, fitting_instances, is_explained
):
    server = Server(fitting_instances)
    monkeypatch.setattr(command, "make_client", lambda *_options: server)
    command.why("web")
    assert ("the image is missing" in capsys.readouterr().out) == is_explained
    assert ("ExplainServices" in server.asked) == is_explained
