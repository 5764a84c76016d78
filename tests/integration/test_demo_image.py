"""The image that is made here: imported, run, answering, and stopping when it is asked to."""

import http.client
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from docker_calls import call_engine, list_containers, remove_containers
from homeport.cli.demo_image import ensure_image
from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure

pytestmark = pytest.mark.docker

LABELS = {"homeport-test": "demo-image"}
ANSWER_LIMIT_S = 10


@pytest.fixture
def run(docker_engine: EngineApi, busybox_image: str):
    """Start a container by plain Engine calls; all are removed in the end."""

    def start(command: list[str]) -> dict[str, Any]:
        body = {
            "Image": busybox_image,
            "Cmd": command,
            "Labels": LABELS,
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]}},
            "ExposedPorts": {"80/tcp": {}},
        }
        created = call_engine(docker_engine, "POST", "/containers/create", body)
        call_engine(docker_engine, "POST", f"/containers/{created['Id']}/start")
        return dict(call_engine(docker_engine, "GET", f"/containers/{created['Id']}/json"))

    yield start
    remove_containers(docker_engine, LABELS)
    assert list_containers(docker_engine, LABELS) == []


def _get_page(port: int) -> str:
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # the container runs before its web server listens
        finally:
            connection.close()


@pytest.mark.slow
def test_the_web_server_answers_with_its_host_name_and_ends_on_sigterm(run, docker_engine):
    container = run(["/serve"])
    port = int(container["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
    assert _get_page(port) == f"hello from container {container['Config']['Hostname']}\n"
    started = time.monotonic()
    call_engine(docker_engine, "POST", f"/containers/{container['Id']}/stop?{urlencode({'t': 20})}")
    assert time.monotonic() - started < 10
    ended = call_engine(docker_engine, "GET", f"/containers/{container['Id']}/json")
    assert ended["State"]["ExitCode"] == 0


@pytest.mark.slow
def test_a_killed_container_is_seen_as_exited_with_137(run, docker_engine):
    container = run(["sleep", "60"])
    docker_engine.kill_container(container["Id"])
    answer = call_engine(docker_engine, "POST", f"/containers/{container['Id']}/wait")
    assert answer["StatusCode"] == 137


def test_an_image_is_made_once(docker_engine, busybox_image):
    assert ensure_image(docker_engine, busybox_image) is False
    assert not docker_engine.has_image("homeport-test/never-made:1")


def test_the_engines_refusal_is_one_line(docker_engine):
    with pytest.raises(CommandFailure, match=r"^the Docker Engine answered 404 to .*No such") as no:
        docker_engine.kill_container("0123456789ab")
    assert "\n" not in str(no.value)
