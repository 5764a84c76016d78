"""`homeport deploy` on a real `homeport up`: containers start, are replaced, and fail."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_calls import call_engine, remove_containers
from homeport.cli.api_client import ApiClient
from homeport_process import HomeportProcess

pytestmark = [pytest.mark.docker, pytest.mark.slow]

DEPLOY_LIMIT_S = 90
EXIT_TIMED_OUT = 3


@pytest.fixture(scope="module")
def up(docker_engine, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("up")
    process = HomeportProcess(["up", "--port", "0", "--data-dir", str(folder)])
    try:
        line = process.wait_line("Homeport is up at http://", limit_s=60)
        yield line.partition("Homeport is up at ")[2].partition(",")[0]
    finally:
        process.send(signal.SIGINT)
        process.wait()
        for volume in call_engine(docker_engine, "GET", "/volumes")["Volumes"] or []:
            if volume["Name"] == "shop_data":  # a shared volume outlives its tasks
                call_engine(docker_engine, "DELETE", "/volumes/shop_data")


def deploy(up: str, *arguments: str, cwd: Path | None = None) -> HomeportProcess:
    folder = None if cwd is None else str(cwd)
    process = HomeportProcess(["deploy", "--endpoint", up, *arguments], cwd=folder)
    process.wait(limit_s=DEPLOY_LIMIT_S)
    return process


def write_definition(folder: Path, family: str, image: str, **members: Any) -> str:
    container = {
        "name": "app",
        "image": image,
        "command": ["/serve"],
        "memory": 16,
        "stopTimeout": 2,
        **members,
    }
    path = folder / f"{family}.json"
    path.write_text(json.dumps({"family": family, "containerDefinitions": [container]}))
    return str(path)


def describe(up: str, service: str) -> dict[str, Any]:
    found = ApiClient(up, "us-east-1").call("DescribeServices", {"services": [service]})
    return dict(found["services"][0])


def test_a_definition_is_deployed_changed_and_left_alone_when_nothing_is_new(
    up, busybox_image, docker_engine, tmp_path
):
    file = write_definition(tmp_path, "web", busybox_image)
    planned = deploy(up, file, "--plan")
    assert planned.process.returncode == 0
    assert "+ service web: 0 -> 2 tasks" in deploy(
        up, file, "--plan", "--desired-count", "2"
    ).lines
    assert not ApiClient(up, "us-east-1").call("ListServices", {})["serviceArns"]

    first = deploy(up, file, "--desired-count", "2")
    assert first.process.returncode == 0, "\n".join(first.lines)
    assert first.lines[-1] == "service web is steady on web:1"
    assert any("has started 2 tasks" in line for line in first.lines)
    assert any(" web:1 service:web RUNNING" in line for line in first.lines)
    assert describe(up, "web")["runningCount"] == 2

    again = deploy(up, file)
    assert again.lines[0] == "  service web: nothing to change"
    assert again.process.returncode == 0
    assert describe(up, "web")["taskDefinition"].endswith("/web:1")

    other = f"{busybox_image.rpartition(':')[0]}:other"
    repository = other.rpartition(":")[0]
    call_engine(
        docker_engine, "POST", f"/images/{busybox_image}/tag?repo={repository}&tag=other"
    )
    changed = deploy(up, "--service", "web", "--image", f"app={other}", "--json")
    assert changed.process.returncode == 0, "\n".join(changed.lines)
    lines = [json.loads(line) for line in changed.lines]
    change = {
        "member": "containerDefinitions[app].image",
        "before": busybox_image,
        "after": other,
    }
    assert lines[0]["services"][0]["changes"] == [change]
    assert {"plan", "event", "progress", "result"} <= {line["type"] for line in lines}
    (result,) = lines[-1]["services"]
    assert (result["outcome"], result["taskDefinition"][-6:]) == ("steady", "/web:2")
    assert describe(up, "web")["runningCount"] == 2


def test_a_deployment_that_cannot_run_fails_with_the_reason_and_status_1(
    up, busybox_image, tmp_path
):
    good = write_definition(tmp_path, "crash", busybox_image)
    assert deploy(up, good).process.returncode == 0
    bad = write_definition(tmp_path, "crash", busybox_image, command=["sh", "-c", "exit 3"])
    failed = deploy(up, bad)
    assert failed.process.returncode == 1, "\n".join(failed.lines)
    assert failed.lines[-1].startswith("service crash: crash:2 failed: ")
    assert "container app exited 3" in failed.lines[-1]


def test_a_service_without_room_is_not_steady_in_time_and_ends_with_status_3(
    up, busybox_image, tmp_path
):
    file = write_definition(tmp_path, "huge", busybox_image, memory=10_000_000)
    late = deploy(up, file, "--timeout", "3")
    assert late.process.returncode == EXIT_TIMED_OUT
    assert any("was unable to place a task" in line for line in late.lines)
    assert late.lines[-1].startswith("service huge: huge:1 timed out: ")


def test_a_compose_file_is_deployed_in_the_order_of_its_dependencies(
    up, busybox_image, tmp_path
):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(
        f"""
services:
  web:
    image: ${{IMAGE:-{busybox_image}}}
    command: /serve
    ports: [80]
    environment: {{GREETING: hello}}
    deploy: {{replicas: 2}}
    depends_on: [db]
  db:
    image: {busybox_image}
    command: [/serve]
    healthcheck: {{test: "true", interval: 5s}}
    volumes: ["data:/data"]
volumes:
  data:
"""
    )
    deployed = deploy(up, cwd=folder)
    assert deployed.process.returncode == 0, "\n".join(deployed.lines)
    database, web, *addresses = deployed.lines[-4:]
    assert database == "service shop-db is steady on shop-db:1"
    assert web == "service shop-web is steady on shop-web:1"
    for line in addresses:
        with urllib.request.urlopen(f"http://{line.removeprefix('  listens on ')}/") as answer:
            assert answer.status == 200
    assert describe(up, "shop-web")["runningCount"] == 2
    again = deploy(up, cwd=folder)
    assert again.lines[:2] == [
        "  service shop-web: nothing to change",
        "  service shop-db: nothing to change",
    ]


def test_a_deployment_is_watched_through_a_killed_server(
    busybox_image, docker_engine, free_port, tmp_path
):
    arguments = ["server", "--port", str(free_port), "--data-dir", str(tmp_path / "server")]
    server = HomeportProcess(arguments)
    endpoint = server.wait_endpoint()
    agent_folder = str(tmp_path / "agent")
    agent = HomeportProcess(["agent", "--endpoint", endpoint, "--data-dir", agent_folder])
    file = write_definition(tmp_path, "web", busybox_image)
    deployment = None
    try:
        client = ApiClient(endpoint, "us-east-1").with_patience(DEPLOY_LIMIT_S)
        agent.wait_line("acs: connected", limit_s=60)
        deployment = HomeportProcess(
            ["deploy", file, "--desired-count", "3", "--endpoint", endpoint]
        )
        deployment.wait_line("has started 3 tasks")
        server.kill()
        server = HomeportProcess(arguments)
        assert deployment.wait(limit_s=DEPLOY_LIMIT_S) == 0, "\n".join(deployment.lines)
        assert describe(endpoint, "web")["runningCount"] == 3
        client.call("DeleteService", {"service": "web", "force": True})
        instances = list(client.list_all("ListContainerInstances", "containerInstanceArns"))
    finally:
        for process in (deployment, agent, server):
            if process is not None:
                process.stop()
    for arn in instances:
        remove_containers(docker_engine, {"homeport.container-instance": arn})
