"""What a container may ask for, on a real Engine: ports, volumes, links, limits, restarts."""

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from agent_builders import make_container, make_task
from agent_control_plane import AgentHere
from homeport.agent.container_spec import list_task_volumes
from homeport.agent.docker import OUT_OF_MEMORY
from homeport.agent.main import remove_containers
from homeport.agent.settings import AgentSettings
from homeport.cli.engine_api import EngineApi
from homeport.wire.agent_messages import payload, tcs

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SLEEP = ("sleep", "1000")


@pytest.fixture
def settings(settings: AgentSettings) -> AgentSettings:
    return msgspec.structs.replace(settings, task_cleanup_wait_s=1)


class Shown:
    """Asks the Engine about a task's containers."""

    def __init__(self, engine: EngineApi, report: dict[str, Any]) -> None:
        self._engine = engine
        self._ids = {c["containerName"]: c["runtimeId"] for c in report["containers"]}

    def inspect(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = self._engine._call("GET", f"/containers/{self._ids[name]}/json")
        return shown


async def run(agent: AgentHere, engine: EngineApi, task: payload.Task) -> Shown:
    await agent.control.send_tasks(agent.arn, task)
    return Shown(engine, await agent.control.wait_report(task, "RUNNING"))


async def test_a_range_of_container_ports_gets_a_range_of_host_ports(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    mapping = payload.PortMapping(container_port_range="8000-8002", protocol="tcp")
    task = make_task(make_container(busybox_image, command=SLEEP, port_mappings=(mapping,)))
    shown = await run(agent, docker_engine, task)
    [binding] = agent.control.reports(task)[0]["containers"][0]["networkBindings"]
    assert binding["containerPortRange"] == "8000-8002"
    first, last = (int(port) for port in binding["hostPortRange"].split("-"))
    assert last - first == 2
    ports = shown.inspect("web")["NetworkSettings"]["Ports"]
    assert ports["8001/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(first + 1)}]


async def test_a_host_port_that_is_taken_stops_the_task_with_the_reason(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str, free_port: int
):
    mapping = payload.PortMapping(container_port=80, host_port=free_port, protocol="tcp")
    container = make_container(busybox_image, command=SLEEP, port_mappings=(mapping,))
    first, second = make_task(container), make_task(container)
    await run(agent, docker_engine, first)
    await agent.control.send_tasks(agent.arn, second)
    stopped = await agent.control.wait_report(second, "STOPPED")
    reason = stopped["containers"][0]["reason"]
    assert reason.startswith("CannotStartContainerError: ")
    assert "port is already allocated" in reason


async def test_a_link_resolves_and_files_are_shared_by_volumes_from(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    volume = payload.Volume(name="data", type="host", host=payload.HostVolumeProperties())
    mount = payload.MountPoint(source_volume="data", container_path="/data")
    db = make_container(
        busybox_image,
        "db",
        command=("sh", "-c", "echo kept > /data/file; sleep 1000"),
        mount_points=(mount,),
    )
    web = make_container(
        busybox_image,
        command=("sh", "-c", "until grep kept /data/file; do :; done; grep database /etc/hosts"),
        links=("db:database",),
        volumes_from=(payload.VolumeFrom(source_container="db", read_only=True),),
    )
    task = make_task(db, web, volumes=(volume,))
    await agent.control.send_tasks(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    codes = {c["containerName"]: c.get("exitCode") for c in stopped["containers"]}
    assert codes["web"] == 0


async def test_a_stopped_tasks_containers_and_own_volumes_are_removed_after_the_delay(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    volume = payload.Volume(name="data", type="host", host=payload.HostVolumeProperties())
    mount = payload.MountPoint(source_volume="data", container_path="/data")
    container = make_container(busybox_image, command=("true",), mount_points=(mount,))
    task = make_task(container, volumes=(volume,))
    await agent.control.send_tasks(agent.arn, task)
    await agent.control.wait_report(task, "STOPPED")
    filters = json.dumps({"label": [f"homeport.container-instance={agent.arn}"]})
    listing = f"/containers/json?{urlencode({'all': 'true', 'filters': filters})}"
    assert docker_engine._call("GET", listing)
    [name] = list_task_volumes(task)

    def is_left() -> bool:
        volumes = docker_engine._call("GET", "/volumes")["Volumes"] or []
        return docker_engine._call("GET", listing) or name in [v["Name"] for v in volumes]

    async with asyncio.timeout(10):
        while is_left():
            await asyncio.sleep(0.05)


async def test_too_little_memory_is_named_as_the_reason(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    no_swap = payload.DockerConfig(host_config=json.dumps({"MemorySwap": 8 * 2**20}))
    # One line without an end, kept by the shell in memory.
    hog = make_container(
        busybox_image,
        command=("sh", "-c", "tail /dev/zero"),
        memory=8,
        docker_config=no_swap,
    )
    task = make_task(hog)
    await agent.control.send_tasks(agent.arn, task)
    stopped = await agent.control.wait_report(task, "STOPPED")
    [change] = [c for c in stopped["containers"] if c["status"] == "STOPPED"]
    assert change["exitCode"] == 137
    assert change["reason"] == OUT_OF_MEMORY


async def test_a_restart_policy_restarts_the_same_container_unseen(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    policy = payload.RestartPolicy(enabled=True, restart_attempt_period=1)
    program = "test -f /seen && exec sleep 1000; touch /seen; sleep 1.2; exit 3"
    container = make_container(busybox_image, command=("sh", "-c", program), restart_policy=policy)
    task = make_task(container)
    shown = await run(agent, docker_engine, task)
    started_at = shown.inspect("web")["State"]["StartedAt"]
    async with asyncio.timeout(10):
        while shown.inspect("web")["State"]["StartedAt"] == started_at:
            await asyncio.sleep(0.05)
    await agent.control.send_stop(agent.arn, task)
    await agent.control.wait_report(task, "STOPPED")
    assert [r["status"] for r in agent.control.reports(task)] == ["RUNNING", "STOPPED"]


async def test_host_networking_and_namespaces_are_the_hosts(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    container = make_container(
        busybox_image,
        command=SLEEP,
        port_mappings=(payload.PortMapping(container_port=8099, protocol="tcp"),),
    )
    task = make_task(container, network_mode="host", pid_mode="host", ipc_mode="host")
    shown = await run(agent, docker_engine, task)
    host = shown.inspect("web")["HostConfig"]
    assert (host["NetworkMode"], host["PidMode"], host["IpcMode"]) == ("host", "host", "host")
    [binding] = agent.control.reports(task)[0]["containers"][0]["networkBindings"]
    assert (binding["containerPort"], binding["hostPort"]) == (8099, 8099)


async def test_containers_of_a_task_share_processes_and_ipc_when_asked_to(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    # It sees the other's process, and an orphan that ended is no zombie.
    program = (
        "until pidof serve; do usleep 20000; done;"
        " (sleep 0.1 &); usleep 500000; ! ps -o stat | grep Z"
    )
    watch = make_container(busybox_image, "watch", command=("sh", "-c", program))
    serve = make_container(busybox_image, "serve", command=("/serve",))
    task = make_task(watch, serve, pid_mode="task", ipc_mode="task")
    shown = await run(agent, docker_engine, task)
    hosts = [shown.inspect(name)["HostConfig"] for name in ("watch", "serve")]
    [joined] = {host["PidMode"] for host in hosts} | {host["IpcMode"] for host in hosts}
    assert joined.startswith("container:")
    stopped = await agent.control.wait_report(task, "STOPPED")
    exit_codes = {c["containerName"]: c.get("exitCode") for c in stopped["containers"]}
    assert exit_codes["watch"] == 0
    assert set(exit_codes) == {"watch", "serve"}


async def test_settings_in_dockers_own_form_reach_the_engine(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    host_config = {
        "Tmpfs": {"/scratch": "size=1m"},
        "Init": True,
        "ReadonlyRootfs": True,
        "Sysctls": {"net.core.somaxconn": "300"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "Dns": ["127.0.0.2"],
        "ExtraHosts": ["other:127.0.0.3"],
        "ShmSize": 2 * 2**20,
        "TomorrowsMember": {"ignored": True},
    }
    container = make_container(
        busybox_image,
        command=SLEEP,
        docker_config=payload.DockerConfig(
            config=json.dumps({"Tty": True, "OpenStdin": True, "StopSignal": "SIGINT"}),
            host_config=json.dumps(host_config),
        ),
    )
    shown = (await run(agent, docker_engine, make_task(container))).inspect("web")
    assert shown["Config"]["Tty"] and shown["Config"]["OpenStdin"]
    assert shown["Config"]["StopSignal"] == "SIGINT"
    for member in ("Tmpfs", "Init", "ReadonlyRootfs", "Sysctls", "LogConfig", "Dns", "ShmSize"):
        assert shown["HostConfig"][member] == host_config[member], member


async def test_a_shared_volume_that_does_not_exist_is_an_error_unless_it_may_be_made(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    docker = payload.DockerVolumeConfiguration(scope="shared", driver="local")
    volume = payload.Volume(
        name="homeport-test-no-such", type="docker", docker_volume_configuration=docker
    )
    mount = payload.MountPoint(source_volume=volume.name, container_path="/data")
    container = make_container(busybox_image, command=SLEEP, mount_points=(mount,))
    refused = make_task(container, volumes=(volume,))
    await agent.control.send_tasks(agent.arn, refused)
    stopped = await agent.control.wait_report(refused, "STOPPED")
    assert stopped["containers"][0]["reason"].startswith("CannotCreateVolumeError: shared volume")
    made = msgspec.structs.replace(docker, autoprovision=True)
    volume = msgspec.structs.replace(volume, docker_volume_configuration=made)
    task = make_task(container, volumes=(volume,))
    try:
        shown = await run(agent, docker_engine, task)
        assert shown.inspect("web")["Mounts"][0]["Name"] == volume.name
    finally:
        await agent.control.send_stop(agent.arn, task)
        await agent.control.wait_report(task, "STOPPED")
        await agent.stop()
        await remove_containers(agent.settings)
        docker_engine._call("DELETE", f"/volumes/{volume.name}")
    await agent.start()


async def test_metrics_of_running_containers_are_published(
    agent: AgentHere, docker_engine: EngineApi, busybox_image: str
):
    task = make_task(make_container(busybox_image, command=SLEEP))
    await run(agent, docker_engine, task)
    # A new connection publishes at once.
    await agent.stop()
    await agent.start()

    def find_metrics() -> Any:
        kind = tcs.PublishMetricsRequest
        return [m for m in agent.control.telemetry if isinstance(m, kind) and m.task_metrics]

    [message, *_] = await agent.control.wait(find_metrics)
    assert message.metadata.idle is False
    assert message.metadata.fin is True
    [metric] = message.task_metrics
    assert metric.task_arn == task.arn
    assert metric.container_metrics[0].memory_stats_set.sample_count == 1
    assert metric.container_metrics[0].network_stats_set.rx_bytes is not None
