"""Fixtures that several kinds of test use: a port, a Docker Engine, an image, a running server.

A missing Docker Engine fails a test, here and in CI: what was skipped was not tested. `make test`
starts one.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from homeport.cli.demo_image import ensure_image
from homeport.cli.engine_api import EngineApi
from homeport.config import AgentConfig
from homeport_process import LEAKING_VARIABLES, HomeportProcess

BUSYBOX_IMAGE = "homeport-test/busybox:1"
FRESH_SEED_BITS = 32

# Simulated clusters try seeds that nobody has tried; SIMULATION_SEED=N tries the same ones again.
SIMULATION_SEED = os.environ.setdefault("SIMULATION_SEED", str(secrets.randbits(FRESH_SEED_BITS)))


def pytest_report_header() -> str:
    """Say which seeds the simulation takes, so that a failing run can be had again."""
    return f"simulation: SIMULATION_SEED={SIMULATION_SEED}"


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> Iterator[None]:
    """Hide what the developer's environment says about AWS, proxies and Homeport itself."""
    hidden = [name for name in os.environ if name.startswith("HOMEPORT_")]
    with pytest.MonkeyPatch.context() as patch:
        for name in (*LEAKING_VARIABLES, *hidden):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def docker_host() -> str:
    """Where the Docker Engine of the tests is: DOCKER_HOST, else the local socket."""
    return os.environ.get("DOCKER_HOST") or AgentConfig().docker_host


@pytest.fixture(scope="session")
def docker_engine(docker_host: str) -> EngineApi:
    """A Docker Engine that answers; a test that asks for it fails when there is none."""
    engine = EngineApi(docker_host)
    engine.check()
    return engine


@pytest.fixture(scope="session")
def busybox_image(docker_engine: EngineApi) -> str:
    """An image with busybox's applets; its `/serve` answers HTTP on port 80, or PORT."""
    ensure_image(docker_engine, BUSYBOX_IMAGE)
    return BUSYBOX_IMAGE


@pytest.fixture
def homeport_server() -> Iterator[str]:
    """The endpoint of a real, ephemeral `homeport server` on a port of its own."""
    process = HomeportProcess(["server", "--port", "0", "--ephemeral", "--log-level", "warning"])
    try:
        yield process.wait_endpoint()
    finally:
        process.stop()


@pytest.fixture
def ecs(homeport_server: str) -> Any:
    """A boto3 client of `homeport_server`."""
    import boto3

    return boto3.client(
        "ecs",
        endpoint_url=homeport_server,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
