"""A real agent on a real Docker Engine runs what it is sent, and tells what happens."""

import asyncio
import json
import sqlite3
import time
import urllib.request
from http.client import HTTPException
from typing import Any

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_control_plane import WAIT_LIMIT_S, AgentHere
from homeport.agent.settings import AgentSettings, AgentStartError
from homeport.agent.state_file import StateFile
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import acs, payload, tcs

pytestmark = pytest.mark.docker


@pytest.fixture
def settings(settings: AgentSettings) -> AgentSettings:
    return msgspec.structs.replace(
        settings, attributes={"stack": "test"}, availability_zone="us-east-1a"
    )


def fetch(url: str) -> int:
    """The HTTP status, as soon as the program in the container listens."""
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except (OSError, HTTPException):
            # The container runs, but nothing says when the program in it is ready.
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


async def test_a_web_task_is_reported_running_with_its_port_and_answers(
    agent: AgentHere, busybox_image: str
):
    web = make_container(
        busybox_image,
        command=("/serve",),
        port_mappings=(payload.PortMapping(container_port=80, protocol="tcp"),),
    )
    task = make_task(web)
    await agent.control.send_tasks(agent.arn, task)
    report = await agent.control.wait_report(task, "RUNNING")
    [change] = report["containers"]
    assert change["status"] == "RUNNING"
    assert change["runtimeId"]
    [binding] = change["networkBindings"]
    assert binding["containerPort"] == 80
    assert binding["bindIP"] == "127.0.0.1"
    assert report["pullStartedAt"] <= report["pullStoppedAt"]
    url = f"http://127.0.0.1:{binding['hostPort']}/"
    assert await asyncio.to_thread(fetch, url) == 200

    await agent.control.send_stop(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    assert stopped["containers"][0]["exitCode"] in (0, 137, 143)
    assert stopped["executionStoppedAt"]


async def test_a_container_killed_behind_the_agents_back_is_reported(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    task = make_task(make_container(busybox_image, command=("sleep", "1000")))
    await agent.control.send_tasks(agent.arn, task)
    running = await agent.control.wait_report(task, "RUNNING")
    runtime_id = running["containers"][0]["runtimeId"]
    await asyncio.to_thread(docker_engine.kill_container, runtime_id)
    stopped = await agent.control.wait_report(task, "STOPPED")
    assert stopped["containers"][0]["exitCode"] == 137
    assert stopped["containers"][0]["runtimeId"] == runtime_id


async def test_exit_codes_and_both_states_of_a_short_container_are_told(
    agent: AgentHere, busybox_image: str
):
    init = make_container(busybox_image, "init", command=("true",), essential=False)
    web = make_container(
        busybox_image,
        command=("sh", "-c", "sleep 0.3; exit 7"),
        depends_on=(payload.ContainerDependency(container_name="init", condition="SUCCESS"),),
    )
    task = make_task(init, web)
    await agent.control.send_tasks(agent.arn, task)
    running = await agent.control.wait_report(task, "RUNNING")
    told = [(c["containerName"], c["status"], c.get("exitCode")) for c in running["containers"]]
    assert told == [("init", "RUNNING", None), ("init", "STOPPED", 0), ("web", "RUNNING", None)]
    stopped = await agent.control.wait_report(task, "STOPPED")
    assert [c.get("exitCode") for c in stopped["containers"]] == [7]


async def test_an_image_that_cannot_be_pulled_stops_the_task_with_the_reason(agent: AgentHere):
    task = make_task(make_container("127.0.0.1:9/no/such:image"))
    await agent.control.send_tasks(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    assert stopped["containers"][0]["reason"].startswith("CannotPullContainerError: ")
    assert "runtimeId" not in stopped["containers"][0]


async def test_a_command_that_does_not_exist_stops_the_task_with_the_reason(
    agent: AgentHere, busybox_image: str
):
    task = make_task(make_container(busybox_image, command=("/no/such/program",)))
    await agent.control.send_tasks(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    assert stopped["containers"][0]["reason"].startswith("CannotStartContainerError: ")


async def test_docker_settings_reach_the_container(
    agent: AgentHere, busybox_image: str, docker_engine: EngineApi
):
    host_config = {"Ulimits": [{"Name": "nofile", "Soft": 99, "Hard": 99}], "CapDrop": ["NET_RAW"]}
    container = make_container(
        busybox_image,
        command=("sh", "-c", "ulimit -n; echo $COLOUR; id -u; cat /data/x; sleep 1000"),
        environment={"COLOUR": "blue"},
        docker_config=payload.DockerConfig(
            config=json.dumps({"User": "1000", "WorkingDir": "/tmp", "Hostname": "box"}),
            host_config=json.dumps(host_config),
        ),
        mount_points=(payload.MountPoint(source_volume="data", container_path="/data"),),
    )
    volume = payload.Volume(name="data", type="host", host=payload.HostVolumeProperties())
    task = make_task(container, volumes=(volume,), cpu=0.25, memory=32)
    await agent.control.send_tasks(agent.arn, task)
    running = await agent.control.wait_report(task, "RUNNING")
    runtime_id = running["containers"][0]["runtimeId"]
    shown = docker_engine._call("GET", f"/containers/{runtime_id}/json")
    assert shown["Config"]["Labels"]["homeport.container-instance"] == agent.arn
    assert shown["Config"]["Labels"]["com.amazonaws.ecs.task-arn"] == task.arn
    assert shown["Name"].startswith("/ecs-demo-1-web-")
    assert shown["Config"]["User"] == "1000"
    assert shown["Config"]["Hostname"] == "box"
    assert "COLOUR=blue" in shown["Config"]["Env"]
    assert shown["HostConfig"]["Memory"] == 16 * 1024 * 1024
    assert task.arn.rpartition("/")[2] in shown["HostConfig"]["CgroupParent"]
    assert shown["HostConfig"]["CapDrop"] == ["NET_RAW"]
    assert shown["HostConfig"]["Ulimits"][0]["Hard"] == 99
    assert shown["Mounts"][0]["Destination"] == "/data"


async def test_health_is_published_when_it_changes(agent: AgentHere, busybox_image: str):
    check = {"Test": ["CMD", "true"], "Interval": 100_000_000, "Retries": 1}
    container = make_container(
        busybox_image,
        command=("sleep", "1000"),
        health_check_type="docker",
        docker_config=payload.DockerConfig(config=json.dumps({"Healthcheck": check})),
    )
    task = make_task(container)
    await agent.control.send_tasks(agent.arn, task)

    def find_healthy() -> bool:
        return any(
            isinstance(message, tcs.PublishHealthRequest)
            and [c.health_status for t in message.tasks for c in t.containers] == ["HEALTHY"]
            for message in agent.control.telemetry
        )

    await agent.control.wait(find_healthy)


async def test_what_the_agent_cannot_do_stops_the_task_and_names_the_member(
    agent: AgentHere, busybox_image: str
):
    task = make_task(make_container(busybox_image), network_mode="awsvpc")
    await agent.control.send_tasks(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    assert stopped["reason"].startswith("ResourceInitializationError: networkMode awsvpc")


async def test_a_task_missing_from_the_manifest_is_stopped_only_once_that_is_confirmed(
    agent: AgentHere, busybox_image: str
):
    task = make_task(make_container(busybox_image, command=("sleep", "1000")))
    await agent.control.send_tasks(agent.arn, task)
    await agent.control.wait_report(task, "RUNNING")
    manifest = acs.TaskManifestMessage(
        container_instance_arn=agent.arn, message_id="tm1", timeline=1, generated_at=1
    )
    await agent.control.send(agent.arn, manifest)

    def find_question() -> Any:
        kind = acs.TaskStopVerificationMessage
        return [m for m in agent.control.messages if isinstance(m, kind)]

    [question] = await agent.control.wait(find_question)
    assert [candidate.task_arn for candidate in question.stop_candidates] == [task.arn]
    assert not agent.control.reports(task, "STOPPED")
    answer = acs.TaskStopVerificationAck(
        message_id="tm1", generated_at=2, stop_tasks=question.stop_candidates
    )
    await agent.control.send(agent.arn, answer)
    await agent.control.wait_report(task, "STOPPED")


async def test_the_first_registration_says_what_the_instance_is(agent: AgentHere):
    [body] = agent.control.bodies("RegisterContainerInstance")
    names = {a["name"]: a.get("value") for a in body["attributes"]}
    assert names["stack"] == "test"
    assert names["ecs.os-type"] == "linux"
    assert "ecs.capability.container-ordering" in names
    assert [r["name"] for r in body["totalResources"]] == ["CPU", "MEMORY", "PORTS", "PORTS_UDP"]
    document = json.loads(body["instanceIdentityDocument"])
    assert document["availabilityZone"] == "us-east-1a"
    assert document["instanceId"].startswith("i-")
    assert "containerInstanceArn" not in body


async def test_a_full_disk_stops_the_agent_with_one_line_and_leaves_containers_running(
    agent: AgentHere,
    busybox_image: str,
    docker_engine: EngineApi,
    monkeypatch: pytest.MonkeyPatch,
):
    task = make_task(make_container(busybox_image, command=("sleep", "1000")))
    await agent.control.send_tasks(agent.arn, task)
    running = await agent.control.wait_report(task, "RUNNING")

    def refuse(*_args: object, **_members: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "write_changes", refuse)
        never_taken = make_task(make_container(busybox_image))
        message = acs.PayloadMessage(message_id="full", tasks=(never_taken,))
        await agent.control.send(agent.arn, message)
        with pytest.raises(AgentStartError, match="database or disk is full; make room"):
            await agent.wait_end()
    assert not [m for m in agent.control.messages if getattr(m, "message_id", "") == "full"]
    runtime_id = running["containers"][0]["runtimeId"]
    assert docker_engine._call("GET", f"/containers/{runtime_id}/json")["State"]["Running"]
