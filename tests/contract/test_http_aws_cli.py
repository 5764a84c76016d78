"""The AWS CLI, unmodified, against the HTTP server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.api import ecs
from homeport.engine.events import ApiCalled
from served_api import ServedApi

# Version 2 of the CLI exits with 254 when the service refuses, version 1 with 255.
CLI_REFUSED = (254, 255)
CLI_TIMEOUT_S = 60

pytestmark = pytest.mark.slow


async def answer(event: ApiCalled) -> object:
    if event.operation == "ListClusters":
        return ecs.ListClustersResponse(cluster_arns=[f"arn:aws:ecs:{event.region}"])
    raise ecs.ClusterNotFoundException("Cluster not found.")


@pytest.fixture(scope="module")
def server() -> Iterator[ServedApi]:
    with ServedApi(answer) as served:
        yield served


def aws(server: ServedApi, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_MAX_ATTEMPTS": "1",
    }
    cli = Path(sys.executable).parent / "aws"
    return subprocess.run(
        [str(cli), "ecs", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=CLI_TIMEOUT_S,
        check=False,
    )


def test_the_cli_lists_in_any_region(server: ServedApi) -> None:
    done = aws(server, "list-clusters", "--region", "eu-south-2", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"clusterArns": ["arn:aws:ecs:eu-south-2"]}


def test_the_cli_shows_a_refusal_as_awss_own(server: ServedApi) -> None:
    done = aws(server, "describe-services", "--region", "us-east-1", "--services", "web")
    assert done.returncode in CLI_REFUSED
    assert "(ClusterNotFoundException)" in done.stderr
    assert "DescribeServices operation: Cluster not found." in done.stderr
