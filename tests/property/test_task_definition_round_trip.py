"""What was registered is what is described: over every member of the model, and nothing more."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from builders import make_store
from calls import call
from homeport.api import ecs
from homeport.api.shapes import Shape
from model_members import given_names, member_names
from task_definition_requests import requests, whole_requests

# What AWS adds (API reference: defaults), by path.
DEFAULTS: dict[str, Any] = {
    "volumes": [],
    "placementConstraints": [],
    "containerDefinitions.cpu": 0,
    "containerDefinitions.essential": True,
    "containerDefinitions.portMappings": [],
    "containerDefinitions.environment": [],
    "containerDefinitions.mountPoints": [],
    "containerDefinitions.volumesFrom": [],
    "containerDefinitions.systemControls": [],
    "containerDefinitions.portMappings.protocol": "tcp",
    "containerDefinitions.portMappings.hostPort": 0,
    "containerDefinitions.healthCheck.interval": 30,
    "containerDefinitions.healthCheck.timeout": 5,
    "containerDefinitions.healthCheck.retries": 3,
}
OWN_MEMBERS = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
    }
)
IN_UNITS = {
    **{"1024": "1024", "2 vCPU": "2048", "1.5vcpu": "1536"},
    **{"2 GB": "2048", "1.5gb": "1536"},
}


def differences(given_value: Any, shown: Any, path: str = "") -> list[str]:
    """List what was given and isn't shown, and what is shown and neither given nor a default."""
    if isinstance(given_value, dict) and isinstance(shown, dict):
        found = []
        for member in {**given_value, **shown}:
            below = f"{path}.{member}".lstrip(".")
            if member not in shown:
                found.append(f"{below} is lost")
            elif member in given_value:
                found += differences(given_value[member], shown[member], below)
            elif below not in DEFAULTS or shown[member] != DEFAULTS[below]:
                found.append(f"{below} appeared: {shown[member]!r}")
        return found
    if isinstance(given_value, list) and isinstance(shown, list) and len(given_value) == len(shown):
        return [
            d for pair in zip(given_value, shown, strict=True) for d in differences(*pair, path)
        ]
    return [] if given_value == shown else [f"{path} was {given_value!r}, is {shown!r}"]


def as_json(request: Shape) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(request))
    return members


def expected_of(request: ecs.RegisterTaskDefinitionRequest) -> dict[str, Any]:
    """Say how a request should be described: sizes in units, shared ports on both sides."""
    expected = as_json(request)
    expected.pop("tags", None)
    for member in ("cpu", "memory"):
        if member in expected:
            expected[member] = IN_UNITS[expected[member]]
    if request.network_mode in ("awsvpc", "host"):
        for container in expected["containerDefinitions"]:
            for mapping in container.get("portMappings", ()):
                if "containerPort" in mapping:
                    mapping["hostPort"] = mapping["containerPort"]
    return expected


def check_round_trip(request: ecs.RegisterTaskDefinitionRequest) -> None:
    store = make_store()
    registered = call(store, "RegisterTaskDefinition", **as_json(request))
    described = call(
        store, "DescribeTaskDefinition", taskDefinition=request.family, include=["TAGS"]
    )
    assert described["taskDefinition"] == registered["taskDefinition"]
    shown = {k: v for k, v in described["taskDefinition"].items() if k not in OWN_MEMBERS}
    assert differences(expected_of(request), shown) == []
    given_tags = [{"value": "", **tag} for tag in as_json(request).get("tags", ())]
    assert described["tags"] == given_tags


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(requests())
def test_any_sound_definition_is_described_as_registered(request):
    check_round_trip(request)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(whole_requests("bridge"), whole_requests("awsvpc"))
def test_every_member_of_the_model_makes_the_round_trip(bridge, awsvpc):
    check_round_trip(bridge)
    check_round_trip(awsvpc)
    made = given_names(bridge) | given_names(awsvpc)
    assert member_names(ecs.RegisterTaskDefinitionRequest) - made == set()
