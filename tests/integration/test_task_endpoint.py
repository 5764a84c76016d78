"""A container learns about itself and gets its role's credentials from its machine's agent."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiodocker import Docker

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere, ControlPlane
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import acs, payload

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0, reason="the address 169.254.170.2 needs root"),
]

ROLE = payload.IamRoleCredentials(
    credentials_id="0f7b2f2e-6c0b-4c8e-9a43-5a3f0f3c1d2e",
    role_arn="arn:aws:iam::123456789012:role/web",
    access_key_id="123456789012",
    secret_access_key="a secret",
    session_token="a token",
    expiration="2026-11-22T12:00:00Z",
)
# What any program in a container would do, with nothing but busybox: read URLs from variables.
ASK = """
mkfifo /requests && exec 3<>/requests  # never at its end: nc must not close its side
ask() { path="${1#http://169.254.170.2}"
  printf 'GET %s HTTP/1.0\\r\\n\\r\\n' "$path" >&3
  nc 169.254.170.2 80 <&3 | sed '1,/^\\r$/d'; echo; }
ask "$ECS_CONTAINER_METADATA_URI_V4"
ask "$ECS_CONTAINER_METADATA_URI_V4/task"
ask "$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
ask "$ECS_CONTAINER_METADATA_URI/stats"
ask /v4/unknown
until grep -q READY "$ECS_CONTAINER_METADATA_FILE"; do sleep 0.1; done
cat "$ECS_CONTAINER_METADATA_FILE"
"""


async def start_agent(
    control: ControlPlane, folder: Path, engine: EngineApi, name: str
) -> tuple[AgentHere, AgentSettings]:
    settings = AgentSettings(
        endpoint=control.endpoint,
        data_dir=folder / name,
        docker_host=engine.docker_host,
        image_pull_behavior="prefer-cached",
        bind_address="127.0.0.1",
        container_stop_timeout_s=1,
        availability_zone="us-east-1a",
        metadata_file=True,
    )
    agent = AgentHere(control, settings)
    known = {body["containerInstance"] for body in control.bodies("DiscoverPollEndpoint")}
    await agent.start()
    polled = control.bodies
    [agent.arn] = await control.wait(
        lambda: {b["containerInstance"] for b in polled("DiscoverPollEndpoint")} - known
    )
    await control.wait_connected(agent.arn)
    return agent, settings


@pytest.fixture
async def agents(
    tmp_path: Path, docker_engine: EngineApi, busybox_image: str
) -> AsyncIterator[list[AgentHere]]:
    """Two agents of one machine: only one of them can have port 80."""
    control = ControlPlane()
    await control.start()
    started = [await start_agent(control, tmp_path, docker_engine, name) for name in ("a", "b")]
    yield [agent for agent, _ in started]
    for agent, settings in started:
        await agent.stop()
        await remove_containers(settings)
    await control.stop()


async def ask_from_inside(agent: AgentHere, image: str, docker_host: str, **members: Any) -> Any:
    """Run the questions in a container; answers its task and the five answers."""
    asking = make_container(image, command=("sh", "-c", ASK), cpu=64, **members)
    task = make_task(asking, role_credentials=ROLE, zone="us-east-1a", service_name="web")
    await agent.control.send_tasks(agent.arn, task)
    report = await agent.control.wait_report(task, "STOPPED")
    [change] = [c for c in report["containers"] if c["status"] == "STOPPED"]
    assert change["exitCode"] == 0
    docker = Docker(url=docker_host)
    try:
        lines = await docker.containers.container(change["runtimeId"]).log(stdout=True)
    finally:
        await docker.close()
    return task, [json.loads(line) for line in lines if line.strip()]


async def test_containers_of_each_agent_find_their_metadata_and_their_role(
    agents: list[AgentHere], busybox_image: str, docker_engine: EngineApi
):
    for agent in agents:
        task, answers = await ask_from_inside(agent, busybox_image, docker_engine.docker_host)
        container, whole, credentials, stats, unknown, file = answers
        assert container["Name"] == "web"
        assert container["Labels"]["com.amazonaws.ecs.task-arn"] == task.arn
        assert container["Limits"] == {"CPU": 64, "Memory": 16}
        assert container["Networks"][0]["NetworkMode"] == "bridge"
        assert container["LogDriver"]
        assert whole["TaskARN"] == task.arn
        assert (whole["Cluster"], whole["Family"], whole["Revision"]) == ("default", "demo", "1")
        assert whole["AvailabilityZone"] == "us-east-1a"
        assert whole["LaunchType"] == "EC2"
        assert [c["DockerId"] for c in whole["Containers"]] == [container["DockerId"]]
        assert credentials["RoleArn"] == ROLE.role_arn
        assert credentials["SecretAccessKey"] == "a secret"
        assert "cpu_stats" in stats
        assert "no container has the endpoint ID" in unknown
        assert file["ContainerID"] == container["DockerId"]


async def test_the_agent_offers_roles_and_keeps_no_secret_on_disk(
    agents: list[AgentHere], busybox_image: str, docker_engine: EngineApi
):
    agent = agents[0]
    [first, *_] = agent.control.bodies("RegisterContainerInstance")
    names = [attribute["name"] for attribute in first["attributes"]]
    assert "com.amazonaws.ecs.capability.task-iam-role" in names
    await ask_from_inside(agent, busybox_image, docker_engine.docker_host)
    files = [path for path in agent.settings.data_dir.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    assert ROLE.credentials_id.encode() in kept
    assert b"a secret" not in kept


async def test_refreshed_credentials_reach_the_container_and_are_acknowledged(
    agents: list[AgentHere], busybox_image: str, docker_engine: EngineApi
):
    agent = agents[1]
    sleeper = make_container(busybox_image, command=("sleep", "60"))
    task = make_task(sleeper, role_credentials=ROLE)
    await agent.control.send_tasks(agent.arn, task)
    await agent.control.wait_report(task, "RUNNING")
    newer = msgspec.structs.replace(ROLE, secret_access_key="newer")
    message = acs.IAMRoleCredentialsMessage(
        message_id="refresh",
        task_arn=task.arn,
        role_type="TaskApplication",
        role_credentials=newer,
    )
    await agent.control.send(agent.arn, message)
    await agent.control.wait(
        lambda: any(
            isinstance(m, acs.IAMRoleCredentialsAckRequest) and m.message_id == "refresh"
            for m in agent.control.messages
        )
    )
    docker = Docker(url=docker_engine.docker_host)
    try:
        [found] = await docker.containers.list(
            filters=json.dumps({"label": [f"com.amazonaws.ecs.task-arn={task.arn}"]})
        )
        shown = await found.show()
    finally:
        await docker.close()
    [uri] = [
        pair.partition("=")[2]
        for pair in shown["Config"]["Env"]
        if pair.startswith("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=")
    ]
    reader, writer = await asyncio.open_connection("169.254.170.2", 80)
    writer.write(f"GET {uri} HTTP/1.0\r\n\r\n".encode())
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    assert json.loads(body)["SecretAccessKey"] == "newer"
