"""The AWS CLI, as installed, against a real server: what README and demo tell people to type."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CALL_LIMIT_S = 60


def run_aws(endpoint: str, *arguments: str, region: str = "us-east-1") -> Any:
    """The JSON answer of `aws ecs ARGUMENTS`; an AssertionError with its words when it fails."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    command = [sys.executable, str(Path(sys.executable).parent / "aws"), "ecs", *arguments]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=CALL_LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_the_cli_registers_it_describes_in_the_region_it_names(homeport_server):
    containers = json.dumps([{"name": "web", "image": "nginx", "memory": 64}])
    registered = run_aws(
        homeport_server,
        *("register-task-definition", "--family", "web", "--container-definitions", containers),
        region="eu-west-1",
    )["taskDefinition"]
    assert registered["taskDefinitionArn"] == (
        "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1"
    )
    described = run_aws(
        homeport_server,
        *("describe-task-definition", "--task-definition", "web"),
        region="eu-west-1",
    )["taskDefinition"]
    assert described == registered
    assert run_aws(homeport_server, "list-task-definitions") == {"taskDefinitionArns": []}


def test_the_cli_shows_a_refusal_in_awss_words(homeport_server):
    with pytest.raises(AssertionError, match=r"\(ClusterNotFoundException\).*Cluster not found"):
        run_aws(homeport_server, "list-tasks", "--cluster", "none")
