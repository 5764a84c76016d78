"""Plain Docker Engine calls for tests that look behind Homeport's back."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from homeport.cli.demo_steps import IMAGE as DEMO_IMAGE
from homeport.cli.engine_api import EngineApi


def call_engine(engine: EngineApi, method: str, path: str, body: Any = None) -> Any:
    """The engine's JSON answer, None when it is empty; an AssertionError when it refuses."""
    connection = engine.connect()
    try:
        raw = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        assert response.status < 400, answer
        return json.loads(answer) if answer.strip() else None
    finally:
        connection.close()


def list_containers(engine: EngineApi, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """All containers, running or not, that carry every one of `labels`."""
    wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
    query = urlencode({"all": "true", "filters": json.dumps(wanted)})
    found: list[dict[str, Any]] = call_engine(engine, "GET", f"/containers/json?{query}")
    return found


def find_demo_containers(engine: EngineApi) -> set[str]:
    """The ids of all containers, running or not, that a demo started."""
    return {each["Id"] for each in list_containers(engine, {}) if each["Image"] == DEMO_IMAGE}


def remove_containers(engine: EngineApi, labels: Mapping[str, str]) -> None:
    """Kill and remove the containers that carry `labels`, with their anonymous volumes."""
    for container in list_containers(engine, labels):
        call_engine(engine, "DELETE", f"/containers/{container['Id']}?force=true&v=true")
